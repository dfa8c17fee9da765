// SPDX-License-Identifier: MIT
#include "verify/trace_run.h"

#include "base/hash.h"
#include "engine/transcript.h"
#include "verify/member_cancels.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

namespace bulkhead::verify {
namespace {

using engine::GenerateResult;
using engine::SequenceId;
using engine::Token;

// What the runner knows of one partition.
struct Live {
  SequenceId sequence;
  std::uint32_t capacity = 0;
  std::vector<Token> tokens;                        // the books: all that it must hold
  std::optional<std::string> output;                // of the last generation, if that finished
  bool poisoned = false;                            // the engine must refuse it from now on
  std::optional<std::uint64_t> state_hash = {};     // since its last own action
  std::optional<engine::SequenceState> state = {};  // the same
};

std::string hex(std::uint64_t value) {
  return fmt::format("{:016x}", value);
}

class TraceRun {
 public:
  TraceRun(engine::Engine& engine, const TraceRunOptions& options) : engine_(engine), options_(options) {}

  void perform(std::size_t index, const Action& action) {
    index_ = index;
    switch (action.kind) {
      case ActionKind::kOpen: open(action); break;
      case ActionKind::kFork: fork(action); break;
      case ActionKind::kGenerate: generate(action); break;
      case ActionKind::kClose: close(action); break;
      case ActionKind::kPrefill: prefill_text(action, action.text); break;
      case ActionKind::kReceive: receive(action); break;
      case ActionKind::kScore: score(action); break;
      case ActionKind::kCancelPrefill: cancel_prefill(action); break;
      case ActionKind::kFail: fail(action); break;
      case ActionKind::kSnapshot: snapshot(action); break;
      case ActionKind::kRestore: restore(action); break;
      case ActionKind::kTruncate: truncate(action); break;
      case ActionKind::kChat: show(action.partition, "not_of_the_seam"); break;
      case ActionKind::kPark: break;
    }
    if (!options_.watch) return;
    for (auto& [partition, live] : live_) {
      if (action.acts_on(partition)) {
        keep_state(live);
      } else {
        compare_state(partition, live);
      }
    }
  }

  Record finish() {
    for (const auto& [partition, live] : live_) static_cast<void>(engine_.close(live.sequence));
    return std::move(record_);
  }

 private:
  Shown& show(std::uint32_t partition, std::string_view outcome) {
    record_.shown.push_back({.action = index_, .partition = partition, .facts = {}});
    record_.shown.back().facts.push_back({"outcome", 0, std::string(outcome)});
    return record_.shown.back();
  }

  Shown& show(std::uint32_t partition, const Error& error) { return show(partition, name(error.code)); }

  // The partition if it is there; says so if not.
  Live* find(std::uint32_t partition) {
    const auto found = live_.find(partition);
    if (found != live_.end()) return &found->second;
    show(partition, "not_open");
    return nullptr;
  }

  // After an own action: what the engine says of the partition is shown, and compared with the books.
  void show_state(Shown& shown, const Live& live) {
    const auto state = engine_.inspect(live.sequence);
    ++record_.books_checked;
    if (!state.ok()) {
      shown.facts.push_back({"state", 0, std::string(name(state.error().code))});
      if (!live.poisoned) object(record_.books, shown.partition, "is closed and should be open");
      return;
    }
    const auto& told = state.value();
    shown.facts.push_back({"tokens", 0, fmt::format("{}, {} pending", told.tokens, told.pending_tokens)});
    shown.facts.push_back({"positions", 0, fmt::format("{} to {}", told.first_position, told.last_position)});
    shown.facts.push_back({"token_sha256", 0, told.token_sha256});
    shown.facts.push_back({"kv_bytes_used", 0, std::to_string(told.kv_bytes_used)});
    if (live.poisoned) return object(record_.books, shown.partition, "is open and should be poisoned");
    const auto cached = static_cast<std::int64_t>(live.tokens.size()) - told.pending_tokens;
    if (told.tokens != live.tokens.size() || told.token_sha256 != sha256_of_tokens(live.tokens)) {
      object(record_.books, shown.partition,
             fmt::format("holds {} tokens, {} were put in, or others", told.tokens, live.tokens.size()));
    } else if (told.last_position != cached - 1) {
      object(record_.books, shown.partition,
             fmt::format("its newest position is {}, it should be {}", told.last_position, cached - 1));
    }
  }

  void object(std::vector<Objection>& list, std::uint32_t partition, std::string reason) const {
    list.push_back({index_, partition, std::move(reason)});
  }

  void keep_state(Live& live) const {
    const auto hash = engine_.state_hash(live.sequence);
    live.state_hash = hash.ok() ? std::optional(hash.value()) : std::nullopt;
    const auto state = engine_.inspect(live.sequence);
    live.state = state.ok() ? std::optional(state.value()) : std::nullopt;
  }

  void compare_state(std::uint32_t partition, Live& live) {
    if (live.poisoned) return;
    const auto state = engine_.inspect(live.sequence);
    if (live.state && (!state.ok() || state.value().token_sha256 != live.state->token_sha256 ||
                       state.value().last_position != live.state->last_position)) {
      object(record_.respect, partition, "another's action changed what it holds");
    }
    const auto hash = engine_.state_hash(live.sequence);
    if (!hash.ok()) {
      ++record_.respect_unreadable;
      return;
    }
    if (live.state_hash) {
      ++record_.respect_checked;
      if (*live.state_hash != hash.value()) {
        object(
            record_.respect, partition,
            fmt::format("another's action changed its state from {} to {}", hex(*live.state_hash), hex(hash.value())));
      }
    }
    live.state_hash = hash.value();
    live.state = state.ok() ? std::optional(state.value()) : std::nullopt;
  }

  // Text as content; the first text of a partition begins with the model's own first token.
  [[nodiscard]] std::vector<Token> tokens_of(const Live& live, const std::string& text) const {
    std::vector<Token> tokens;
    const auto bos = engine_.tokenizer().bos();
    if (live.tokens.empty() && bos) tokens.push_back(*bos);
    const auto words = engine_.tokenizer().tokenize(text);
    if (words.ok()) tokens.insert(tokens.end(), words.value().begin(), words.value().end());
    return tokens;
  }

  void open(const Action& action) {
    if (live_.contains(action.partition)) {
      show(action.partition, "already_open");
      return;
    }
    const auto made = engine_.open({.capacity_tokens = action.capacity});
    if (!made.ok()) {
      show(action.partition, made.error());
      return;
    }
    const auto& live =
        live_.emplace(action.partition, Live{.sequence = made.value(), .capacity = action.capacity}).first->second;
    show_state(show(action.partition, "ok"), live);
  }

  void fork(const Action& action) {
    if (live_.contains(action.partition)) {
      show(action.partition, "already_open");
      return;
    }
    const auto source = live_.find(action.from);
    if (source == live_.end()) {
      show(action.partition, "no_source");
      return;
    }
    const Live& from = source->second;
    // Rounded up: a thousand thousandths are all tokens, pending one included.
    const auto count = static_cast<std::uint32_t>((from.tokens.size() * action.permille + 999) / 1000);
    const auto made = engine_.fork(from.sequence, count, {.capacity_tokens = action.capacity});
    if (!made.ok()) {
      show(action.partition, made.error());
      return;
    }
    Live live{.sequence = made.value().sequence, .capacity = action.capacity};
    live.tokens.assign(from.tokens.begin(), from.tokens.begin() + static_cast<std::ptrdiff_t>(count));
    const auto& kept = live_.emplace(action.partition, std::move(live)).first->second;
    auto& shown = show(action.partition, "ok");
    shown.facts.push_back({"reused", 0, std::to_string(made.value().reused_tokens)});
    shown.facts.push_back({"prefilled", 0, std::to_string(made.value().prefilled_tokens)});
    show_state(shown, kept);
  }

  void truncate(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const auto count = static_cast<std::uint32_t>((live->tokens.size() * action.permille + 999) / 1000);
    const auto cut = engine_.truncate(live->sequence, count);
    auto& shown = cut.ok() ? show(action.partition, "ok") : show(action.partition, cut.error());
    if (cut.ok()) {
      if (count < live->tokens.size()) live->output.reset();
      live->tokens.resize(count);
      shown.facts.push_back({"prefilled", 0, std::to_string(cut.value().tokens)});
    } else {
      note_failure(*live, cut.error());
    }
    show_state(shown, *live);
  }

  void snapshot(const Action& action) {
    const auto* live = find(action.partition);
    if (live == nullptr) return;
    auto made = engine_.snapshot(live->sequence);
    auto& shown = made.ok() ? show(action.partition, "ok") : show(action.partition, made.error());
    if (made.ok()) snapshots_.insert_or_assign(action.partition, Kept{std::move(made).value(), live->tokens});
    show_state(shown, *live);
  }

  void restore(const Action& action) {
    if (live_.contains(action.partition)) {
      show(action.partition, "already_open");
      return;
    }
    const auto kept = snapshots_.find(action.from);
    if (kept == snapshots_.end()) {
      show(action.partition, "no_snapshot");
      return;
    }
    const auto made = engine_.restore(kept->second.snapshot, {.capacity_tokens = action.capacity});
    if (!made.ok()) {
      show(action.partition, made.error());
      return;
    }
    Live live{.sequence = made.value(), .capacity = action.capacity, .tokens = kept->second.tokens};
    const auto& added = live_.emplace(action.partition, std::move(live)).first->second;
    show_state(show(action.partition, "ok"), added);
  }

  // A flipped bit in the middle must be found, and nothing be made.
  std::optional<Error> restore_damaged(const Live& live) {
    const auto made = engine_.snapshot(live.sequence);
    if (!made.ok()) return made.error();
    auto bytes = made.value().bytes();
    bytes[bytes.size() / 2] ^= std::byte{1};
    const auto restored = engine_.restore(engine::Snapshot(std::move(bytes)), {.capacity_tokens = live.capacity});
    if (!restored.ok()) return restored.error();
    static_cast<void>(engine_.close(restored.value()));
    return std::nullopt;
  }

  void prefill_text(const Action& action, const std::string& text) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const auto tokens = tokens_of(*live, text);
    const auto done = engine_.prefill(live->sequence, tokens);
    auto& shown = done.ok() ? show(action.partition, "ok") : show(action.partition, done.error());
    if (done.ok()) {
      live->tokens.insert(live->tokens.end(), tokens.begin(), tokens.end());
      live->output.reset();
      shown.facts.push_back({"prefilled", 0, std::to_string(done.value().tokens)});
    } else {
      note_failure(*live, done.error());
    }
    show_state(shown, *live);
    if (options_.leak && !record_.leaked && done.ok()) leak(action.partition, text);
  }

  void leak(std::uint32_t owner, const std::string& text) {
    for (auto& [partition, live] : live_) {
      if (partition == owner || live.poisoned || live.tokens.empty()) continue;
      record_.leaked = engine_.prefill(live.sequence, tokens_of(live, text)).ok();
      if (record_.leaked) return;
    }
  }

  void receive(const Action& action) {
    if (find(action.partition) == nullptr) return;
    const auto sender = live_.find(action.from);
    if (sender == live_.end() || !sender->second.output) {
      show(action.partition, "no_message");
      return;
    }
    const std::string text = *sender->second.output;
    const auto before = record_.shown.size();
    prefill_text(action, text);
    record_.shown[before].received = text;
  }

  void score(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const auto tokens = tokens_of(*live, action.text);
    const auto scores = engine_.score(live->sequence, tokens);
    auto& shown = scores.ok() ? show(action.partition, "ok") : show(action.partition, scores.error());
    if (scores.ok()) {
      live->tokens.insert(live->tokens.end(), tokens.begin(), tokens.end());
      live->output.reset();
      for (std::uint32_t i = 0; i < scores.value().size(); ++i) {
        shown.facts.push_back({"log_probability", i, hex(std::bit_cast<std::uint64_t>(scores.value()[i]))});
      }
    } else {
      note_failure(*live, scores.error());
    }
    show_state(shown, *live);
  }

  void cancel_prefill(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const std::stop_source stop;
    stop.request_stop();
    const auto tokens = tokens_of(*live, action.text);
    const auto done = engine_.prefill(live->sequence, tokens, stop.get_token());
    auto& shown = done.ok() ? show(action.partition, "ok") : show(action.partition, done.error());
    if (done.ok()) {
      live->tokens.insert(live->tokens.end(), tokens.begin(), tokens.end());
    } else {
      live->poisoned = live->poisoned || !engine_.inspect(live->sequence).ok();
      note_failure(*live, done.error());
    }
    show_state(shown, *live);
  }

  // Which errors leave a sequence as it was is the seam's contract (engine/engine.h).
  static void note_failure(Live& live, const Error& error) {
    static constexpr std::array kUnchanged = {ErrorCode::kResource, ErrorCode::kBadInput, ErrorCode::kUsage,
                                              ErrorCode::kUnsupported, ErrorCode::kInterrupted};
    if (std::find(kUnchanged.begin(), kUnchanged.end(), error.code) == kUnchanged.end()) live.poisoned = true;
  }

  void fail(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    std::optional<Error> refused;
    if (action.refusal == Refusal::kDamaged) {
      refused = restore_damaged(*live);
    } else if (action.refusal == Refusal::kForkBeyond) {
      const auto beyond = static_cast<std::uint32_t>(live->tokens.size()) + 1;
      if (auto made = engine_.fork(live->sequence, beyond, {.capacity_tokens = live->capacity + 1}); made.ok()) {
        static_cast<void>(engine_.close(made.value().sequence));
      } else {
        refused = made.error();
      }
    } else {
      std::vector<Token> tokens;
      if (action.refusal == Refusal::kOverflow) tokens.assign(live->capacity - live->tokens.size() + 1, 0);
      if (action.refusal == Refusal::kBadToken) tokens.assign(1, static_cast<Token>(engine_.facts().vocabulary));
      if (auto done = engine_.prefill(live->sequence, tokens); !done.ok()) refused = done.error();
    }
    auto& shown = refused ? show(action.partition, *refused) : show(action.partition, "ok");
    // A damaged snapshot says nothing about the partition that it was made of.
    if (refused && action.refusal != Refusal::kDamaged) note_failure(*live, *refused);
    show_state(shown, *live);
  }

  void generate(const Action& action) {
    std::vector<const Member*> members;
    for (const auto& member : action.members) {
      if (find(member.partition) != nullptr) members.push_back(&member);
    }
    if (members.empty()) return;
    MemberCancels cancels(members);
    const auto apart = [](const Member* member) { return member->join_after.has_value(); };
    if (std::any_of(members.begin(), members.end(), apart)) return generate_apart(members, cancels);
    std::vector<engine::GenerateRequest> requests;
    for (std::size_t i = 0; i < members.size(); ++i) {
      auto options = member_options(*members[i], cancels, i);
      options.hash_logits = engine_.can(engine::Capability::kLogitHash);
      requests.push_back({live_.at(members[i]->partition).sequence, std::move(options)});
    }
    cancels.start();
    const auto results = engine_.generate(requests);
    cancels.finish();
    for (std::size_t i = 0; i < results.size(); ++i) show_generation(members[i]->partition, results[i]);
  }

  // Each member is a job that joins when it is its turn, while the others go on.
  void generate_apart(const std::vector<const Member*>& members, MemberCancels& cancels) {
    std::vector<Result<engine::JobResult>> results(members.size(), engine::JobResult{});
    std::map<engine::JobId, std::size_t> running;
    std::size_t joined = 0;
    std::vector<engine::JobEvent> events;
    cancels.start();
    for (std::uint32_t step = 0; joined < members.size() || !running.empty(); ++step) {
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (members[i]->join_after.value_or(0) != step) continue;
        ++joined;
        const auto id = engine_.submit(job_of(*members[i], cancels, i));
        if (id.ok()) running.emplace(id.value(), i);
        if (!id.ok()) results[i] = id.error();
      }
      events.clear();
      engine_.advance({.prefill_tokens = 16, .prefill_tokens_beside = 3}, events);
      for (auto& event : events) {
        auto* outcome = std::get_if<Result<engine::JobResult>>(&event.what);
        const auto found = running.find(event.job);
        if (outcome == nullptr || found == running.end()) continue;
        results[found->second] = std::move(*outcome);
        running.erase(found);
      }
    }
    cancels.finish();
    for (std::size_t i = 0; i < members.size(); ++i) show_job(*members[i], results[i]);
  }

  engine::Job job_of(const Member& member, MemberCancels& cancels, std::size_t index) {
    const auto& live = live_.at(member.partition);
    engine::Job job{
        .sequence = live.sequence, .prefill = {}, .generate = member_options(member, cancels, index), .cancel = {}};
    if (!member.text.empty()) job.prefill = tokens_of(live, member.text);
    job.generate->hash_logits = engine_.can(engine::Capability::kLogitHash);
    return job;
  }

  void show_job(const Member& member, const Result<engine::JobResult>& result) {
    if (!result.ok()) return show_generation(member.partition, result.error());
    auto& live = live_.at(member.partition);
    const auto prefilled = result.value().prefill.tokens;
    if (prefilled > 0) {
      const auto text = tokens_of(live, member.text);
      live.tokens.insert(live.tokens.end(), text.begin(), text.begin() + prefilled);
    }
    show_generation(member.partition, result.value().generated);
  }

  void show_generation(std::uint32_t partition, const Result<GenerateResult>& result) {
    auto& live = live_.at(partition);
    auto& shown = result.ok() ? show(partition, "ok") : show(partition, result.error());
    if (!result.ok()) {
      note_failure(live, result.error());
      return show_state(shown, live);
    }
    const auto& generated = result.value();
    for (std::uint32_t i = 0; i < generated.tokens.size(); ++i) {
      // The logits first: they are the cause, the token the effect.
      if (i < generated.logit_hashes.size()) shown.facts.push_back({"logits", i, hex(generated.logit_hashes[i])});
      shown.facts.push_back({"token", i, std::to_string(generated.tokens[i])});
    }
    shown.facts.push_back({"text", 0, generated.text});
    shown.facts.push_back({"finish", 0, std::string(engine::name(generated.finish))});
    live.tokens.insert(live.tokens.end(), generated.tokens.begin(), generated.tokens.end());
    live.output = generated.text;
    if (generated.finish == GenerateResult::Finish::kCancelled) {
      live.output.reset();
      shown.cancelled_after = static_cast<std::uint32_t>(generated.tokens.size());
    }
    show_state(shown, live);
  }

  void close(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const auto closed = engine_.close(live->sequence);
    if (closed.ok()) {
      show(action.partition, "ok");
    } else {
      show(action.partition, closed.error());
    }
    live_.erase(action.partition);
  }

  engine::Engine& engine_;
  TraceRunOptions options_;
  std::size_t index_ = 0;
  struct Kept {
    engine::Snapshot snapshot;
    std::vector<Token> tokens;
  };
  std::map<std::uint32_t, Live> live_;
  std::map<std::uint32_t, Kept> snapshots_;  // by partition
  Record record_;
};

}  // namespace

Result<Record> run_trace(const Trace& trace, engine::Engine& engine, const TraceRunOptions& options) {
  BH_CHECK(engine.reserve(trace.most_open(), trace.largest_capacity()));
  TraceRun run(engine, options);
  for (std::size_t i = 0; i < trace.actions.size(); ++i) run.perform(i, trace.actions[i]);
  return run.finish();
}

}  // namespace bulkhead::verify
