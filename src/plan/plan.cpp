// SPDX-License-Identifier: MIT
#include "plan/plan.h"

#include "plan/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace bulkhead::plan {
namespace {

using conversation::TracedTokens;

constexpr std::uint32_t kMaxNewTokens = 1'000'000;

// Text is tokenized anew when it arrives, and the tokenizer's own cut can be a little longer than the tokens it was
// generated as (a digit run or a line break split otherwise).
std::uint32_t message_bound(std::uint32_t max_tokens) {
  return max_tokens + max_tokens / 8 + 16;
}

// Leading tokens that all outputs have in common by id and by origin: the prompts of two outputs may begin with the
// same words, but each belongs to its own output.
std::size_t shared_tokens(const std::vector<TracedTokens>& outputs) {
  std::vector<const TracedTokens*> all;
  all.reserve(outputs.size());
  for (const auto& output : outputs) all.push_back(&output);
  std::size_t shared = conversation::common_prefix(all);
  if (outputs.size() < 2) return shared;
  for (const auto& output : outputs) shared = std::min(shared, output.size() - std::min<std::size_t>(1, output.size()));
  for (std::size_t i = 0; i < shared; ++i) {
    const auto& first = outputs.front().origin(i);
    const bool same =
        std::all_of(outputs.begin(), outputs.end(), [&](const auto& one) { return one.origin(i) == first; });
    if (!same) return i;
  }
  return shared;
}

// What is said about a turn names the file, too.
Result<prompt::Layout> placed(Result<prompt::Layout> layout, const conversation::Scenario& scenario) {
  if (layout.ok() || scenario.path.empty()) return layout;
  auto error = layout.error();
  const bool about_text = error.code == ErrorCode::kBadInput || error.code == ErrorCode::kUnsupported;
  if (about_text) error.place = scenario.path + (error.place.empty() ? "" : ", " + error.place);
  return error;
}

Result<prompt::Layout> with_prompt(const conversation::Scenario& scenario, const prompt::Format& format,
                                   std::vector<prompt::Block>& blocks, const OutputPlan& output,
                                   const engine::Tokenizer& tokenizer) {
  blocks.push_back(prompt::prompt_block(format, output.prompt, output.label));
  auto whole = placed(prompt::lay_out(format, blocks, tokenizer, true), scenario);
  blocks.pop_back();
  return whole;
}

Result<ContextTokens> tokens_with(const conversation::Scenario& scenario, const prompt::Format& format,
                                  const ContextPlan& context, const engine::Tokenizer& tokenizer,
                                  const std::map<std::string, std::string>& messages) {
  ContextTokens tokens;
  auto blocks = prompt::context_blocks(format, scenario, context.spec.content, messages);
  BH_TRY(auto layout, placed(prompt::lay_out(format, blocks, tokenizer, false), scenario));
  tokens.context = std::move(layout.tokens);
  tokens.changes = std::move(layout.changes);
  for (const auto& output : context.outputs) {
    BH_TRY(auto whole, with_prompt(scenario, format, blocks, output, tokenizer));
    tokens.outputs.push_back(std::move(whole.tokens));
    for (auto& change : whole.changes) {
      if (std::find(tokens.changes.begin(), tokens.changes.end(), change) == tokens.changes.end()) {
        tokens.changes.push_back(std::move(change));
      }
    }
  }
  tokens.shared = shared_tokens(tokens.outputs);
  return tokens;
}

Result<OutputPlan> plan_output(const Plan& plan, const Condition& condition, const std::string& label) {
  const auto& clusters = plan.scenario->clusters;
  const auto cluster =
      std::find_if(clusters.begin(), clusters.end(), [&](const auto& one) { return one.label == label; });
  if (cluster == clusters.end()) {
    return Error{
        ErrorCode::kInternal, fmt::format("no cluster has the label \"{}\"", label), std::string(condition.name), {}};
  }
  OutputPlan output{.label = label, .cluster = cluster->id, .prompt = {}};
  BH_TRY(output.prompt,
         prompt::prompt_text(*plan.format, *plan.scenario, *cluster, condition.name, plan.settings.prompt_set));
  const auto own =
      cluster->depends_on.empty() ? plan.format->new_tokens_independent : plan.format->new_tokens_dependent;
  output.max_tokens = plan.settings.new_tokens.value_or(own);
  return output;
}

// Sets the bounds: the context with its message frames but no text in them, and the longest texts that may come.
Result<void> bound_context(const Plan& plan, ContextPlan& context, const engine::Tokenizer& tokenizer) {
  std::map<std::string, std::string> frames;
  std::uint32_t texts = 0;
  for (const auto& label : context.spec.content.messages_from) {
    BH_TRY(const auto sender, plan_output(plan, *context.condition, label));
    frames[label] = "";
    texts += message_bound(sender.max_tokens);
  }
  ContextTokens framed = context.known;
  if (!frames.empty()) {
    BH_TRY(framed, tokens_with(*plan.scenario, *plan.format, context, tokenizer, frames));
  }
  context.shared_bound = static_cast<std::uint32_t>(framed.shared) + texts;
  for (std::size_t i = 0; i < framed.outputs.size(); ++i) {
    const auto length = static_cast<std::uint32_t>(framed.outputs[i].size()) + texts + context.outputs[i].max_tokens;
    context.longest = std::max(context.longest, length);
  }
  return {};
}

Result<void> add_contexts(Plan& plan, const Condition& condition, const engine::Tokenizer& tokenizer) {
  for (auto& spec : condition.contexts(*plan.scenario)) {
    ContextPlan context;
    context.condition = &condition;
    context.partition = fmt::format("{}/{}", condition.name, spec.name);
    for (const auto& label : spec.outputs) {
      BH_TRY(auto output, plan_output(plan, condition, label));
      context.outputs.push_back(std::move(output));
    }
    context.spec = std::move(spec);
    BH_TRY(context.known, tokens_with(*plan.scenario, *plan.format, context, tokenizer, {}));
    BH_CHECK(bound_context(plan, context, tokenizer));
    plan.contexts.push_back(std::move(context));
  }
  return {};
}

Result<std::vector<const Condition*>> chosen_conditions(const Settings& settings) {
  std::vector<const Condition*> chosen;
  std::set<std::string> seen;
  for (const auto& name : settings.conditions) {
    BH_TRY(const auto* condition, find_condition(name));
    if (!seen.insert(name).second) {
      return Error{ErrorCode::kUsage, fmt::format("the condition \"{}\" is asked for twice", name), {}, {}};
    }
    chosen.push_back(condition);
  }
  if (settings.conditions.empty()) {
    for (const auto& condition : conditions()) chosen.push_back(&condition);
  }
  return chosen;
}

}  // namespace

std::string_view name(StepKind kind) noexcept {
  switch (kind) {
    case StepKind::kOpen: return "open";
    case StepKind::kPrefill: return "prefill";
    case StepKind::kFork: return "fork";
    case StepKind::kGenerate: return "generate";
    case StepKind::kSend: return "send";
    case StepKind::kClose: return "close";
  }
  return "";
}

std::uint32_t Plan::longest_sequence() const noexcept {
  std::uint32_t longest = 0;
  for (const auto& context : contexts) longest = std::max(longest, context.longest);
  return longest;
}

std::uint32_t Plan::most_sequences() const noexcept {
  return static_cast<std::uint32_t>(std::count_if(steps.begin(), steps.end(), [](const Step& step) {
    return step.kind == StepKind::kOpen || step.kind == StepKind::kFork;
  }));
}

Result<Plan> make_plan(std::shared_ptr<const conversation::Scenario> scenario,
                       std::shared_ptr<const prompt::Format> format, const engine::Tokenizer& tokenizer,
                       const Settings& settings) {
  if (const auto count = settings.new_tokens.value_or(1); count == 0 || count > kMaxNewTokens) {
    return Error{ErrorCode::kUsage,
                 fmt::format("{} new tokens were asked for", count),
                 {},
                 fmt::format("ask for 1 to {}", kMaxNewTokens)};
  }
  Plan plan;
  plan.scenario = std::move(scenario);
  plan.format = std::move(format);
  plan.settings = settings;
  BH_TRY(const auto chosen, chosen_conditions(settings));
  for (const auto* condition : chosen) BH_CHECK(add_contexts(plan, *condition, tokenizer));
  BH_TRY(plan.steps, schedule(plan.contexts));
  return plan;
}

Result<ContextTokens> context_tokens(const Plan& plan, const ContextPlan& context, const engine::Tokenizer& tokenizer,
                                     const std::map<std::string, std::string>& messages) {
  return tokens_with(*plan.scenario, *plan.format, context, tokenizer, messages);
}

Result<TracedTokens> output_tokens(const Plan& plan, const ContextPlan& context, std::size_t index,
                                   const engine::Tokenizer& tokenizer,
                                   const std::map<std::string, std::string>& messages) {
  auto blocks = prompt::context_blocks(*plan.format, *plan.scenario, context.spec.content, messages);
  BH_TRY(auto whole, with_prompt(*plan.scenario, *plan.format, blocks, context.outputs[index], tokenizer));
  return std::move(whole.tokens);
}

}  // namespace bulkhead::plan
