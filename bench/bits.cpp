// SPDX-License-Identifier: MIT
// Which bits move: the logits of one partition alone, and the same with company, other threads, a prefill in chunks, as
// a fork. For every setting of kernels, flash attention, cache type and grade; a Markdown table on stdout.
//   bulkhead_bench_bits -m MODEL ... [--contexts 100,511,512,513,2100] [--steps 8] [--strict] [--kv-types f16,q8_0]
// --strict: only the settings that are said to be invariant, and one of stock ggml as the control that must differ,
// with the first context alone. --kv-types: only settings with these types of cache.
#include "engines/builtin.h"
#include "measure/machine.h"
#include "models/model_files.h"

#include <bulkhead/version.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::bench {
namespace {

using engine::Engine;
using engine::Token;
using Hashes = std::vector<std::uint64_t>;

struct Flags {
  std::vector<std::string> models;
  std::vector<std::uint32_t> contexts = {100, 511, 512, 513, 2100};
  std::uint32_t steps = 8;
  bool strict = false;
  std::vector<std::string> kv_types = {"f16", "q8_0", "q4_0"};
};

struct Setting {
  std::string kernels;
  bool flash_attention = true;
  std::string kv_type = "f16";
  Grade grade = Grade::kBuffer;
};

// What is changed while the partition's own tokens stay the same.
struct Change {
  std::string name;
  std::uint32_t company = 0;  // other partitions decoded in the same batches
  std::uint32_t threads = 2;
  bool in_chunks = false;
  bool forked = false;
  std::uint32_t long_neighbour = 0;  // tokens of one more partition in the batch
};

// Below this a neighbour of 8,000 tokens is long, and worth its time.
constexpr std::uint32_t kShortContext = 100;

const std::vector<Setting> kSettings = {{"bulkhead"},
                                        {"bulkhead", true, "q8_0"},
                                        {"bulkhead", true, "q4_0"},
                                        {"bulkhead", false},
                                        {"bulkhead", true, "f16", Grade::kMask},
                                        {"stock"},
                                        {"stock", true, "q8_0"},
                                        {"stock", false},
                                        {"stock", true, "f16", Grade::kMask},
                                        {"stock", false, "f16", Grade::kMask}};
// Stock ggml as most people run it.
const Setting& kControl = kSettings[5];
const std::vector<Change> kChanges = {{"batch of 2", 1},
                                      {"of 3", 2},
                                      {"of 4", 3},
                                      {"of 8", 7},
                                      {"of 16", 15},
                                      {"1 thread", 0, 1},
                                      {"3 threads", 0, 3},
                                      {"4 threads", 0, 4},
                                      {"in chunks", 0, 2, true},
                                      {"as a fork", 0, 2, false, true},
                                      {"beside 8,000", 0, 2, false, false, 8000}};

Result<std::vector<Token>> tokens(const Engine& engine, std::uint32_t count, std::uint32_t name) {
  std::string text;
  std::uint32_t state = name * 7919U + 17U;
  for (std::uint32_t i = 0; i < count; ++i) {
    state = state * 1664525U + 1013904223U;
    text += fmt::format(" the {} ships", (state >> 16U) % 1000U);
  }
  BH_TRY(auto made, engine.tokenizer().tokenize(text));
  made.resize(count);
  return made;
}

// Tokens of the longest sequence.
std::uint32_t room_for(const Change& change, std::uint32_t context, std::uint32_t steps) {
  return std::max(context, change.long_neighbour) + steps + 8;
}

Result<Hashes> decode(Engine& engine, const Change& change, std::uint32_t context, std::uint32_t steps) {
  const auto room = room_for(change, context, steps);
  BH_CHECK(engine.reserve(change.company + 3, room));
  std::vector<engine::SequenceId> members;
  const auto add_other = [&](std::uint32_t length) -> Result<void> {
    BH_TRY(const auto other, engine.open({.capacity_tokens = room}));
    BH_TRY(const auto text, tokens(engine, length, static_cast<std::uint32_t>(members.size()) + 1));
    BH_TRY([[maybe_unused]] const auto done, engine.prefill(other, text));
    members.push_back(other);
    return {};
  };
  // The others are shorter, by more and more.
  for (std::uint32_t i = 0; i < change.company; ++i) BH_CHECK(add_other(std::max(8U, context / (i + 2))));
  if (change.long_neighbour > 0) BH_CHECK(add_other(change.long_neighbour));
  BH_TRY(const auto own, tokens(engine, context, 0));
  BH_TRY(auto partition, engine.open({.capacity_tokens = room}));
  const std::size_t first = change.in_chunks ? own.size() / 3 : own.size();
  BH_TRY([[maybe_unused]] const auto one, engine.prefill(partition, std::span(own).first(first)));
  if (first < own.size()) {
    BH_TRY([[maybe_unused]] const auto two, engine.prefill(partition, std::span(own).subspan(first)));
  }
  if (change.forked) {
    BH_TRY(const auto fork, engine.fork(partition, context, {.capacity_tokens = room}));
    partition = fork.sequence;
  }
  const auto place = members.size() / 2;
  members.insert(members.begin() + static_cast<std::ptrdiff_t>(place), partition);
  std::vector<engine::GenerateRequest> requests;
  for (const auto member : members) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = steps;
    options.ignore_end = true;
    options.hash_logits = true;
    options.speculate = false;
    requests.push_back({member, options});
  }
  auto results = engine.generate(requests);
  if (!results[place].ok()) return results[place].error();
  return std::move(results[place]).value().logit_hashes;
}

Result<std::unique_ptr<Engine>> make(const std::string& path, const Setting& setting, std::uint32_t threads,
                                     std::uint32_t room) {
  ModelOptions options;
  options.path = path;
  options.context_tokens = room;
  options.kernels = setting.kernels;
  options.flash_attention = setting.flash_attention;
  options.kv_type_k = options.kv_type_v = setting.kv_type;
  if (!setting.flash_attention) options.kv_type_v = "f16";
  options.grade = setting.grade;
  options.threads = threads;
  return engines::builtin_engines().make(options);
}

// "=" or the first step whose logits are other bits.
std::string compared(const Hashes& alone, const Hashes& changed) {
  const auto [left, right] = std::mismatch(alone.begin(), alone.end(), changed.begin(), changed.end());
  if (left == alone.end() && right == changed.end()) return "=";
  return fmt::format("step {}", left - alone.begin());
}

Result<void> print_row(const std::string& path, const Setting& setting, std::uint32_t context, std::uint32_t steps) {
  BH_TRY(const auto kept, make(path, setting, 2, room_for({}, context, steps)));
  BH_TRY(const auto alone, decode(*kept, {}, context, steps));
  fmt::print("| {} | {} | {} | {} | {} |", setting.kernels, setting.flash_attention ? "on" : "off", setting.kv_type,
             engine::name(setting.grade), context);
  for (const auto& change : kChanges) {
    if (change.long_neighbour > 0 && context > kShortContext) {
      fmt::print(" |");
      continue;
    }
    BH_TRY(const auto engine, make(path, setting, change.threads, room_for(change, context, steps)));
    BH_TRY(const auto changed, decode(*engine, change, context, steps));
    fmt::print(" {} |", compared(alone, changed));
  }
  fmt::print(" {} |\n", kept->facts().batch_invariant ? "yes" : "no");
  std::fflush(stdout);
  return {};
}

Result<void> print_model(const std::string& name, const Flags& flags) {
  BH_TRY(const auto path, models::find_model(name, models::Environment::from_process()));
  BH_TRY(const auto sha256, models::model_sha256(path.string()));
  fmt::print("\n## {}\n\nSHA-256 {}.\n\n| kernels | flash attention | cache | grade | tokens |", name, sha256);
  for (const auto& change : kChanges) fmt::print(" {} |", change.name);
  fmt::print(" said to be invariant |\n|{}\n", fmt::join(std::vector<std::string>(6 + kChanges.size(), "---|"), ""));
  for (const auto& setting : kSettings) {
    const bool invariant = setting.kernels == "bulkhead" && setting.flash_attention && setting.grade == Grade::kBuffer;
    if (flags.strict && !invariant && &setting != &kControl) continue;
    if (std::ranges::find(flags.kv_types, setting.kv_type) == flags.kv_types.end()) continue;
    for (const auto context : flags.contexts) {
      BH_CHECK(print_row(path.string(), setting, context, flags.steps));
      if (flags.strict && !invariant) break;
    }
  }
  return {};
}

int bits(int argc, char** argv) {
  Flags flags;
  CLI::App program("Which settings move the bits of a partition's logits.");
  program.add_option("-m,--model", flags.models)->required();
  program.add_option("--contexts", flags.contexts)->delimiter(',')->capture_default_str();
  program.add_option("--steps", flags.steps)->capture_default_str();
  program.add_flag("--strict", flags.strict);
  program.add_option("--kv-types", flags.kv_types)->delimiter(',')->capture_default_str();
  CLI11_PARSE(program, argc, argv);
  const auto machine = measure::this_machine();
  fmt::print(
      "# Which bits move\n\nBulkhead {}, {}, {} cores, 2 threads unless said otherwise. Against the same "
      "partition alone: = means that the logits of all {} steps are equal bit for bit.\n",
      BULKHEAD_VERSION, machine.cpu, machine.cores, flags.steps);
  for (const auto& model : flags.models) {
    if (const auto done = print_model(model, flags); !done.ok()) {
      fmt::print(stderr, "bits: {}\n", done.error().to_string());
      return exit_code(done.error().code);
    }
  }
  return 0;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  return bulkhead::bench::bits(argc, argv);
}
