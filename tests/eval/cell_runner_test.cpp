// SPDX-License-Identifier: MIT
#include "eval/cell_runner.h"

#include "engine/recording_engine.h"
#include "engines/fake/fake_engine.h"
#include "paths.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>

namespace bulkhead::eval {
namespace {

using dataset::Conversation;
using engine::CallKind;

const Conversation& conversation() {
  static const auto kSet =
      dataset::load_dataset(testing::source_folder() + "/datasets/bulkhead-bench/conversations.jsonl");
  return kSet.value().conversations.at(0);
}

bool all_items(const Item& /*item*/) {
  return true;
}

struct Ran {
  std::vector<Cell> cells;
  engine::Transcript transcript;
};

// One condition's contexts on a fresh fake engine.
Ran run(const Conversation& on, const char* condition, const char* format_name,
        const std::function<bool(const Item&)>& wanted = all_items) {
  engine::RecordingEngine engine(engines::fake::make_fake_engine());
  const auto format = prompt::load_format(format_name).value();
  const auto items = items_of(on, {});
  Ran ran;
  for (const auto& context : find_evaluation_condition(condition).value()->contexts(on, 1)) {
    const auto prepared = prepare_context(on, context, items, format, engine.tokenizer());
    EXPECT_TRUE(prepared.ok()) << prepared.error().to_string();
    const auto done = [&](Cell cell) -> Result<void> {
      cell.seconds = 0;
      ran.cells.push_back(std::move(cell));
      return {};
    };
    const auto result = run_context(engine, prepared.value(), wanted, done, {});
    EXPECT_TRUE(result.ok()) << result.error().to_string();
  }
  ran.transcript = engine.transcript();
  return ran;
}

std::size_t calls(const engine::Transcript& transcript, CallKind kind) {
  return static_cast<std::size_t>(std::count_if(transcript.calls.begin(), transcript.calls.end(),
                                                [&](const engine::Call& call) { return call.kind == kind; }));
}

TEST(CellRunner, ScoresAreThoseOfEachAnswerComputedAlone) {
  for (const char* const format_name : {"raw", "bulkhead"}) {
    const auto format = prompt::load_format(format_name).value();
    const auto engine = engines::fake::make_fake_engine();
    const auto context = find_evaluation_condition("sequential").value()->contexts(conversation(), 1).at(0);
    const auto items = items_of(conversation(), {});
    const auto prepared = prepare_context(conversation(), context, items, format, engine->tokenizer()).value();
    const auto ran = run(conversation(), "sequential", format_name);
    ASSERT_EQ(ran.cells.size(), items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      for (std::size_t c = 0; c < items[i].candidates.size(); ++c) {
        const auto id = engine->open({.capacity_tokens = prepared.longest}).value();
        ASSERT_TRUE(engine->prefill(id, prepared.items[i].prompt).ok());
        double alone = 0;
        const auto scores = engine->score(id, prepared.items[i].candidates[c]).value();
        for (const double score : scores) alone += score;
        EXPECT_EQ(ran.cells[i].candidates[c].log_probability, alone) << items[i].id;
        EXPECT_EQ(ran.cells[i].candidates[c].tokens, scores.size());
        ASSERT_TRUE(engine->close(id).ok());
      }
    }
  }
}

TEST(CellRunner, OutputIsTheGreedyTextOfItsPromptAlone) {
  for (const char* const format_name : {"raw", "bulkhead"}) {
    const auto format = prompt::load_format(format_name).value();
    const auto engine = engines::fake::make_fake_engine();
    const auto context = find_evaluation_condition("sequential").value()->contexts(conversation(), 1).at(0);
    const auto items = items_of(conversation(), {}, {.output = 9});
    const auto prepared = prepare_context(conversation(), context, items, format, engine->tokenizer()).value();
    std::vector<Cell> cells;
    const auto done = [&](Cell cell) -> Result<void> {
      cells.push_back(std::move(cell));
      return {};
    };
    const auto outputs = [](const Item& item) { return item.kind == kOutputKind; };
    ASSERT_TRUE(run_context(*engine, prepared, outputs, done, {}).ok());
    ASSERT_EQ(cells.size(), 3U);
    std::size_t next = 0;
    for (const auto& one : prepared.items) {
      if (!outputs(one.item)) continue;
      EXPECT_GE(prepared.longest, one.prompt.size() + 9);
      const auto id = engine->open({.capacity_tokens = prepared.longest}).value();
      ASSERT_TRUE(engine->prefill(id, one.prompt).ok());
      engine::GenerateRequest request{id, {}};
      request.options.sampling.temperature = 0;
      request.options.max_tokens = 9;
      const auto alone = engine->generate(std::span(&request, 1)).front().value();
      const auto& cell = cells[next++];
      ASSERT_TRUE(cell.output.has_value());
      EXPECT_EQ(cell.output->text, alone.text) << one.item.id;
      EXPECT_EQ(cell.output->tokens, alone.tokens.size());
      EXPECT_EQ(cell.item_tokens, one.prompt.size() - prepared.shared + alone.tokens.size());
      EXPECT_TRUE(cell.candidates.empty());
      ASSERT_TRUE(engine->close(id).ok());
    }
  }
}

TEST(CellRunner, PromptShowsContextQuestionAndLead) {
  const auto engine = engines::fake::make_fake_engine();
  const auto format = prompt::load_format("raw").value();
  const auto context = find_evaluation_condition("sequential").value()->contexts(conversation(), 1).at(0);
  const auto items = items_of(conversation(), {"own"});
  const auto prepared = prepare_context(conversation(), context, items, format, engine->tokenizer()).value();
  std::string text;
  for (const auto token : prepared.items.at(0).prompt) text += engine->tokenizer().piece(token);
  EXPECT_TRUE(text.starts_with(conversation().scenario.turns.front().text));
  const auto end = "\n\nQuestion: " + items[0].prompt + "\nAnswer: " + items[0].lead;
  EXPECT_TRUE(text.ends_with(end)) << text.substr(text.size() - end.size() - 20);
  std::string candidate;
  for (const auto token : prepared.items[0].candidates[0]) candidate += engine->tokenizer().piece(token);
  EXPECT_EQ(candidate, " " + items[0].candidates[0].value);
}

TEST(CellRunner, ContextIsPrefilledOnceAndEverythingIsClosed) {
  const auto items = items_of(conversation(), {});
  std::size_t candidates = 0;
  for (const auto& item : items) candidates += item.candidates.size();
  for (const auto& [condition, contexts] : std::map<const char*, std::size_t>{{"sequential", 1}, {"semantic", 3}}) {
    const auto ran = run(conversation(), condition, "bulkhead");
    EXPECT_EQ(calls(ran.transcript, CallKind::kPrefill), contexts + items.size());
    EXPECT_EQ(calls(ran.transcript, CallKind::kFork), items.size() + candidates);
    EXPECT_EQ(calls(ran.transcript, CallKind::kScore), candidates);
    EXPECT_EQ(calls(ran.transcript, CallKind::kClose), contexts + items.size() + candidates);
    for (const auto& cell : ran.cells) EXPECT_GT(cell.context_tokens, 100U);
  }
}

// The positive control: where the others' turns are in the cache, changing them changes the scores.
TEST(CellRunner, ForeignTurnsReachTheOneCacheOnly) {
  auto changed = conversation();
  for (auto& turn : changed.scenario.turns) {
    if (turn.cluster == "c2") turn.text += " And so on.";
  }
  const auto of_first = [](const std::vector<Cell>& cells) {
    std::vector<std::vector<Candidate>> own;
    for (const auto& cell : cells) {
      if (cell.cluster == "c1") own.push_back(cell.candidates);
    }
    return own;
  };
  EXPECT_EQ(of_first(run(conversation(), "semantic", "raw").cells), of_first(run(changed, "semantic", "raw").cells));
  EXPECT_NE(of_first(run(conversation(), "sequential", "raw").cells),
            of_first(run(changed, "sequential", "raw").cells));
}

TEST(CellRunner, PartsGiveTheSameCellsAsTheWhole) {
  const auto whole = run(conversation(), "turn_based", "raw").cells;
  const auto odd = [](const Item& item) { return item.id.back() % 2 == 1; };
  auto parts = run(conversation(), "turn_based", "raw", odd).cells;
  EXPECT_LT(parts.size(), whole.size());
  for (auto& cell : run(conversation(), "turn_based", "raw", [&](const Item& item) { return !odd(item); }).cells) {
    parts.push_back(std::move(cell));
  }
  const auto by_key = [](const Cell& one, const Cell& other) { return one.key < other.key; };
  auto sorted = whole;
  std::sort(sorted.begin(), sorted.end(), by_key);
  std::sort(parts.begin(), parts.end(), by_key);
  EXPECT_EQ(parts, sorted);
}

TEST(CellRunner, StopsWhenAskedAndPassesErrorsOn) {
  const auto engine = engines::fake::make_fake_engine();
  const auto format = prompt::load_format("raw").value();
  const auto context = find_evaluation_condition("sequential").value()->contexts(conversation(), 1).at(0);
  const auto items = items_of(conversation(), {});
  const auto prepared = prepare_context(conversation(), context, items, format, engine->tokenizer()).value();
  std::stop_source stop;
  std::size_t cells = 0;
  const auto stop_after_two = [&](const Cell& /*cell*/) -> Result<void> {
    if (++cells == 2) stop.request_stop();
    return {};
  };
  const auto stopped = run_context(*engine, prepared, all_items, stop_after_two, stop.get_token());
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
  EXPECT_EQ(cells, 2U);
  const auto full = [](const Cell& /*cell*/) -> Result<void> {
    return Error{ErrorCode::kResource, "disk full", {}, {}};
  };
  const auto failed = run_context(*engine, prepared, all_items, full, {});
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().message, "disk full");
}

TEST(Item, StandingsTellOwnFromForeign) {
  for (const auto& item : items_of(conversation(), {})) {
    const auto right = std::count_if(item.candidates.begin(), item.candidates.end(),
                                     [](const auto& one) { return one.standing == Standing::kRight; });
    EXPECT_EQ(right, 1) << item.id;
    for (const auto& one : item.candidates) {
      if (one.standing == Standing::kRight) continue;
      if (item.kind == "own" || item.kind == "updated" || item.kind == "absent") {
        EXPECT_EQ(one.standing == Standing::kForeign, one.cluster != item.cluster) << item.id << " " << one.value;
      }
    }
  }
  EXPECT_EQ(items_of(conversation(), {"reference"}).size(), 3U);
  EXPECT_TRUE(items_of(conversation(), {"none"}).empty());
  EXPECT_TRUE(items_of(conversation(), {"output"}).empty()) << "off by default";
  const auto outputs = items_of(conversation(), {"output"}, {.output = 16});
  ASSERT_EQ(outputs.size(), 3U);
  EXPECT_EQ(outputs[0].id, "output:c1");
  EXPECT_EQ(outputs[0].prompt, items_of(conversation(), {"reference"})[0].prompt);
}

}  // namespace
}  // namespace bulkhead::eval
