// SPDX-License-Identifier: MIT
// The main job, Bulkhead, llama-server and (--vllm) vLLM side by side in one run: four conditions, three outputs each,
// weights loaded, the same threads and cache types, the same token ids as prompts, from first request to last token.
// Alternates the contestants and prints minima and ratios.
#include "llama_server.h"
#include "vllm_server.h"

#include "base/hash.h"
#include "base/json.h"
#include "engines/builtin.h"
#include "measure/machine.h"
#include "models/model_files.h"
#include "run/executor.h"
#include "run/experiment.h"

#include <bulkhead/version.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>

namespace bulkhead::bench {
namespace {

using Clock = std::chrono::steady_clock;

const std::vector<std::int32_t> kWarmUpPrompt = {2, 100, 101, 102};

struct Flags {
  std::string model = "gemma-3-270m";
  std::string scenario;
  std::string server;
  std::string vllm;  // checkpoint folder or URL; empty: left out
  std::string vllm_script = "scripts/vllm.sh";
  std::string format = "mlx-seed";
  std::uint32_t new_tokens = 100;
  std::uint32_t threads = 0;
  std::uint32_t repeat = 5;
  std::vector<std::string> conditions;  // empty: all four
  std::string peers;                    // only peers whose row begins so; empty: all
};

// One way to do the main job with llama-server.
struct Usage {
  std::string name;
  std::vector<std::string> arguments;  // beyond model, threads and cache types
  bool cache_prompt = false;
  bool parallel = false;  // all requests that wait on nothing at once
};

std::vector<Usage> usages(std::uint32_t tokens_each) {
  const auto context = [&](std::uint32_t slots) { return std::to_string(slots * tokens_each); };
  return {
      {"one slot, no prompt cache (the seed's way)", {"-np", "1", "-c", context(1), "--cache-ram", "0"}, false, false},
      {"one slot, prompt cache", {"-np", "1", "-c", context(1)}, true, false},
      {"12 slots, prompt cache, requests at once", {"-np", "12", "-no-kvu", "-c", context(12)}, true, true},
      {"12 slots, unified buffer, prompt cache, requests at once",
       {"-np", "12", "-kvu", "-c", context(12)},
       true,
       true}};
}

struct Tally {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t predicted_tokens = 0;
};

// How a peer answers one prompt; called from several threads when it is to answer many at once.
using Complete = std::function<Result<Completion>(const std::vector<std::int32_t>& prompt)>;

// All requests of `prompts`, in order or at once; texts in the order of prompts.
Result<std::vector<std::string>> ask(const Complete& complete, const std::vector<std::vector<std::int32_t>>& prompts,
                                     bool parallel, std::uint32_t new_tokens, Tally& tally) {
  std::vector<std::future<Result<Completion>>> answers;
  for (const auto& prompt : prompts) {
    const auto policy = parallel ? std::launch::async : std::launch::deferred;
    answers.push_back(std::async(policy, [&complete, &prompt] { return complete(prompt); }));
  }
  std::vector<std::string> texts;
  for (auto& answer : answers) {
    BH_TRY(auto completion, answer.get());
    if (completion.predicted_tokens != new_tokens) {
      return Error{ErrorCode::kRemote,
                   fmt::format("{} tokens in place of {}", completion.predicted_tokens, new_tokens),
                   "peer",
                   {}};
    }
    tally.prompt_tokens += completion.prompt_tokens;
    tally.cached_tokens += completion.cached_tokens;
    tally.predicted_tokens += completion.predicted_tokens;
    texts.push_back(std::move(completion.text));
  }
  return texts;
}

// Contexts whose requests go out together; each group waits for the one before it.
using Group = std::vector<const plan::ContextPlan*>;

// All conditions together: first what waits for no message, then the rest.
std::vector<Group> groups_together(const plan::Plan& plan) {
  std::vector<Group> groups(2);
  for (const auto& context : plan.contexts) {
    groups[context.spec.content.messages_from.empty() ? 0 : 1].push_back(&context);
  }
  return groups;
}

// One condition after the other, each as above.
std::vector<Group> groups_by_condition(const plan::Plan& plan) {
  std::vector<Group> groups;
  const plan::Condition* condition = nullptr;
  for (const auto& context : plan.contexts) {
    if (context.condition != condition) groups.resize(groups.size() + 2);
    condition = context.condition;
    groups[groups.size() - (context.spec.content.messages_from.empty() ? 2 : 1)].push_back(&context);
  }
  return groups;
}

// The peer's wall time from the first request to the last token; messages are the peer's own outputs.
Result<double> peer_job(const plan::Plan& plan, const engine::Tokenizer& tokenizer, const std::vector<Group>& groups,
                        const Complete& complete, bool parallel, std::uint32_t new_tokens, Tally& tally) {
  const auto begin = Clock::now();
  std::map<std::string, std::string> texts;  // condition/label -> text
  for (const auto& group : groups) {
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<std::string> names;
    for (const auto* context : group) {
      std::map<std::string, std::string> messages;
      for (const auto& label : context->spec.content.messages_from)
        messages[label] = texts[fmt::format("{}/{}", context->condition->name, label)];
      BH_TRY(const auto tokens, plan::context_tokens(plan, *context, tokenizer, messages));
      for (std::size_t i = 0; i < context->outputs.size(); ++i) {
        prompts.push_back(tokens.outputs[i].tokens);
        names.push_back(fmt::format("{}/{}", context->condition->name, context->outputs[i].label));
      }
    }
    BH_TRY(const auto answers, ask(complete, prompts, parallel, new_tokens, tally));
    for (std::size_t i = 0; i < names.size(); ++i) texts[names[i]] = answers[i];
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Result<double> llama_server_job(const Flags& flags, const Usage& usage, const plan::Plan& plan,
                                const engine::Engine& engine, const std::string& model_path, Tally& tally) {
  const auto threads = std::to_string(engine.facts().threads);
  std::vector<std::string> arguments = {"-m",  model_path,   "-fa", "on",    "-ctk", "f16",  "-ctv",
                                        "f16", "--no-webui", "-t",  threads, "-tb",  threads};
  arguments.insert(arguments.end(), usage.arguments.begin(), usage.arguments.end());
  BH_TRY(const auto server, LlamaServer::start(flags.server, arguments));
  BH_CHECK(server.complete(kWarmUpPrompt, 4, false, 42));
  const Complete complete = [&](const auto& prompt) {
    return server.complete(prompt, flags.new_tokens, usage.cache_prompt, 42);
  };
  return peer_job(plan, engine.tokenizer(), groups_together(plan), complete, usage.parallel, flags.new_tokens, tally);
}

// One server serves all repetitions, since starting it takes a minute; a salt of its own lets none find the prompts of
// an earlier one in its cache.
Result<double> vllm_job(const Flags& flags, const VllmServer& server, const std::vector<Group>& groups,
                        const plan::Plan& plan, const engine::Tokenizer& tokenizer, Tally& tally) {
  const auto salt = std::to_string(Clock::now().time_since_epoch().count());
  BH_CHECK(server.complete(kWarmUpPrompt, 4, salt));
  const Complete complete = [&](const auto& prompt) { return server.complete(prompt, flags.new_tokens, salt); };
  return peer_job(plan, tokenizer, groups, complete, true, flags.new_tokens, tally);
}

Result<double> own_job(const Flags& flags, engine::Engine& engine, const plan::Plan& plan, Tally& tally) {
  const auto result = run::execute(plan, engine, {.sampling = {}, .ignore_end = true, .hash_logits = false});
  if (!result.complete) return Error{ErrorCode::kIncomplete, result.incomplete_reason, "bulkhead", {}};
  for (const auto& condition : result.conditions) {
    for (const auto& partition : condition.partitions) {
      tally.prompt_tokens += partition.prefilled_tokens;
      tally.cached_tokens += partition.reused_tokens;
      tally.predicted_tokens += partition.generated_tokens;
    }
    for (const auto& output : condition.outputs) {
      if (output.generated.tokens.size() == flags.new_tokens) continue;
      return Error{ErrorCode::kInternal,
                   fmt::format("{} tokens in place of {}", output.generated.tokens.size(), flags.new_tokens),
                   output.partition,
                   {}};
    }
  }
  return std::chrono::duration<double>(result.wall_time).count();
}

struct Row {
  std::string name;
  std::function<Result<double>(Tally&)> job;  // wall seconds
  std::vector<double> seconds = {};
  Tally tally = {};  // of the last repetition
};

Json rows_json(const std::vector<Row>& rows) {
  const auto best = [](const Row& row) { return *std::min_element(row.seconds.begin(), row.seconds.end()); };
  Json list = Json::array();
  for (const auto& row : rows) {
    list.push_back({{"name", row.name},
                    {"seconds", row.seconds},
                    {"min_seconds", best(row)},
                    {"ratio_to_bulkhead", best(row) / best(rows.front())},
                    {"prefilled_tokens", row.tally.prompt_tokens},
                    {"reused_tokens", row.tally.cached_tokens},
                    {"generated_tokens", row.tally.predicted_tokens}});
  }
  return list;
}

// All rows in turns, `repeat` times.
Result<void> measure(std::vector<Row>& rows, std::uint32_t repeat) {
  for (std::uint32_t i = 0; i < repeat; ++i) {
    for (auto& row : rows) {
      Tally tally;
      BH_TRY(const auto seconds, row.job(tally));
      fmt::print(stderr, "{}/{} {}: {:.2f} s\n", i + 1, repeat, row.name, seconds);
      row.seconds.push_back(seconds);
      row.tally = tally;
    }
  }
  return {};
}

Result<Json> measure_all(const Flags& flags) {
  BH_TRY(auto scenario, conversation::load_scenario(flags.scenario));
  BH_TRY(auto format, prompt::load_format(flags.format));
  ModelOptions options;
  BH_TRY(const auto path, models::find_model(flags.model, models::Environment::from_process()));
  options.path = path.string();
  options.threads = flags.threads;
  BH_TRY(const auto engine, engines::builtin_engines().make(options));
  run::ExperimentOptions experiment;
  experiment.settings.new_tokens = flags.new_tokens;
  experiment.settings.conditions = flags.conditions;
  BH_TRY(const auto plans, run::prepare(*engine, {std::make_shared<const conversation::Scenario>(std::move(scenario))},
                                        std::make_shared<const prompt::Format>(std::move(format)), experiment));
  const auto& plan = plans[0];
  std::vector<Row> rows = {{"bulkhead", [&](Tally& tally) { return own_job(flags, *engine, plan, tally); }}};
  for (const auto& usage : usages((plan.longest_sequence() + 255) / 256 * 256)) {
    rows.push_back({"llama-server, " + usage.name, [&, usage](Tally& tally) {
                      return llama_server_job(flags, usage, plan, *engine, options.path, tally);
                    }});
  }
  std::optional<VllmServer> vllm;
  if (!flags.vllm.empty()) {
    BH_TRY(auto server, VllmServer::open(flags.vllm, flags.vllm_script, engine->facts().threads));
    vllm = std::move(server);
    const auto job = [&](std::vector<Group> groups) {
      return [&, groups = std::move(groups)](Tally& tally) {
        return vllm_job(flags, *vllm, groups, plan, engine->tokenizer(), tally);
      };
    };
    rows.push_back({"vLLM, all requests of a condition at once", job(groups_by_condition(plan))});
    rows.push_back({"vLLM, all conditions at once", job(groups_together(plan))});
  }
  std::erase_if(rows, [&](const Row& row) { return row.name != "bulkhead" && !row.name.starts_with(flags.peers); });
  BH_CHECK(measure(rows, flags.repeat));
  const auto machine = measure::this_machine();
  BH_TRY(const auto sha256, models::model_sha256(options.path));
  Json document = {{"benchmark", "main_job"},
                   {"bulkhead", BULKHEAD_VERSION},
                   {"machine", {{"cpu", machine.cpu}, {"cores", machine.cores}, {"os", machine.os}}},
                   {"model", engine->facts().model_name},
                   {"model_sha256", sha256},
                   {"engine_build", engine->facts().build},
                   {"threads", engine->facts().threads},
                   {"scenario", plan.scenario->id},
                   {"scenario_sha256", plan.scenario->sha256},
                   {"format", flags.format},
                   {"new_tokens", flags.new_tokens},
                   {"rows", rows_json(rows)}};
  if (vllm) document["vllm"] = vllm->version();
  return document;
}

int main_job(int argc, char** argv) {
  Flags flags;
  CLI::App app("The main job, Bulkhead and its peers side by side.");
  app.add_option("-m,--model", flags.model)->capture_default_str();
  app.add_option("--scenario", flags.scenario)->required();
  app.add_option("--server", flags.server, "llama-server program")->required();
  app.add_option("--vllm", flags.vllm, "checkpoint folder, or URL of a server on loopback: adds vLLM as a peer");
  app.add_option("--vllm-script", flags.vllm_script, "starts vLLM")->capture_default_str();
  app.add_option("--format", flags.format)->capture_default_str();
  app.add_option("-n", flags.new_tokens)->capture_default_str();
  app.add_option("-t", flags.threads)->capture_default_str();
  app.add_option("--conditions", flags.conditions, "of the four; default: all")->delimiter(',');
  app.add_option("--peers", flags.peers, "only rows of peers that begin so");
  app.add_option("-r", flags.repeat, "repetitions")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto results = measure_all(flags);
  if (!results.ok()) {
    fmt::print(stderr, "main_job: {}\n", results.error().to_string());
    return exit_code(results.error().code);
  }
  fmt::print("{}\n", json_text(results.value(), JsonForm::kPretty));
  return 0;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  return bulkhead::bench::main_job(argc, argv);
}
