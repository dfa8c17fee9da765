// SPDX-License-Identifier: MIT
// What every engine does alike while it generates: checking the options, and collecting the text with its stop strings.
#pragma once

#include "base/result.h"
#include "engine/engine.h"

#include <bulkhead/options.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engine {

inline constexpr std::size_t kMostBiases = 1024;
inline constexpr float kMostBias = 1000;
inline constexpr std::uint32_t kMostLogprobs = 20;
inline constexpr std::size_t kMostGrammarBytes = std::size_t{64} << 10U;
inline constexpr std::size_t kMostPrefixBytes = 4096;
inline constexpr std::size_t kMostTriggers = 16;
inline constexpr std::size_t kMostTriggerBytes = 256;

// kUsage, naming field, value and limit, when an option lies outside its range (NaN included).
[[nodiscard]] Result<void> check_options(const GenerateOptions& options);

// All that can be said of the options before work begins, and of a grammar without reading it: what check_options()
// says; kUnsupported, naming the field, for one that this engine cannot do; kBadInput for a bias of a token outside the
// vocabulary, and for a grammar that is too large or no UTF-8.
[[nodiscard]] Result<void> check_generation(const GenerateOptions& options, const Engine& engine);

// What a generation ends with that a grammar or a bias has left no token. Its sequence is not poisoned.
[[nodiscard]] Error no_token_left(const GenerateOptions& options);

// The text of one generation, token by token. A stop string may span tokens; it and what follows it are cut off.
class GeneratedText {
 public:
  explicit GeneratedText(const std::vector<std::string>& stops);

  // Adds the bytes of a token. True as soon as the text contains a stop string; call no more after that.
  [[nodiscard]] bool append(std::string_view piece);

  // All bytes so far.
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
  // Valid UTF-8: a character cut off at the end is dropped, other invalid bytes become U+FFFD.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::string> stops_;
  std::size_t longest_stop_ = 0;
  std::string bytes_;
};

}  // namespace bulkhead::engine
