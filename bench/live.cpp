// SPDX-License-Identifier: MIT
// What each layout of the caches costs while a conversation is going on: turn by turn, as the topics interleave, the
// turn is put where the layout wants it, and an answer in its topic is generated.
//   bulkhead_bench_live -m MODEL [--dataset FILE] [--conversations N] [-n TOKENS] [-t THREADS] [-r REPEAT]
//   sequential   one cache, turns in the order they came
//   regrouped    one cache, sorted by topic: everything behind the new turn is computed again
//   semantic     one cache for each topic
// JSON goes to stdout, a Markdown table to stderr. Peak cells: tokens held at once, the old cache included while a
// regrouped one is built from it.
#include "base/json.h"
#include "dataset/dataset.h"
#include "engines/builtin.h"
#include "measure/machine.h"
#include "models/model_files.h"

#include <bulkhead/version.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::bench {
namespace {

using dataset::Conversation;
using engine::Engine;
using engine::SequenceId;
using engine::Token;
using Clock = std::chrono::steady_clock;

struct Flags {
  std::string model = "qwen2.5-coder-0.5b";
  std::string dataset = "datasets/bulkhead-bench/conversations.jsonl";
  std::uint32_t conversations = 3;
  std::uint32_t new_tokens = 8;
  std::uint32_t threads = 0;
  std::uint32_t repeat = 2;
};

enum class Layout { kSequential, kRegrouped, kSemantic };
constexpr std::pair<Layout, const char*> kLayouts[] = {
    {Layout::kSequential, "sequential"}, {Layout::kRegrouped, "regrouped"}, {Layout::kSemantic, "semantic"}};

struct Cost {
  std::uint64_t prefilled = 0;   // tokens
  std::uint64_t peak_cells = 0;  // tokens
  double prefill_seconds = 0;    // until an answer can begin
  double decode_seconds = 0;
  std::uint64_t decoded = 0;  // tokens
};

// One cache and what is in it.
struct Cache {
  SequenceId id{0};
  std::vector<std::size_t> clusters;       // whose turns it takes
  std::vector<std::vector<Token>> blocks;  // by entry of `clusters`, in the order in which they lie in the cache
  [[nodiscard]] std::uint32_t tokens() const {
    std::size_t sum = 0;
    for (const auto& block : blocks) sum += block.size();
    return static_cast<std::uint32_t>(sum);
  }
};

std::vector<Cache> layout(const Conversation& conversation, Layout kind) {
  const auto clusters = conversation.scenario.clusters.size();
  std::vector<Cache> caches(kind == Layout::kSemantic ? clusters : 1);
  for (std::size_t i = 0; i < clusters; ++i) {
    auto& cache = caches[kind == Layout::kSemantic ? i : 0];
    cache.clusters.push_back(i);
    if (kind == Layout::kRegrouped || cache.blocks.empty()) cache.blocks.emplace_back();
  }
  return caches;
}

class Live {
 public:
  Live(Engine& engine, const Flags& flags, std::uint32_t room) : engine_(&engine), flags_(&flags), room_(room) {}

  Result<Cost> run(const Conversation& conversation, Layout kind) {
    Cost cost;
    auto caches = layout(conversation, kind);
    for (auto& cache : caches) {
      BH_TRY(cache.id, engine_->open({.capacity_tokens = room_, .only_forked = true}));
      if (const auto bos = engine_->tokenizer().bos()) cache.blocks.front().push_back(*bos);
      if (!cache.blocks.front().empty()) {
        BH_TRY(const auto done, engine_->prefill(cache.id, cache.blocks.front()));
        cost.prefilled += done.tokens;
      }
    }
    for (const auto& turn : conversation.scenario.turns) {
      BH_TRY(const auto text, engine_->tokenizer().tokenize(turn.text + "\n\n"));
      BH_CHECK(take(conversation, turn.cluster, text, caches, cost));
    }
    for (const auto& cache : caches) BH_CHECK(engine_->close(cache.id));
    return cost;
  }

 private:
  // Puts a turn where it belongs, and answers.
  Result<void> take(const Conversation& conversation, const std::string& cluster, const std::vector<Token>& text,
                    std::vector<Cache>& caches, Cost& cost) {
    const auto& all = conversation.scenario.clusters;
    const auto number = static_cast<std::size_t>(
        std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.id == cluster; }) - all.begin());
    auto& cache = *std::find_if(caches.begin(), caches.end(), [&](const Cache& one) {
      return std::find(one.clusters.begin(), one.clusters.end(), number) != one.clusters.end();
    });
    const auto begin = Clock::now();
    const auto block = cache.blocks.size() == 1 ? 0 : number;
    std::uint64_t held = 0;
    for (const auto& one : caches) held += one.tokens();
    BH_CHECK(insert(cache, block, text, cost, held));
    cost.prefill_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    return answer(cache, cost);
  }

  Result<void> insert(Cache& cache, std::size_t block, const std::vector<Token>& text, Cost& cost, std::uint64_t held) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i <= block; ++i) kept += cache.blocks[i].size();
    std::vector<Token> rest = text;
    for (std::size_t i = block + 1; i < cache.blocks.size(); ++i) {
      rest.insert(rest.end(), cache.blocks[i].begin(), cache.blocks[i].end());
    }
    cost.peak_cells = std::max<std::uint64_t>(cost.peak_cells, held + text.size());
    if (rest.size() > text.size()) {
      const auto old = cache.id;
      BH_TRY(const auto forked,
             engine_->fork(old, static_cast<std::uint32_t>(kept), {.capacity_tokens = room_, .only_forked = true}));
      cost.prefilled += forked.prefilled_tokens;
      cost.peak_cells = std::max<std::uint64_t>(cost.peak_cells, held + kept + rest.size());
      cache.id = forked.sequence;
      BH_CHECK(engine_->close(old));
    }
    BH_TRY(const auto done, engine_->prefill(cache.id, rest));
    cost.prefilled += done.tokens;
    cache.blocks[block].insert(cache.blocks[block].end(), text.begin(), text.end());
    return {};
  }

  // Not kept: what is measured is the step, with all that lies in its cache.
  Result<void> answer(const Cache& cache, Cost& cost) {
    BH_TRY(const auto forked, engine_->fork(cache.id, cache.tokens(), {.capacity_tokens = room_}));
    engine::GenerateRequest request{forked.sequence, {}};
    request.options.sampling.temperature = 0;
    request.options.max_tokens = flags_->new_tokens;
    request.options.ignore_end = true;
    request.options.speculate = false;
    const auto begin = Clock::now();
    const auto results = engine_->generate({&request, 1});
    cost.decode_seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    if (!results[0].ok()) return results[0].error();
    cost.decoded += results[0].value().tokens.size();
    return engine_->close(forked.sequence);
  }

  Engine* engine_;
  const Flags* flags_;
  std::uint32_t room_;
};

Cost shortest(const Cost& a, const Cost& b) {
  Cost cost = a;
  cost.prefill_seconds = std::min(a.prefill_seconds, b.prefill_seconds);
  cost.decode_seconds = std::min(a.decode_seconds, b.decode_seconds);
  return cost;
}

// The conversations with the most turns: there it matters.
std::vector<const Conversation*> longest_of(const dataset::Dataset& set, std::size_t count) {
  std::vector<const Conversation*> all;
  for (const auto& one : set.conversations) all.push_back(&one);
  std::stable_sort(all.begin(), all.end(),
                   [](const auto* a, const auto* b) { return a->scenario.turns.size() > b->scenario.turns.size(); });
  all.resize(std::min(all.size(), count));
  return all;
}

Result<std::uint32_t> room_for(const Engine& engine, const Conversation& conversation, std::uint32_t new_tokens) {
  std::size_t tokens = 1 + new_tokens;
  for (const auto& turn : conversation.scenario.turns) {
    BH_TRY(const auto text, engine.tokenizer().tokenize(turn.text + "\n\n"));
    tokens += text.size();
  }
  return static_cast<std::uint32_t>(tokens);
}

Result<Json> measure_one(Engine& engine, const Flags& flags, const Conversation& conversation) {
  BH_TRY(const auto room, room_for(engine, conversation, flags.new_tokens));
  BH_CHECK(engine.reserve(static_cast<std::uint32_t>(conversation.scenario.clusters.size()) + 2, room));
  Json rows = Json::array();
  Cost costs[std::size(kLayouts)];
  for (std::uint32_t turn = 0; turn < flags.repeat; ++turn) {
    for (std::size_t i = 0; i < std::size(kLayouts); ++i) {
      BH_TRY(const auto cost, Live(engine, flags, room).run(conversation, kLayouts[i].first));
      costs[i] = turn == 0 ? cost : shortest(costs[i], cost);
    }
  }
  for (std::size_t i = 0; i < std::size(kLayouts); ++i) {
    const auto& cost = costs[i];
    rows.push_back({{"layout", kLayouts[i].second},
                    {"prefilled_tokens", cost.prefilled},
                    {"prefill_seconds", cost.prefill_seconds},
                    {"decode_ms_per_token", 1000 * cost.decode_seconds / static_cast<double>(cost.decoded)},
                    {"peak_cells", cost.peak_cells},
                    {"peak_kv_bytes", cost.peak_cells * engine.facts().kv_bytes_per_token}});
    fmt::print(stderr, "| {} | {} | {} | {} | {} | {:.2f} | {:.1f} | {} |\n", conversation.scenario.id,
               conversation.scenario.turns.size(), conversation.scenario.clusters.size(), kLayouts[i].second,
               cost.prefilled, cost.prefill_seconds, 1000 * cost.decode_seconds / static_cast<double>(cost.decoded),
               cost.peak_cells);
  }
  return Json{{"conversation", conversation.scenario.id},
              {"turns", conversation.scenario.turns.size()},
              {"clusters", conversation.scenario.clusters.size()},
              {"layouts", std::move(rows)}};
}

Result<Json> measure_all(const Flags& flags) {
  BH_TRY(const auto set, dataset::load_dataset(flags.dataset));
  ModelOptions options;
  BH_TRY(const auto path, models::find_model(flags.model, models::Environment::from_process()));
  options.path = path.string();
  options.threads = flags.threads;
  BH_TRY(const auto engine, engines::builtin_engines().make(options));
  BH_TRY(const auto sha256, models::model_sha256(options.path));
  const auto machine = measure::this_machine();
  fmt::print(
      stderr,
      "{}, {} cores; {}, {} threads; minima of {}\n\n| conversation | turns | topics | layout | tokens prefilled "
      "| prefill s | ms per decoded token | peak cells |\n|---|---|---|---|---|---|---|---|\n",
      machine.cpu, machine.cores, flags.model, engine->facts().threads, flags.repeat);
  Json conversations = Json::array();
  for (const auto* conversation : longest_of(set, flags.conversations)) {
    BH_TRY(auto row, measure_one(*engine, flags, *conversation));
    conversations.push_back(std::move(row));
  }
  return Json{{"benchmark", "live"},
              {"bulkhead", BULKHEAD_VERSION},
              {"machine", {{"cpu", machine.cpu}, {"cores", machine.cores}, {"os", machine.os}}},
              {"model", flags.model},
              {"model_sha256", sha256},
              {"dataset_sha256", set.sha256},
              {"threads", engine->facts().threads},
              {"repeat", flags.repeat},
              {"answer_tokens", flags.new_tokens},
              {"conversations", std::move(conversations)}};
}

int live(int argc, char** argv) {
  Flags flags;
  CLI::App program("What each layout of the caches costs while a conversation is going on.");
  program.add_option("-m,--model", flags.model)->capture_default_str();
  program.add_option("--dataset", flags.dataset)->capture_default_str();
  program.add_option("--conversations", flags.conversations, "so many, those with the most turns")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  program.add_option("-n", flags.new_tokens, "tokens of each answer")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  program.add_option("-t", flags.threads, "0: one per core")->capture_default_str();
  program.add_option("-r", flags.repeat, "repetitions")->capture_default_str()->check(CLI::Range(1, 1000));
  CLI11_PARSE(program, argc, argv);
  const auto document = measure_all(flags);
  if (!document.ok()) {
    fmt::print(stderr, "live: {}\n", document.error().to_string());
    return 1;
  }
  fmt::print("{}\n", json_text(document.value(), JsonForm::kPretty));
  return 0;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  return bulkhead::bench::live(argc, argv);
}
