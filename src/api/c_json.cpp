// SPDX-License-Identifier: MIT
#include "api/c_json.h"

#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace bulkhead {
namespace {

Result<void> read_value(const JsonView& value, bool& into) {
  BH_TRY(into, value.boolean());
  return {};
}

Result<void> read_value(const JsonView& value, std::string& into) {
  BH_TRY(into, value.string());
  return {};
}

Result<void> read_value(const JsonView& value, std::vector<std::string>& into) {
  BH_TRY(into, value.strings());
  return {};
}

Result<void> read_value(const JsonView& value, float& into) {
  BH_TRY(const double number, value.number());
  if (std::abs(number) > static_cast<double>(std::numeric_limits<float>::max())) {
    return value.fail("the number is too large");
  }
  into = static_cast<float>(number);
  return {};
}

template <std::integral Integer>
Result<void> read_value(const JsonView& value, Integer& into) {
  constexpr auto kLowest = static_cast<std::int64_t>(std::numeric_limits<Integer>::min());
  BH_TRY(const auto number, value.integer(kLowest, engine::kHighest<Integer>));
  into = static_cast<Integer>(number);
  return {};
}

Result<void> read_value(const JsonView& value, std::optional<std::uint32_t>& into) {
  return read_value(value, into.emplace());
}

Result<Guard> read_guard(const JsonView& value) {
  BH_TRY(const auto name, value.string());
  if (name == "none") return Guard::kNone;
  if (name == "pages") return Guard::kPages;
  if (name == "poison") return Guard::kPoison;
  return value.fail("unknown name", "one of none, pages, poison");
}

Result<void> read_value(const JsonView& value, std::vector<TokenBias>& into) {
  BH_TRY(const auto items, value.items());
  for (const auto& item : items) {
    BH_CHECK(item.only({"token", "bias"}));
    auto& bias = into.emplace_back();
    BH_TRY(const auto token, item.at("token"));
    BH_CHECK(read_value(token, bias.token));
    if (!item.has("bias")) {
      bias.bias = -std::numeric_limits<float>::infinity();
      continue;
    }
    BH_TRY(const auto number, item.at("bias"));
    BH_CHECK(read_value(number, bias.bias));
  }
  return {};
}

// Reads fields one after the other until one is wrong; then what was not asked for is wrong, too.
class Fields {
 public:
  explicit Fields(const JsonView& object) : object_(object) {}

  template <typename Value>
  Fields& operator()(std::string_view name, Value& into) {
    known_.push_back(name);
    if (!wrong_.ok() || !object_.has(name)) return *this;
    const auto value = object_.at(name);
    wrong_ = value.ok() ? read_value(value.value(), into) : Result<void>(value.error());
    return *this;
  }

  Result<void> end() const {
    BH_CHECK(wrong_);
    BH_TRY(const auto members, object_.members());
    for (const auto& [name, value] : members) {
      if (std::find(known_.begin(), known_.end(), name) == known_.end()) return value.fail("there is no such option");
    }
    return {};
  }

 private:
  const JsonView& object_;
  std::vector<std::string_view> known_;
  Result<void> wrong_;
};

Result<GenerateOptions> read_one(const JsonView& object) {
  GenerateOptions options;
  auto& sampling = options.sampling;
  Fields fields(object);
  fields("temperature", sampling.temperature)("top_k", sampling.top_k)("top_p", sampling.top_p)(
      "min_p", sampling.min_p)("repeat_penalty", sampling.repeat_penalty)("repeat_last_n", sampling.repeat_last_n)(
      "seed", sampling.seed);
  fields("max_tokens", options.max_tokens)("ignore_end", options.ignore_end)("stop", options.stop)(
      "hash_logits", options.hash_logits)("speculate", options.speculate)("logit_bias", options.logit_bias)(
      "logprobs", options.logprobs)("grammar", options.grammar)("grammar_triggers", options.grammar_triggers)(
      "grammar_prefix", options.grammar_prefix);
  BH_CHECK(fields.end());
  return options;
}

std::string_view shown(FinishReason finish) {
  switch (finish) {
    case FinishReason::kEnd: return "end";
    case FinishReason::kLength: return "length";
    case FinishReason::kStop: return "stop";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "cancelled";
}

Json shown(const TokenLogprobs& one) {
  Json top = Json::array();
  for (const auto& other : one.top) top.push_back({{"token", other.token}, {"logprob", other.logprob}});
  return {{"logprob", one.logprob}, {"top", std::move(top)}};
}

Json shown(const Generation& generation) {
  Json hashes = Json::array();
  for (const auto hash : generation.logit_hashes) hashes.push_back(fmt::format("{:016x}", hash));
  Json logprobs = Json::array();
  for (const auto& one : generation.logprobs) logprobs.push_back(shown(one));
  return {{"text", generation.text},          {"tokens", generation.tokens},        {"logit_hashes", std::move(hashes)},
          {"logprobs", std::move(logprobs)},  {"finish", shown(generation.finish)}, {"ttft_ms", generation.ttft_ms},
          {"decode_ms", generation.decode_ms}};
}

}  // namespace

// As transcripts and workers have them (engine/model_options_json.h), with what is missing as it is by default, and the
// guard.
Result<ModelOptions> read_model_options(std::string_view json) {
  BH_TRY(const auto given, JsonDocument::parse(std::string(json), "options"));
  const JsonView object(given);
  BH_TRY(const auto members, object.members());
  auto whole = engine::to_json(ModelOptions());
  auto guard = Guard::kNone;
  for (const auto& [name, value] : members) {
    if (name == "guard") {
      BH_TRY(guard, read_guard(value));
    } else if (!whole.contains(name)) {
      return value.fail("there is no such option");
    } else {
      whole[name] = name == "path" && value.json().is_string() ? Json(escape_bytes(value.json().get<std::string>()))
                                                               : value.json();
    }
  }
  BH_TRY(const auto merged, JsonDocument::parse(json_text(whole), "options"));
  BH_TRY(auto options, engine::model_options_from(JsonView(merged)));
  // Documents of other versions may have names that are not known here; what somebody writes now may not.
  if (whole["grade"] != engine::name(options.grade) || whole["isolation"] != engine::name(options.isolation)) {
    const auto* wrong = whole["grade"] != engine::name(options.grade) ? "grade" : "isolation";
    BH_TRY(const auto field, object.at(wrong));
    return field.fail("unknown name");
  }
  options.guard = guard;
  return options;
}

Result<PartitionOptions> read_partition_options(std::string_view json) {
  BH_TRY(const auto document, JsonDocument::parse(std::string(json), "options"));
  PartitionOptions options;
  const JsonView object(document);
  BH_CHECK(Fields(object)("owner", options.owner)("capacity_tokens", options.capacity_tokens).end());
  return options;
}

Result<OwnerBudget> read_budget(std::string_view json) {
  BH_TRY(const auto document, JsonDocument::parse(std::string(json), "budget"));
  OwnerBudget budget;
  const JsonView object(document);
  BH_CHECK(Fields(object)("kv_bytes", budget.kv_bytes)("partitions", budget.partitions)("calls", budget.calls).end());
  return budget;
}

Result<std::vector<GenerateOptions>> read_generate_options(std::string_view json) {
  BH_TRY(const auto document, JsonDocument::parse(std::string(json), "options"));
  std::vector<GenerateOptions> options;
  const JsonView root(document);
  if (!root.json().is_array()) {
    BH_TRY(options.emplace_back(), read_one(root));
    return options;
  }
  BH_TRY(const auto items, root.items());
  for (const auto& item : items) {
    BH_TRY(options.emplace_back(), read_one(item));
  }
  return options;
}

Json shown(const Result<Generation>& result) {
  if (result.ok()) return {{"generation", shown(result.value())}};
  const auto& error = result.error();
  return {{"error",
           {{"code", name(error.code)},
            {"message", error.message},
            {"place", error.place},
            {"advice", error.advice},
            {"exit_code", exit_code(error.code)}}}};
}

Json shown(const PartitionUsage& usage) {
  return {{"name", usage.name},
          {"tokens", usage.tokens},
          {"prefilled_tokens", usage.prefilled_tokens},
          {"reused_tokens", usage.reused_tokens},
          {"generated_tokens", usage.generated_tokens},
          {"removed_tokens", usage.removed_tokens},
          {"messages_received", usage.messages_received},
          {"kv_bytes_used", usage.kv_bytes_used},
          {"kv_bytes_allocated", usage.kv_bytes_allocated},
          {"token_sha256", usage.token_sha256}};
}

Json shown(const Message& message) {
  return {{"text", message.text()}, {"from", message.from()}, {"label", message.label()}, {"sha256", message.sha256()}};
}

}  // namespace bulkhead
