// SPDX-License-Identifier: MIT
#include "engine/transcript.h"

#include "engine/generation.h"
#include "engine/json_fields.h"
#include "engine/sampling_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <set>
#include <utility>

namespace bulkhead::engine {
namespace {

constexpr std::array<std::pair<CallKind, std::string_view>, 7> kKinds = {{{CallKind::kOpen, "open"},
                                                                          {CallKind::kPrefill, "prefill"},
                                                                          {CallKind::kFork, "fork"},
                                                                          {CallKind::kGenerate, "generate"},
                                                                          {CallKind::kScore, "score"},
                                                                          {CallKind::kTruncate, "truncate"},
                                                                          {CallKind::kClose, "close"}}};
constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

bool makes_sequence(CallKind kind) {
  return kind == CallKind::kOpen || kind == CallKind::kFork;
}

bool has_tokens(CallKind kind) {
  return kind == CallKind::kPrefill || kind == CallKind::kGenerate || kind == CallKind::kScore;
}

bool has_place(CallKind kind) {
  return kind == CallKind::kFork || kind == CallKind::kTruncate;
}

Json bits_json(const std::vector<std::uint64_t>& values) {
  Json list = Json::array();
  for (const auto value : values) list.push_back(fmt::format("{:016x}", value));
  return list;
}

Json options_json(const GenerateOptions& options) {
  const auto& sampling = options.sampling;
  Json json = {{"temperature", sampling.temperature},
               {"top_k", sampling.top_k},
               {"top_p", sampling.top_p},
               {"min_p", sampling.min_p},
               {"repeat_penalty", sampling.repeat_penalty},
               {"repeat_last_n", sampling.repeat_last_n},
               {"seed", sampling.seed},
               {"max_tokens", options.max_tokens},
               {"ignore_end", options.ignore_end},
               {"speculate", options.speculate},
               {"stop", options.stop}};
  add_seldom_options(json, options);
  return json;
}

Json call_json(const Call& call) {
  Json json = {{"call", call.number}, {"do", name(call.kind)}, {"sequence", call.sequence}};
  if (makes_sequence(call.kind)) json["partition"] = call.partition;
  if (call.kind == CallKind::kFork) json["source"] = call.source;
  if (has_place(call.kind)) json["at"] = call.at;
  if (makes_sequence(call.kind)) json["capacity"] = call.capacity;
  if (call.kind == CallKind::kGenerate) json["options"] = options_json(call.options);
  if (has_tokens(call.kind)) json["tokens"] = call.tokens;
  json["outcome"] = call.outcome;
  if (call.kind == CallKind::kGenerate) {
    json["finish"] = call.finish;
    json["logits"] = bits_json(call.logit_hashes);
  }
  if (call.kind == CallKind::kScore) json["log_probabilities"] = bits_json(call.score_bits);
  return json;
}

Result<float> real(const JsonView& object, std::string_view key) {
  BH_TRY(const auto field, object.at(key));
  BH_TRY(const auto value, field.number());
  return static_cast<float>(value);
}

Result<GenerateOptions> options_of(const JsonView& call) {
  BH_TRY(const auto object, call.at("options"));
  GenerateOptions options;
  auto& sampling = options.sampling;
  BH_TRY(sampling.temperature, real(object, "temperature"));
  BH_TRY(sampling.top_k, number<std::int32_t>(object, "top_k"));
  BH_TRY(sampling.top_p, real(object, "top_p"));
  BH_TRY(sampling.min_p, real(object, "min_p"));
  BH_TRY(sampling.repeat_penalty, real(object, "repeat_penalty"));
  BH_TRY(sampling.repeat_last_n, number<std::int32_t>(object, "repeat_last_n"));
  BH_TRY(sampling.seed, number<std::uint32_t>(object, "seed"));
  BH_TRY(options.max_tokens, number<std::uint32_t>(object, "max_tokens", 0, kMost));
  BH_TRY(options.ignore_end, flag(object, "ignore_end"));
  BH_TRY(options.speculate, flag(object, "speculate"));
  BH_TRY(const auto stop, object.at("stop"));
  BH_TRY(options.stop, stop.strings());
  BH_CHECK(read_seldom_options(object, options));
  if (const auto checked = check_options(options); !checked.ok()) return object.fail(checked.error().message);
  return options;
}

Result<CallKind> kind_of(const JsonView& object) {
  BH_TRY(const auto field, object.at("do"));
  BH_TRY(const auto word, field.string());
  for (const auto& [kind, spelling] : kKinds) {
    if (spelling == word) return kind;
  }
  return field.fail(fmt::format("unknown call \"{}\"", word));
}

Error wrong_count(const JsonView& object, std::string_view what, std::size_t count, std::size_t tokens) {
  return object.fail(fmt::format("there are {} {} of {} tokens", count, what, tokens));
}

Result<Call> call_of(const JsonView& object) {
  BH_CHECK(object.only({"call", "do", "sequence", "partition", "source", "at", "capacity", "options", "tokens",
                        "outcome", "finish", "logits", "log_probabilities"}));
  Call call;
  BH_TRY(call.number, number<std::uint32_t>(object, "call", 0, kMost));
  BH_TRY(call.kind, kind_of(object));
  BH_TRY(call.sequence, number<std::uint32_t>(object, "sequence", 0, kMost));
  BH_TRY(call.outcome, text(object, "outcome"));
  if (makes_sequence(call.kind)) {
    BH_TRY(call.partition, text(object, "partition"));
    BH_TRY(call.capacity, number<std::uint32_t>(object, "capacity", 0, kMost));
  } else if (has_tokens(call.kind)) {
    BH_TRY(call.tokens, numbers<Token>(object, "tokens", 0, kMost));
  }
  if (call.kind == CallKind::kFork) {
    BH_TRY(call.source, number<std::uint32_t>(object, "source", 0, kMost));
  }
  if (has_place(call.kind)) {
    BH_TRY(call.at, number<std::uint32_t>(object, "at", 0, kMost));
  }
  if (call.kind == CallKind::kGenerate) {
    BH_TRY(call.options, options_of(object));
    BH_TRY(call.finish, text(object, "finish"));
    BH_TRY(call.logit_hashes, bits_list(object, "logits"));
    const auto hashes = call.logit_hashes.size();
    if (hashes != 0 && hashes != call.tokens.size()) return wrong_count(object, "logits", hashes, call.tokens.size());
  }
  if (call.kind == CallKind::kScore) {
    BH_TRY(call.score_bits, bits_list(object, "log_probabilities"));
    const auto scores = call.score_bits.size();
    if (scores > call.tokens.size()) return wrong_count(object, "log probabilities", scores, call.tokens.size());
  }
  return call;
}

// What a recorder leaves behind: calls in their order, about sequences that are open. All else is found here, before an
// engine is asked to do it again.
class CallOrder {
 public:
  Result<void> add(const Call& call, const JsonView& object) {
    BH_CHECK(check_number(call, object));
    BH_CHECK(makes_sequence(call.kind) ? make(call, object) : use(call, object));
    last_ = call.number;
    last_kind_ = call.kind;
    return {};
  }

 private:
  struct Sequence {
    bool open = true;
    std::uint64_t most_tokens = 0;  // that it may hold
  };

  Result<void> check_number(const Call& call, const JsonView& object) {
    const bool joins = call.kind == CallKind::kGenerate && last_kind_ == CallKind::kGenerate && last_ == call.number;
    if (!joins) members_.clear();
    if (last_ && call.number <= *last_ && !joins) {
      return object.fail(fmt::format("call {} comes after call {}", call.number, *last_));
    }
    if (call.kind != CallKind::kGenerate || call.outcome != "ok" || members_.insert(call.sequence).second) return {};
    return object.fail(fmt::format("sequence {} is twice in call {}", call.sequence, call.number));
  }

  Result<void> make(const Call& call, const JsonView& object) {
    if (call.sequence != sequences_.size()) {
      return object.fail(fmt::format("sequence {} is opened, the next one is {}", call.sequence, sequences_.size()));
    }
    if (call.outcome != "ok") return object.fail("a sequence that was not made is in no transcript");
    Sequence made;
    if (call.kind == CallKind::kFork) {
      BH_CHECK(check_open(call.source, object));
      made.most_tokens = call.at;
      if (const auto most = sequences_[call.source].most_tokens; call.at > most) {
        return object.fail(fmt::format("{} tokens are taken over of {}", call.at, most));
      }
    }
    sequences_.push_back(made);
    return {};
  }

  Result<void> use(const Call& call, const JsonView& object) {
    BH_CHECK(check_open(call.sequence, object));
    auto& sequence = sequences_[call.sequence];
    if (call.kind == CallKind::kTruncate && call.outcome == "ok") {
      if (call.at > sequence.most_tokens) {
        return object.fail(fmt::format("{} tokens stay of {}", call.at, sequence.most_tokens));
      }
      sequence.most_tokens = call.at;
    }
    sequence.most_tokens += call.tokens.size();
    sequence.open = call.kind != CallKind::kClose;
    return {};
  }

  [[nodiscard]] Result<void> check_open(std::uint32_t sequence, const JsonView& object) const {
    if (sequence >= sequences_.size()) return object.fail(fmt::format("sequence {} was not opened before", sequence));
    if (!sequences_[sequence].open) return object.fail(fmt::format("sequence {} was closed before", sequence));
    return {};
  }

  std::vector<Sequence> sequences_;
  std::optional<std::uint32_t> last_;
  CallKind last_kind_ = CallKind::kOpen;
  std::set<std::uint32_t> members_;  // of the generate call that is going on
};

}  // namespace

std::string_view name(CallKind kind) noexcept {
  for (const auto& [value, spelling] : kKinds) {
    if (value == kind) return spelling;
  }
  return "";
}

std::uint32_t Transcript::sequences() const {
  std::uint32_t count = 0;
  for (const auto& call : calls) count = std::max(count, call.sequence + 1);
  return count;
}

std::string to_json_lines(const Transcript& transcript, const Json& header) {
  // Names and stop strings may be any bytes.
  const auto line = [](const Json& json) { return json_text(json) + '\n'; };
  std::string lines = line(header);
  for (const auto& call : transcript.calls) lines += line(call_json(call));
  return lines;
}

Result<ReadTranscript> transcript_from_json_lines(const std::string& text, const std::string& name) {
  std::optional<JsonDocument> header;
  Transcript transcript;
  CallOrder order;
  std::size_t begin = 0;
  for (std::size_t line = 1; begin < text.size(); ++line) {
    const auto end = std::min(text.find('\n', begin), text.size());
    BH_TRY(auto document, JsonDocument::parse(text.substr(begin, end - begin), fmt::format("{}, line {}", name, line)));
    begin = end + 1;
    if (line == 1) {
      header = std::move(document);
      continue;
    }
    const JsonView object(document);
    BH_TRY(auto call, call_of(object));
    BH_CHECK(order.add(call, object));
    transcript.calls.push_back(std::move(call));
  }
  if (!header) return Error{ErrorCode::kBadInput, "the transcript is empty", name, {}};
  return ReadTranscript{std::move(*header), std::move(transcript)};
}

}  // namespace bulkhead::engine
