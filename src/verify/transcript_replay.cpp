// SPDX-License-Identifier: MIT
#include "verify/transcript_replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace bulkhead::verify {
namespace {

using engine::Call;
using engine::CallKind;
using engine::Transcript;

bool shows_something(const Call& call) {
  return (call.kind == CallKind::kGenerate || call.kind == CallKind::kScore) && call.outcome == "ok" &&
         !call.tokens.empty();
}

// Whose calls are where: finding a sequence's history must not mean reading the whole transcript for each.
class Histories {
 public:
  explicit Histories(const Transcript& transcript) : transcript_(transcript), own_(transcript.sequences()) {
    for (std::size_t i = 0; i < transcript.calls.size(); ++i) own_[transcript.calls[i].sequence].push_back(i);
  }

  [[nodiscard]] std::vector<Call> calls_of(std::uint32_t sequence) const {
    std::vector<std::size_t> found;
    auto until = transcript_.calls.size();
    for (auto one = sequence; one < own_.size() && !own_[one].empty();) {
      for (const auto i : own_[one]) {
        if (i < until && counts(transcript_.calls[i])) found.push_back(i);
      }
      const auto& first = transcript_.calls[own_[one].front()];
      // A source is older than its fork.
      if (first.kind != CallKind::kFork || first.source >= one) break;
      until = std::min(until, own_[one].front());
      one = first.source;
    }
    std::sort(found.begin(), found.end());
    std::vector<Call> calls;
    for (const auto i : found) calls.push_back(transcript_.calls[i]);
    return calls;
  }

  [[nodiscard]] bool shows(std::uint32_t sequence) const {
    return std::any_of(own_[sequence].begin(), own_[sequence].end(),
                       [&](std::size_t i) { return shows_something(transcript_.calls[i]); });
  }

 private:
  static bool counts(const Call& call) {
    return call.outcome == "ok" && !(call.kind == CallKind::kGenerate && call.tokens.empty());
  }

  const Transcript& transcript_;
  std::vector<std::vector<std::size_t>> own_;  // by sequence: indices of its calls
};

// One sequence alone: makes its calls again and compares.
class Solo {
 public:
  Solo(engine::Engine& engine, CheckResult& check) : engine_(engine), check_(check) {}

  // The first difference, in words.
  Result<std::optional<std::string>> run(const std::vector<Call>& calls) {
    BH_CHECK(reserve(calls));
    for (std::size_t i = 0; i < calls.size() && !difference_;) {
      std::size_t end = i + 1;
      while (end < calls.size() && calls[end].number == calls[i].number) ++end;
      BH_CHECK(make(std::span(calls).subspan(i, end - i)));
      i = end;
    }
    for (const auto& [number, sequence] : open_) static_cast<void>(engine_.close(sequence));
    return std::move(difference_);
  }

 private:
  Result<void> reserve(const std::vector<Call>& calls) {
    std::uint32_t sequences = 0;
    std::uint32_t tokens = 1;
    for (const auto& call : calls) {
      sequences += call.kind == CallKind::kOpen || call.kind == CallKind::kFork ? 1U : 0U;
      tokens = std::max(tokens, call.capacity);
    }
    return engine_.reserve(std::max(sequences, 1U), tokens);
  }

  [[nodiscard]] Result<engine::SequenceId> open(std::uint32_t number) const {
    const auto found = open_.find(number);
    if (found != open_.end()) return found->second;
    return Error{ErrorCode::kBadInput, fmt::format("sequence {} is not open", number), {}, {}};
  }

  Result<void> make(std::span<const Call> members) {
    const Call& call = members.front();
    switch (call.kind) {
      case CallKind::kOpen: {
        BH_TRY(const auto made, engine_.open({.capacity_tokens = call.capacity}));
        open_.emplace(call.sequence, made);
        names_[call.sequence] = call.partition;
        return {};
      }
      case CallKind::kFork: {
        BH_TRY(const auto source, open(call.source));
        BH_TRY(const auto made, engine_.fork(source, call.at, {.capacity_tokens = call.capacity}));
        open_.emplace(call.sequence, made.sequence);
        names_[call.sequence] = call.partition;
        return {};
      }
      case CallKind::kPrefill: {
        BH_TRY(const auto sequence, open(call.sequence));
        BH_TRY([[maybe_unused]] const auto done, engine_.prefill(sequence, call.tokens));
        return {};
      }
      case CallKind::kScore: return score(call);
      case CallKind::kGenerate: return generate(members);
      case CallKind::kTruncate: {
        BH_TRY(const auto sequence, open(call.sequence));
        BH_TRY([[maybe_unused]] const auto done, engine_.truncate(sequence, call.at));
        return {};
      }
      case CallKind::kClose: {
        BH_TRY(const auto sequence, open(call.sequence));
        BH_CHECK(engine_.close(sequence));
        open_.erase(call.sequence);
        return {};
      }
    }
    return {};
  }

  Result<void> score(const Call& call) {
    BH_TRY(const auto sequence, open(call.sequence));
    BH_TRY(const auto scores, engine_.score(sequence, call.tokens));
    for (std::size_t i = 0; i < call.score_bits.size(); ++i) {
      const auto again = i < scores.size() ? std::bit_cast<std::uint64_t>(scores[i]) : 0;
      compare(call, "log probability", i, call.score_bits[i], again);
    }
    return {};
  }

  Result<void> generate(std::span<const Call> members) {
    std::vector<engine::GenerateRequest> requests;
    for (const auto& call : members) {
      auto options = call.options;
      options.hash_logits = !call.logit_hashes.empty();
      // A generation that its caller stopped is stopped at the same token.
      if (call.finish == "cancelled") {
        options.on_token = [last = call.tokens.size()](const TokenEvent& event) { return event.index + 1 < last; };
      }
      // One more than was drawn shows that it would have gone on: a limit that nobody reached is no work to be done.
      const auto drawn = static_cast<std::uint32_t>(call.tokens.size());
      options.max_tokens = std::min(options.max_tokens, drawn + 1);
      BH_TRY(const auto sequence, open(call.sequence));
      requests.push_back({sequence, std::move(options)});
    }
    const auto results = engine_.generate(requests);
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (!results[i].ok()) return results[i].error();
      compare_generation(members[i], results[i].value());
    }
    return {};
  }

  void compare_generation(const Call& call, const engine::GenerateResult& again) {
    for (std::size_t i = 0; i < call.tokens.size(); ++i) {
      // The logits first: they are the cause, the token the effect.
      if (i < call.logit_hashes.size()) {
        compare(call, "logits", i, call.logit_hashes[i], i < again.logit_hashes.size() ? again.logit_hashes[i] : 0);
      }
      const auto token = i < again.tokens.size() ? again.tokens[i] : -1;
      compare(call, "token", i, static_cast<std::uint64_t>(call.tokens[i]), static_cast<std::uint64_t>(token));
    }
    ++check_.compared;
    const auto finish = name(again.finish);
    if (call.finish != finish) note(call, fmt::format("it ended by {} in the run, by {} alone", call.finish, finish));
  }

  void compare(const Call& call, std::string_view what, std::size_t step, std::uint64_t in_run, std::uint64_t alone) {
    ++check_.compared;
    if (in_run != alone) {
      note(call, fmt::format("{} of step {}: {:016x} in the run, {:016x} alone", what, step, in_run, alone));
    }
  }

  void note(const Call& call, const std::string& what) {
    if (difference_) return;
    const auto& partition = names_[call.sequence];
    difference_ =
        fmt::format("partition {}, call {} ({}), {}", partition.empty() ? std::to_string(call.sequence) : partition,
                    call.number, name(call.kind), what);
  }

  engine::Engine& engine_;
  CheckResult& check_;
  std::map<std::uint32_t, engine::SequenceId> open_;
  std::map<std::uint32_t, std::string> names_;
  std::optional<std::string> difference_;
};

Result<std::optional<std::string>> run_alone(const std::vector<Call>& calls, const MakeEngine& make_engine,
                                             CheckResult& check) {
  BH_TRY(const auto engine, make_engine());
  auto difference = Solo(*engine, check).run(calls);
  if (difference.ok() || difference.error().code == ErrorCode::kResource) return difference;
  auto error = difference.error();
  error.message = "a call that went well in the run was refused: " + error.message;
  error.code = ErrorCode::kBadInput;
  return error;
}

// What a leak would be: a token that is not the sequence's own, before its text.
std::vector<Call> with_foreign_token(std::vector<Call> calls) {
  for (auto& call : calls) {
    if (call.capacity > 0) ++call.capacity;
    if (call.kind == CallKind::kFork || call.kind == CallKind::kTruncate) ++call.at;
  }
  const auto first = std::find_if(calls.begin(), calls.end(), [](const Call& call) {
    return call.kind == CallKind::kPrefill && call.tokens.size() > 1;
  });
  if (first != calls.end()) first->tokens.insert(first->tokens.begin() + 1, first->tokens.back());
  return calls;
}

}  // namespace

std::vector<Call> calls_of(const Transcript& transcript, std::uint32_t sequence) {
  return Histories(transcript).calls_of(sequence);
}

Result<CheckResult> replay_transcript(const Transcript& transcript, const MakeEngine& make_engine,
                                      const ReplayOptions& options) {
  CheckResult check{.name = "run_replay",
                    .about = "what each partition showed in the run equals what its own calls give alone, bit for bit",
                    .control = "a token that is not its own, put into a partition's text"};
  const Histories histories(transcript);
  std::vector<std::uint32_t> solos;
  for (std::uint32_t sequence = 0; sequence < transcript.sequences(); ++sequence) {
    if (histories.shows(sequence)) solos.push_back(sequence);
  }
  std::uint64_t done = 0;
  for (const auto sequence : solos) {
    if (options.cancel.stop_requested()) return Error{ErrorCode::kInterrupted, "verify was stopped", {}, {}};
    BH_TRY(auto difference, run_alone(histories.calls_of(sequence), make_engine, check));
    if (difference) {
      ++check.differences;
      if (check.first.empty()) check.first = std::move(*difference);
    }
    if (options.progress) options.progress(++done, solos.size());
  }
  check.detail["solo_runs"] = solos.size();
  if (solos.empty()) return check;
  CheckResult control;
  BH_TRY(const auto caught, run_alone(with_foreign_token(histories.calls_of(solos.front())), make_engine, control));
  check.control_caught = caught.has_value();
  return check;
}

}  // namespace bulkhead::verify
