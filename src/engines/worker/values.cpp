// SPDX-License-Identifier: MIT
#include "engines/worker/values.h"

#include "base/utf8.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"
#include "engine/sampling_json.h"
#include "engines/worker/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>
#include <system_error>

namespace bulkhead::engines::worker {
namespace {

using engine::Duration;
using engine::GenerateResult;

constexpr std::array kErrorCodes = {ErrorCode::kInternal,     ErrorCode::kUsage,      ErrorCode::kBadInput,
                                    ErrorCode::kCorrupt,      ErrorCode::kResource,   ErrorCode::kRemote,
                                    ErrorCode::kInterference, ErrorCode::kIncomplete, ErrorCode::kInterrupted,
                                    ErrorCode::kUnsupported,  ErrorCode::kClosed};
constexpr std::array kFinishes = {GenerateResult::Finish::kEnd, GenerateResult::Finish::kLength,
                                  GenerateResult::Finish::kStop, GenerateResult::Finish::kCancelled};

// No model and no machine comes near these; numbers beyond them would only overflow what is computed of them.
constexpr std::int64_t kMostVocabulary = std::int64_t{1} << 22U;
constexpr std::int64_t kMostContextTokens = std::int64_t{1} << 28U;
constexpr std::int64_t kMostModelBytes = std::int64_t{1} << 46U;
constexpr std::int64_t kMostBytesPerToken = std::int64_t{1} << 30U;
constexpr std::int64_t kMostCacheBytes = std::int64_t{1} << 46U;
constexpr std::int64_t kMostThreads = 1 << 16U;
constexpr std::size_t kMostFactBytes = 4096;
constexpr std::size_t kSha256Digits = 64;

Result<std::string> short_text(const JsonView& object, std::string_view key) {
  BH_TRY(auto field, engine::text(object, key));
  if (field.size() > kMostFactBytes) return object.fail(fmt::format("\"{}\" has {} bytes", key, field.size()));
  return field;
}

// A number with a point travels as text: JSON has no word for infinity, and the engine must be able to refuse it.
Result<float> real(const JsonView& object, std::string_view key) {
  BH_TRY(const auto field, object.at(key));
  BH_TRY(const auto word, field.string());
  float value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return field.fail("no number in a text");
  return value;
}

}  // namespace

std::string hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

Json to_json(const Error& error) {
  return {{"code", name(error.code)}, {"message", error.message}, {"place", error.place}, {"advice", error.advice}};
}

Result<void> read_error(const JsonView& json, Error& error) {
  error.code = ErrorCode::kInternal;
  BH_TRY(const auto code, engine::text(json, "code"));
  for (const auto known : kErrorCodes) {
    if (name(known) == code) error.code = known;
  }
  // Verdicts about all partitions are not a worker's to give.
  if (error.code == ErrorCode::kInterference || error.code == ErrorCode::kIncomplete) error.code = ErrorCode::kRemote;
  BH_TRY(const auto message, engine::text(json, "message"));
  BH_TRY(const auto place, json.string_or("place", {}));
  BH_TRY(const auto advice, json.string_or("advice", {}));
  error.message = shown(message);
  error.place = shown(place);
  error.advice = shown(advice);
  return {};
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

Result<engine::Facts> facts_from(const JsonView& json) {
  using engine::flag;
  using engine::number;
  engine::Facts facts;
  BH_TRY(facts.engine, short_text(json, "engine"));
  BH_TRY(facts.build, short_text(json, "build"));
  BH_TRY(const auto path, short_text(json, "model_path"));
  facts.model_path = unescape_bytes(path);
  BH_TRY(facts.model_name, short_text(json, "model_name"));
  BH_TRY(facts.architecture, short_text(json, "architecture"));
  BH_TRY(facts.model_bytes, number<std::uint64_t>(json, "model_bytes", 0, kMostModelBytes));
  BH_TRY(facts.vocabulary, number<std::uint32_t>(json, "vocabulary", 1, kMostVocabulary));
  BH_TRY(facts.context_tokens, number<std::uint32_t>(json, "context_tokens", 1, kMostContextTokens));
  BH_TRY(facts.trained_context_tokens, number<std::uint32_t>(json, "trained_context_tokens", 0, kMostContextTokens));
  BH_TRY(facts.window_tokens, number<std::uint32_t>(json, "window_tokens", 0, kMostContextTokens));
  BH_TRY(facts.kv_bytes_per_token, number<std::uint64_t>(json, "kv_bytes_per_token", 0, kMostBytesPerToken));
  BH_TRY(facts.kv_type_k, short_text(json, "kv_type_k"));
  BH_TRY(facts.kv_type_v, short_text(json, "kv_type_v"));
  BH_TRY(facts.kernels, short_text(json, "kernels"));
  BH_TRY(const auto isolation, engine::text(json, "isolation"));
  facts.isolation = engine::isolation_from(isolation);
  BH_TRY(facts.batch_invariant, flag(json, "batch_invariant"));
  BH_TRY(facts.variance, short_text(json, "variance"));
  BH_TRY(facts.threads, number<std::uint32_t>(json, "threads", 0, kMostThreads));
  BH_TRY(facts.flash_attention, flag(json, "flash_attention"));
  BH_TRY(facts.chat_template, flag(json, "chat_template"));
  BH_TRY(const auto grade, engine::text(json, "grade"));
  facts.grade = engine::grade_from(grade);
  if (!json.has("implementation")) return facts;
  BH_TRY(const auto implementation, json.at("implementation"));
  BH_TRY(const auto words, implementation.members());
  for (const auto& [key, value] : words) {
    BH_TRY(facts.implementation[key], value.string());
  }
  return facts;
}

Json to_json(const GenerateOptions& options) {
  Json stop_bytes = Json::array();
  for (const auto& stop : options.stop) stop_bytes.push_back(stop.size());
  const auto& sampling = options.sampling;
  // As text: JSON has no word for a number that is none, and such a one must be refused by the engine itself.
  const auto number = [](float value) { return fmt::format("{}", value); };
  Json json = {{"temperature", number(sampling.temperature)},
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
  engine::add_seldom_options(json, options);
  return json;
}

Result<GenerateOptions> generate_options_from(const JsonView& json) {
  using engine::flag;
  using engine::number;
  constexpr auto kLow = std::numeric_limits<std::int32_t>::min();
  GenerateOptions options;
  BH_TRY(options.sampling.temperature, real(json, "temperature"));
  BH_TRY(options.sampling.top_k, number<std::int32_t>(json, "top_k", kLow));
  BH_TRY(options.sampling.top_p, real(json, "top_p"));
  BH_TRY(options.sampling.min_p, real(json, "min_p"));
  BH_TRY(options.sampling.repeat_penalty, real(json, "repeat_penalty"));
  BH_TRY(options.sampling.repeat_last_n, number<std::int32_t>(json, "repeat_last_n", kLow));
  BH_TRY(options.sampling.seed, number<std::uint32_t>(json, "seed"));
  BH_TRY(options.max_tokens, number<std::uint32_t>(json, "max_tokens"));
  BH_TRY(options.ignore_end, flag(json, "ignore_end"));
  BH_TRY(options.hash_logits, flag(json, "hash_logits"));
  BH_TRY(options.speculate, flag(json, "speculate"));
  BH_CHECK(engine::read_seldom_options(json, options));
  return options;
}

Json to_json(const GenerateResult& result) {
  Json hashes = Json::array();
  for (const auto hash : result.logit_hashes) hashes.push_back(hex(hash));
  Json times = Json::array();
  for (const auto time : result.token_times) times.push_back(time.count());
  Json json = {{"tokens", result.tokens},
               {"text", result.text},
               {"logit_hashes", hashes},
               {"token_ns", times},
               {"drafted_tokens", result.drafted_tokens},
               {"accepted_tokens", result.accepted_tokens},
               {"finish", engine::name(result.finish)}};
  if (result.logprobs.empty()) return json;
  Json logprobs = Json::array();
  for (const auto& one : result.logprobs) logprobs.push_back(engine::to_json(one));
  json["logprobs"] = std::move(logprobs);
  return json;
}

namespace {

// One report for each token where they were asked for, else none.
Result<void> read_logprobs(const JsonView& json, const GenerateOptions& options, std::uint32_t vocabulary,
                           GenerateResult& result) {
  if (json.has("logprobs") && options.logprobs) {
    BH_TRY(const auto list, json.at("logprobs"));
    BH_TRY(const auto items, list.items());
    for (const auto& item : items) {
      BH_TRY(auto one, engine::logprobs_from(item, *options.logprobs, vocabulary));
      result.logprobs.push_back(std::move(one));
    }
  }
  if (result.logprobs.size() == (options.logprobs ? result.tokens.size() : 0)) return {};
  return json.fail(fmt::format("{} logprobs of {} tokens", result.logprobs.size(), result.tokens.size()));
}

}  // namespace

Result<GenerateResult> generate_result_from(const JsonView& json, const GenerateOptions& options,
                                            std::uint32_t vocabulary) {
  using engine::number;
  GenerateResult result;
  BH_TRY(result.tokens,
         engine::numbers<engine::Token>(json, "tokens", 0, std::int64_t{vocabulary} - 1, options.max_tokens));
  BH_TRY(result.text, engine::text(json, "text"));
  BH_TRY(result.logit_hashes, engine::bits_list(json, "logit_hashes"));
  if (result.logit_hashes.size() != (options.hash_logits ? result.tokens.size() : 0)) {
    return json.fail(fmt::format("{} hashes of {} tokens", result.logit_hashes.size(), result.tokens.size()));
  }
  BH_TRY(const auto times,
         engine::numbers<Duration::rep>(json, "token_ns", 0, std::numeric_limits<Duration::rep>::max()));
  if (times.size() != result.tokens.size()) {
    return json.fail(fmt::format("{} times of {} tokens", times.size(), result.tokens.size()));
  }
  for (const auto time : times) result.token_times.emplace_back(time);
  BH_CHECK(read_logprobs(json, options, vocabulary, result));
  BH_TRY(result.drafted_tokens, number<std::uint32_t>(json, "drafted_tokens"));
  BH_TRY(result.accepted_tokens, number<std::uint32_t>(json, "accepted_tokens", 0, result.drafted_tokens));
  BH_TRY(const auto finish, engine::text(json, "finish"));
  for (const auto known : kFinishes) {
    if (engine::name(known) != finish) continue;
    result.finish = known;
    return result;
  }
  return json.fail(fmt::format("the finish \"{}\" is none", finish));
}

Json to_json(const engine::JobResult& result, bool generates) {
  Json json = {{"prefilled", result.prefill.tokens}};
  if (generates) json["generated"] = to_json(result.generated);
  return json;
}

Result<engine::JobResult> job_result_from(const JsonView& json, const engine::Job& job, std::uint32_t vocabulary) {
  engine::JobResult result;
  const auto most = static_cast<std::int64_t>(job.prefill.size());
  BH_TRY(result.prefill.tokens, engine::number<std::uint32_t>(json, "prefilled", 0, most));
  if (!job.generate) return result;
  BH_TRY(const auto generated, json.at("generated"));
  BH_TRY(result.generated, generate_result_from(generated, *job.generate, vocabulary));
  return result;
}

Json to_json(const engine::Drawn& drawn) {
  Json json = {{"token", drawn.token}, {"index", drawn.index}};
  if (drawn.logprobs) json["logprobs"] = engine::to_json(*drawn.logprobs);
  return json;
}

Result<engine::Drawn> drawn_from(const JsonView& json, const GenerateOptions& options, std::uint32_t next,
                                 std::uint32_t vocabulary) {
  engine::Drawn drawn;
  BH_TRY(drawn.token, engine::number<engine::Token>(json, "token", 0, std::int64_t{vocabulary} - 1));
  BH_TRY(drawn.index, engine::number<std::uint32_t>(json, "index", next, next));
  if (drawn.index >= options.max_tokens) return json.fail("more tokens than were asked for");
  if (!options.logprobs) return drawn;
  BH_TRY(const auto report, json.at("logprobs"));
  BH_TRY(drawn.logprobs, engine::logprobs_from(report, *options.logprobs, vocabulary));
  return drawn;
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

Result<engine::SequenceState> sequence_state_from(const JsonView& json, std::uint32_t context_tokens) {
  using engine::number;
  const std::int64_t newest = std::int64_t{context_tokens} - 1;
  engine::SequenceState state;
  BH_TRY(state.tokens, number<std::uint32_t>(json, "tokens", 0, context_tokens));
  BH_TRY(state.pending_tokens, number<std::uint32_t>(json, "pending_tokens", 0, std::min(1U, state.tokens)));
  BH_TRY(state.first_position, number<std::int64_t>(json, "first_position", -1, newest));
  BH_TRY(state.last_position, number<std::int64_t>(json, "last_position", state.first_position, newest));
  BH_TRY(state.token_sha256, engine::text(json, "token_sha256"));
  if (state.token_sha256.size() != kSha256Digits ||
      state.token_sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return json.fail("\"token_sha256\" is no SHA-256");
  }
  BH_TRY(state.kv_bytes_used, number<std::uint64_t>(json, "kv_bytes_used", 0, kMostCacheBytes));
  BH_TRY(state.kv_bytes_allocated, number<std::uint64_t>(json, "kv_bytes_allocated", 0, kMostCacheBytes));
  return state;
}

}  // namespace bulkhead::engines::worker
