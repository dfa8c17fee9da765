// SPDX-License-Identifier: MIT
#include "verify/surface_run.h"

#include "verify/member_cancels.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::verify {
namespace {

std::string_view name(FinishReason finish) {
  switch (finish) {
    case FinishReason::kEnd: return "end";
    case FinishReason::kLength: return "length";
    case FinishReason::kStop: return "stop";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "";
}

// All that a partition says of itself; its name apart, which every run chooses anew.
struct Said {
  PartitionUsage usage;
  std::string text;

  // Without the number of messages: alone, their bytes come as text.
  [[nodiscard]] std::string content() const {
    return fmt::format("{} tokens ({} prefilled, {} reused, {} generated, {} removed), {} KV bytes, tokens {}, text {}",
                       usage.tokens, usage.prefilled_tokens, usage.reused_tokens, usage.generated_tokens,
                       usage.removed_tokens, usage.kv_bytes_used, usage.token_sha256, text);
  }
  [[nodiscard]] std::string words() const { return fmt::format("{}, {} messages", content(), usage.messages_received); }
};

Said said_by(const Partition& partition) {
  return {partition.usage(), partition.text()};
}

class SurfaceRun {
 public:
  SurfaceRun(Model& model, Partition& foreign, const Message& message, const TraceRunOptions& options)
      : model_(model),
        foreign_(foreign),
        message_(message),
        options_(options),
        foreign_words_(said_by(foreign).words()) {}

  void perform(std::size_t index, const Action& action) {
    index_ = index;
    for (auto& [partition, live] : live_) {
      if (action.acts_on(partition)) check_as_left(partition, live);
    }
    switch (action.kind) {
      case ActionKind::kOpen: open(action); break;
      case ActionKind::kFork: fork(action); break;
      case ActionKind::kGenerate: generate(action); break;
      case ActionKind::kClose: close(action); break;
      case ActionKind::kPrefill: prefill(action); break;
      case ActionKind::kReceive: receive(action); break;
      case ActionKind::kChat: chat(action); break;
      case ActionKind::kTruncate: truncate(action); break;
      case ActionKind::kPark: static_cast<void>(model_.park()); break;
      case ActionKind::kFail: fail(action); break;
      case ActionKind::kScore:
      case ActionKind::kCancelPrefill:
      case ActionKind::kSnapshot:
      case ActionKind::kRestore: show(action.partition, "not_of_the_surface"); break;
    }
    for (auto& [partition, live] : live_) {
      if (action.acts_on(partition)) live.own_words = said_by(live.partition).words();
    }
    if (!options_.watch) return;
    for (auto& [partition, live] : live_) look_on(action, partition, live);
    ++record_.respect_checked;
    if (said_by(foreign_).words() != foreign_words_) object(record_.respect, 0, "a partition of another model changed");
  }

  Record finish() && { return std::move(record_); }

 private:
  struct Live {
    Partition partition;
    std::string own_words = {};   // after its last own action
    std::string last_words = {};  // after the last action of anybody
  };

  Shown& show(std::uint32_t partition, std::string_view outcome) {
    record_.shown.push_back({.action = index_, .partition = partition, .facts = {}});
    record_.shown.back().facts.push_back({"outcome", 0, std::string(outcome)});
    return record_.shown.back();
  }

  template <typename Value>
  Shown& show(std::uint32_t partition, const Result<Value>& result) {
    return show(partition, result.ok() ? std::string_view("ok") : bulkhead::name(result.error().code));
  }

  Live* find(std::uint32_t partition) {
    const auto found = live_.find(partition);
    if (found != live_.end()) return &found->second;
    show(partition, "not_open");
    return nullptr;
  }

  void object(std::vector<Objection>& list, std::uint32_t partition, std::string reason) const {
    list.push_back({index_, partition, std::move(reason)});
  }

  static void show_state(Shown& shown, const Live& live) {
    shown.facts.push_back({"says", 0, said_by(live.partition).content()});
  }

  void check_as_left(std::uint32_t partition, const Live& live) {
    ++record_.books_checked;
    const auto words = said_by(live.partition).words();
    if (words != live.own_words)
      object(record_.books, partition, fmt::format("held {} after its last action, and {} now", live.own_words, words));
  }

  void look_on(const Action& action, std::uint32_t partition, Live& live) {
    auto words = said_by(live.partition).words();
    if (action.acts_on(partition)) {
      live.last_words = std::move(words);
      return;
    }
    ++record_.respect_checked;
    if (words != live.last_words) {
      object(record_.respect, partition,
             fmt::format("another's action changed it from {} to {}", live.last_words, words));
    }
    live.last_words = std::move(words);
  }

  // A call that was refused has left the partition as it was.
  void check_unchanged(std::uint32_t partition, const Live& live, const std::string& before, const Error& refused) {
    constexpr std::array kUnchanged = {ErrorCode::kResource, ErrorCode::kBadInput, ErrorCode::kUsage,
                                       ErrorCode::kUnsupported};
    if (std::find(kUnchanged.begin(), kUnchanged.end(), refused.code) == kUnchanged.end()) return;
    ++record_.books_checked;
    const auto after = said_by(live.partition).words();
    if (after != before)
      object(record_.books, partition, fmt::format("was refused, and changed from {} to {}", before, after));
  }

  void check_holds(std::uint32_t partition, const Live& live, std::string_view text) {
    ++record_.books_checked;
    const auto held = live.partition.text();
    if (held.find(text) == std::string::npos)
      object(record_.books, partition, fmt::format("does not hold \"{}\", but \"{}\"", text, held));
  }

  void add(const Action& action, Result<Partition> made) {
    auto& shown = show(action.partition, made);
    if (!made.ok()) return;
    const auto at = live_.emplace(action.partition, Live{.partition = std::move(made).value()}).first;
    show_state(shown, at->second);
  }

  static std::string name_of(std::uint32_t partition) { return fmt::format("p{}", partition); }

  void open(const Action& action) {
    if (live_.contains(action.partition)) return static_cast<void>(show(action.partition, "already_open"));
    add(action, model_.open(name_of(action.partition)));
  }

  void fork(const Action& action) {
    if (live_.contains(action.partition)) return static_cast<void>(show(action.partition, "already_open"));
    const auto source = live_.find(action.from);
    if (source == live_.end()) return static_cast<void>(show(action.partition, "no_source"));
    add(action, source->second.partition.fork(name_of(action.partition)));
  }

  // One call that appends text; `holds`: the text that must then be there.
  template <typename Call>
  Result<void> append(std::uint32_t partition, Live& live, std::string_view holds, const Call& call) {
    const auto before = said_by(live.partition).words();
    const auto done = call(live.partition);
    show_state(show(partition, done), live);
    if (done.ok()) {
      check_holds(partition, live, holds);
    } else {
      check_unchanged(partition, live, before, done.error());
    }
    return done;
  }

  void prefill(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const auto done = append(action.partition, *live, action.text,
                             [&](Partition& partition) { return partition.prefill(action.text); });
    if (options_.leak && !record_.leaked && done.ok()) leak(action.partition, action.text);
  }

  void leak(std::uint32_t owner, const std::string& text) {
    for (auto& [partition, live] : live_) {
      if (partition == owner || live.partition.usage().tokens == 0) continue;
      record_.leaked = live.partition.prefill(text).ok();
      if (record_.leaked) return;
    }
  }

  void chat(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    static_cast<void>(append(action.partition, *live, action.text,
                             [&](Partition& partition) { return partition.chat("user", action.text); }));
  }

  void truncate(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const auto tokens = (live->partition.usage().tokens * action.permille + 999) / 1000;
    const auto cut = live->partition.truncate(tokens);
    show_state(show(action.partition, cut), *live);
    ++record_.books_checked;
    if (cut.ok() && live->partition.usage().tokens != tokens)
      object(record_.books, action.partition, fmt::format("does not hold the {} tokens that stay", tokens));
  }

  void receive(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    const auto sender = live_.find(action.from);
    const auto message = sender == live_.end() ? std::nullopt : message_of(sender->second);
    if (!message) return static_cast<void>(show(action.partition, "no_message"));
    const auto at = record_.shown.size();
    const auto before = live->partition.usage().messages_received;
    const auto done = append(action.partition, *live, message->text(),
                             [&](Partition& partition) { return partition.receive(*message); });
    record_.shown[at].received = message->text();
    if (live->partition.usage().messages_received != before + (done.ok() ? 1U : 0U))
      object(record_.books, action.partition, "counts messages that it did not receive");
  }

  // What it said last, as the application gets it; the books hold the message against the cache.
  static std::optional<Message> message_of(const Live& live) {
    auto message = live.partition.last_output("m");
    return message.ok() ? std::optional(std::move(message).value()) : std::nullopt;
  }

  void fail(const Action& action) {
    auto* live = find(action.partition);
    if (live == nullptr) return;
    if (action.refusal == Refusal::kForeign) return beside_foreign(action.partition, *live);
    const auto before = said_by(live->partition).words();
    const auto refused =
        action.refusal == Refusal::kBudget ? over_budget(action.partition) : refuse(action.refusal, *live);
    show_state(show(action.partition, refused ? bulkhead::name(refused->code) : std::string_view("ok")), *live);
    if (refused) return check_unchanged(action.partition, *live, before, *refused);
    if (action.refusal == Refusal::kTwice) object(record_.books, action.partition, "is twice in a batch");
    if (action.refusal == Refusal::kBudget) object(record_.books, action.partition, "a budget was overrun beside it");
  }

  // The foreign one is refused, and the partition beside it generates as if it were alone in the batch.
  void beside_foreign(std::uint32_t partition, Live& live) {
    Partition* const both[] = {&live.partition, &foreign_};
    const auto options = short_answer();
    const auto results = model_.generate(both, std::span(&options, 1));
    show_generation(partition, results.front());
    ++record_.books_checked;
    if (results.back().ok()) object(record_.books, partition, "generated in a batch with a partition of another model");
  }

  // Two owners may have one partition each: the second of one is refused, whatever the other has.
  std::optional<Error> over_budget(std::uint32_t partition) {
    for (const auto* owner : {"poor", "neighbour"}) static_cast<void>(model_.set_budget(owner, {.partitions = 1}));
    const auto first = model_.open("of the poor", {.owner = "poor"});
    auto second = model_.open("one too many", {.owner = "poor"});
    const auto other = model_.open("of the neighbour", {.owner = "neighbour"});
    ++record_.books_checked;
    if (!first.ok() || !other.ok()) object(record_.books, partition, "an owner could not have what its budget allows");
    return second.ok() ? std::nullopt : std::optional(second.error());
  }

  static GenerateOptions short_answer() {
    GenerateOptions options;
    options.max_tokens = 2;
    options.sampling.temperature = 0;
    options.hash_logits = true;
    return options;
  }

  std::optional<Error> refuse(Refusal refusal, Live& live) {
    const auto error_of = [](const auto& done) { return done.ok() ? std::nullopt : std::optional(done.error()); };
    if (refusal == Refusal::kTwice) {
      Partition* const both[] = {&live.partition, &live.partition};
      const auto options = short_answer();
      return error_of(model_.generate(both, std::span(&options, 1)).back());
    }
    if (refusal == Refusal::kMessage) return error_of(live.partition.receive(message_));
    return error_of(live.partition.prefill(message_.text() + message_.text()));
  }

  void generate(const Action& action) {
    std::vector<const Member*> members;
    for (const auto& member : action.members) {
      if (find(member.partition) != nullptr) members.push_back(&member);
    }
    if (members.empty()) return;
    MemberCancels cancels(members);
    std::vector<Partition*> partitions;
    std::vector<GenerateOptions> options;
    for (std::size_t i = 0; i < members.size(); ++i) {
      partitions.push_back(&live_.at(members[i]->partition).partition);
      options.push_back(member_options(*members[i], cancels, i));
      options.back().hash_logits = true;
    }
    const auto apart = [](const Member* member) { return member->join_after.has_value(); };
    if (std::any_of(members.begin(), members.end(), apart)) return generate_apart(members, options, cancels);
    cancels.start();
    const auto results = model_.generate(partitions, options);
    cancels.finish();
    for (std::size_t i = 0; i < results.size(); ++i) show_generation(members[i]->partition, results[i]);
  }

  // Each member on a thread of its own, as in a server: they join and leave while others go on.
  void generate_apart(const std::vector<const Member*>& members, const std::vector<GenerateOptions>& options,
                      MemberCancels& cancels) {
    std::vector<std::optional<Result<Generation>>> results(members.size());
    cancels.start();
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < members.size(); ++i) {
        threads.emplace_back([&, i, partition = &live_.at(members[i]->partition).partition] {
          std::this_thread::sleep_for(std::chrono::microseconds(100) * members[i]->join_after.value_or(0));
          const auto told = members[i]->text.empty() ? Result<void>() : partition->prefill(members[i]->text);
          results[i] = told.ok() ? partition->generate(options[i]) : Result<Generation>(told.error());
        });
      }
    }
    cancels.finish();
    for (std::size_t i = 0; i < members.size(); ++i) show_generation(members[i]->partition, *results[i]);
  }

  void show_generation(std::uint32_t partition, const Result<Generation>& result) {
    auto& live = live_.at(partition);
    auto& shown = show(partition, result);
    if (result.ok()) {
      const auto& made = result.value();
      for (std::uint32_t i = 0; i < made.tokens.size(); ++i) {
        if (i < made.logit_hashes.size())
          shown.facts.push_back({"logits", i, fmt::format("{:016x}", made.logit_hashes[i])});
        shown.facts.push_back({"token", i, std::to_string(made.tokens[i])});
      }
      shown.facts.push_back({"text", 0, made.text});
      shown.facts.push_back({"finish", 0, std::string(name(made.finish))});
      if (made.finish == FinishReason::kCancelled)
        shown.cancelled_after = static_cast<std::uint32_t>(made.tokens.size());
    }
    show_state(shown, live);
    if (!result.ok() || result.value().finish != FinishReason::kStop) return;
    // What was cut off the text is not in the cache, or the next answer would go on behind words that nobody saw.
    ++record_.books_checked;
    const auto held = live.partition.text();
    if (!held.ends_with(result.value().text))
      object(record_.books, partition, fmt::format("said \"{}\", and holds \"{}\"", result.value().text, held));
  }

  void close(const Action& action) {
    if (find(action.partition) == nullptr) return;
    live_.erase(action.partition);
    show(action.partition, "ok");
  }

  Model& model_;
  Partition& foreign_;
  const Message& message_;
  TraceRunOptions options_;
  std::string foreign_words_;
  std::size_t index_ = 0;
  std::map<std::uint32_t, Live> live_;
  Record record_;
};

}  // namespace

Result<Surface> Surface::make(const ModelOptions& options) {
  BH_TRY(auto other, Model::load(options));
  BH_TRY(auto foreign, other.open("foreign"));
  BH_CHECK(foreign.prefill("nobody"));
  BH_TRY(auto writer, other.open("writer"));
  BH_CHECK(writer.prefill("ledger"));
  // As long as its partition allows: with a word in front it fits into no other.
  GenerateOptions full;
  full.max_tokens = 1U << 20U;
  full.ignore_end = true;
  full.sampling.temperature = 0;
  BH_CHECK(writer.generate(full));
  BH_TRY(auto message, writer.last_output("long"));
  return Surface(options, std::move(other), std::move(foreign), std::move(message));
}

RunTrace Surface::runner() {
  return [this](const Trace& trace, const TraceRunOptions& options) -> Result<Record> {
    BH_TRY(auto model, Model::load(options_));
    SurfaceRun run(model, *foreign_, *message_, options);
    for (std::size_t i = 0; i < trace.actions.size(); ++i) run.perform(i, trace.actions[i]);
    return std::move(run).finish();
  };
}

}  // namespace bulkhead::verify
