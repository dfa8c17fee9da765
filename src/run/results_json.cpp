// SPDX-License-Identifier: MIT
#include "base/hash.h"
#include "measure/summary.h"
#include "measure/terms.h"
#include "run/result.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace bulkhead::run {
namespace {

double milliseconds(engine::Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

Json scenario_json(const conversation::Scenario& scenario) {
  Json turns = Json::array();
  for (const auto& turn : scenario.turns) {
    turns.push_back({{"id", turn.id}, {"cluster", turn.cluster}, {"role", turn.role}, {"text", turn.text}});
  }
  Json clusters = Json::array();
  for (const auto& cluster : scenario.clusters) {
    clusters.push_back({{"id", cluster.id},
                        {"label", cluster.label},
                        {"topic", cluster.topic},
                        {"turns", cluster.turns},
                        {"depends_on", cluster.depends_on},
                        {"terminology", cluster.terminology},
                        {"expected_output", cluster.expected_output}});
  }
  const auto slash = scenario.path.find_last_of('/');
  return {{"id", scenario.id},
          {"domain", scenario.domain},
          {"file", slash == std::string::npos ? scenario.path : scenario.path.substr(slash + 1)},
          {"sha256", scenario.sha256},
          {"turns", turns},
          {"clusters", clusters}};
}

// Foreign to an output is the terminology of clusters that are neither its own nor among those it receives messages
// from.
measure::TermCounts terms_of(const OutputResult& output, const conversation::Scenario& scenario) {
  const auto* own = scenario.find_cluster(output.cluster);
  std::vector<measure::ClusterTerms> foreign;
  for (const auto& cluster : scenario.clusters) {
    const bool received =
        std::find(own->depends_on.begin(), own->depends_on.end(), cluster.id) != own->depends_on.end();
    if (cluster.id != own->id && !received) foreign.push_back({cluster.id, cluster.terminology});
  }
  return measure::count_terms(output.generated.text, own->terminology, foreign);
}

Json intervals_json(const engine::GenerateResult& generated) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < generated.token_times.size(); ++i) {
    gaps.push_back(milliseconds(generated.token_times[i] - generated.token_times[i - 1]));
  }
  if (gaps.empty()) return {{"median", nullptr}, {"p95", nullptr}};
  const auto summary = measure::summarize(gaps);
  return {{"median", summary.median}, {"p95", summary.p95}};
}

Json output_json(const OutputResult& output, const conversation::Scenario& scenario) {
  const auto terms = terms_of(output, scenario);
  Json foreign = Json::array();
  for (const auto& hit : terms.foreign_terms) {
    foreign.push_back({{"term", hit.term}, {"cluster", hit.cluster}, {"count", hit.count}});
  }
  const auto& hashes = output.generated.logit_hashes;
  const bool countable = terms.obstacle.empty();
  Json json = {{"label", output.label},
               {"cluster", output.cluster},
               {"partition", output.partition},
               {"prompt", output.prompt},
               {"input_tokens", output.input_tokens},
               {"input_sha256", output.input_sha256},
               {"text", output.generated.text},
               {"tokens", output.generated.tokens.size()},
               {"token_ids", output.generated.tokens},
               {"finish", name(output.generated.finish)},
               {"drafted_tokens", output.generated.drafted_tokens},
               {"accepted_tokens", output.generated.accepted_tokens},
               {"ttft_ms", milliseconds(output.time_to_first_token)},
               {"prefill_ms", milliseconds(output.prefill_time)},
               {"decode_ms", milliseconds(output.decode_time)},
               {"itl_ms", intervals_json(output.generated)},
               {"logit_hash", hashes.empty() ? std::string() : fmt::format("{:016x}", hashes.back())},
               {"own_terms", countable ? Json(terms.own) : Json(nullptr)},
               {"foreign_terms", countable ? Json(terms.foreign) : Json(nullptr)},
               {"foreign", foreign}};
  if (!countable) json["terms_obstacle"] = terms.obstacle;
  return json;
}

Json origins_json(const conversation::TracedTokens& tokens) {
  Json counts = Json::object();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    auto& count = counts[std::string(name(tokens.origin(i).kind))];
    count = count.is_null() ? 1 : count.get<std::uint64_t>() + 1;
  }
  return counts;
}

Json partition_json(const PartitionResult& partition) {
  Json messages = Json::array();
  for (const auto& receipt : partition.messages) {
    // The tokens a message became are counted in the context, where they were prefilled.
    std::uint32_t tokens = 0;
    for (std::size_t i = 0; i < partition.context.size(); ++i) {
      const auto& origin = partition.context.origin(i);
      tokens += origin.kind == conversation::OriginKind::kMessage && origin.label == receipt.label ? 1U : 0U;
    }
    messages.push_back(
        {{"label", receipt.label}, {"from", receipt.from}, {"sha256", receipt.sha256}, {"tokens", tokens}});
  }
  return {{"name", partition.name},
          {"clusters", partition.clusters},
          {"turns", partition.turns},
          {"context_tokens", partition.context_tokens},
          {"shared_prefix_tokens", partition.shared_prefix_tokens},
          {"prefilled_tokens", partition.prefilled_tokens},
          {"reused_tokens", partition.reused_tokens},
          {"generated_tokens", partition.generated_tokens},
          {"messages", messages},
          {"template_changes", partition.template_changes},
          {"kv_bytes_used", partition.kv_bytes_used},
          {"kv_bytes_allocated", partition.kv_bytes_allocated},
          {"prefill_ms", milliseconds(partition.prefill_time)},
          {"token_sha256", sha256_of_tokens(partition.context.tokens)},
          {"origins", origins_json(partition.context)}};
}

Json condition_json(const ConditionResult& condition, const conversation::Scenario& scenario) {
  Json partitions = Json::array();
  for (const auto& partition : condition.partitions) partitions.push_back(partition_json(partition));
  Json outputs = Json::array();
  for (const auto& output : condition.outputs) outputs.push_back(output_json(output, scenario));
  const auto prefill = milliseconds(condition.prefill_time);
  const auto decode = milliseconds(condition.decode_time);
  return {{"name", condition.condition->name},
          {"title", condition.condition->title},
          {"separates", condition.condition->separates},
          {"isolation", {{"achieved", condition.isolation.achieved}, {"reasons", condition.isolation.reasons}}},
          {"wall_ms", prefill + decode},
          {"prefill_ms", prefill},
          {"decode_ms", decode},
          {"partitions", partitions},
          {"outputs", outputs}};
}

}  // namespace

Json to_json(const RunResult& result, const plan::Plan& plan, const SamplingOptions& sampling) {
  Json conditions = Json::array();
  for (const auto& condition : result.conditions) conditions.push_back(condition_json(condition, *plan.scenario));
  return {{"scenario", scenario_json(*plan.scenario)},
          {"seed", result.seed},
          {"greedy", sampling.temperature <= 0},
          {"complete", result.complete},
          {"wall_ms", milliseconds(result.wall_time)},
          {"first_request_to_last_token_ms", milliseconds(result.wall_time)},
          {"conditions", conditions}};
}

std::vector<std::string> sample_lines(const RunResult& result, const plan::Plan& plan,
                                      const SamplingOptions& sampling) {
  std::vector<std::string> lines;
  for (const auto& condition : result.conditions) {
    for (const auto& output : condition.outputs) {
      Json hashes = Json::array();
      for (const auto hash : output.generated.logit_hashes) hashes.push_back(fmt::format("{:016x}", hash));
      const Json line = {{"scenario", plan.scenario->id},
                         {"condition", condition.condition->name},
                         {"label", output.label},
                         {"seed", result.seed},
                         {"greedy", sampling.temperature <= 0},
                         {"partition", output.partition},
                         {"prompt", output.prompt},
                         {"text", output.generated.text},
                         {"finish", name(output.generated.finish)},
                         {"tokens", output.generated.tokens},
                         {"logit_hashes", hashes}};
      lines.push_back(json_text(line));
    }
  }
  return lines;
}

}  // namespace bulkhead::run
