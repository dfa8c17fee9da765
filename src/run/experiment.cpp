// SPDX-License-Identifier: MIT
#include "run/experiment.h"

#include "base/hash.h"
#include "base/utf8.h"
#include "measure/process_memory.h"
#include "plan/count_difference.h"
#include "run/provenance.h"
#include "run/result.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <tuple>

namespace bulkhead::run {
namespace {

Json settings_json(const plan::Plan& plan, const ExperimentOptions& options) {
  Json conditions = Json::array();
  for (const auto& context : plan.contexts) {
    const auto name = std::string(context.condition->name);
    if (conditions.empty() || conditions.back() != name) conditions.push_back(name);
  }
  const auto& sampling = options.sampling;
  return {{"format", plan.format->name},
          {"format_sha256", plan.format->sha256},
          {"prompt_set", options.settings.prompt_set.empty() ? Json(nullptr) : Json(options.settings.prompt_set)},
          {"seed", sampling.seed},
          {"sampling",
           {{"temperature", sampling.temperature},
            {"top_k", sampling.top_k},
            {"top_p", sampling.top_p},
            {"min_p", sampling.min_p},
            {"repeat_penalty", sampling.repeat_penalty}}},
          {"ignore_end", options.ignore_end},
          {"speculate", options.speculate},
          {"conditions", conditions}};
}

Json engine_document(const engine::Facts& facts, const ExperimentOptions& options) {
  auto engine = engine_json(facts);
  if (options.load_time) engine["load_ms"] = std::chrono::duration<double, std::milli>(*options.load_time).count();
  return engine;
}

Json memory_json(const engine::Engine& engine, std::uint64_t kv_bytes) {
  Json memory = {{"peak_rss_bytes", measure::process_memory().peak_bytes}, {"kv_bytes_allocated", kv_bytes}};
  if (auto workers = workers_json(engine); !workers.is_null()) memory["workers"] = std::move(workers);
  return memory;
}

// The two formats of the seed experiment are each other's comparison; the others stand alone.
Result<Json> differences_json(const std::vector<plan::Plan>& plans, const engine::Tokenizer& tokenizer) {
  Json list = Json::array();
  static const std::map<std::string, std::string, std::less<>> kCounterpart = {{"mlx-seed", "hf-seed"},
                                                                               {"hf-seed", "mlx-seed"}};
  const auto counterpart = kCounterpart.find(plans.front().format->name);
  if (counterpart == kCounterpart.end()) return list;
  BH_TRY(auto loaded, prompt::load_format(counterpart->second));
  const auto other = std::make_shared<const prompt::Format>(std::move(loaded));
  for (const auto& plan : plans) {
    BH_TRY(const auto counterplan, plan::make_plan(plan.scenario, other, tokenizer, plan.settings));
    BH_TRY(const auto differences, plan::count_differences(plan, counterplan));
    for (const auto& difference : differences) {
      Json parts = Json::array();
      for (const auto& part : difference.parts) parts.push_back({{"reason", part.reason}, {"tokens", part.tokens}});
      list.push_back({{"scenario", plan.scenario->id},
                      {"condition", difference.condition},
                      {"context", difference.context},
                      {"other_format", other->name},
                      {"this_tokens", difference.first},
                      {"other_tokens", difference.second},
                      {"parts", parts}});
    }
  }
  return list;
}

// Means over the seeds, for each scenario, label and condition, in the order of the runs.
Json term_summary(const Json& runs) {
  struct Sum {
    double foreign = 0;
    double own = 0;
    int n = 0;
  };
  // Scenarios of one id and other contents are not one.
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  std::map<Key, Sum> sums;
  std::vector<Key> order;
  for (const auto& run : runs) {
    for (const auto& condition : run["conditions"]) {
      for (const auto& output : condition["outputs"]) {
        const Key key{run["scenario"]["id"], run["scenario"]["sha256"], output["label"], condition["name"]};
        if (!sums.contains(key)) order.push_back(key);
        auto& sum = sums[key];
        if (output["foreign_terms"].is_null()) continue;  // not countable
        sum.foreign += output["foreign_terms"].get<double>();
        sum.own += output["own_terms"].get<double>();
        ++sum.n;
      }
    }
  }
  Json list = Json::array();
  for (const auto& key : order) {
    const auto& [scenario, sha256, label, condition] = key;
    const auto& sum = sums[key];
    list.push_back({{"scenario", scenario},
                    {"scenario_sha256", sha256},
                    {"label", label},
                    {"condition", condition},
                    {"n", sum.n},
                    {"foreign_mean", sum.n == 0 ? Json(nullptr) : Json(sum.foreign / sum.n)},
                    {"own_mean", sum.n == 0 ? Json(nullptr) : Json(sum.own / sum.n)}});
  }
  return list;
}

Json manifest_json(const Json& document, const std::vector<plan::Plan>& plans, const ExperimentOptions& options) {
  Json scenarios = Json::array();
  for (const auto& plan : plans) {
    scenarios.push_back(
        {{"id", plan.scenario->id}, {"path", escape_bytes(plan.scenario->path)}, {"sha256", plan.scenario->sha256}});
  }
  const auto binary = sha256_of_file("/proc/self/exe");
  Json command = Json::array();
  for (const auto& argument : options.command) command.push_back(escape_bytes(argument));
  return {{"bulkhead", document["bulkhead"]},
          {"binary_sha256", binary.ok() ? Json(binary.value()) : Json(nullptr)},
          {"command", command},
          {"machine", document["machine"]},
          {"model", document["model"]},
          {"engine", document["engine"]},
          {"settings", document["settings"]},
          {"repeat", options.repeat},
          {"scenarios", scenarios}};
}

Result<void> write_folder(const ExperimentOptions& options, const Json& document,
                          const std::vector<std::string>& samples, const std::vector<plan::Plan>& plans) {
  if (options.folder == nullptr) return {};
  std::map<std::string, std::string> documents;
  auto& lines = documents["samples.jsonl"];
  for (const auto& sample : samples) lines += sample + '\n';
  if (options.transcript != nullptr) {
    documents["transcript.jsonl"] = engine::to_json_lines(*options.transcript, options.transcript_header);
  }
  documents["results.json"] = json_text(document, JsonForm::kPretty) + '\n';
  return options.folder->replace(std::move(documents), manifest_json(document, plans, options));
}

struct Room {
  std::uint32_t sequences = 1;
  std::uint32_t tokens_each = 1;
};

Room room_for(const std::vector<plan::Plan>& plans, std::uint32_t max_sequences) {
  Room room;
  for (const auto& plan : plans) {
    room.sequences = std::max(room.sequences, sequences_to_reserve(plan, max_sequences));
    room.tokens_each = std::max(room.tokens_each, plan.longest_sequence());
  }
  return room;
}

}  // namespace

Result<std::vector<plan::Plan>> prepare(engine::Engine& engine,
                                        const std::vector<std::shared_ptr<const conversation::Scenario>>& scenarios,
                                        const std::shared_ptr<const prompt::Format>& format,
                                        const ExperimentOptions& options) {
  std::vector<plan::Plan> plans;
  for (const auto& scenario : scenarios) {
    const bool again = std::any_of(plans.begin(), plans.end(), [&](const plan::Plan& plan) {
      return plan.scenario->id == scenario->id && plan.scenario->sha256 == scenario->sha256;
    });
    if (again) {
      return Error{ErrorCode::kUsage, "the scenario is given twice: the same run would count as two", scenario->path,
                   "give it once; --repeat runs it with further seeds"};
    }
    BH_TRY(auto plan, plan::make_plan(scenario, format, engine.tokenizer(), options.settings));
    const auto limit = engine.facts().context_tokens;
    if (plan.longest_sequence() > limit) {
      return Error{
          ErrorCode::kResource,
          fmt::format("the longest context needs {} tokens and the model allows {}: {} too many",
                      plan.longest_sequence(), limit, plan.longest_sequence() - limit),
          scenario->path,
          "generate fewer tokens (-n), shorten the scenario, or raise -c up to what the model was trained for"};
    }
    plans.push_back(std::move(plan));
  }
  const auto room = room_for(plans, options.max_sequences);
  BH_CHECK(engine.reserve(room.sequences, room.tokens_each));
  return plans;
}

Result<Json> run_experiment(engine::Engine& engine, const std::vector<plan::Plan>& plans,
                            const ExperimentOptions& options) {
  BH_TRY(const auto differences, differences_json(plans, engine.tokenizer()));
  Json document = {{"format_version", 1},
                   {"complete", true},
                   {"incomplete_reason", nullptr},
                   {"bulkhead", build_json()},
                   {"machine", machine_json()},
                   {"model", model_json(engine.facts(), options.model_sha256)},
                   {"engine", engine_document(engine.facts(), options)},
                   {"settings", settings_json(plans.front(), options)},
                   {"memory", Json::object()},
                   {"count_differences", differences},
                   {"runs", Json::array()},
                   {"term_summary", Json::array()}};
  std::vector<std::string> samples;
  bool stopped = false;
  const auto room = room_for(plans, options.max_sequences);
  const std::uint32_t seeds = options.sampling.temperature <= 0 ? 1 : std::max(1U, options.repeat);
  for (const auto& plan : plans) {
    for (std::uint32_t i = 0; i < seeds && !stopped; ++i) {
      auto sampling = options.sampling;
      sampling.seed += i;
      const auto result = execute(plan, engine,
                                  {.sampling = sampling,
                                   .ignore_end = options.ignore_end,
                                   .speculate = options.speculate,
                                   .hash_logits = true,
                                   .max_sequences = options.max_sequences,
                                   .cancel = options.cancel,
                                   .progress = options.progress,
                                   .listener = options.listener});
      document["runs"].push_back(to_json(result, plan, sampling));
      const auto lines = sample_lines(result, plan, sampling);
      samples.insert(samples.end(), lines.begin(), lines.end());
      const bool last = i + 1 == seeds && &plan == &plans.back();
      stopped = !result.complete;
      document["complete"] = last && result.complete;
      document["incomplete_reason"] = stopped ? Json(result.incomplete_reason)
                                      : last  ? Json(nullptr)
                                              : Json("further runs were to follow");
      document["term_summary"] = term_summary(document["runs"]);
      document["memory"] = memory_json(engine, engine.bytes_for(room.sequences, room.tokens_each));
      // After every run, so that a killed experiment keeps the runs that were finished.
      BH_CHECK(write_folder(options, document, samples, plans));
    }
  }
  return document;
}

}  // namespace bulkhead::run
