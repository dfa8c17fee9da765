// SPDX-License-Identifier: MIT
// Partitions as an owner names them, and the answers that one sends another.
#include "serve/service.h"

#include <fmt/format.h>

#include <utility>

namespace bulkhead::serve {

std::vector<Shown> Service::partitions(const std::string& owner) const {
  auto shown = conversations_.list(owner);
  auto cells = desk_->cells_of(*engine_);
  for (auto& one : shown) one.cells = cells[one.id];
  return shown;
}

std::optional<Inspected> Service::partition(const std::string& owner, const std::string& name) const {
  auto found = conversations_.find(owner, name);
  return found ? std::optional(with_cells(*std::move(found))) : std::nullopt;
}

Inspected Service::with_cells(Inspected inspected) const {
  inspected.shown.cells = desk_->cells_of(*engine_)[inspected.shown.id];
  return inspected;
}

// Puts the answers that a request names into its messages. One that another owner has is like one that nobody has.
std::optional<ApiError> Service::deliver(const std::string& owner, const std::vector<OutputPart>& outputs,
                                         Wanted& wanted) const {
  std::size_t put = 0;  // bytes, into the message that has the part
  std::size_t message = 0;
  for (const auto& part : outputs) {
    if (part.message != message) put = 0;
    message = part.message;
    const auto output = conversations_.output(owner, part.partition, part.turn);
    if (!output) {
      const auto which = part.turn ? fmt::format("no finished answer {}", *part.turn) : "no finished last answer";
      return invalid_request(fmt::format("there is {} of a partition '{}'", which, part.partition),
                             fmt::format("messages[{}].content", message));
    }
    auto& content = wanted.messages[message].content;
    content.insert(part.at + put, output->text());
    wanted.crossings.push_back({.message = message, .begin = part.at + put, .output = *output});
    put += output->text().size();
  }
  return std::nullopt;
}

// The first messages of a chat as they would be wanted, with no answer begun behind them.
Answer<Wanted> Service::history_of(const Conversations::Lease& lease, std::uint64_t turns) const {
  const auto& messages = lease.messages();
  if (turns > messages.size()) {
    return invalid_request(fmt::format("the chat has {} messages", messages.size()), "turns");
  }
  Wanted wanted;
  wanted.messages.assign(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(turns));
  wanted.tools = lease.tools();
  if (turns == 0) return wanted;
  for (const auto& crossing : lease.crossings()) {
    if (crossing.message >= turns) break;
    wanted.crossings.push_back({.message = crossing.message, .begin = crossing.begin, .output = crossing.output});
  }
  if (const auto done = render(wanted, false, engine_->tokenizer()); !done.ok()) return api_error_of(done.error());
  return wanted;
}

Answer<Inspected> Service::declare(const std::string& owner, const Identity& identity, const GenerationRequest* history,
                                   const std::stop_token& cancel) {
  Wanted wanted;
  if (history != nullptr) {
    wanted.messages = history->messages;
    if (auto undelivered = deliver(owner, history->outputs, wanted)) return *std::move(undelivered);
    if (const auto done = render(wanted, false, engine_->tokenizer()); !done.ok()) return api_error_of(done.error());
    if (auto wrong = check_tokens(wanted)) return *std::move(wrong);
  }
  auto lease = conversations_.declare(owner, identity);
  if (!lease.ok()) return partition_error_of(lease.error());
  if (history != nullptr) {
    lease->wants_all(wanted);
    if (auto failed = prefill(lease.value(), wanted, cancel)) {
      lease->give_up();  // it was not declared, then
      return *std::move(failed);
    }
  }
  return with_cells(lease->inspected());
}

Answer<std::vector<Inspected>> Service::fork(const std::string& owner, const std::string& partition,
                                             const std::vector<std::string>& names, std::optional<std::uint64_t> turns,
                                             const std::stop_token& cancel) {
  const auto source = conversations_.hold(owner, partition, cancel);
  if (!source.ok()) return partition_error_of(source.error());
  if (const auto room = conversations_.check_room(source.value(), names); !room.ok()) {
    return partition_error_of(room.error());
  }
  std::optional<Wanted> beginning;
  if (turns && *turns != source->messages().size()) {
    auto history = history_of(source.value(), *turns);
    if (!history.ok()) return history.error();
    beginning = std::move(history).value();
  }
  std::vector<Conversations::Lease> made;
  std::optional<ApiError> failed;
  for (const auto& name : names) {
    // What the first computes anew the others share.
    const bool is_first = made.empty();
    auto child = is_first && beginning ? conversations_.fork_up_to(source.value(), *beginning, name)
                                       : conversations_.fork(is_first ? source.value() : made.front(), name);
    if (!child.ok()) {
      failed = partition_error_of(child.error());
      break;
    }
    made.push_back(std::move(child).value());
    made.back().comes_from(source.value());
    if (is_first && beginning) failed = prefill(made.back(), *beginning, cancel);
    if (failed) break;
  }
  std::vector<Inspected> answer;
  for (const auto& child : made) {
    if (failed) child.give_up();
    answer.push_back(with_cells(child.inspected()));
  }
  if (failed) return *std::move(failed);
  return answer;
}

Answer<Inspected> Service::truncate(const std::string& owner, const std::string& partition, const TruncateRequest& keep,
                                    const std::stop_token& cancel) {
  auto lease = conversations_.hold_idle(owner, partition);
  if (!lease.ok()) return partition_error_of(lease.error());
  if (keep.tokens) {
    const auto cut = conversations_.cut(lease.value(), *keep.tokens);
    if (!cut.ok()) return partition_error_of(cut.error());
    return with_cells(lease->inspected());
  }
  const auto wanted = history_of(lease.value(), keep.turns.value_or(0));
  if (!wanted.ok()) return wanted.error();
  if (const auto cut = conversations_.cut_up_to(lease.value(), wanted.value()); !cut.ok()) {
    return partition_error_of(cut.error());
  }
  if (auto failed = prefill(lease.value(), wanted.value(), cancel)) return *std::move(failed);
  return with_cells(lease->inspected());
}

}  // namespace bulkhead::serve
