// SPDX-License-Identifier: MIT
#include "eval/evaluation.h"

#include "engines/fake/fake_engine.h"
#include "eval/bench.h"
#include "eval/cells_csv.h"
#include "eval/comparison.h"
#include "eval/endpoint.h"
#include "eval/evaluation_condition.h"
#include "eval/evaluation_summary.h"
#include "eval/facet.h"
#include "eval/item.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::eval {
namespace {

using testing::TemporaryFolder;

const prompt::Format& format() {
  static const auto kFormat = prompt::load_format("raw").value();
  return kFormat;
}

Json configuration(const engine::Engine& engine, const EvaluationOptions& options = {}) {
  return evaluation_configuration(engine.facts(), {}, bench(), format(), options);
}

// One folder's cells after several calls, each for other kinds; without times.
std::vector<Cell> cells_after(engine::Engine& engine, EvaluationOptions options,
                              const std::vector<std::vector<std::string>>& calls) {
  const TemporaryFolder folder;
  auto store = RunStore::open(folder.path(), configuration(engine, options)).value();
  for (const auto& kinds : calls) {
    options.kinds = kinds;
    EXPECT_TRUE(evaluate(engine, bench(), format(), options, store).ok());
  }
  auto cells = store.cells().value();
  for (auto& cell : cells) cell.seconds = 0;
  return cells;
}

TEST(Evaluation, RunsWhatIsMissingAndNothingElse) {
  const TemporaryFolder folder;
  const auto engine = engines::fake::make_fake_engine();
  auto store = RunStore::open(folder.path(), configuration(*engine)).value();
  EvaluationOptions options;
  options.conversations = 2;
  options.conditions = {"semantic"};
  std::vector<std::pair<std::uint64_t, std::uint64_t>> told;
  options.progress = [&](std::uint64_t done, std::uint64_t total) { told.emplace_back(done, total); };
  ASSERT_TRUE(evaluate(*engine, bench(), format(), options, store).ok());
  const auto first = store.cells().value();
  EXPECT_EQ(told.size(), first.size() + 1);
  EXPECT_EQ(told.back(), std::make_pair(std::uint64_t{first.size()}, std::uint64_t{first.size()}));
  std::set<std::string> domains;
  for (const auto& cell : first) domains.insert(cell.domain);
  EXPECT_EQ(domains, (std::set<std::string>{"construction", "health"})) << "evenly spaced over the set";

  told.clear();
  ASSERT_TRUE(evaluate(*engine, bench(), format(), options, store).ok());
  EXPECT_EQ(told, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{{0, 0}}));
  options.conditions = {"semantic", "regrouped"};
  options.kinds = {"own"};
  ASSERT_TRUE(evaluate(*engine, bench(), format(), options, store).ok());
  const auto all = store.cells().value();
  for (const auto& cell : all) EXPECT_TRUE(cell.key.condition == "semantic" || cell.kind == "own");
  EXPECT_GT(store.size(), first.size());
}

TEST(Evaluation, WritesOutputsWhenAskedAndGoesOnWithTheSame) {
  const auto engine = engines::fake::make_fake_engine();
  EvaluationOptions options;
  options.conversations = 1;
  options.conditions = {"semantic", "sequential"};
  EXPECT_FALSE(configuration(*engine, options).contains("output_tokens")) << "older folders can be gone on with";
  options.lengths.output = 12;
  EXPECT_EQ(configuration(*engine, options)["output_tokens"], 12);
  const auto whole = cells_after(*engine, options, {{}});
  EXPECT_EQ(cells_after(*engine, options, {{"output"}, {"own"}, {}}), whole) << "in parts";
  std::size_t outputs = 0;
  for (const auto& cell : whole) {
    EXPECT_EQ(cell.output.has_value(), cell.kind == kOutputKind);
    if (!cell.output) continue;
    ++outputs;
    auto anew = measure_output(bench().conversations[0], cell.cluster, cell.output->text);
    anew.tokens = cell.output->tokens;
    anew.ended = cell.output->ended;
    EXPECT_EQ(*cell.output, anew);
    EXPECT_GT(cell.output->words, 0U);
  }
  EXPECT_EQ(outputs, 6U);
}

TEST(Evaluation, ComparesOutputsWithTheirReferencesWhenGivenAModel) {
  const auto engine = engines::fake::make_fake_engine();
  EvaluationOptions options;
  options.conversations = 1;
  options.conditions = {"semantic", "sequential"};
  options.kinds = {"output"};
  options.lengths.output = 12;
  EXPECT_FALSE(configuration(*engine, options).contains("embedding_sha256")) << "older folders can be gone on with";
  for (const auto& cell : cells_after(*engine, options, {{"output"}})) EXPECT_FALSE(cell.output->similarity);
  std::vector<std::pair<std::string, std::string>> compared;
  options.similarity = {.model_sha256 = "abc", .cosine = [&](std::string_view one, std::string_view other) {
                          compared.emplace_back(one, other);
                          return Result<double>(0.5 - static_cast<double>(compared.size()));
                        }};
  EXPECT_EQ(configuration(*engine, options)["embedding_sha256"], "abc");
  const auto cells = cells_after(*engine, options, {{"output"}});
  ASSERT_EQ(compared.size(), 6U);
  const auto& scenario = bench().conversations[0].scenario;
  const auto* endpoint = find_endpoint("similarity");
  for (const auto& cell : cells) {
    ASSERT_TRUE(endpoint->counts(cell));
    const auto at = static_cast<std::size_t>(0.5 - endpoint->value(cell)) - 1;
    EXPECT_EQ(compared.at(at), std::pair(cell.output->text, scenario.find_cluster(cell.cluster)->expected_output));
  }
  EXPECT_NE(to_csv(cells).find(",-0.5\n"), std::string::npos);
  options.similarity.cosine = [](std::string_view, std::string_view) {
    return Result<double>(Error{ErrorCode::kInternal, "no vector", {}, {}});
  };
  const TemporaryFolder folder;
  auto store = RunStore::open(folder.path(), configuration(*engine, options)).value();
  EXPECT_EQ(evaluate(*engine, bench(), format(), options, store).error().message, "no vector");
  EXPECT_EQ(store.size(), 0U);
}

TEST(Evaluation, SamplesAreThoseOfIsolationUnderEveryCondition) {
  const auto engine = engines::fake::make_fake_engine();
  EvaluationOptions options;
  options.conversations = 2;
  options.conditions = {"sequential", "semantic"};
  EXPECT_FALSE(configuration(*engine, options).contains("sample_tokens")) << "older folders can be gone on with";
  options.lengths.sample = 10;
  EXPECT_EQ(configuration(*engine, options)["sample_tokens"], 10);
  const auto whole = cells_after(*engine, options, {{}});
  EXPECT_EQ(cells_after(*engine, options, {{"own"}, {"sample"}, {}}), whole) << "in parts";
  std::map<std::string, std::map<std::string, Candidate>> samples;  // conversation and item -> condition
  for (const auto& cell : whole) {
    if (cell.kind != kSampleKind) continue;
    EXPECT_FALSE(is_question(cell));
    ASSERT_EQ(cell.candidates.size(), 1U);
    samples[cell.key.conversation + cell.key.item][cell.key.condition] = cell.candidates.front();
  }
  ASSERT_GE(samples.size(), 6U);
  std::set<std::string> texts;
  for (const auto& [item, of] : samples) {
    ASSERT_EQ(of.size(), 2U) << item;
    EXPECT_EQ(of.at("sequential").value, of.at("semantic").value) << item;
    EXPECT_EQ(of.at("sequential").tokens, of.at("semantic").tokens) << item;
    EXPECT_NE(of.at("sequential").log_probability, of.at("semantic").log_probability) << item;
    texts.insert(of.at("semantic").value);
  }
  EXPECT_EQ(texts.size(), samples.size()) << "each is drawn with a seed of its own";
  AnalysisPlan plan;
  plan.resamples = 100;
  plan.draws = 100;
  const auto comparisons = compare(whole, plan).value()["comparisons"];
  EXPECT_TRUE(std::any_of(comparisons.begin(), comparisons.end(),
                          [](const Json& one) { return one["endpoint"] == "cross_entropy"; }));
}

TEST(Evaluation, RefusesWhatItDoesNotKnowOrCannotHold) {
  const TemporaryFolder folder;
  const auto engine = engines::fake::make_fake_engine({.context_tokens = 2000});
  auto store = RunStore::open(folder.path(), configuration(*engine)).value();
  EvaluationOptions options;
  options.conditions = {"random"};
  EXPECT_EQ(evaluate(*engine, bench(), format(), options, store).error().code, ErrorCode::kUsage);
  options.conditions = {};
  options.kinds = {"output"};
  EXPECT_EQ(evaluate(*engine, bench(), format(), options, store).error().code, ErrorCode::kUsage) << "of no length";
  options.kinds = {"sample"};
  EXPECT_EQ(evaluate(*engine, bench(), format(), options, store).error().code, ErrorCode::kUsage) << "of no length";
  options.kinds = {"other"};
  EXPECT_EQ(evaluate(*engine, bench(), format(), options, store).error().code, ErrorCode::kUsage);
  options.kinds = {};
  const auto large = evaluate(*engine, bench(), format(), options, store);
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().code, ErrorCode::kResource);
  EXPECT_NE(large.error().message.find("the limit is 2000"), std::string::npos) << large.error().message;
  EXPECT_EQ(store.size(), 0U);
}

Cell answered(const std::string& item, const std::string& kind, Standing best) {
  Cell cell{
      .key = {"law-01", "semantic", item}, .kind = kind, .context = "c1", .context_tokens = 100, .item_tokens = 10};
  for (const auto standing : {Standing::kRight, Standing::kOwn, Standing::kForeign}) {
    cell.candidates.push_back({std::string(name(standing)), "c", standing, standing == best ? -1.0 : -4.0, 2});
  }
  return cell;
}

TEST(EvaluationSummary, CountsAnswersIntrusionsAndTokens) {
  std::vector<Cell> cells = {answered("q1", "own", Standing::kRight), answered("q2", "own", Standing::kForeign),
                             answered("q3", "updated", Standing::kOwn), answered("q4", "absent", Standing::kForeign)};
  cells.push_back(
      {.key = {"law-01", "semantic", "reference:c1"}, .kind = "reference", .context = "c1", .context_tokens = 100});
  cells.back().candidates = {{"text", "", Standing::kRight, -6.0, 4}};
  const auto summary = summarize(cells, {{"law-01", {3, 15}}});
  ASSERT_EQ(summary.size(), 1U);
  const auto& one = summary[0];
  EXPECT_EQ(one["primary"]["questions"], 3);
  EXPECT_EQ(one["primary"]["correct"], 1);
  EXPECT_EQ(one["primary"]["intrusions"], 1);
  EXPECT_EQ(one["kinds"]["absent"]["intrusions"], 1);
  EXPECT_EQ(one["reference"]["nll_per_token"], 1.5);
  EXPECT_EQ(one["context_tokens"], 100) << "one context, however many items";
  EXPECT_EQ(one["item_tokens"], 40);
  EXPECT_EQ(one["endpoints"]["intrusions"]["items"], 3);
  EXPECT_NEAR(one["endpoints"]["intrusions"]["mean"].get<double>(), 1.0 / 3, 1e-12);
  EXPECT_TRUE(one["endpoints"]["messages"]["mean"].is_null());
  const auto table = summary_table(summary);
  EXPECT_NE(table.find("33.3 % (1/3)"), std::string::npos) << table;
  EXPECT_NE(table.find("1.5000"), std::string::npos) << table;
}

TEST(EvaluationSummary, OutputsAreToldWhereThereAreSome) {
  std::vector<Cell> cells;
  for (int i = 0; i < 4; ++i) {
    for (const auto* condition : {"semantic", "sequential"}) {
      auto cell = answered("q1", "own", Standing::kRight);
      cell.key.conversation = "c" + std::to_string(i);
      cell.key.condition = condition;
      cells.push_back(cell);
      cell.key.item = "output:c1";
      cell.kind = kOutputKind;
      cell.candidates.clear();
      const bool one_cache = std::string_view(condition) == "sequential";
      cell.output = Output{.tokens = 5, .ended = i == 0, .chrf = 40, .foreign_facts = one_cache && i < 3 ? 2U : 0U};
      cells.push_back(cell);
    }
  }
  const auto summary = summarize(cells, {});
  EXPECT_EQ(summary[0]["outputs"]["texts"], 4);
  EXPECT_EQ(summary[0]["outputs"]["tokens"], 20);
  EXPECT_EQ(summary[0]["outputs"]["ended"], 1);
  EXPECT_EQ(summary[0]["outputs"]["with_foreign_facts"], 3);
  EXPECT_EQ(summary[0]["primary"]["questions"], 4) << "an output is no question";
  EXPECT_EQ(summary[0]["endpoints"]["foreign_facts"]["mean"], 1.5);
  AnalysisPlan plan;
  plan.resamples = 200;
  plan.draws = 200;
  const auto comparisons = compare(cells, plan).value()["comparisons"];
  const auto found = std::find_if(comparisons.begin(), comparisons.end(),
                                  [](const Json& one) { return one["endpoint"] == "foreign_facts"; });
  ASSERT_NE(found, comparisons.end());
  EXPECT_EQ((*found)["difference"], 1.5);
  EXPECT_EQ((*found)["better"], "lower");
  EXPECT_EQ((*found)["statistics"]["conversations_above"], 3);
  std::erase_if(cells, [](const Cell& cell) { return cell.output.has_value(); });
  const auto without = summarize(cells, {});
  EXPECT_FALSE(without[0].contains("outputs"));
  EXPECT_FALSE(without[0]["endpoints"].contains("chrf"));
}

TEST(EvaluationSummary, FacetsCutTheSameCells) {
  std::vector<Cell> cells;
  for (const auto* id : {"law-01", "law-02", "health-01", "unknown"}) {
    auto cell = answered("q1", "own", std::string_view(id) == "law-02" ? Standing::kForeign : Standing::kRight);
    cell.key.conversation = id;
    cell.domain = std::string_view(id).starts_with("law") ? "law" : "health";
    cell.difficulty = 2;
    cells.push_back(std::move(cell));
  }
  const auto summary = summarize(cells, {{"law-01", {3, 60}}, {"law-02", {7, 15}}, {"health-01", {3, 15}}});
  const auto& facets = summary[0]["facets"];
  std::vector<std::string> seen;
  std::map<std::string, int> covered;
  for (const auto& one : facets) {
    seen.push_back(one["facet"].get<std::string>() + " " + one["group"].get<std::string>());
    covered[one["facet"]] += one["cells"].get<int>();
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"domain health", "domain law", "difficulty 2", "clusters 3", "clusters 7",
                                            "turns 15", "turns 60"}));
  EXPECT_EQ(covered["domain"], 4);
  EXPECT_EQ(covered["clusters"], 3) << "the size of one conversation is not known";
  EXPECT_EQ(facets[1]["primary"]["intrusions"], 1);
  EXPECT_EQ(facets[1]["conversations"], 2);
  EXPECT_EQ(facets[4]["context_tokens"], 100);
}

// The words of the fact stand in the turn that is so many before the end, and in no later turn of the cluster unless it
// is said again.
TEST(EvaluationSummary, PlacesAndDistancesAreThoseOfTheConversation) {
  const auto sizes = sizes_of(bench());
  std::size_t distances = 0;
  for (const auto& conversation : bench().conversations) {
    const auto& scenario = conversation.scenario;
    const auto& size = sizes.at(scenario.id);
    EXPECT_EQ(size.places.size(), scenario.clusters.size());
    EXPECT_EQ(size.places.at(scenario.clusters.front().id), "first");
    EXPECT_EQ(size.places.at(scenario.clusters[1].id), "middle");
    EXPECT_EQ(size.places.at(scenario.clusters.back().id), "last");
    for (const auto& question : conversation.questions) {
      const bool rests_on_one =
          question.kind == dataset::QuestionKind::kOwn || question.kind == dataset::QuestionKind::kUpdated;
      ASSERT_EQ(size.turns_since.contains(question.id), rests_on_one) << scenario.id << " " << question.id;
      if (!rests_on_one) continue;
      const auto& turn = scenario.turns.at(scenario.turns.size() - 1 - size.turns_since.at(question.id));
      EXPECT_EQ(turn.cluster, question.cluster);
      EXPECT_NE(turn.text.find(question.answer), std::string::npos) << turn.text << " / " << question.answer;
      ++distances;
    }
  }
  EXPECT_GT(distances, 1000U);
}

TEST(EvaluationSummary, FacetsByPlaceAndDistance) {
  std::vector<Cell> cells;
  for (const auto* id : {"q1", "q2", "q3", "q4"}) {
    auto cell = answered(id, "own", Standing::kRight);
    cell.cluster = std::string_view(id) == "q1" ? "c1" : "c2";
    cells.push_back(std::move(cell));
  }
  const ConversationSize size{2, 30, {{"c1", "first"}, {"c2", "last"}}, {{"q1", 4}, {"q2", 5}, {"q3", 29}}};
  std::map<std::string, int> counted;
  const auto summary = summarize(cells, {{"law-01", size}});
  for (const auto& one : summary[0]["facets"]) {
    counted[one["facet"].get<std::string>() + " " + one["group"].get<std::string>()] = one["cells"];
  }
  EXPECT_EQ(counted["place first"], 1);
  EXPECT_EQ(counted["place last"], 3);
  EXPECT_EQ(counted["distance 0"], 1);
  EXPECT_EQ(counted["distance 5"], 1);
  EXPECT_EQ(counted["distance 20"], 1);
  EXPECT_FALSE(counted.contains("distance 10"));
}

TEST(EvaluationSummary, FacetDifferencesHaveIntervals) {
  std::vector<Cell> cells;
  for (int i = 0; i < 8; ++i) {
    for (const auto* condition : {"semantic", "sequential"}) {
      for (const auto* kind : {"own", "relay"}) {
        const bool foreign = i % 2 == 0 && std::string_view(condition) == "sequential";
        auto cell = answered(std::string("q-") + kind, kind, foreign ? Standing::kForeign : Standing::kRight);
        cell.key.conversation = "c" + std::to_string(i);
        cell.key.condition = condition;
        cell.domain = i < 7 ? "law" : "health";
        cells.push_back(std::move(cell));
      }
    }
  }
  AnalysisPlan plan;
  plan.resamples = 200;
  const auto list = facet_differences(cells, {}, plan).value();
  const auto one = [&](const std::string& group, const std::string& endpoint) {
    for (const auto& entry : list) {
      if (entry["group"] == group && entry["endpoint"] == endpoint) return entry;
    }
    return Json();
  };
  EXPECT_NEAR(one("law", "intrusions")["difference"].get<double>(), 4.0 / 7, 1e-12) << "own questions only";
  EXPECT_EQ(one("law", "intrusions")["items"], 7);
  EXPECT_GT(one("law", "intrusions")["interval"][0].get<double>(), 0);
  EXPECT_TRUE(one("health", "intrusions")["interval"].is_null()) << "one conversation";
  EXPECT_EQ(one("relay", "intrusions")["difference"], 0.5);
  EXPECT_EQ(one("relay", "accuracy")["difference"], -0.5);
  EXPECT_TRUE(one("sum", "accuracy").is_null());
}

// A tie of all scores must not favour the right answer: a model that knows nothing is at chance, not at 100 %.
TEST(EvaluationSummary, TiesFavourNobody) {
  std::uint64_t right = 0;
  std::uint64_t questions = 0;
  for (const auto& conversation : bench().conversations) {
    for (const auto& item : items_of(conversation, {"own", "updated"})) {
      Cell cell{.key = {}, .kind = item.kind, .candidates = item.candidates};
      for (auto& candidate : cell.candidates) {
        candidate.log_probability = -1;
        candidate.tokens = 1;
      }
      ++questions;
      right += chosen(cell, Scoring::kPerToken).standing == Standing::kRight ? 1U : 0U;
    }
  }
  EXPECT_GT(right, questions / 12);
  EXPECT_LT(right, questions / 3);
}

}  // namespace
}  // namespace bulkhead::eval
