// SPDX-License-Identifier: MIT
#include "verify/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace bulkhead::verify {
namespace {

constexpr std::array<std::pair<ActionKind, std::string_view>, 14> kKinds = {
    {{ActionKind::kOpen, "open"},
     {ActionKind::kPrefill, "prefill"},
     {ActionKind::kReceive, "receive"},
     {ActionKind::kFork, "fork"},
     {ActionKind::kGenerate, "generate"},
     {ActionKind::kScore, "score"},
     {ActionKind::kCancelPrefill, "cancel_prefill"},
     {ActionKind::kFail, "fail"},
     {ActionKind::kChat, "chat"},
     {ActionKind::kTruncate, "truncate"},
     {ActionKind::kPark, "park"},
     {ActionKind::kSnapshot, "snapshot"},
     {ActionKind::kRestore, "restore"},
     {ActionKind::kClose, "close"}}};
constexpr std::array<std::pair<Refusal, std::string_view>, 9> kRefusals = {{{Refusal::kOverflow, "overflow"},
                                                                            {Refusal::kBadToken, "bad_token"},
                                                                            {Refusal::kForkBeyond, "fork_beyond"},
                                                                            {Refusal::kNoTokens, "no_tokens"},
                                                                            {Refusal::kDamaged, "damaged"},
                                                                            {Refusal::kMessage, "message"},
                                                                            {Refusal::kForeign, "foreign"},
                                                                            {Refusal::kTwice, "twice"},
                                                                            {Refusal::kBudget, "budget"}}};
constexpr std::int64_t kMostPartitions = 256;
constexpr std::int64_t kMostTokens = 1 << 20;
constexpr std::int64_t kMostMicroseconds = 10'000'000;

bool makes_partition(const Action& action) {
  return action.kind == ActionKind::kOpen || action.kind == ActionKind::kFork || action.kind == ActionKind::kRestore;
}

bool has_source(ActionKind kind) {
  return kind == ActionKind::kFork || kind == ActionKind::kReceive || kind == ActionKind::kRestore;
}

bool has_part(ActionKind kind) {
  return kind == ActionKind::kFork || kind == ActionKind::kTruncate;
}

bool has_text(ActionKind kind) {
  return kind == ActionKind::kPrefill || kind == ActionKind::kScore || kind == ActionKind::kCancelPrefill ||
         kind == ActionKind::kChat;
}

Json member_json(const Member& member) {
  Json json = {{"partition", member.partition}, {"max_tokens", member.max_tokens}};
  if (member.temperature > 0) {
    json["temperature"] = member.temperature;
    json["seed"] = member.seed;
  }
  if (member.cancel_after) json["cancel_after"] = *member.cancel_after;
  if (member.cancel_call) json["cancel_call"] = true;
  if (member.cancel_after_us) json["cancel_after_us"] = *member.cancel_after_us;
  if (!member.stop.empty()) json["stop"] = member.stop;
  if (member.join_after) json["join_after"] = *member.join_after;
  if (!member.text.empty()) json["text"] = member.text;
  return json;
}

Json action_json(const Action& action) {
  Json json = {{"do", name(action.kind)}};
  if (action.kind == ActionKind::kGenerate) {
    json["members"] = Json::array();
    for (const auto& member : action.members) json["members"].push_back(member_json(member));
    return json;
  }
  if (action.kind == ActionKind::kPark) return json;
  json["partition"] = action.partition;
  if (has_source(action.kind)) json["from"] = action.from;
  if (makes_partition(action)) json["capacity"] = action.capacity;
  if (has_part(action.kind)) json["permille"] = action.permille;
  if (has_text(action.kind)) json["text"] = action.text;
  if (action.kind == ActionKind::kFail) json["refusal"] = name(action.refusal);
  return json;
}

Result<std::uint32_t> natural(const JsonView& object, std::string_view key, std::int64_t low, std::int64_t high) {
  BH_TRY(const auto field, object.at(key));
  BH_TRY(const auto value, field.integer(low, high));
  return static_cast<std::uint32_t>(value);
}

Result<std::uint32_t> partition_number(const JsonView& object, std::string_view key) {
  return natural(object, key, 0, kMostPartitions - 1);
}

template <typename Value, std::size_t kSize>
Result<Value> word(const JsonView& object, std::string_view key,
                   const std::array<std::pair<Value, std::string_view>, kSize>& table) {
  BH_TRY(const auto field, object.at(key));
  BH_TRY(const auto text, field.string());
  for (const auto& [value, spelling] : table) {
    if (spelling == text) return value;
  }
  return field.fail(fmt::format("\"{}\" is not known here", text));
}

Result<Member> member_from_json(const JsonView& object) {
  BH_CHECK(object.only({"partition", "max_tokens", "temperature", "seed", "cancel_after", "cancel_call",
                        "cancel_after_us", "stop", "join_after", "text"}));
  Member member;
  BH_TRY(member.partition, partition_number(object, "partition"));
  BH_TRY(member.max_tokens, natural(object, "max_tokens", 0, kMostTokens));
  if (object.has("temperature")) {
    BH_TRY(const auto field, object.at("temperature"));
    BH_TRY(const auto temperature, field.number());
    member.temperature = static_cast<float>(temperature);
  }
  if (object.has("seed")) {
    BH_TRY(member.seed, natural(object, "seed", 0, 0xFFFFFFFF));
  }
  if (object.has("cancel_after")) {
    BH_TRY(member.cancel_after, natural(object, "cancel_after", 0, kMostTokens));
  }
  BH_TRY(member.cancel_call, object.boolean_or("cancel_call", false));
  if (object.has("cancel_after_us")) {
    BH_TRY(member.cancel_after_us, natural(object, "cancel_after_us", 0, kMostMicroseconds));
  }
  if (object.has("stop")) {
    BH_TRY(const auto field, object.at("stop"));
    BH_TRY(member.stop, field.string());
  }
  if (object.has("join_after")) {
    BH_TRY(member.join_after, natural(object, "join_after", 0, kMostTokens));
  }
  if (object.has("text")) {
    BH_TRY(const auto field, object.at("text"));
    BH_TRY(member.text, field.string());
  }
  return member;
}

Result<Action> action_from_json(const JsonView& object) {
  BH_CHECK(object.only({"do", "partition", "from", "capacity", "permille", "text", "refusal", "members"}));
  Action action;
  BH_TRY(action.kind, word(object, "do", kKinds));
  if (action.kind == ActionKind::kGenerate) {
    BH_TRY(const auto list, object.at("members"));
    BH_TRY(const auto members, list.items());
    for (const auto& item : members) {
      BH_TRY(const auto member, member_from_json(item));
      action.members.push_back(member);
    }
    return action;
  }
  if (action.kind == ActionKind::kPark) return action;
  BH_TRY(action.partition, partition_number(object, "partition"));
  if (has_source(action.kind)) {
    BH_TRY(action.from, partition_number(object, "from"));
  }
  if (makes_partition(action)) {
    BH_TRY(action.capacity, natural(object, "capacity", 1, kMostTokens));
  }
  if (has_part(action.kind)) {
    BH_TRY(action.permille, natural(object, "permille", action.kind == ActionKind::kFork ? 1 : 0, 1000));
  }
  if (has_text(action.kind)) {
    BH_TRY(const auto field, object.at("text"));
    BH_TRY(action.text, field.string());
  }
  if (action.kind == ActionKind::kFail) {
    BH_TRY(action.refusal, word(object, "refusal", kRefusals));
  }
  return action;
}

}  // namespace

std::string_view name(ActionKind kind) noexcept {
  for (const auto& [value, spelling] : kKinds) {
    if (value == kind) return spelling;
  }
  return "";
}

std::string_view name(Refusal refusal) noexcept {
  for (const auto& [value, spelling] : kRefusals) {
    if (value == refusal) return spelling;
  }
  return "";
}

bool Action::acts_on(std::uint32_t who) const noexcept {
  if (kind == ActionKind::kPark) return false;
  if (kind != ActionKind::kGenerate) return partition == who;
  return std::any_of(members.begin(), members.end(), [&](const Member& member) { return member.partition == who; });
}

std::vector<std::uint32_t> Trace::partitions() const {
  std::vector<std::uint32_t> made;
  for (const auto& action : actions) {
    const bool again = std::find(made.begin(), made.end(), action.partition) != made.end();
    if (makes_partition(action) && !again) made.push_back(action.partition);
  }
  return made;
}

std::uint32_t Trace::most_open() const {
  std::set<std::uint32_t> open;
  std::size_t most = 1;
  for (const auto& action : actions) {
    if (makes_partition(action)) open.insert(action.partition);
    if (action.kind == ActionKind::kClose) open.erase(action.partition);
    most = std::max(most, open.size());
  }
  return static_cast<std::uint32_t>(most);
}

std::uint32_t Trace::largest_capacity() const {
  std::uint32_t largest = 1;
  for (const auto& action : actions) largest = std::max(largest, action.capacity);
  return largest;
}

Json to_json(const Trace& trace) {
  Json actions = Json::array();
  for (const auto& action : trace.actions) actions.push_back(action_json(action));
  return {{"trace_version", 1}, {"surface", trace.surface}, {"actions", actions}};
}

Result<Trace> trace_from_json(const JsonView& document) {
  BH_CHECK(document.only({"trace_version", "surface", "actions"}));
  BH_TRY([[maybe_unused]] const auto version, natural(document, "trace_version", 1, 1));
  BH_TRY(const auto list, document.at("actions"));
  BH_TRY(const auto items, list.items());
  Trace trace;
  BH_TRY(trace.surface, document.boolean_or("surface", false));
  for (const auto& item : items) {
    BH_TRY(auto action, action_from_json(item));
    trace.actions.push_back(std::move(action));
  }
  return trace;
}

}  // namespace bulkhead::verify
