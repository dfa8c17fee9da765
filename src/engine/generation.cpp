// SPDX-License-Identifier: MIT
#include "engine/generation.h"

#include "base/utf8.h"
#include "engine/option_bounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <tuple>

namespace bulkhead::engine {
namespace {

Result<void> check_biases(const std::vector<TokenBias>& biases) {
  if (biases.size() > kMostBiases) {
    return Error{ErrorCode::kUsage,
                 fmt::format("there are {} biases, at most {} are allowed", biases.size(), kMostBiases),
                 "logit_bias",
                 {}};
  }
  for (const auto& [token, bias] : biases) {
    if (std::abs(bias) <= kMostBias || bias == -std::numeric_limits<float>::infinity()) continue;
    return Error{ErrorCode::kUsage,
                 fmt::format("the bias of token {} is {}, it must be from {} to {}, or -infinity", token, bias,
                             -kMostBias, kMostBias),
                 "logit_bias",
                 {}};
  }
  return {};
}

Result<void> check_grammar(std::string_view grammar) {
  if (grammar.size() > kMostGrammarBytes) {
    return Error{ErrorCode::kBadInput,
                 fmt::format("the grammar has {} bytes, at most {} are read", grammar.size(), kMostGrammarBytes),
                 "grammar",
                 {}};
  }
  if (const auto wrong = first_invalid_utf8(grammar)) {
    return Error{ErrorCode::kBadInput, fmt::format("the grammar is no UTF-8 at byte {}", *wrong), "grammar", {}};
  }
  if (const auto zero = grammar.find('\0'); zero != std::string_view::npos) {
    return Error{ErrorCode::kBadInput, fmt::format("the grammar has a zero at byte {}", zero), "grammar", {}};
  }
  return {};
}

Result<void> check_triggers(const GenerateOptions& options) {
  const auto& triggers = options.grammar_triggers;
  if (options.grammar_prefix.size() > kMostPrefixBytes ||
      (options.grammar.empty() && !options.grammar_prefix.empty())) {
    return Error{ErrorCode::kUsage,
                 fmt::format("a prefix of at most {} bytes goes with a grammar", kMostPrefixBytes),
                 "grammar_prefix",
                 {}};
  }
  if (triggers.empty()) return {};
  const auto fail = [](std::string why) {
    return Error{ErrorCode::kUsage, std::move(why), "grammar_triggers", "leave them out, or give a grammar"};
  };
  if (options.grammar.empty()) return fail("there is no grammar that they could begin");
  const bool right = std::ranges::all_of(
      triggers, [](const std::string& one) { return !one.empty() && one.size() <= kMostTriggerBytes; });
  if (triggers.size() <= kMostTriggers && right) return {};
  return fail(fmt::format("at most {} words of 1 to {} bytes are read", kMostTriggers, kMostTriggerBytes));
}

}  // namespace

Result<void> check_options(const GenerateOptions& options) {
  BH_CHECK(check_bounds(options.sampling));
  BH_CHECK(check_biases(options.logit_bias));
  if (options.logprobs.value_or(0) > kMostLogprobs) {
    return Error{ErrorCode::kUsage,
                 fmt::format("logprobs is {}, it must be from 0 to {}", *options.logprobs, kMostLogprobs),
                 "logprobs",
                 {}};
  }
  BH_CHECK(check_triggers(options));
  if (options.ignore_end && !options.grammar.empty()) {
    return Error{ErrorCode::kUsage, "a grammar says where a text ends, and that is to be ignored", "ignore_end",
                 "leave one of both out"};
  }
  if (std::any_of(options.stop.begin(), options.stop.end(), [](const auto& stop) { return stop.empty(); })) {
    return Error{ErrorCode::kUsage, "a stop string is empty", "stop", "leave it out"};
  }
  return {};
}

Result<void> check_generation(const GenerateOptions& options, const Engine& engine) {
  BH_CHECK(check_options(options));
  const std::array<std::tuple<bool, Capability, std::string_view>, 3> wanted = {
      {{!options.logit_bias.empty(), Capability::kLogitBias, "logit_bias"},
       {options.logprobs.has_value(), Capability::kLogprobs, "logprobs"},
       {!options.grammar.empty(), Capability::kConstraint, "grammar"}}};
  for (const auto& [asked, capability, field] : wanted) {
    if (!asked || engine.can(capability)) continue;
    return Error{ErrorCode::kUnsupported, fmt::format("engine {} has no {}", engine.facts().engine, field),
                 std::string(field), "leave it out, or use another engine"};
  }
  for (const auto& [token, bias] : options.logit_bias) {
    if (token >= 0 && token < static_cast<Token>(engine.facts().vocabulary)) continue;
    return Error{ErrorCode::kBadInput,
                 fmt::format("token {} is outside the vocabulary of {}", token, engine.facts().vocabulary),
                 "logit_bias",
                 {}};
  }
  return check_grammar(options.grammar);
}

Error no_token_left(const GenerateOptions& options) {
  if (options.grammar.empty()) return {ErrorCode::kUnsupported, "the bias leaves no token to draw", "logit_bias", {}};
  return {ErrorCode::kUnsupported, "no token fits the grammar here", "grammar",
          "allow more, such as an end of the text"};
}

GeneratedText::GeneratedText(const std::vector<std::string>& stops) : stops_(stops) {
  for (const auto& stop : stops_) longest_stop_ = std::max(longest_stop_, stop.size());
}

bool GeneratedText::append(std::string_view piece) {
  // A stop string that ends in this piece begins at most longest_stop_ - 1 bytes before it.
  const std::size_t begin = bytes_.size() < longest_stop_ ? 0 : bytes_.size() - longest_stop_ + 1;
  bytes_ += piece;
  std::size_t first = std::string::npos;
  for (const auto& stop : stops_) first = std::min(first, bytes_.find(stop, begin));
  if (first == std::string::npos) return false;
  bytes_.resize(first);
  return true;
}

std::string GeneratedText::text() const {
  const std::string_view whole(bytes_);
  return to_valid_utf8(whole.substr(0, whole.size() - unfinished_utf8_tail(whole)));
}

}  // namespace bulkhead::engine
