// SPDX-License-Identifier: MIT
// What a server's steps cost: partitions of mixed length that decode together, all of them or every second one, with
// their cells in pages and in rooms of libllama's contexts; a prefill beside them; forks, closing and stored cells.
//   bulkhead_bench_serving -m MODEL [--partitions 8,16] [-r 5] [--steps 6] [--longest 4000]
// The ways take turns in one process; minima count. JSON on stdout.
#include "base/json.h"
#include "engines/llama/context_pool.h"
#include "engines/llama/loaded_model.h"
#include "engines/llama/paged_cells.h"
#include "engines/llama/sequence.h"
#include "measure/machine.h"
#include "measure/process_memory.h"
#include "models/model_files.h"

#include <bulkhead/version.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::bench {
namespace {

using namespace engines::llama;
using engine::Token;
using Clock = std::chrono::steady_clock;

struct Flags {
  std::string model;
  std::vector<std::uint32_t> partitions = {8, 16};
  std::uint32_t shortest = 100;
  std::uint32_t longest = 4000;
  std::uint32_t steps = 6;
  int rounds = 5;
  std::uint32_t threads = 0;
};

constexpr std::uint32_t kRoomToGrow = 128;

[[noreturn]] void give_up(std::string_view why) {
  fmt::print(stderr, "error: {}\n", why);
  std::exit(exit_code(ErrorCode::kInternal));
}

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// Some token for each place: what they say does not matter, that they differ does.
std::vector<Token> some_text(std::uint32_t length, std::uint32_t vocabulary) {
  std::mt19937 random(7);
  std::vector<Token> tokens(length);
  for (auto& token : tokens) token = static_cast<Token>(256 + random() % (vocabulary - 512));
  return tokens;
}

std::vector<std::uint32_t> lengths_of(const Flags& flags, std::uint32_t partitions) {
  std::vector<std::uint32_t> lengths;
  for (std::uint32_t i = 0; i < partitions; ++i)
    lengths.push_back(flags.shortest + (flags.longest - flags.shortest) * i / std::max(partitions - 1, 1U));
  return lengths;
}

// One way to hold partitions: a store, and the text of the longest one in it, from which all others are filled.
struct Way {
  std::string name;
  Cancellation cancellation;
  std::unique_ptr<CellStore> store;
  Sequence source;
  std::vector<Sequence> sequences;

  void open_source(const std::vector<Token>& text) {
    source.capacity = static_cast<std::uint32_t>(text.size()) + kRoomToGrow;
    source.cells = std::move(store->open(source.capacity, false, nullptr)).value();
    if (const auto done = append(source, text); !done.ok()) give_up(done.error().to_string());
  }

  // A partition with cells of its own that hold the first `length` tokens of the source.
  void open_partition(std::uint32_t length) {
    Sequence made;
    made.capacity = length + kRoomToGrow;
    made.tokens.assign(source.tokens.begin(), source.tokens.begin() + length);
    made.cells = std::move(store->open(made.capacity, false, nullptr)).value();
    auto shorter = std::move(store->open(source.capacity, false, source.cells.get())).value();
    bool filled = shorter->copy(*source.cells, length);
    if (const auto bytes = filled ? shorter->store() : std::nullopt; bytes) {
      filled = made.cells->restore(*bytes, made.tokens);  // pages of its own
    } else {
      filled = filled && made.cells->copy(*shorter, length);
    }
    if (!filled) {  // a window's cells do not leave their room
      made.tokens.clear();
      const auto done = append(made, std::span(source.tokens).first(length));
      if (!done.ok()) give_up(done.error().to_string());
    }
    sequences.push_back(std::move(made));
  }

  [[nodiscard]] std::size_t decoders() {
    std::map<Decoder*, int> found;
    for (auto& sequence : sequences) ++found[&sequence.cells->decoder()];
    return found.size();
  }

  // Milliseconds of a step, over `steps` of them; all are as before afterwards.
  double step_ms(std::uint32_t steps, std::uint32_t every) {
    std::map<Decoder*, std::vector<Sequence*>> groups;
    for (std::size_t i = 0; i < sequences.size(); i += every)
      groups[&sequences[i].cells->decoder()].push_back(&sequences[i]);
    double spent = 0;
    for (std::uint32_t step = 0; step < steps; ++step) {
      for (auto& [decoder, members] : groups) {
        for (auto* sequence : members) {
          sequence->tokens.push_back(1000);
          sequence->pending = true;
        }
        std::vector<StepPart> parts;
        for (auto* sequence : members) parts.push_back({sequence, {}, Want::kAll});
        const auto begin = Clock::now();
        for (const auto& outcome : decode_step(parts))
          if (outcome.error) give_up(outcome.error->to_string());
        spent += milliseconds_since(begin);
      }
    }
    for (auto& [decoder, members] : groups) {
      for (auto* sequence : members) {
        sequence->tokens.resize(sequence->tokens.size() - steps);
        if (!sequence->cells->trim(sequence->cached())) give_up("cells could not be taken out");
      }
    }
    return spent / steps;
  }
};

std::unique_ptr<Way> make_way(const LoadedModel& model, const std::string& name,
                              const std::vector<std::uint32_t>& lengths, const std::vector<Token>& text) {
  auto way = std::make_unique<Way>();
  way->name = name;
  if (name == "pages") {
    way->store = std::move(make_paged_store(model, way->cancellation)).value();
  } else {
    way->store = std::make_unique<ContextPool>(model, way->cancellation);
  }
  // Two rooms more than partitions, through which they are filled.
  if (name == "one context") {
    const auto capacity = static_cast<std::uint32_t>(text.size()) + kRoomToGrow;
    if (!way->store->reserve(static_cast<std::uint32_t>(lengths.size()) + 2, capacity).ok())
      give_up("no memory for one context");
  }
  way->open_source(text);
  auto order = lengths;
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  for (const auto length : order) way->open_partition(length);
  way->source.cells.reset();
  return way;
}

Json decode_rows(const LoadedModel& model, const Flags& flags) {
  Json rows = Json::array();
  for (const auto partitions : flags.partitions) {
    const auto text = some_text(flags.longest, model.facts().vocabulary);
    std::vector<std::unique_ptr<Way>> ways;
    for (const auto* name : {"pages", "rooms as needed", "one context"}) {
      ways.push_back(make_way(model, name, lengths_of(flags, partitions), text));
      fmt::print(stderr, "{} partitions in {}: {} decoders\n", partitions, name, ways.back()->decoders());
    }
    for (const std::uint32_t every : {1U, 2U}) {
      std::vector<double> best(ways.size(), std::numeric_limits<double>::infinity());
      for (int round = 0; round < flags.rounds; ++round) {
        for (std::size_t i = 0; i < ways.size(); ++i) best[i] = std::min(best[i], ways[i]->step_ms(flags.steps, every));
      }
      for (std::size_t i = 0; i < ways.size(); ++i) {
        rows.push_back({{"partitions", partitions},
                        {"active", (partitions + every - 1) / every},
                        {"way", ways[i]->name},
                        {"contexts", ways[i]->decoders()},
                        {"step_ms", best[i]},
                        {"pages_are_times", best[i] / best[0]}});
        fmt::print(stderr, "{:2} of {:2}, {:16} {:8.2f} ms a step, pages are {:.2f} times as fast\n",
                   (partitions + every - 1) / every, partitions, ways[i]->name, best[i], best[i] / best[0]);
      }
    }
  }
  return rows;
}

// A prefill in chunks, each in one computation with a token of every stream.
Json prefill_beside_streams(const LoadedModel& model, const Flags& flags, std::uint32_t chunk) {
  constexpr std::uint32_t kStreams = 8;
  const auto prefill = std::min(2000U, flags.longest / 2);
  const auto text = some_text(flags.longest, model.facts().vocabulary);
  auto way = make_way(model, "pages", lengths_of(flags, kStreams), text);
  const double plain = way->step_ms(flags.steps, 1);
  double alone = std::numeric_limits<double>::infinity();
  double beside = alone;
  double longest = alone;
  for (int round = 0; round < flags.rounds; ++round) {
    const auto fill = [&](bool with_streams, double& longest_step) {
      auto cells = std::move(way->store->open(prefill, false, nullptr)).value();
      double all = 0;
      longest_step = 0;
      std::uint32_t steps = 0;
      const auto piece = with_streams ? chunk : kChunkTokens;
      for (std::uint32_t done = 0; done < prefill; ++steps) {
        std::vector<BatchToken> batch;
        for (auto& stream : way->sequences) {
          if (with_streams) batch.push_back({1000, stream.cached() + steps, stream.cells.get(), true});
        }
        for (const auto end = std::min(prefill, done + piece); done < end; ++done)
          batch.push_back({text[done], done, cells.get(), done + 1 == prefill});
        std::string reason;
        const auto begin = Clock::now();
        if (cells->decoder().decode(batch, reason) != Decoded::kDone) give_up(reason);
        longest_step = std::max(longest_step, milliseconds_since(begin));
        all += milliseconds_since(begin);
      }
      for (auto& stream : way->sequences) static_cast<void>(stream.cells->trim(stream.cached()));
      return all;
    };
    double step = 0;
    alone = std::min(alone, fill(false, step));
    beside = std::min(beside, fill(true, step));
    longest = std::min(longest, step);
  }
  return {{"streams", kStreams},       {"prefill_tokens", prefill},   {"chunk", chunk},
          {"step_ms", plain},          {"longest_step_ms", longest},  {"pause_steps", longest / plain},
          {"prefill_alone_ms", alone}, {"prefill_beside_ms", beside}, {"prefill_times", beside / alone}};
}

// What is done to one partition of the longest length.
Json single_calls(const LoadedModel& model, const Flags& flags) {
  const auto text = some_text(flags.longest, model.facts().vocabulary);
  Way way;
  way.store = std::move(make_paged_store(model, way.cancellation)).value();
  auto begin = Clock::now();
  way.open_source(text);
  const double prefill = milliseconds_since(begin);
  const auto infinity = std::numeric_limits<double>::infinity();
  double fork = infinity;
  double close = infinity;  // what a step waits for; clearing the rest takes turns with steps
  double clear = infinity;
  double park = infinity;
  double unpark = infinity;
  for (int round = 0; round < flags.rounds; ++round) {
    auto made = std::move(way.store->open(flags.longest + kRoomToGrow, false, nullptr)).value();
    begin = Clock::now();
    static_cast<void>(made->copy(*way.source.cells, flags.longest - 7));
    fork = std::min(fork, milliseconds_since(begin));
    begin = Clock::now();
    const auto bytes = way.source.cells->store();
    park = std::min(park, milliseconds_since(begin));
    auto own = std::move(way.store->open(flags.longest + kRoomToGrow, false, nullptr)).value();
    begin = Clock::now();
    if (!own->restore(*bytes, text)) give_up("stored cells were not taken");
    unpark = std::min(unpark, milliseconds_since(begin));
    begin = Clock::now();
    own.reset();
    close = std::min(close, milliseconds_since(begin));
    begin = Clock::now();
    way.store->clear_what_is_left();
    clear = std::min(clear, milliseconds_since(begin));
  }
  return {
      {"tokens", flags.longest}, {"prefill_ms", prefill}, {"fork_ms", fork},     {"close_ms", close},
      {"clear_rest_ms", clear},  {"park_ms", park},       {"unpark_ms", unpark}, {"unpark_is_times", prefill / unpark}};
}

// What is resident while partitions of mixed length are held, beside their cells and one set of weights; what many of
// one token each take; and what is left when all are closed. To be measured first: what others leave behind counts too.
Json memory_rows(const LoadedModel& model, const Flags& flags, std::uint64_t weight_bytes) {
  constexpr std::uint32_t kPartitions = 32;
  constexpr std::uint32_t kSmallOnes = 256;
  const auto text = some_text(flags.longest, model.facts().vocabulary);
  const auto resident = [] { return measure::process_memory().current_bytes; };
  auto way = make_way(model, "pages", {flags.shortest}, text);  // all that computes has its memory now
  way->sequences.clear();
  way->store->clear_what_is_left();
  const auto before = resident();
  std::uint64_t cells = 0;
  way->open_source(text);
  for (const auto length : lengths_of(flags, kPartitions)) way->open_partition(length);
  way->source.cells.reset();
  way->store->clear_what_is_left();
  for (const auto& sequence : way->sequences) cells += sequence.cells->bytes_used();
  const auto open = resident();
  way->sequences.clear();
  way->store->clear_what_is_left();
  const auto closed = resident();
  const std::vector<Token> word(1, text.front());
  std::uint64_t page = 0;
  for (std::uint32_t i = 0; i < kSmallOnes; ++i) {
    Sequence& made = way->sequences.emplace_back();
    made.capacity = flags.longest;
    made.cells = std::move(way->store->open(made.capacity, false, nullptr)).value();
    if (const auto done = append(made, word); !done.ok()) give_up(done.error().to_string());
    made.logits.reset();  // whoever draws lets them go too
    page = made.cells->bytes_allocated();
  }
  const auto small = resident();
  way->sequences.clear();
  way->store->clear_what_is_left();
  const auto end = resident();
  const auto ratio = [](std::uint64_t a, std::uint64_t b) { return static_cast<double>(a) / static_cast<double>(b); };
  return {{"partitions", kPartitions},
          {"cells_bytes", cells},
          {"weight_bytes", weight_bytes},
          {"before_bytes", before},
          {"open_bytes", open},
          {"open_by_cells_and_weights", ratio(open, cells + weight_bytes)},
          {"more_by_cells", ratio(open - before, cells)},
          {"closed_bytes", closed},
          {"closed_by_before", ratio(closed, before)},
          {"one_token_partitions", kSmallOnes},
          {"page_bytes", page},
          {"beside_a_page_bytes",
           (static_cast<double>(small) - static_cast<double>(closed)) / kSmallOnes - static_cast<double>(page)},
          {"end_by_before", ratio(end, before)}};
}

Result<Json> measure_all(const Flags& flags) {
  ModelOptions options;
  BH_TRY(const auto path, models::find_model(flags.model, models::Environment::from_process()));
  options.path = path.string();
  options.threads = flags.threads;
  options.context_tokens = flags.longest + 2 * kRoomToGrow;
  BH_TRY(const auto model, LoadedModel::load(options));
  if (!model->paged()) return Error{ErrorCode::kUnsupported, "this model is not paged", "-m", {}};
  Json document;
  document["cpu"] = measure::this_machine().cpu;
  BH_TRY(document["model_sha256"], models::model_sha256(options.path));
  document["model"] = model->facts().model_name;
  document["threads"] = model->facts().threads;
  document["memory"] = memory_rows(*model, flags, std::filesystem::file_size(options.path));
  document["single"] = single_calls(*model, flags);
  document["prefill"] = Json::array();
  for (const std::uint32_t chunk : {16U, 24U, 32U, 64U})
    document["prefill"].push_back(prefill_beside_streams(*model, flags, chunk));
  document["decode"] = decode_rows(*model, flags);
  return document;
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  using namespace bulkhead;
  bench::Flags flags;
  CLI::App app("What a server's steps cost, with cells in pages and in rooms");
  app.add_option("-m,--model", flags.model, "a GGUF file or a name of the manifest")->required();
  app.add_option("--partitions", flags.partitions, "how many, a list")->delimiter(',');
  app.add_option("--shortest", flags.shortest, "tokens of the shortest partition");
  app.add_option("--longest", flags.longest, "tokens of the longest partition");
  app.add_option("--steps", flags.steps, "steps of each measurement")->check(CLI::Range(1U, bench::kRoomToGrow - 1));
  app.add_option("-r,--rounds", flags.rounds, "measurements of each way");
  app.add_option("-t,--threads", flags.threads, "threads; 0: one per physical core");
  CLI11_PARSE(app, argc, argv);
  const auto measured = bench::measure_all(flags);
  if (!measured.ok()) {
    fmt::print(stderr, "error: {}\n", measured.error().to_string());
    return exit_code(measured.error().code);
  }
  fmt::print("{}\n", json_text(measured.value(), JsonForm::kPretty));
}
