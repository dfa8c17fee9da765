// SPDX-License-Identifier: MIT
// One cell of the kernel bench on the engine seam, in a process of its own: `prefill` computes one prompt, `decode`
// some steps of several sequences. The work is that of llama-batched-bench -pps: one random prompt computed once,
// copied to all sequences, then so many decode steps of one token per sequence. `facts` tells machine, model and memory
// bandwidth. bench/kernels.py runs both sides in turns. Prints one JSON object.
#include "bandwidth.h"

#include "base/json.h"
#include "engines/builtin.h"
#include "measure/machine.h"
#include "models/model_files.h"

#include <bulkhead/version.h>

#include <fmt/format.h>
#include <gguf.h>
#include <CLI/CLI.hpp>

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace bulkhead::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kBandwidthPasses = 5;
constexpr std::uint32_t kWarmUpTokens = 16;  // as many as llama-batched-bench

struct Flags {
  std::string model;
  std::string kv_type = "f16";
  std::string flash_attention = "on";
  std::uint32_t threads = 2;
  std::uint32_t prompt_tokens = 64;
  std::uint32_t steps = 32;
  std::uint32_t sequences = 1;
};

double seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

// Everything else at its default: our kernels, strict isolation.
Result<ModelOptions> model_options(const Flags& flags) {
  ModelOptions options;
  BH_TRY(const auto path, models::find_model(flags.model, models::Environment::from_process()));
  options.path = path.string();
  options.threads = flags.threads;
  options.flash_attention = flags.flash_attention == "on";
  options.kv_type_k = flags.kv_type;
  options.kv_type_v = flags.kv_type;
  return options;
}

std::vector<engine::Token> random_tokens(std::uint32_t count, std::uint32_t vocabulary) {
  std::mt19937 generator(1);
  std::vector<engine::Token> tokens(count);
  for (auto& token : tokens) token = static_cast<engine::Token>(generator() % vocabulary);
  return tokens;
}

// An engine with room for the cell, threads started and weights read once.
Result<std::unique_ptr<engine::Engine>> warm_engine(const Flags& flags, std::uint32_t tokens_each) {
  BH_TRY(const auto options, model_options(flags));
  BH_TRY(auto engine, engines::builtin_engines().make(options));
  BH_CHECK(engine->reserve(flags.sequences, tokens_each));
  BH_TRY(const auto sequence, engine->open({.capacity_tokens = tokens_each}));
  const auto tokens = random_tokens(std::min(kWarmUpTokens, tokens_each), engine->facts().vocabulary);
  BH_CHECK(engine->prefill(sequence, tokens));
  BH_CHECK(engine->close(sequence));
  return engine;
}

Result<Json> prefill_cell(const Flags& flags) {
  BH_TRY(const auto engine, warm_engine(flags, flags.prompt_tokens));
  BH_TRY(const auto sequence, engine->open({.capacity_tokens = flags.prompt_tokens}));
  const auto tokens = random_tokens(flags.prompt_tokens, engine->facts().vocabulary);
  const auto begin = Clock::now();
  BH_CHECK(engine->prefill(sequence, tokens));
  return Json{{"seconds", seconds(Clock::now() - begin)}};
}

// Generates `tokens` tokens in every sequence; gives the results and the time of the whole call.
Result<std::pair<std::vector<engine::GenerateResult>, double>> generate(engine::Engine& engine,
                                                                        std::span<const engine::SequenceId> sequences,
                                                                        std::uint32_t tokens) {
  std::vector<engine::GenerateRequest> requests;
  for (const auto sequence : sequences) {
    requests.push_back({sequence, {.sampling = {.temperature = 0}, .max_tokens = tokens, .ignore_end = true}});
  }
  const auto begin = Clock::now();
  auto answers = engine.generate(requests);
  const double time = seconds(Clock::now() - begin);
  std::vector<engine::GenerateResult> results;
  for (auto& answer : answers) {
    BH_TRY(auto result, std::move(answer));
    if (result.tokens.size() != tokens) {
      return Error{ErrorCode::kInternal, fmt::format("{} tokens in place of {}", result.tokens.size(), tokens), {}, {}};
    }
    results.push_back(std::move(result));
  }
  return std::pair{std::move(results), time};
}

// Drawing goes from sequence to sequence after each step: the time from the first one's token to the last one's is all
// but one of the draws. Nothing to tell it by for one sequence: 0.
double drawing_seconds(const std::vector<engine::GenerateResult>& results) {
  if (results.size() < 2) return 0;
  double between = 0;
  for (std::size_t step = 0; step < results[0].token_times.size(); ++step) {
    between += seconds(results.back().token_times[step] - results.front().token_times[step]);
  }
  return between * static_cast<double>(results.size()) / static_cast<double>(results.size() - 1);
}

Result<Json> decode_cell(const Flags& flags) {
  // One token of the prompt is decoded before the clock starts, which carries out the copies: the timed steps begin
  // with as many tokens in the cache as llama-batched-bench's.
  const std::uint32_t tokens_each = flags.prompt_tokens + flags.steps + 1;
  BH_TRY(const auto engine, warm_engine(flags, tokens_each));
  BH_TRY(const auto first, engine->open({.capacity_tokens = tokens_each}));
  BH_CHECK(engine->prefill(first, random_tokens(flags.prompt_tokens - 1, engine->facts().vocabulary)));
  std::vector<engine::SequenceId> sequences = {first};
  while (sequences.size() < flags.sequences) {
    BH_TRY(const auto fork, engine->fork(first, flags.prompt_tokens - 1, {.capacity_tokens = tokens_each}));
    sequences.push_back(fork.sequence);
  }
  BH_CHECK(generate(*engine, sequences, 2));
  BH_TRY(const auto timed, generate(*engine, sequences, flags.steps));
  return Json{{"seconds", timed.second}, {"drawing_seconds", drawing_seconds(timed.first)}};
}

// Bytes of the weights that one decode step reads: all, but not an embedding matrix of which it only looks up rows.
std::uint64_t weight_bytes_per_step(const std::string& path) {
  const std::unique_ptr<gguf_context, void (*)(gguf_context*)> gguf(
      gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}), gguf_free);
  if (!gguf) return 0;
  std::uint64_t bytes = 0;
  for (std::int64_t i = 0; i < gguf_get_n_tensors(gguf.get()); ++i) bytes += gguf_get_tensor_size(gguf.get(), i);
  const auto embedding = gguf_find_tensor(gguf.get(), "token_embd.weight");
  const bool tied = gguf_find_tensor(gguf.get(), "output.weight") < 0;
  if (!tied && embedding >= 0) bytes -= gguf_get_tensor_size(gguf.get(), embedding);
  return bytes;
}

Json bandwidth_json() {
  Json list = Json::array();
  for (const std::uint32_t threads : {1U, 2U}) {
    const auto measured = measure_read_bandwidth(threads, kBandwidthPasses);
    list.push_back({{"threads", threads},
                    {"bytes_per_second", measured.bytes_per_second},
                    {"buffer_bytes", measured.buffer_bytes}});
  }
  return list;
}

Result<Json> facts(const Flags& flags) {
  BH_TRY(const auto options, model_options(flags));
  BH_TRY(const auto engine, engines::builtin_engines().make(options));
  BH_TRY(const auto sha256, models::model_sha256(options.path));
  const auto machine = measure::this_machine();
  return Json{
      {"bulkhead", BULKHEAD_VERSION},
      {"engine_build", engine->facts().build},
      {"machine",
       {{"cpu", machine.cpu}, {"cores", machine.cores}, {"memory_bytes", machine.memory_bytes}, {"os", machine.os}}},
      {"model", engine->facts().model_name},
      {"model_path", options.path},
      {"model_sha256", sha256},
      {"weight_bytes_per_step", weight_bytes_per_step(options.path)}};
}

int kernels(int argc, char** argv) {
  Flags flags;
  CLI::App app("One cell of the kernel bench, in a process of its own.");
  app.require_subcommand(1);
  auto* facts_command = app.add_subcommand("facts", "machine and model");
  auto* bandwidth_command = app.add_subcommand("bandwidth", "speed of reading memory with 1 and 2 threads");
  auto* prefill_command = app.add_subcommand("prefill", "one prompt");
  auto* decode_command = app.add_subcommand("decode", "steps of several sequences");
  for (auto* command : {facts_command, prefill_command, decode_command}) {
    command->add_option("-m,--model", flags.model)->required();
    command->add_option("-t,--threads", flags.threads)->check(CLI::PositiveNumber);
    command->add_option("--flash-attention", flags.flash_attention)->check(CLI::IsMember({"on", "off"}));
    command->add_option("--kv-type", flags.kv_type, "of keys and values");
  }
  for (auto* command : {prefill_command, decode_command}) {
    command->add_option("--prompt", flags.prompt_tokens, "tokens")->check(CLI::Range(2, 1 << 20));
  }
  decode_command->add_option("--steps", flags.steps)->check(CLI::PositiveNumber);
  decode_command->add_option("--sequences", flags.sequences)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const auto result = [&]() -> Result<Json> {
    if (*facts_command) return facts(flags);
    if (*bandwidth_command) return bandwidth_json();
    return *prefill_command ? prefill_cell(flags) : decode_cell(flags);
  }();
  if (!result.ok()) {
    fmt::print(stderr, "kernels: {}\n", result.error().to_string());
    return exit_code(result.error().code);
  }
  fmt::print("{}\n", json_text(result.value()));
  return 0;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  return bulkhead::bench::kernels(argc, argv);
}
