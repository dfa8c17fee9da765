// SPDX-License-Identifier: MIT
// What a grammar allows: the same as llama.cpp's own matcher, on grammars that this one can bear; and what hostile
// grammars cannot do.
#include "engines/llama/constraint.h"

#include "base/utf8.h"
#include "engines/llama/backend.h"
#include "engines/llama/lazy_constraint.h"
#include "engines/llama/tokenizer.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

// The vocabulary of the tiny model, without its weights.
class Words {
 public:
  Words() {
    start_backend();
    const auto path = folder_ / "tiny.gguf";
    if (!testing::write_tiny_model(path)) std::abort();
    auto parameters = llama_model_default_params();
    parameters.vocab_only = true;
    model_.reset(llama_model_load_from_file(path.c_str(), parameters));
    if (model_ == nullptr) std::abort();
    tokenizer_ = std::make_unique<LlamaTokenizer>(model_.get(), 0);
    spellings_ = std::make_shared<const Spellings>(*tokenizer_, size());
  }

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(llama_vocab_n_tokens(vocab())); }
  [[nodiscard]] const llama_vocab* vocab() const { return llama_model_get_vocab(model_.get()); }
  [[nodiscard]] const LlamaTokenizer& tokenizer() const { return *tokenizer_; }
  [[nodiscard]] std::shared_ptr<const Spellings> spellings() const { return spellings_; }

 private:
  struct Free {
    void operator()(llama_model* model) const { llama_model_free(model); }
  };
  testing::TemporaryFolder folder_;
  std::unique_ptr<llama_model, Free> model_;
  std::unique_ptr<LlamaTokenizer> tokenizer_;
  std::shared_ptr<const Spellings> spellings_;
};

const Words& words() {
  static const Words all;
  return all;
}

Result<Constraint> made(std::string_view text) {
  BH_TRY(auto grammar, Grammar::parse(text));
  return Constraint::make(std::make_shared<const Grammar>(std::move(grammar)), words().spellings());
}

std::vector<bool> allowed(Constraint& constraint) {
  std::vector<float> logits(words().size(), 1.0F);
  EXPECT_TRUE(constraint.mask(logits).ok());
  std::vector<bool> list;
  for (const float logit : logits) list.push_back(std::isfinite(logit));
  return list;
}

// The token that says this byte.
Token byte_token(char byte) {
  const auto& pieces = words().spellings()->pieces;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i] == std::string(1, byte)) return static_cast<Token>(i);
  }
  ADD_FAILURE() << "no token says " << static_cast<int>(byte);
  return 0;
}

// Whether the grammar allows the whole text, byte by byte, and then an end; `so_far` of its bytes were allowed.
bool reads(std::string_view grammar, std::string_view text, std::size_t* so_far = nullptr) {
  auto constraint = made(grammar);
  EXPECT_TRUE(constraint.ok()) << grammar << ": " << constraint.error().to_string();
  if (!constraint.ok()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (so_far != nullptr) *so_far = i;
    const auto token = byte_token(text[i]);
    const auto fits = constraint.value().allows(token);
    EXPECT_TRUE(fits.ok());
    if (!fits.ok() || !fits.value()) return false;
    EXPECT_TRUE(constraint.value().accept(token).ok());
  }
  if (so_far != nullptr) *so_far = text.size();
  for (Token token = 0; token < static_cast<Token>(words().size()); ++token) {
    if (words().tokenizer().ends_generation(token)) return constraint.value().allows(token).value();
  }
  ADD_FAILURE() << "no token ends";
  return false;
}

const std::vector<std::string> kGrammars = {
    "root ::= [0-9]+",
    "root ::= \"yes\" | \"yesterday\" | \"no\"",
    "root ::= (\"a\" | \"ab\")* \"c\"?",
    "root ::= [^0-9]{2,5} .",
    "# a comment\nroot ::= object\nvalue ::= object | array | string | number\n"
    "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? \"}\" ws\n"
    "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" [\"\\\\bfnrt])* \"\\\"\" ws\n"
    "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ws\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}",
    "root ::= expression\nexpression ::= term ([-+*/] term)*\nterm ::= [a-z] | \"(\" expression \")\"",
    "root ::= \"\" | [a-c] root",
    "root ::= [\\u00e0-\\u00ff]+ \" \" .*"};

// Random walks through what both allow.
TEST(Constraint, AllowsWhatLlamaAllows) {
  std::mt19937 random(11);
  for (const auto& text : kGrammars) {
    const bool excludes = text.find("[^") != std::string::npos;
    for (int walk = 0; walk < 6; ++walk) {
      auto ours = made(text);
      ASSERT_TRUE(ours.ok()) << ours.error().to_string();
      auto* theirs = llama_sampler_init_grammar(words().vocab(), text.c_str(), "root");
      ASSERT_NE(theirs, nullptr) << text;
      for (int step = 0; step < 12; ++step) {
        const auto our_list = allowed(ours.value());
        std::vector<llama_token_data> candidates;
        for (std::size_t i = 0; i < our_list.size(); ++i) candidates.push_back({static_cast<Token>(i), 1.0F, 0.0F});
        llama_token_data_array list{candidates.data(), candidates.size(), -1, false};
        llama_sampler_apply(theirs, &list);
        std::vector<Token> both;
        for (std::size_t i = 0; i < our_list.size(); ++i) {
          const auto token = static_cast<Token>(i);
          EXPECT_EQ(ours.value().allows(token).value(), our_list[i]) << "one token, or all at once";
          const auto& piece = words().spellings()->pieces[i];
          const bool ends = words().tokenizer().ends_generation(token);
          // Where they differ on purpose, and where theirs takes bytes that are no UTF-8.
          if ((piece.empty() && !ends) || (unfinished_utf8_tail(piece) > 0 && excludes)) continue;
          if (first_invalid_utf8(piece) && unfinished_utf8_tail(piece) == 0) continue;
          EXPECT_EQ(our_list[i], std::isfinite(candidates[i].logit))
              << text << ": token " << token << " \"" << piece << '"';
          if (our_list[i] && !ends) both.push_back(token);
        }
        if (both.empty()) break;
        const auto next = both[random() % both.size()];
        ASSERT_TRUE(ours.value().accept(next).ok());
        llama_sampler_accept(theirs, next);
      }
      llama_sampler_free(theirs);
    }
  }
}

TEST(Constraint, ReadsTexts) {
  const auto& json = kGrammars[4];
  EXPECT_TRUE(reads(json, "{\"a\": [1, -2.50, {}], \"b\":\"\\n\xc3\xa4\"}"));
  EXPECT_FALSE(reads(json, "{\"a\": [1,]}"));
  EXPECT_FALSE(reads(json, "{\"a\": 1")) << "not complete";
  EXPECT_TRUE(reads("root ::= [^\\u00e9]", "\xc3\xa8")) << "its first byte begins another character too";
  EXPECT_FALSE(reads("root ::= [^\\u00e9]", "\xc3\xa9"));
  EXPECT_FALSE(reads("root ::= .", "\xc0\x80")) << "an overlong form";
  EXPECT_FALSE(reads("root ::= .", "\xed\xa0\x80")) << "a surrogate";
  EXPECT_TRUE(reads("root ::= .", "\xf0\x9f\x9a\xa2"));
  EXPECT_FALSE(reads("root ::= [a-z]", "\xf0\x9f\x9a\xa2"));
}

TEST(Constraint, RulesMayBeLeftRecursiveOrEmpty) {
  EXPECT_TRUE(reads("root ::= root \"a\" | \"a\"", "aaaa"));
  EXPECT_FALSE(reads("root ::= root \"a\" | \"a\"", ""));
  EXPECT_TRUE(reads("root ::= empty root \"x\" | \"b\"\nempty ::= none\nnone ::= ", "bxxx"))
      << "hidden by an empty rule";
  EXPECT_TRUE(reads("root ::= a\na ::= b \"x\" | \"y\"\nb ::= c a\nc ::= \"\" | c", "yxx"));
  EXPECT_TRUE(reads("root ::= (|\"a\"|)* \"b\"", "aab"));
  EXPECT_TRUE(reads("root ::= ((\"\")*)* | root root", ""));
  EXPECT_TRUE(reads("root ::= a a a \"z\"\na ::= | \"x\" a", "xxxxxz"));
  EXPECT_FALSE(reads("root ::= root", "")) << "a rule that says nothing but itself allows nothing";
}

// Twenty short rules, a million ways: each has its end, here they are one.
TEST(Constraint, WaysThatGoOnAlikeAreOne) {
  std::string many = "root ::= a0\n";
  for (int i = 0; i < 40; ++i) {
    const auto next = "a" + std::to_string(i + 1);
    many += "a" + std::to_string(i) + " ::= " + next + " \"x\" | " + next + " \"y\" | " + next + " [xy]\n";
  }
  many += "a40 ::= \"z\"";
  std::size_t so_far = 0;
  EXPECT_TRUE(reads(many, "z" + std::string(40, 'y'), &so_far)) << so_far;
  const std::string twice = "root ::= \"a\" root \"x\" | \"a\" root \"y\" | \"a\" root | \"b\"";
  EXPECT_TRUE(reads(twice, std::string(200, 'a') + "b" + std::string(50, 'x'), &so_far)) << so_far;
  EXPECT_TRUE(reads("root ::= (\"a\"? \"a\"?){0,20}", std::string(40, 'a')));
  EXPECT_TRUE(reads("root ::= [0-9]+", std::string(3000, '7'), &so_far)) << so_far;
}

TEST(Constraint, TooMuchWorkIsAnError) {
  // Every pair of a beginning and a rule lives on.
  std::string wide = "root ::= ";
  for (int i = 0; i < 150; ++i) wide += (i == 0 ? "r" : " | r") + std::to_string(i);
  for (int i = 0; i < 150; ++i)
    wide += "\nr" + std::to_string(i) + " ::= root root \"a\" | root \"a\" root | \"a\" root | \"a\"";
  auto constraint = made(wide);
  ASSERT_TRUE(constraint.ok()) << constraint.error().to_string();
  const auto token = byte_token('a');
  std::optional<Error> error;
  for (int i = 0; i < 2000 && !error; ++i) {
    const auto accepted = constraint.value().accept(token);
    if (!accepted.ok()) error = accepted.error();
  }
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, ErrorCode::kUnsupported);
  std::string alternatives = "root ::= \"a\"";
  for (int i = 0; i < 20'000; ++i) alternatives += "|[a]";
  ASSERT_FALSE(made(alternatives).ok());
  EXPECT_EQ(made(alternatives).error().code, ErrorCode::kBadInput);
}

TEST(Grammar, SaysWhatIsWrongAndWhere) {
  const auto said = [](const std::string& text) {
    const auto grammar = Grammar::parse(text);
    EXPECT_FALSE(grammar.ok()) << text;
    if (grammar.ok()) return std::string();
    EXPECT_EQ(grammar.error().code, ErrorCode::kBadInput);
    EXPECT_EQ(grammar.error().place, "grammar");
    EXPECT_LT(grammar.error().message.size(), 200U) << "no text of who wrote it";
    return grammar.error().message;
  };
  const auto has = [&](const std::string& text, const std::string& words) {
    const auto message = said(text);
    EXPECT_NE(message.find(words), std::string::npos) << text << ": " << message;
  };
  has("", "no rule \"root\"");
  has("# nothing\n", "no rule \"root\"");
  has("other ::= \"a\"", "no rule \"root\"");
  has("root ::= other", "no rule \"other\"");
  has("root ::= \"a\"\n\nroot = \"b\"", "line 3: expecting ::=");
  has("root ::= \"a", "unexpected end of input");
  has("root ::= [a", "unexpected end of input");
  has("root ::= \"\\q\"", "line 1: unknown escape");
  has("root ::= *", "expecting preceding item");
  has("root ::= \"a\"{}", "expecting an int");
  has("root ::= \"a\"{2,1000000000000000000000000}", "repetitions, at most 2000");
  has("root ::= \"a\"{1,100000}", "100000 repetitions, at most 2000");
  has("root ::= \"a\" <eos>", "tokens by name");
  has("root ::= " + std::string(65, '(') + "\"a\"" + std::string(65, ')'), "more than 64 levels");
  has("root ::= \"" + std::string(60'000, 'a') + "\"{2000}", "more than 131072 elements");
  has("root ::= \"a\"{0,2000}{0,2000}{0,2000}", "elements");
  has("root ::= (" + std::string(100, 'a') + std::string(100, 'b') + "){0,2000}", "a name of 200 characters");
  EXPECT_TRUE(Grammar::parse("root ::= " + std::string(64, '(') + "\"a\"" + std::string(64, ')')).ok());
  EXPECT_TRUE(Grammar::parse("root ::= \"((((\" [(] # " + std::string(100, '(') + "\n").ok()) << "no parentheses";
  EXPECT_TRUE(Grammar::parse("root ::= \"a\"{2000}").ok());
}

// Whatever they are, they give an answer; what is printed would be seen by ctest's output only, so it is caught here.
TEST(Grammar, RandomTextsEndInAnAnswer) {
  const std::vector<std::string> parts = {"root", " ::= ", "\"a\"", "[a-z]", "[^", "]", "(",    ")",       "*",
                                          "+",    "?",     "{",     "}",     ",",  "3", "1999", "|",       "\n",
                                          "#",    "\\",    "\"",    "x",     ".",  " ", "-",    "\xc3\xa4"};
  std::mt19937 random(5);
  ::testing::internal::CaptureStderr();
  int good = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = round % 2 == 0 ? "root ::= " : "";
    const auto length = random() % 40;
    for (std::size_t i = 0; i < length; ++i) {
      text += round % 3 == 0 ? std::string(1, static_cast<char>(1 + random() % 127)) : parts[random() % parts.size()];
    }
    auto constraint = made(text);
    if (!constraint.ok()) {
      EXPECT_EQ(constraint.error().code, ErrorCode::kBadInput);
      continue;
    }
    ++good;
    std::vector<float> logits(words().size(), 1.0F);
    for (int step = 0; step < 3 && constraint.value().mask(logits).ok(); ++step) {
      std::vector<Token> list;
      for (std::size_t i = 0; i < logits.size(); ++i) {
        if (std::isfinite(logits[i])) list.push_back(static_cast<Token>(i));
      }
      if (list.empty() || !constraint.value().accept(list[random() % list.size()]).ok()) break;
      logits.assign(logits.size(), 1.0F);
    }
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(good, 100);
}

// Takes a text character by character; how many were taken.
std::size_t taken_of(LazyConstraint& lazy, std::string_view text) {
  const auto& pieces = words().spellings()->pieces;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto token = std::find(pieces.begin(), pieces.end(), text.substr(i, 1));
    EXPECT_NE(token, pieces.end());
    const auto fits = lazy.take(static_cast<Token>(token - pieces.begin()));
    EXPECT_TRUE(fits.ok());
    if (!fits.ok() || !fits.value()) return i;
  }
  return text.size();
}

TEST(LazyConstraint, HoldsFromTheWordOnThatBeginsIt) {
  const auto fresh = [](std::vector<std::string> triggers) {
    auto constraint = made(R"(root ::= "<call>" [a-c]+ "!")");
    return LazyConstraint(std::move(constraint).value(), std::move(triggers), words().spellings());
  };
  auto lazy = fresh({"<other>", "<call>"});
  const std::string_view text = "anything <cal <call>abcd";
  EXPECT_EQ(taken_of(lazy, text), text.size() - 1) << "a d is against the rules";
  EXPECT_EQ(taken_of(lazy, "c!"), 2U);
  EXPECT_EQ(taken_of(lazy, "x"), 0U) << "all is said";
  auto at_once = fresh({});
  EXPECT_EQ(taken_of(at_once, "anything"), 0U);
  auto never = fresh({"<call>"});
  EXPECT_EQ(taken_of(never, "<call <Call> <cal l>x"), 21U);
}

// A token may end the word and go on: what it says behind it must be as the rules say.
TEST(LazyConstraint, ATokenThatBeginsItAndSaysMoreIsHeldToTheRules) {
  const auto first = [&] {  // a token of several characters
    for (const auto token : words().spellings()->sorted) {
      const auto& piece = words().spellings()->pieces[static_cast<std::size_t>(token)];
      if (piece.size() >= 3 && std::all_of(piece.begin(), piece.end(), [](char c) { return c >= 'a' && c <= 'z'; }))
        return token;
    }
    return Token{-1};
  }();
  ASSERT_GE(first, 0);
  const auto piece = words().spellings()->pieces[static_cast<std::size_t>(first)];
  const auto lazy_for = [&](const std::string& behind) {
    auto constraint = made("root ::= \"" + piece.substr(0, 2) + behind + "\" .*");
    return LazyConstraint(std::move(constraint).value(), {piece.substr(0, 2)}, words().spellings());
  };
  auto fitting = lazy_for(piece.substr(2));
  EXPECT_TRUE(fitting.take(first).value());
  auto other = lazy_for("0");
  EXPECT_FALSE(other.take(first).value());
  std::vector<float> logits(words().size(), 0.0F);
  ASSERT_TRUE(other.mask(logits, first).ok());
  EXPECT_EQ(std::count(logits.begin(), logits.end(), 0.0F), static_cast<std::ptrdiff_t>(words().size()) - 1)
      << "only the one that was refused";
}

}  // namespace
}  // namespace bulkhead::engines::llama
