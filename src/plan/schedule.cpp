// SPDX-License-Identifier: MIT
#include "plan/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace bulkhead::plan {
namespace {

// Where an output was made: its partition stays open until every receiver has it.
struct Made {
  std::size_t context = 0;
  std::string partition;
  StepId generated{0};
  std::vector<StepId> sends;
};

using OutputKey = std::pair<const Condition*, std::string>;  // condition, label

class Scheduler {
 public:
  explicit Scheduler(std::span<const ContextPlan> contexts) : contexts_(contexts) {
    for (const auto& context : contexts) {
      for (const auto& label : context.spec.content.messages_from) ++receivers_[{context.condition, label}];
    }
  }

  Result<std::vector<Step>> run() {
    std::vector<std::size_t> waiting;
    for (std::size_t i = 0; i < contexts_.size(); ++i) waiting.push_back(i);
    while (!waiting.empty()) {
      const auto next =
          std::find_if(waiting.begin(), waiting.end(), [&](std::size_t index) { return can_start(index); });
      if (next == waiting.end()) {
        return Error{ErrorCode::kInternal, "its messages can never come", contexts_[waiting.front()].partition, {}};
      }
      add_context(*next);
      waiting.erase(next);
      close_outputs();
    }
    return std::move(steps_);
  }

 private:
  [[nodiscard]] bool can_start(std::size_t index) const {
    const auto& labels = contexts_[index].spec.content.messages_from;
    return std::all_of(labels.begin(), labels.end(), [&](const auto& label) {
      return made_.contains({contexts_[index].condition, label});
    });
  }

  StepId add(Step step) {
    step.id = StepId(static_cast<std::uint32_t>(steps_.size()));
    steps_.push_back(std::move(step));
    return steps_.back().id;
  }

  static Step blank(StepKind kind, std::size_t index, const std::string& partition) {
    Step step;
    step.kind = kind;
    step.context = index;
    step.partition = partition;
    return step;
  }

  void add_context(std::size_t index) {
    const auto& context = contexts_[index];
    const bool one_output = context.outputs.size() == 1;
    auto ready = add_open_and_messages(index);
    auto prefill = blank(StepKind::kPrefill, index, context.partition);
    prefill.tokens = static_cast<std::uint32_t>(context.known.shared);
    prefill.awaits_messages = awaits(context);
    prefill.after = std::move(ready);
    const auto prefilled = add(std::move(prefill));
    if (one_output) {
      add_generate(index, context.outputs.front(), context.partition, prefilled);
      return;
    }
    std::vector<StepId> forks;
    for (std::size_t i = 0; i < context.outputs.size(); ++i) forks.push_back(add_fork(index, i, prefilled));
    auto close = blank(StepKind::kClose, index, context.partition);
    close.after = forks.empty() ? std::vector{prefilled} : std::move(forks);
    add(std::move(close));
  }

  // Gives the steps that the context's prefill waits for. A receiver opens when its messages are there, so that it does
  // not hold room while it waits.
  std::vector<StepId> add_open_and_messages(std::size_t index) {
    const auto& context = contexts_[index];
    auto open = blank(StepKind::kOpen, index, context.partition);
    open.tokens = context.outputs.size() == 1 ? context.longest : context.shared_bound;
    open.awaits_messages = awaits(context);
    for (const auto& label : context.spec.content.messages_from) {
      open.after.push_back(made_.at({context.condition, label}).generated);
    }
    const auto opened = add(std::move(open));
    std::vector<StepId> ready = {opened};
    for (const auto& label : context.spec.content.messages_from) {
      auto& source = made_.at({context.condition, label});
      auto send = blank(StepKind::kSend, index, context.partition);
      send.from = source.partition;
      send.output = label;
      send.after = {source.generated, opened};
      ready.push_back(add(std::move(send)));
      source.sends.push_back(ready.back());
      --receivers_.at({context.condition, label});
    }
    return ready;
  }

  StepId add_fork(std::size_t index, std::size_t output_index, StepId prefilled) {
    const auto& context = contexts_[index];
    const auto& output = context.outputs[output_index];
    const auto name = fmt::format("{}/{}", context.partition, output.label);
    auto fork = blank(StepKind::kFork, index, name);
    fork.from = context.partition;
    fork.tokens = static_cast<std::uint32_t>(context.known.shared);
    fork.awaits_messages = awaits(context);
    fork.after = {prefilled};
    const auto forked = add(std::move(fork));
    auto prefill = blank(StepKind::kPrefill, index, name);
    prefill.output = output.label;
    prefill.tokens = static_cast<std::uint32_t>(context.known.outputs[output_index].size() - context.known.shared);
    prefill.after = {forked};
    add_generate(index, output, name, add(std::move(prefill)));
    return forked;
  }

  void add_generate(std::size_t index, const OutputPlan& output, const std::string& partition, StepId prefilled) {
    auto generate = blank(StepKind::kGenerate, index, partition);
    generate.output = output.label;
    generate.tokens = output.max_tokens;
    generate.after = {prefilled};
    const auto generated = add(std::move(generate));
    made_[{contexts_[index].condition, output.label}] = {index, partition, generated, {}};
    open_outputs_.emplace_back(contexts_[index].condition, output.label);
  }

  // Closes the partitions of outputs that none of the contexts still to come receives.
  void close_outputs() {
    std::erase_if(open_outputs_, [&](const OutputKey& key) {
      if (const auto awaited = receivers_.find(key); awaited != receivers_.end() && awaited->second > 0) return false;
      const auto& source = made_.at(key);
      auto close = blank(StepKind::kClose, source.context, source.partition);
      close.after = {source.generated};
      close.after.insert(close.after.end(), source.sends.begin(), source.sends.end());
      add(std::move(close));
      return true;
    });
  }

  static bool awaits(const ContextPlan& context) { return !context.spec.content.messages_from.empty(); }

  std::span<const ContextPlan> contexts_;
  std::vector<Step> steps_;
  std::map<OutputKey, Made> made_;
  std::map<OutputKey, std::size_t> receivers_;  // contexts still to come that receive it
  std::vector<OutputKey> open_outputs_;         // in the order they were made
};

}  // namespace

Result<std::vector<Step>> schedule(std::span<const ContextPlan> contexts) {
  return Scheduler(contexts).run();
}

}  // namespace bulkhead::plan
