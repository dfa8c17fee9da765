// SPDX-License-Identifier: MIT
#include "run/executor.h"

#include "base/hash.h"
#include "partition/partition.h"
#include "run/isolation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace bulkhead::run {
namespace {

using partition::Partition;
using plan::ContextPlan;
using plan::Step;
using plan::StepKind;
using Clock = std::chrono::steady_clock;

enum class StepState { kWaiting, kDone, kDropped };

// What is known of one context while it runs.
struct ContextState {
  std::optional<Clock::time_point> started;
  std::map<std::string, std::string> messages;  // label -> text received
  std::optional<plan::ContextTokens> tokens;    // once all messages are there
  PartitionResult result;
  std::map<std::string, OutputResult> outputs;  // by label
  std::vector<std::string> objections;
};

class Execution {
 public:
  Execution(const plan::Plan& plan, engine::Engine& engine, const ExecuteOptions& options)
      : plan_(plan),
        engine_(engine),
        options_(options),
        contexts_(plan.contexts.size()),
        states_(plan.steps.size(), StepState::kWaiting),
        followers_(plan.steps.size()) {
    for (const auto& context : plan.contexts) {
      if (!needed_.contains(context.condition)) {
        needed_[context.condition] = sequences_needed(plan, *context.condition);
      }
    }
    for (const auto& step : plan.steps) {
      waits_for_.push_back(step.after.size());
      for (const auto id : step.after) followers_[id.value()].push_back(step.id.value());
      if (step.after.empty()) note_ready(step);
      // Messages are not there yet: what they may add is bounded.
      if (step.kind == StepKind::kPrefill && step.awaits_messages && step.output.empty()) {
        total_tokens_ += plan.contexts[step.context].shared_bound;
      } else if (step.kind == StepKind::kPrefill || step.kind == StepKind::kGenerate) {
        total_tokens_ += step.tokens;
      }
    }
  }

  RunResult run() {
    const auto begin = Clock::now();
    while (!options_.cancel.stop_requested()) {
      if (run_one_ready_step()) continue;
      if (!generate_ready()) break;
    }
    RunResult result = collect();
    result.wall_time = (last_token_ ? *last_token_ : Clock::now()) - begin;
    return result;
  }

 private:
  void note_ready(const Step& step) {
    (step.kind == StepKind::kGenerate ? ready_to_generate_ : ready_).insert(step.id.value());
  }

  // The steps that waited for this one wait for one less.
  void release_followers(const Step& step) {
    ready_.erase(step.id.value());
    ready_to_generate_.erase(step.id.value());
    const bool done = states_[step.id.value()] == StepState::kDone;
    for (const auto index : followers_[step.id.value()]) {
      const auto& follower = plan_.steps[index];
      // Closing waits for the last use, and a dropped step uses nothing any more.
      if (!done && follower.kind != StepKind::kClose) continue;
      if (--waits_for_[index] == 0 && states_[index] == StepState::kWaiting) note_ready(follower);
    }
  }

  [[nodiscard]] bool admitted(std::size_t step) { return admit(*plan_.contexts[plan_.steps[step].context].condition); }

  // A condition starts only when all its sequences have room: its contexts wait for each other's messages, so half of
  // them must never hold the room that the others need.
  bool admit(const plan::Condition& condition) {
    if (admitted_.contains(&condition)) return true;
    const auto need = needed_.at(&condition);
    if (admitted_sequences_ != 0 && admitted_sequences_ + need > options_.max_sequences) return false;
    admitted_sequences_ += need;
    for (const auto& step : plan_.steps) {
      const bool open = states_[step.id.value()] == StepState::kWaiting;
      admitted_[&condition] += open && plan_.contexts[step.context].condition == &condition ? 1U : 0U;
    }
    return true;
  }

  void finish(const Step& step, StepState how) {
    if (states_[step.id.value()] != StepState::kWaiting) return;
    states_[step.id.value()] = how;
    release_followers(step);
    const auto& condition = *plan_.contexts[step.context].condition;
    const auto admitted = admitted_.find(&condition);
    if (admitted == admitted_.end()) return;
    if (--admitted->second != 0) return;
    admitted_sequences_ -= needed_.at(&condition);
    if (options_.listener.condition) options_.listener.condition(condition);
  }

  // Drops the failed step's context and whatever waits for one of the dropped steps.
  void drop(const Step& failed, const Error& error) {
    if (reason_.empty()) reason_ = fmt::format("{}: {}", failed.partition, error.to_string());
    std::vector<bool> dropped(plan_.contexts.size(), false);
    dropped[failed.context] = true;
    for (const auto& step : plan_.steps) {
      const bool waits = std::any_of(step.after.begin(), step.after.end(),
                                     [&](plan::StepId id) { return states_[id.value()] == StepState::kDropped; });
      if (waits && step.kind != StepKind::kClose) dropped[step.context] = true;
      if (dropped[step.context]) {
        finish(step, StepState::kDropped);
        partitions_.erase(step.partition);
      }
    }
  }

  bool run_one_ready_step() {
    for (const auto index : ready_) {
      if (!admitted(index)) continue;
      const auto& step = plan_.steps[index];
      if (const auto done = run_step(step); !done.ok()) {
        drop(step, done.error());
      } else {
        finish(step, StepState::kDone);
      }
      return true;
    }
    return false;
  }

  Result<void> run_step(const Step& step) {
    auto& context = contexts_[step.context];
    if (!context.started) context.started = Clock::now();
    switch (step.kind) {
      case StepKind::kOpen: return open(step);
      case StepKind::kPrefill: return prefill(step);
      case StepKind::kFork: return fork(step);
      case StepKind::kSend: return send(step);
      case StepKind::kClose: return close(step);
      case StepKind::kGenerate: break;
    }
    return Error{ErrorCode::kInternal, "a generate step ran outside its wave", step.partition, {}};
  }

  Result<void> open(const Step& step) {
    const bool only_forked = plan_.contexts[step.context].outputs.size() > 1;
    BH_TRY(auto made,
           Partition::open(engine_, step.partition, {.capacity_tokens = step.tokens, .only_forked = only_forked}));
    partitions_.emplace(step.partition, std::move(made));
    return {};
  }

  // The context's tokens, assembled once all its messages have come.
  Result<const plan::ContextTokens*> tokens_of(std::size_t index) {
    auto& context = contexts_[index];
    if (!context.tokens) {
      BH_TRY(context.tokens, plan::context_tokens(plan_, plan_.contexts[index], engine_.tokenizer(), context.messages));
    }
    return static_cast<const plan::ContextTokens*>(&*context.tokens);
  }

  [[nodiscard]] std::size_t output_index(const Step& step) const {
    const auto& outputs = plan_.contexts[step.context].outputs;
    const auto found =
        std::find_if(outputs.begin(), outputs.end(), [&](const auto& output) { return output.label == step.output; });
    return static_cast<std::size_t>(found - outputs.begin());
  }

  Result<void> prefill(const Step& step) {
    BH_TRY(const auto* tokens, tokens_of(step.context));
    auto& target = partitions_.at(step.partition);
    const auto begin = target.ledger().tokens.size();
    const auto& source = tokens->outputs[step.output.empty() ? 0 : output_index(step)];
    const auto end = step.output.empty() ? tokens->shared : source.size();
    report(fmt::format("prefill {}", step.partition));
    const auto before = done_tokens_;
    const auto tell = [&](std::uint32_t tokens_done) {
      done_tokens_ = before + tokens_done;
      report(fmt::format("prefill {}", step.partition));
    };
    if (begin < end) BH_CHECK(target.prefill(source.slice(begin, end), options_.cancel, tell));
    done_tokens_ = before + end - std::min(begin, end);
    if (step.output.empty()) note_context(step, *tokens, target);
    report(fmt::format("prefill {}", step.partition));
    return {};
  }

  void note_context(const Step& step, const plan::ContextTokens& tokens, const Partition& partition) {
    auto& result = contexts_[step.context].result;
    result.context_tokens = static_cast<std::uint32_t>(tokens.context.size());
    result.shared_prefix_tokens = static_cast<std::uint32_t>(tokens.shared);
    result.context = tokens.context;
    result.template_changes = tokens.changes;
    result.messages = partition.ledger().messages;
    result.prefilled_tokens += partition.ledger().prefilled_tokens;
    result.prefill_time += partition.ledger().prefill_time;
    if (const auto state = partition.inspect(); state.ok()) {
      result.kv_bytes_used = state.value().kv_bytes_used;
      result.kv_bytes_allocated = state.value().kv_bytes_allocated;
    }
  }

  Result<void> fork(const Step& step) {
    BH_TRY(const auto* tokens, tokens_of(step.context));
    const auto& source = partitions_.at(step.from);
    const auto& outputs = plan_.contexts[step.context].outputs;
    std::uint32_t capacity = 0;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      capacity = std::max(capacity, static_cast<std::uint32_t>(tokens->outputs[i].size()) + outputs[i].max_tokens);
    }
    BH_TRY(auto made, source.fork(step.partition, static_cast<std::uint32_t>(tokens->shared),
                                  {.capacity_tokens = capacity, .only_forked = false}));
    partitions_.emplace(step.partition, std::move(made));
    return {};
  }

  Result<void> send(const Step& step) {
    BH_TRY(const auto message, partitions_.at(step.from).output_message(step.output));
    contexts_[step.context].messages[step.output] = partitions_.at(step.partition).receive(message);
    return {};
  }

  Result<void> close(const Step& step) {
    const auto found = partitions_.find(step.partition);
    BH_CHECK(found->second.close());
    partitions_.erase(found);
    return {};
  }

  bool generate_ready() {
    std::vector<const Step*> wave;
    for (const auto index : ready_to_generate_) {
      if (admitted(index)) wave.push_back(&plan_.steps[index]);
    }
    if (wave.empty()) return false;
    report(fmt::format("generate {} output{}", wave.size(), wave.size() == 1 ? "" : "s"));
    std::vector<partition::GenerateRequest> requests;
    requests.reserve(wave.size());
    for (const auto* step : wave) requests.push_back(request_for(*step, wave.size()));
    const auto begin = Clock::now();
    const auto results = partition::generate(engine_, requests);
    last_token_ = Clock::now();
    std::uint64_t wave_tokens = 0;
    for (const auto& result : results) wave_tokens += result.ok() ? result.value().tokens.size() : 0;
    for (std::size_t i = 0; i < wave.size(); ++i) {
      if (!results[i].ok()) continue;
      const auto share = wave_tokens == 0
                             ? 0.0
                             : static_cast<double>(results[i].value().tokens.size()) / static_cast<double>(wave_tokens);
      note_output(*wave[i], results[i].value(), begin, *last_token_ - begin, share);
      finish(*wave[i], StepState::kDone);
    }
    for (std::size_t i = 0; i < wave.size(); ++i) {
      if (!results[i].ok()) drop(*wave[i], results[i].error());
    }
    return true;
  }

  partition::GenerateRequest request_for(const Step& step, std::size_t width) {
    GenerateOptions options;
    const auto& context = plan_.contexts[step.context];
    const auto& output = context.outputs[output_index(step)];
    options.sampling = options_.sampling;
    options.max_tokens = output.max_tokens;
    options.ignore_end = options_.ignore_end;
    options.speculate = options_.speculate;
    options.hash_logits = options_.hash_logits && engine_.can(engine::Capability::kLogitHash);
    options.cancel = options_.cancel;
    options.on_token = [this, width, &context, &output](const TokenEvent& event) {
      ++done_tokens_;
      if (options_.listener.text) options_.listener.text(*context.condition, output, event.piece);
      if (done_tokens_ % width == 0) report(fmt::format("generate {} output{}", width, width == 1 ? "" : "s"));
      return true;
    };
    return {&partitions_.at(step.partition), std::move(options), step.output};
  }

  void note_output(const Step& step, const engine::GenerateResult& generated, Clock::time_point begin,
                   engine::Duration wave_time, double share) {
    auto& context = contexts_[step.context];
    const auto& planned = plan_.contexts[step.context].outputs[output_index(step)];
    const auto& partition = partitions_.at(step.partition);
    const auto& ledger = partition.ledger();
    const auto& input = context.tokens->outputs[output_index(step)];
    OutputResult output{.label = planned.label,
                        .cluster = planned.cluster,
                        .partition = step.partition,
                        .prompt = planned.prompt,
                        .input_tokens = static_cast<std::uint32_t>(input.size()),
                        .input_sha256 = sha256_of_tokens(input.tokens),
                        .generated = generated,
                        .prefill_time = ledger.prefill_time};
    if (!generated.token_times.empty()) {
      output.time_to_first_token = begin + generated.token_times.front() - *context.started;
      output.decode_time = generated.token_times.back() - generated.token_times.front();
    }
    sent_[plan_.contexts[step.context].condition][planned.label] = sha256_hex(generated.text);
    if (options_.listener.output) options_.listener.output(*plan_.contexts[step.context].condition, output);
    context.outputs[planned.label] = std::move(output);
    context.result.generated_tokens += generated.tokens.size();
    const bool forked = step.partition != plan_.contexts[step.context].partition;
    if (forked) {
      context.result.reused_tokens += ledger.reused_tokens;
      context.result.prefilled_tokens += ledger.prefilled_tokens;
      context.result.prefill_time += ledger.prefill_time;
    }
    decode_share_[step.context] += std::chrono::duration_cast<engine::Duration>(
        std::chrono::duration<double, std::nano>(static_cast<double>(wave_time.count()) * share));
    question(step, partition);
  }

  void question(const Step& step, const Partition& partition) {
    auto& context = contexts_[step.context];
    const auto state = partition.inspect();
    if (!state.ok()) {
      context.objections.push_back(fmt::format("output {}: {}", step.output, state.error().to_string()));
      return;
    }
    // Assembled anew from the scenario, not taken from what was prefilled.
    const auto expected = plan::output_tokens(plan_, plan_.contexts[step.context], output_index(step),
                                              engine_.tokenizer(), context.messages);
    if (!expected.ok()) {
      context.objections.push_back(fmt::format("output {}: {}", step.output, expected.error().to_string()));
      return;
    }
    const Evidence evidence{.output = step.output,
                            .cluster = plan_.contexts[step.context].outputs[output_index(step)].cluster,
                            .partition = step.partition,
                            .expected = expected.value(),
                            .ledger = &partition.ledger(),
                            .state = state.value(),
                            .window_tokens = engine_.facts().window_tokens};
    const auto found = objections(evidence, *plan_.scenario, sent_[plan_.contexts[step.context].condition]);
    context.objections.insert(context.objections.end(), found.begin(), found.end());
  }

  RunResult collect() {
    RunResult result;
    result.seed = options_.sampling.seed;
    result.complete = std::all_of(states_.begin(), states_.end(), [](StepState s) { return s == StepState::kDone; });
    if (!result.complete) {
      result.incomplete_reason = options_.cancel.stop_requested() ? "interrupted"
                                 : reason_.empty()                ? "some steps never became ready"
                                                                  : reason_;
    }
    for (std::size_t i = 0; i < contexts_.size(); ++i) add_context(result, i);
    for (auto& condition : result.conditions) {
      condition.isolation.achieved = condition.isolation.reasons.empty() && result.complete;
      if (!result.complete) condition.isolation.reasons.push_back("the run is incomplete: " + result.incomplete_reason);
    }
    return result;
  }

  void add_context(RunResult& result, std::size_t index) {
    const ContextPlan& planned = plan_.contexts[index];
    if (result.conditions.empty() || result.conditions.back().condition != planned.condition) {
      result.conditions.push_back({.condition = planned.condition});
    }
    auto& condition = result.conditions.back();
    auto& context = contexts_[index];
    context.result.name = planned.partition;
    context.result.clusters = planned.spec.clusters;
    context.result.turns = planned.spec.content.turns;
    condition.prefill_time += context.result.prefill_time;
    condition.decode_time += decode_share_[index];
    condition.partitions.push_back(std::move(context.result));
    for (const auto& output : planned.outputs) {
      if (const auto found = context.outputs.find(output.label); found != context.outputs.end()) {
        condition.outputs.push_back(std::move(found->second));
      }
    }
    auto& reasons = condition.isolation.reasons;
    reasons.insert(reasons.end(), context.objections.begin(), context.objections.end());
  }

  void report(std::string what) {
    if (options_.progress) options_.progress({std::move(what), done_tokens_, total_tokens_});
  }

  const plan::Plan& plan_;
  engine::Engine& engine_;
  const ExecuteOptions& options_;
  std::vector<ContextState> contexts_;                      // [n_contexts]
  std::vector<StepState> states_;                           // [n_steps]
  std::vector<std::size_t> waits_for_;                      // [n_steps] how many steps before it are not done
  std::vector<std::vector<std::uint32_t>> followers_;       // [n_steps] the steps that wait for it
  std::set<std::uint32_t> ready_;                           // steps that wait on nothing, in the order of the plan
  std::set<std::uint32_t> ready_to_generate_;               // the same; they go together
  std::map<const plan::Condition*, std::uint32_t> needed_;  // sequences
  std::map<std::string, Partition> partitions_;             // open ones, by name
  std::map<const plan::Condition*, SentMessages> sent_;
  std::map<std::size_t, engine::Duration> decode_share_;
  std::map<const plan::Condition*, std::size_t> admitted_;  // with the number of their steps not done or dropped
  std::uint32_t admitted_sequences_ = 0;
  std::uint64_t done_tokens_ = 0;
  std::uint64_t total_tokens_ = 0;
  std::optional<Clock::time_point> last_token_;
  std::string reason_;
};

}  // namespace

std::uint32_t sequences_needed(const plan::Plan& plan, const plan::Condition& condition) noexcept {
  std::uint32_t needed = 0;
  for (const auto& context : plan.contexts) {
    if (context.condition != &condition) continue;
    needed += context.outputs.size() > 1 ? static_cast<std::uint32_t>(context.outputs.size()) + 1 : 1;
  }
  return needed;
}

std::uint32_t sequences_to_reserve(const plan::Plan& plan, std::uint32_t max_sequences) noexcept {
  std::uint32_t largest = 1;
  for (const auto& context : plan.contexts) largest = std::max(largest, sequences_needed(plan, *context.condition));
  return std::max(largest, std::min(max_sequences, plan.most_sequences()));
}

RunResult execute(const plan::Plan& plan, engine::Engine& engine, const ExecuteOptions& options) {
  return Execution(plan, engine, options).run();
}

}  // namespace bulkhead::run
