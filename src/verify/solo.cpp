// SPDX-License-Identifier: MIT
#include "verify/solo.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace bulkhead::verify {
namespace {

// No trace opens it: a message from it never comes, as the one that did not come in the whole trace.
constexpr std::uint32_t kNobody = 255;

const Shown* shown_by(const Record& record, std::size_t action, std::uint32_t partition) {
  const auto found = std::find_if(record.shown.begin(), record.shown.end(), [&](const Shown& shown) {
    return shown.action == action && shown.partition == partition;
  });
  return found == record.shown.end() ? nullptr : &*found;
}

// Index behind the last snapshot of `partition` that was made before action `before`; 0: there is none.
std::size_t behind_snapshot(const Trace& trace, const Record& record, std::uint32_t partition, std::size_t before) {
  for (std::size_t i = before; i-- > 0;) {
    const auto& action = trace.actions[i];
    if (action.kind != ActionKind::kSnapshot || action.partition != partition) continue;
    const auto* shown = shown_by(record, i, partition);
    if (shown != nullptr && shown->facts.front().value == "ok") return i + 1;
  }
  return 0;
}

// Partition -> index of the first action that is no longer its own or its descendant's history.
std::map<std::uint32_t, std::size_t> lineage(const Trace& trace, const Record& record, std::uint32_t partition) {
  std::map<std::uint32_t, std::size_t> until = {{partition, trace.actions.size()}};
  for (std::size_t i = trace.actions.size(); i-- > 0;) {
    const auto& action = trace.actions[i];
    if (action.kind != ActionKind::kFork && action.kind != ActionKind::kRestore) continue;
    const auto child = until.find(action.partition);
    if (child == until.end() || i >= child->second) continue;
    auto& source = until[action.from];  // 0 if it is new
    source = std::max(source, action.kind == ActionKind::kFork ? i : behind_snapshot(trace, record, action.from, i));
  }
  return until;
}

Action without_others(const Action& action, const Record& record, std::size_t index,
                      const std::map<std::uint32_t, std::size_t>& until) {
  Action own = action;
  if (action.kind == ActionKind::kReceive) {
    const auto* shown = shown_by(record, index, action.partition);
    const bool came =
        shown != nullptr && shown->facts.front().value != "no_message" && shown->facts.front().value != "not_open";
    own.from = kNobody;
    if (came) {
      own.kind = ActionKind::kPrefill;
      own.from = 0;
      own.text = shown->received;
    }
  }
  std::erase_if(own.members, [&](const Member& member) {
    const auto found = until.find(member.partition);
    return found == until.end() || index >= found->second;
  });
  // A clock, and a member that stops the whole call, come from outside: what they did stands in the record. A member
  // that neither may end must not be ended by another's cancellation.
  const bool call = std::any_of(action.members.begin(), action.members.end(),
                                [](const Member& member) { return member.cancel_call && member.cancel_after; });
  for (auto& member : own.members) {
    const auto* shown = shown_by(record, index, member.partition);
    const bool from_outside = call || member.cancel_after_us.has_value();
    member.cancel_after_us.reset();
    if (from_outside && shown != nullptr && shown->cancelled_after) member.cancel_after = shown->cancelled_after;
  }
  return own;
}

struct Cursor {
  std::size_t action;
  const Fact* fact;
};

std::vector<Cursor> facts_of(const Record& record, std::uint32_t partition, const std::vector<std::size_t>* origin) {
  std::vector<Cursor> all;
  for (const auto& shown : record.shown) {
    if (shown.partition != partition) continue;
    const auto action = origin == nullptr ? shown.action : (*origin)[shown.action];
    for (const auto& fact : shown.facts) all.push_back({action, &fact});
  }
  return all;
}

std::string field_and_step(const Difference& difference) {
  const bool stepped =
      difference.field == "logits" || difference.field == "token" || difference.field == "log_probability";
  return stepped ? fmt::format("{} of step {}", difference.field, difference.step) : difference.field;
}

void add(TraceVerdict& verdict, Record& record) {
  verdict.books.insert(verdict.books.end(), record.books.begin(), record.books.end());
  verdict.respect.insert(verdict.respect.end(), record.respect.begin(), record.respect.end());
  verdict.books_checked += record.books_checked;
  verdict.respect_checked += record.respect_checked;
  verdict.respect_unreadable += record.respect_unreadable;
  verdict.leaked = verdict.leaked || record.leaked;
}

}  // namespace

Projection project(const Trace& trace, const Record& record, std::uint32_t partition) {
  const auto until = lineage(trace, record, partition);
  Projection projection;
  projection.trace.surface = trace.surface;
  for (std::size_t i = 0; i < trace.actions.size(); ++i) {
    const auto& action = trace.actions[i];
    const bool own = std::any_of(until.begin(), until.end(),
                                 [&](const auto& entry) { return i < entry.second && action.acts_on(entry.first); });
    if (!own) continue;
    projection.trace.actions.push_back(without_others(action, record, i, until));
    projection.origin.push_back(i);
  }
  return projection;
}

std::optional<Difference> first_difference(const Record& in_trace, const Record& alone, const Projection& projection,
                                           std::uint32_t partition, std::uint64_t& compared) {
  const auto left = facts_of(in_trace, partition, nullptr);
  const auto right = facts_of(alone, partition, &projection.origin);
  const std::size_t longest = std::max(left.size(), right.size());
  for (std::size_t i = 0; i < longest; ++i) {
    ++compared;
    const bool both = i < left.size() && i < right.size();
    if (both && left[i].action == right[i].action && *left[i].fact == *right[i].fact) continue;
    const Cursor& here = i < left.size() ? left[i] : right[i];
    const bool same_place = both && left[i].action == right[i].action && left[i].fact->field == right[i].fact->field &&
                            left[i].fact->step == right[i].fact->step;
    Difference difference{.partition = partition,
                          .action = here.action,
                          .field = std::string(here.fact->field),
                          .step = here.fact->step,
                          .in_trace = i < left.size() ? left[i].fact->value : "(nothing)",
                          .alone = i < right.size() ? right[i].fact->value : "(nothing)"};
    if (both && !same_place) difference.alone = fmt::format("{} {}", right[i].fact->field, right[i].fact->value);
    return difference;
  }
  return std::nullopt;
}

std::string Difference::to_string(const Trace& trace) const {
  const auto kind = action < trace.actions.size() ? name(trace.actions[action].kind) : std::string_view("?");
  return fmt::format("partition {}, action {} ({}), {}: {} in the trace, {} alone", partition, action, kind,
                     field_and_step(*this), in_trace, alone);
}

Json to_json(const Difference& difference) {
  return {{"partition", difference.partition}, {"action", difference.action},     {"field", difference.field},
          {"step", difference.step},           {"in_trace", difference.in_trace}, {"alone", difference.alone}};
}

RunTrace on_engines(MakeEngine make_engine) {
  return [make = std::move(make_engine)](const Trace& trace, const TraceRunOptions& options) -> Result<Record> {
    BH_TRY(const auto fresh, make());
    return run_trace(trace, *fresh, options);
  };
}

Result<TraceVerdict> check_trace(const Trace& trace, const RunTrace& run, const TraceRunOptions& options,
                                 const RunTrace& alone) {
  TraceVerdict verdict;
  BH_TRY(auto record, run(trace, options));
  add(verdict, record);
  for (const auto partition : trace.partitions()) {
    const auto projection = project(trace, record, partition);
    BH_TRY(const auto solo, (alone ? alone : run)(projection.trace, {}));
    ++verdict.solo_runs;
    auto difference = first_difference(record, solo, projection, partition, verdict.facts_compared);
    if (difference && !verdict.difference) verdict.difference = std::move(difference);
  }
  return verdict;
}

}  // namespace bulkhead::verify
