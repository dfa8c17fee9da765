// SPDX-License-Identifier: MIT
// The fake engine: the next token is a hash of every token its sequence can see. It needs no model, is exact, and any
// leak, loss or swap of a single token changes all that follows. Faults can be planted to test those who look for them.
#pragma once

#include "engine/engine.h"

#include <bulkhead/options.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace bulkhead::engines::fake {

// What goes wrong, in which sequence. Sequences are counted from 0 in the order in which open() and fork() make them.
struct Fault {
  enum class Kind {
    kDropToken,      // prefill loses the token that would get position `at`
    kForeignToken,   // prefill puts `token` before the one that would get position `at`
    kSwapToken,      // prefill stores `token` instead of the one that would get position `at`
    kHiddenToken,    // from the prefill of position `at` on, draws also see `token`, and inspect() does not tell
    kWrongPosition,  // inspect() reports positions that are `at` too high
    kFailPrefill,    // the prefill of position `at` fails (kInternal, poisoned)
    kFailDecode,     // drawing the token number `at` (from 0, over all calls) fails (kInternal, poisoned)
    kFailTruncate,   // it cannot be cut (kInternal, poisoned)
    kIgnoreWindow,   // a fork at a position the window has left goes on from the cells that are left
  };
  Kind kind = Kind::kDropToken;
  std::uint32_t sequence = 0;
  std::uint32_t at = 0;
  engine::Token token = 'x';
};

enum class Mutant;  // engines/fake/mutant.h

struct FakeOptions {
  std::uint32_t context_tokens = 32768;
  std::uint32_t window_tokens = 0;           // 0: every token is visible
  std::uint32_t max_sequences = 256;         // open at the same time
  std::uint64_t memory_bytes = 1ULL << 40U;  // what reserve() and open() may take
  std::uint32_t end_one_in = 0;              // draw the end token about once in so many draws; 0: never
  Grade grade = Grade::kBuffer;
  std::string clock = {};  // of its facts
  std::vector<Fault> faults;
  Mutant mutant = {};  // a defect that crosses between sequences; the first value is none
};

// Tokens: 0 to 255 are the bytes, then these.
inline constexpr engine::Token kBos = 256;        // "<|bos|>"
inline constexpr engine::Token kEnd = 257;        // "<|end|>"
inline constexpr engine::Token kSystem = 258;     // "<|system|>"
inline constexpr engine::Token kUser = 259;       // "<|user|>"
inline constexpr engine::Token kAssistant = 260;  // "<|assistant|>"
inline constexpr std::uint32_t kVocabulary = 261;

[[nodiscard]] std::unique_ptr<engine::Engine> make_fake_engine(FakeOptions options = {});

// For the registry: takes context_tokens and grade. The path is "" or "mutant:ID" (engines/fake/mutant.h): then
// isolation is broken on purpose. kUsage with the list of ids when there is none of that name.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> make_from_options(const ModelOptions& options);

}  // namespace bulkhead::engines::fake
