// SPDX-License-Identifier: MIT
// The main job, Bulkhead and llama-server side by side in one run: four conditions, three outputs each, weights loaded,
// the same threads and cache types, the same token ids as prompts, from first request to last token. Alternates the
// contestants and prints minima and ratios.
#include "llama_server.h"

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
#include <future>
#include <memory>
#include <set>

namespace bulkhead::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string model = "gemma-3-270m";
  std::string scenario;
  std::string server;
  std::string format = "mlx-seed";
  std::uint32_t new_tokens = 100;
  std::uint32_t threads = 0;
  std::uint32_t repeat = 5;
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

// All requests of `prompts`, in order or at once; texts in the order of prompts.
Result<std::vector<std::string>> ask(const LlamaServer& server, const std::vector<std::vector<std::int32_t>>& prompts,
                                     const Usage& usage, std::uint32_t new_tokens, Tally& tally) {
  std::vector<std::future<Result<Completion>>> answers;
  for (const auto& prompt : prompts) {
    const auto policy = usage.parallel ? std::launch::async : std::launch::deferred;
    answers.push_back(std::async(policy, [&] { return server.complete(prompt, new_tokens, usage.cache_prompt, 42); }));
  }
  std::vector<std::string> texts;
  for (auto& answer : answers) {
    BH_TRY(auto completion, answer.get());
    if (completion.predicted_tokens != new_tokens) {
      return Error{ErrorCode::kRemote,
                   fmt::format("{} tokens in place of {}", completion.predicted_tokens, new_tokens),
                   "llama-server",
                   {}};
    }
    tally.prompt_tokens += completion.prompt_tokens;
    tally.cached_tokens += completion.cached_tokens;
    tally.predicted_tokens += completion.predicted_tokens;
    texts.push_back(std::move(completion.text));
  }
  return texts;
}

// Contexts that wait for no message first, then those that do, with the server's own outputs as messages.
Result<double> serve_job(const Flags& flags, const Usage& usage, const plan::Plan& plan, const engine::Engine& engine,
                         const std::string& model_path, Tally& tally) {
  std::vector<std::string> arguments = {"-m",
                                        model_path,
                                        "-fa",
                                        "on",
                                        "-ctk",
                                        "f16",
                                        "-ctv",
                                        "f16",
                                        "--no-webui",
                                        "-t",
                                        std::to_string(engine.facts().threads),
                                        "-tb",
                                        std::to_string(engine.facts().threads)};
  arguments.insert(arguments.end(), usage.arguments.begin(), usage.arguments.end());
  BH_TRY(const auto server, LlamaServer::start(flags.server, arguments));
  Tally warm_up;
  BH_TRY(const auto ignored, ask(*server, {{2, 100, 101, 102}}, {.name = {}, .arguments = {}}, 4, warm_up));
  const auto begin = Clock::now();
  std::map<std::string, std::string> texts;  // condition/label -> text
  for (const bool waiting : {false, true}) {
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<std::string> names;
    for (const auto& context : plan.contexts) {
      if (context.spec.content.messages_from.empty() == waiting) continue;
      std::map<std::string, std::string> messages;
      for (const auto& label : context.spec.content.messages_from)
        messages[label] = texts[fmt::format("{}/{}", context.condition->name, label)];
      BH_TRY(const auto tokens, plan::context_tokens(plan, context, engine.tokenizer(), messages));
      for (std::size_t i = 0; i < context.outputs.size(); ++i) {
        prompts.push_back(tokens.outputs[i].tokens);
        names.push_back(fmt::format("{}/{}", context.condition->name, context.outputs[i].label));
      }
    }
    BH_TRY(const auto answers, ask(*server, prompts, usage, flags.new_tokens, tally));
    for (std::size_t i = 0; i < names.size(); ++i) texts[names[i]] = answers[i];
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
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
  std::vector<double> seconds;
  Tally tally;  // of the last repetition
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
  BH_TRY(const auto plans, run::prepare(*engine, {std::make_shared<const conversation::Scenario>(std::move(scenario))},
                                        std::make_shared<const prompt::Format>(std::move(format)), experiment));
  std::vector<Row> rows = {{"bulkhead", {}, {}}};
  const auto peers = usages((plans[0].longest_sequence() + 255) / 256 * 256);
  for (const auto& usage : peers) rows.push_back({"llama-server, " + usage.name, {}, {}});
  for (std::uint32_t i = 0; i < flags.repeat; ++i) {
    for (std::size_t k = 0; k < rows.size(); ++k) {
      Tally tally;
      BH_TRY(const auto seconds, k == 0 ? own_job(flags, *engine, plans[0], tally)
                                        : serve_job(flags, peers[k - 1], plans[0], *engine, options.path, tally));
      fmt::print(stderr, "{}/{} {}: {:.2f} s\n", i + 1, flags.repeat, rows[k].name, seconds);
      rows[k].seconds.push_back(seconds);
      rows[k].tally = tally;
    }
  }
  const auto machine = measure::this_machine();
  BH_TRY(const auto sha256, models::model_sha256(options.path));
  return Json{{"benchmark", "main_job"},
              {"bulkhead", BULKHEAD_VERSION},
              {"machine", {{"cpu", machine.cpu}, {"cores", machine.cores}, {"os", machine.os}}},
              {"model", engine->facts().model_name},
              {"model_sha256", sha256},
              {"engine_build", engine->facts().build},
              {"threads", engine->facts().threads},
              {"scenario", plans[0].scenario->id},
              {"scenario_sha256", plans[0].scenario->sha256},
              {"format", flags.format},
              {"new_tokens", flags.new_tokens},
              {"rows", rows_json(rows)}};
}

int main_job(int argc, char** argv) {
  Flags flags;
  CLI::App app("The main job, Bulkhead and llama-server side by side.");
  app.add_option("-m,--model", flags.model)->capture_default_str();
  app.add_option("--scenario", flags.scenario)->required();
  app.add_option("--server", flags.server, "llama-server program")->required();
  app.add_option("--format", flags.format)->capture_default_str();
  app.add_option("-n", flags.new_tokens)->capture_default_str();
  app.add_option("-t", flags.threads)->capture_default_str();
  app.add_option("-r", flags.repeat, "repetitions")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const auto results = measure_all(flags);
  if (!results.ok()) {
    fmt::print(stderr, "main_job: {}\n", results.error().to_string());
    return exit_code(results.error().code);
  }
  fmt::print("{}\n", results.value().dump(1));
  return 0;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  return bulkhead::bench::main_job(argc, argv);
}
