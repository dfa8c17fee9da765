// SPDX-License-Identifier: MIT
// Which tokens a grammar allows behind those that were drawn. Each job owns one.
//
// llama.cpp's own matcher (llama_sampler_init_grammar) keeps every way to read a text as a stack of its own: twenty
// short rules make a million of them, and a grammar from elsewhere ends or stops the process. Here ways that go on
// alike are one (a graph-structured stack), so what is kept grows with the text at most, and all work is counted: a
// grammar that needs too much of it ends its job. What both allow is the same
// (tests/engines/llama_constraint_test.cpp), but for three things: control tokens are never allowed, no character needs
// to be ruled out by the bytes that it begins with alone ([^e-acute] and a token of one byte), and rules may be
// left-recursive.
#pragma once

#include "engine/engine.h"
#include "engines/llama/grammar.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engines::llama {

// What the tokens of a vocabulary say; zeros are no text. Made once for an engine; costs a copy of its vocabulary.
struct Spellings {
  Spellings(const engine::Tokenizer& tokenizer, std::uint32_t vocabulary);

  std::vector<std::string> pieces;    // [n_vocabulary]; "" for control tokens and those that end a generation
  std::vector<engine::Token> sorted;  // those that say something, in the order of their bytes
  std::vector<bool> ends;             // [n_vocabulary]: it ends a generation
};

// All errors are kUnsupported: the grammar can be read in too many ways here. The constraint is of no use then.
class Constraint {
 public:
  // kBadInput when there are too many ways even to begin.
  [[nodiscard]] static Result<Constraint> make(std::shared_ptr<const Grammar> grammar,
                                               std::shared_ptr<const Spellings> spellings);

  // Whether this token may come next.
  [[nodiscard]] Result<bool> allows(engine::Token token);
  // Sets the logits of all tokens that may not to -infinity. [n_vocabulary]
  [[nodiscard]] Result<void> mask(std::span<float> logits);
  // Goes on behind a token that is allowed.
  [[nodiscard]] Result<void> accept(engine::Token token);
  // Goes on behind a text. False, and nothing is changed: the rules do not allow it here.
  [[nodiscard]] Result<bool> accept_text(std::string_view text);

 private:
  using Place = Grammar::Place;
  using NodeId = std::uint32_t;
  // Where reading goes on, inside of a rule that was begun at `node`.
  struct Thread {
    Place place;
    NodeId node;
    friend bool operator==(const Thread&, const Thread&) = default;
  };
  // A rule that was begun at one place of the text, and where its readers go on behind it.
  struct Node {
    std::uint64_t step;     // when it was made
    bool returned = false;  // in that very step: the rule may be empty
    std::vector<Thread> readers = {};
  };
  // All ways to go on at one place of the text.
  struct Front {
    std::vector<Thread> threads = {};  // each in front of a character
    bool complete = false;             // the text may end here
    // A character that is not whole yet.
    std::uint32_t bits = 0;
    std::uint32_t bytes_left = 0;
    std::uint32_t least = 0;  // smaller ones are written in fewer bytes
  };

  Constraint(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const Spellings> spellings);

  // False: nothing fits, or too much work was done (is_too_much()).
  [[nodiscard]] bool feed(const Front& from, char byte, Front& to);
  [[nodiscard]] bool feed_character(const Front& from, std::uint32_t character, Front& to);
  [[nodiscard]] bool begin_character(const Front& from, unsigned char byte, Front& to) const;
  [[nodiscard]] bool can_finish_character(const Front& front);
  [[nodiscard]] bool feed_all(std::string_view piece, Front& to);
  void advance(Front& to);
  void follow(const Thread& thread, Front& to);
  void call(std::uint32_t rule, Thread reader);
  void add_reader(NodeId node, Thread reader);
  [[nodiscard]] bool is_new(const Thread& thread);
  void forget_unreachable();
  void begin_work(std::uint64_t most);
  [[nodiscard]] bool is_too_much() const;
  [[nodiscard]] static Error too_much();

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const Spellings> spellings_;
  Front front_;
  std::vector<Node> nodes_;  // a reader's node was made before, or in the same step
  std::uint64_t step_ = 0;
  std::uint64_t most_work_ = 0;
  std::uint64_t work_ = 0;    // of this call
  std::vector<Thread> todo_;  // of this step
  struct Called {
    std::uint64_t step = 0;
    NodeId node = 0;
  };
  std::vector<Called> called_;  // [n_rules]: by whom in which step
  struct Seen {
    std::uint64_t step = 0;
    Thread thread = {};
  };
  std::vector<Seen> seen_;  // a hash table of this step's threads
  std::size_t n_seen_ = 0;  // of this step
};

}  // namespace bulkhead::engines::llama
