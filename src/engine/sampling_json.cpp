// SPDX-License-Identifier: MIT
#include "engine/sampling_json.h"

#include "engine/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <system_error>

namespace bulkhead::engine {
namespace {

// A log of a probability that was rounded may lie above 0 by so much.
constexpr double kRounding = 1e-6;

Json bits_json(double value) {
  return fmt::format("{:016x}", std::bit_cast<std::uint64_t>(value));
}

Result<double> log_from(const JsonView& object) {
  BH_TRY(const auto field, object.at("logprob"));
  BH_TRY(const auto read, bits(field));
  const auto value = std::bit_cast<double>(read);
  if (!(value <= kRounding)) return field.fail(fmt::format("{} is no log of a probability", value));
  return value;
}

Result<TokenBias> bias_from(const JsonView& object) {
  TokenBias bias;
  BH_TRY(bias.token, number<Token>(object, "token", std::numeric_limits<Token>::min()));
  BH_TRY(const auto field, object.at("bias"));
  BH_TRY(const auto word, field.string());
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bias.bias);
  if (error != std::errc() || end != word.data() + word.size()) return field.fail("no number in a text");
  return bias;
}

bool is_behind(const TokenLogprob& next, const TokenLogprob& before) {
  return next.logprob < before.logprob || (next.logprob == before.logprob && next.token > before.token);
}

}  // namespace

void add_seldom_options(Json& object, const GenerateOptions& options) {
  if (!options.logit_bias.empty()) {
    Json list = Json::array();
    for (const auto& [token, bias] : options.logit_bias) {
      list.push_back({{"token", token}, {"bias", fmt::format("{}", bias)}});
    }
    object["logit_bias"] = std::move(list);
  }
  if (options.logprobs) object["logprobs"] = *options.logprobs;
  if (!options.grammar.empty()) object["grammar"] = options.grammar;
  if (!options.grammar_prefix.empty()) object["grammar_prefix"] = options.grammar_prefix;
  if (!options.grammar_triggers.empty()) object["grammar_triggers"] = options.grammar_triggers;
}

Result<void> read_seldom_options(const JsonView& object, GenerateOptions& options) {
  if (object.has("logit_bias")) {
    BH_TRY(const auto list, object.at("logit_bias"));
    BH_TRY(const auto items, list.items());
    for (const auto& item : items) {
      BH_TRY(const auto bias, bias_from(item));
      options.logit_bias.push_back(bias);
    }
  }
  if (object.has("logprobs")) {
    BH_TRY(options.logprobs, number<std::uint32_t>(object, "logprobs"));
  }
  BH_TRY(options.grammar, object.string_or("grammar", {}));
  BH_TRY(options.grammar_prefix, object.string_or("grammar_prefix", {}));
  if (object.has("grammar_triggers")) {
    BH_TRY(const auto list, object.at("grammar_triggers"));
    BH_TRY(const auto items, list.items());
    for (const auto& item : items) {
      BH_TRY(auto word, item.string());
      options.grammar_triggers.push_back(std::move(word));
    }
  }
  return {};
}

Json to_json(const TokenLogprobs& logprobs) {
  Json top = Json::array();
  for (const auto& [token, logprob] : logprobs.top) {
    top.push_back({{"token", token}, {"logprob", bits_json(logprob)}});
  }
  return {{"logprob", bits_json(logprobs.logprob)}, {"top", std::move(top)}};
}

Result<TokenLogprobs> logprobs_from(const JsonView& json, std::uint32_t count, std::uint32_t vocabulary) {
  TokenLogprobs logprobs;
  BH_TRY(logprobs.logprob, log_from(json));
  BH_TRY(const auto top, json.at("top"));
  BH_TRY(const auto items, top.items());
  const auto expected = std::min(count, vocabulary);
  if (items.size() != expected) return top.fail(fmt::format("{} tokens, {} were asked for", items.size(), expected));
  for (const auto& item : items) {
    TokenLogprob one;
    BH_TRY(one.token, number<Token>(item, "token", 0, std::int64_t{vocabulary} - 1));
    BH_TRY(one.logprob, log_from(item));
    const bool in_order = logprobs.top.empty() || is_behind(one, logprobs.top.back());
    if (!in_order) return item.fail("it is likelier than the one before it");
    logprobs.top.push_back(one);
  }
  return logprobs;
}

}  // namespace bulkhead::engine
