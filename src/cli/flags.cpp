// SPDX-License-Identifier: MIT
#include "cli/flags.h"

#include "base/console.h"
#include "base/log.h"
#include "base/printable.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "engine/option_bounds.h"
#include "models/model_files.h"
#include "models/pull.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <utility>

namespace bulkhead::cli {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kOneDash = {{
    {"-hf", "--hf-repo"},
    {"-np", "--parallel"},
    {"-ngl", "--gpu-layers"},
    {"-fa", "--flash-attn"},
    {"-ctk", "--cache-type-k"},
    {"-ctv", "--cache-type-v"},
}};

constexpr std::string_view kDefaultModel = "qwen2.5-coder-0.5b";

const std::map<std::string, Grade> kGrades = {
    {"buffer", Grade::kBuffer}, {"mask", Grade::kMask}, {"process", Grade::kProcess}};
const std::map<std::string, Isolation> kIsolations = {
    {"auto", Isolation::kAuto}, {"strict", Isolation::kStrict}, {"fast", Isolation::kFast}};
const std::map<std::string, Guard> kGuards = {
    {"none", Guard::kNone}, {"pages", Guard::kPages}, {"poison", Guard::kPoison}};

// What -hf means to an engine, pulled where it is not here: a first use may fetch gigabytes, and shows how far it is.
Result<std::filesystem::path> pull_for(const std::string& engine, const std::string& hub,
                                       const models::Environment& environment) {
  using Kind = models::PullRequest::Kind;
  const bool quiet = !log::get().should_log(spdlog::level::warn);
  ProgressLine line(quiet ? ProgressLine::Mode::kNever : ProgressLine::Mode::kAuto);
  models::PullProgress progress;
  progress.note = [&](std::string_view text) {
    line.finish();
    if (!quiet) console::say("{}", text);
  };
  progress.bytes = [&](std::uint64_t done, std::uint64_t total) { line.update(hub, done, total, "bytes"); };
  const auto kind = engine == "llama" ? Kind::kHub : Kind::kHubCheckpoint;
  BH_TRY(auto pulled, models::pull({kind, hub}, environment, progress, stop_on_signal()));
  return std::move(pulled.path);
}

// What the table of the engines says of `field`, asked before anything is loaded.
CLI::Validator within(std::string_view field) {
  const auto check = [field](const std::string& text) {
    double value = 0;
    if (!CLI::detail::lexical_cast(text, value)) return fmt::format("\"{}\" is not a number", text);
    const auto checked = engine::check_bound(field, value);
    return checked.ok() ? std::string() : checked.error().message;
  };
  return CLI::Validator(check, std::string(engine::bound_of(field).range));
}

}  // namespace

std::vector<std::string> normalize_arguments(int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  for (auto& argument : arguments) {
    for (const auto& [one, two] : kOneDash) {
      if (argument == one)
        argument = two;
      else if (argument.starts_with(std::string(one) + "="))
        argument = std::string(two) + argument.substr(one.size());
    }
  }
  return arguments;
}

void add_common_flags(CLI::App& app, CommonFlags& flags) {
  app.add_flag("--json", flags.json, "machine-readable output on stdout (the same as -o json)");
  app.add_option("-o,--output", flags.output, "form of the output on stdout")
      ->check(CLI::IsMember({"table", "json", "md", "csv"}))
      ->capture_default_str();
  add_progress_flags(app, flags);
  app.add_flag("-v,--verbose", flags.verbose, "more on stderr; twice for the engine's own log");
}

void add_progress_flags(CLI::App& app, CommonFlags& flags) {
  app.add_flag("-q,--quiet", flags.quiet, "errors only on stderr");
  app.add_option("--progress", flags.progress, "progress on stderr")
      ->check(CLI::IsMember({"auto", "never"}))
      ->capture_default_str();
}

ProgressLine::Mode progress_mode(const CommonFlags& flags) {
  return flags.quiet || flags.progress == "never" ? ProgressLine::Mode::kNever : ProgressLine::Mode::kAuto;
}

void add_model_flags(CLI::App& app, ModelFlags& flags) {
  auto* model = app.add_option("-m,--model", flags.model, "model: a name of `bulkhead models`, or a GGUF file")
                    ->envname("LLAMA_ARG_MODEL");
  app.add_option("--hf-repo", flags.hub, "-hf user/repo[:quant]: a model of the hub; pulled where it is not here")
      ->excludes(model);
  app.add_option("--engine", flags.options.engine, "engine that runs it")->capture_default_str();
  app.add_option("-c,--ctx-size", flags.options.context_tokens,
                 "most tokens of one partition; 0: what the model allows")
      ->check(within("context_tokens"))
      ->capture_default_str();
  app.add_option("-t,--threads", flags.options.threads, "threads; 0: one per core")
      ->check(within("threads"))
      ->capture_default_str();
  app.add_option("--gpu-layers", flags.options.gpu_layers, "-ngl: layers on the GPU; -1: all")
      ->check(within("gpu_layers"))
      ->capture_default_str();
  app.add_option("--flash-attn", flags.flash_attention, "-fa: flash attention")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--dtype", flags.options.dtype, "engines transformers and mlx: what they compute in")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "f16"}))
      ->capture_default_str();
  app.add_option("--cache-type-k", flags.options.kv_type_k, "-ctk: type of the K cache")
      ->check(CLI::IsMember({"auto", "f16", "q8_0", "q4_0"}))
      ->capture_default_str();
  app.add_option("--cache-type-v", flags.options.kv_type_v, "-ctv: type of the V cache")
      ->check(CLI::IsMember({"auto", "f16", "q8_0", "q4_0"}))
      ->capture_default_str();
  app.add_option("--kernels", flags.options.kernels, "what multiplies with the weights: Bulkhead's kernels or ggml's")
      ->check(CLI::IsMember({"auto", "bulkhead", "stock"}))
      ->capture_default_str();
  app.add_flag("!--no-packed-cache", flags.options.keep_packed,
               "do not keep packed weights on disk for a faster next start");
  app.add_option("--isolation", flags.isolation,
                 "strict: no bit depends on other partitions, or the model is refused; fast: gives that up; auto: "
                 "strict where it holds")
      ->check(CLI::IsMember({"auto", "strict", "fast"}))
      ->capture_default_str();
  app.add_option("--guard", flags.guard,
                 "during a computation, lock other partitions' memory pages, or fill their cells with NaN (slow)")
      ->check(CLI::IsMember({"none", "pages", "poison"}))
      ->capture_default_str();
  app.add_flag("--leaky", flags.options.leaky,
               "engines transformers and mlx: forks share one cache, the mistake of the seed experiment");
  app.add_option("--attention", flags.options.attention, "engine transformers: how attention is computed")
      ->check(CLI::IsMember({"auto", "eager", "sdpa"}))
      ->capture_default_str();
  app.add_option("--positions", flags.options.positions,
                 "engine transformers: restart counts every appended piece from 0, a mistake to measure")
      ->check(CLI::IsMember({"continued", "restart"}))
      ->capture_default_str();
  app.add_option(
      "--clock", flags.options.clock,
      "what chat templates that print the date take for now: 2026-11-29 or 2026-11-29T23:20:05; default: the "
      "local time, taken once");
  app.add_flag("--swa-full", flags.options.full_window_cache, "sliding-window models: keep every cell");
  app.add_option("--grade", flags.grade,
                 "what separates partitions: own buffers, a mask in one buffer, or own processes")
      ->check(CLI::IsMember({"buffer", "mask", "process"}))
      ->capture_default_str();
}

void add_sampling_flags(CLI::App& app, SamplingOptions& sampling) {
  app.add_option("-s,--seed", sampling.seed, "seed of every output's generator")->capture_default_str();
  app.add_option("--temp", sampling.temperature, "temperature; 0: greedy")
      ->check(within("temperature"))
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "keep the k likeliest tokens; 0: all")
      ->check(within("top_k"))
      ->capture_default_str();
  app.add_option("--top-p", sampling.top_p, "keep this much probability; 1: all")
      ->check(within("top_p"))
      ->capture_default_str();
  app.add_option("--min-p", sampling.min_p, "drop tokens below this share of the best; 0: none")
      ->check(within("min_p"))
      ->capture_default_str();
  app.add_option("--repeat-penalty", sampling.repeat_penalty, "penalty of recent tokens; 1: off")
      ->check(within("repeat_penalty"))
      ->capture_default_str();
  app.add_option("--repeat-last-n", sampling.repeat_last_n, "how many tokens the penalty looks at")
      ->check(within("repeat_last_n"))
      ->capture_default_str();
}

Result<ModelOptions> ModelFlags::resolve() const {
  ModelOptions resolved = options;
  resolved.grade = kGrades.at(grade);
  resolved.guard = kGuards.at(guard);
  resolved.flash_attention = flash_attention == "on";
  resolved.isolation = kIsolations.at(isolation);
  if (options.engine == "fake") return resolved;  // needs no file
  const auto environment = models::Environment::from_process();
  if (!hub.empty()) {
    BH_TRY(const auto path, pull_for(options.engine, hub, environment));
    resolved.path = path.string();
    return resolved;
  }
  const auto name = model.empty() ? std::string(kDefaultModel) : model;
  BH_TRY(const auto path, options.engine == "llama" ? models::find_model(name, environment)
                                                    : models::find_model_or_folder(name, environment));
  resolved.path = path.string();
  return resolved;
}

int print_error(const Error& error, const CommonFlags& flags) {
  const int code = exit_code(error.code);
  if (flags.json || flags.output == "json") {
    const Json document = {{"error",
                            {{"code", name(error.code)},
                             {"exit_code", code},
                             {"message", error.message},
                             {"place", error.place},
                             {"advice", error.advice}}}};
    console::print_data(json_text(document) + '\n');
  }
  say_failure(error.to_string());
  return code;
}

void say_failure(std::string_view text) {
  console::say("bulkhead: {}", printable(text, LineBreaks::kEscape));
}

}  // namespace bulkhead::cli
