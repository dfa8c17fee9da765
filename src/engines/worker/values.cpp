// SPDX-License-Identifier: MIT
#include "engines/worker/values.h"

#include "base/utf8.h"
#include "engine/model_options_json.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace bulkhead::engines::worker {
namespace {

using engine::Duration;
using engine::GenerateResult;

constexpr std::array kCodes = {ErrorCode::kInternal,     ErrorCode::kUsage,      ErrorCode::kBadInput,
                               ErrorCode::kCorrupt,      ErrorCode::kResource,   ErrorCode::kRemote,
                               ErrorCode::kInterference, ErrorCode::kIncomplete, ErrorCode::kInterrupted,
                               ErrorCode::kUnsupported,  ErrorCode::kClosed};
constexpr std::array kFinishes = {GenerateResult::Finish::kEnd, GenerateResult::Finish::kLength,
                                  GenerateResult::Finish::kStop, GenerateResult::Finish::kCancelled};

template <typename T>
T get(const Json& json, std::string_view field) {
  return json.at(std::string(field)).get<T>();
}

}  // namespace

std::string hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::uint64_t from_hex(const Json& json) {
  return std::strtoull(json.get<std::string>().c_str(), nullptr, 16);
}

Json to_json(const Error& error) {
  return {{"code", name(error.code)}, {"message", error.message}, {"place", error.place}, {"advice", error.advice}};
}

Error error_from(const Json& json) {
  Error error;
  const auto code = get<std::string>(json, "code");
  for (const auto known : kCodes) {
    if (name(known) == code) error.code = known;
  }
  error.message = get<std::string>(json, "message");
  error.place = json.value("place", "");
  error.advice = json.value("advice", "");
  return error;
}

Json to_json(const engine::Facts& facts) {
  return {{"engine", facts.engine},
          {"build", facts.build},
          {"model_path", escape_bytes(facts.model_path)},
          {"model_name", facts.model_name},
          {"architecture", facts.architecture},
          {"model_bytes", facts.model_bytes},
          {"vocabulary", facts.vocabulary},
          {"context_tokens", facts.context_tokens},
          {"trained_context_tokens", facts.trained_context_tokens},
          {"window_tokens", facts.window_tokens},
          {"kv_bytes_per_token", facts.kv_bytes_per_token},
          {"kv_type_k", facts.kv_type_k},
          {"kv_type_v", facts.kv_type_v},
          {"kernels", facts.kernels},
          {"isolation", engine::name(facts.isolation)},
          {"batch_invariant", facts.batch_invariant},
          {"variance", facts.variance},
          {"threads", facts.threads},
          {"flash_attention", facts.flash_attention},
          {"chat_template", facts.chat_template},
          {"grade", engine::name(facts.grade)},
          {"implementation", facts.implementation}};
}

engine::Facts facts_from(const Json& json) {
  engine::Facts facts;
  facts.engine = get<std::string>(json, "engine");
  facts.build = get<std::string>(json, "build");
  facts.model_path = unescape_bytes(get<std::string>(json, "model_path"));
  facts.model_name = get<std::string>(json, "model_name");
  facts.architecture = get<std::string>(json, "architecture");
  facts.model_bytes = get<std::uint64_t>(json, "model_bytes");
  facts.vocabulary = get<std::uint32_t>(json, "vocabulary");
  facts.context_tokens = get<std::uint32_t>(json, "context_tokens");
  facts.trained_context_tokens = get<std::uint32_t>(json, "trained_context_tokens");
  facts.window_tokens = get<std::uint32_t>(json, "window_tokens");
  facts.kv_bytes_per_token = get<std::uint64_t>(json, "kv_bytes_per_token");
  facts.kv_type_k = get<std::string>(json, "kv_type_k");
  facts.kv_type_v = get<std::string>(json, "kv_type_v");
  facts.kernels = get<std::string>(json, "kernels");
  facts.isolation = engine::isolation_from(json.at("isolation"));
  facts.batch_invariant = get<bool>(json, "batch_invariant");
  facts.variance = get<std::string>(json, "variance");
  facts.threads = get<std::uint32_t>(json, "threads");
  facts.flash_attention = get<bool>(json, "flash_attention");
  facts.chat_template = get<bool>(json, "chat_template");
  facts.grade = engine::grade_from(json.at("grade"));
  facts.implementation = json.value("implementation", std::map<std::string, std::string>());
  return facts;
}

Json to_json(const GenerateOptions& options) {
  Json stop_bytes = Json::array();
  for (const auto& stop : options.stop) stop_bytes.push_back(stop.size());
  const auto& sampling = options.sampling;
  // As text: JSON has no word for a number that is none, and such a one must be refused by the engine itself.
  const auto number = [](float value) { return fmt::format("{}", value); };
  return {{"temperature", number(sampling.temperature)},
          {"top_k", sampling.top_k},
          {"top_p", number(sampling.top_p)},
          {"min_p", number(sampling.min_p)},
          {"repeat_penalty", number(sampling.repeat_penalty)},
          {"repeat_last_n", sampling.repeat_last_n},
          {"seed", sampling.seed},
          {"max_tokens", options.max_tokens},
          {"ignore_end", options.ignore_end},
          {"stop_bytes", stop_bytes},
          {"hash_logits", options.hash_logits},
          {"speculate", options.speculate}};
}

GenerateOptions generate_options_from(const Json& json) {
  const auto number = [&](std::string_view field) {
    return std::strtof(get<std::string>(json, field).c_str(), nullptr);
  };
  GenerateOptions options;
  options.sampling.temperature = number("temperature");
  options.sampling.top_k = get<std::int32_t>(json, "top_k");
  options.sampling.top_p = number("top_p");
  options.sampling.min_p = number("min_p");
  options.sampling.repeat_penalty = number("repeat_penalty");
  options.sampling.repeat_last_n = get<std::int32_t>(json, "repeat_last_n");
  options.sampling.seed = get<std::uint32_t>(json, "seed");
  options.max_tokens = get<std::uint32_t>(json, "max_tokens");
  options.ignore_end = get<bool>(json, "ignore_end");
  options.hash_logits = get<bool>(json, "hash_logits");
  options.speculate = get<bool>(json, "speculate");
  return options;
}

Json to_json(const GenerateResult& result) {
  Json hashes = Json::array();
  for (const auto hash : result.logit_hashes) hashes.push_back(hex(hash));
  Json times = Json::array();
  for (const auto time : result.token_times) times.push_back(time.count());
  return {{"tokens", result.tokens},
          {"text", result.text},
          {"logit_hashes", hashes},
          {"token_ns", times},
          {"drafted_tokens", result.drafted_tokens},
          {"accepted_tokens", result.accepted_tokens},
          {"finish", engine::name(result.finish)}};
}

GenerateResult generate_result_from(const Json& json) {
  GenerateResult result;
  result.tokens = get<std::vector<engine::Token>>(json, "tokens");
  result.text = get<std::string>(json, "text");
  for (const auto& hash : json.at("logit_hashes")) result.logit_hashes.push_back(from_hex(hash));
  for (const auto& time : json.at("token_ns")) result.token_times.emplace_back(time.get<Duration::rep>());
  result.drafted_tokens = get<std::uint32_t>(json, "drafted_tokens");
  result.accepted_tokens = get<std::uint32_t>(json, "accepted_tokens");
  const auto finish = get<std::string>(json, "finish");
  for (const auto known : kFinishes) {
    if (engine::name(known) == finish) result.finish = known;
  }
  return result;
}

Json to_json(const engine::SequenceState& state) {
  return {{"tokens", state.tokens},
          {"pending_tokens", state.pending_tokens},
          {"first_position", state.first_position},
          {"last_position", state.last_position},
          {"token_sha256", state.token_sha256},
          {"kv_bytes_used", state.kv_bytes_used},
          {"kv_bytes_allocated", state.kv_bytes_allocated}};
}

engine::SequenceState sequence_state_from(const Json& json) {
  engine::SequenceState state;
  state.tokens = get<std::uint32_t>(json, "tokens");
  state.pending_tokens = get<std::uint32_t>(json, "pending_tokens");
  state.first_position = get<std::int64_t>(json, "first_position");
  state.last_position = get<std::int64_t>(json, "last_position");
  state.token_sha256 = get<std::string>(json, "token_sha256");
  state.kv_bytes_used = get<std::uint64_t>(json, "kv_bytes_used");
  state.kv_bytes_allocated = get<std::uint64_t>(json, "kv_bytes_allocated");
  return state;
}

}  // namespace bulkhead::engines::worker
