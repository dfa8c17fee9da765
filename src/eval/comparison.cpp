// SPDX-License-Identifier: MIT
#include "eval/comparison.h"

#include "base/hash.h"
#include "eval/endpoint.h"
#include "eval/evaluation_condition.h"
#include "eval/paired_items.h"
#include "eval/rank_test.h"
#include "measure/bootstrap.h"
#include "measure/effect_size.h"
#include "measure/equivalence.h"
#include "measure/holm.h"
#include "measure/paired_differences.h"
#include "measure/permutation.h"
#include "measure/wilcoxon.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::eval {
namespace {

constexpr std::int64_t kMostDraws = 100'000'000;

using CellList = std::vector<const Cell*>;

Json plan_json(const AnalysisPlan& plan) {
  return {{"sha256", plan.sha256}, {"dataset_sha256", plan.dataset_sha256}, {"model", plan.model},
          {"alpha", plan.alpha},   {"resamples", plan.resamples},           {"draws", plan.draws},
          {"seed", plan.seed}};
}

Result<Json> comparison_of(const CellList& cells, const Endpoint& endpoint, std::string_view first,
                           std::string_view second, const AnalysisPlan& plan) {
  const auto pairs = pair_items(cells, endpoint, first, second);
  if (pairs.differences.empty()) return Json();
  Json json = {{"endpoint", endpoint.name},
               {"unit", endpoint.unit},
               {"better", name(endpoint.better)},
               {"condition", first},
               {"against", second},
               {"items", pairs.differences.size()},
               {"conversations", pairs.conversations},
               {"mean", pairs.mean_first},
               {"mean_against", pairs.mean_second},
               {"difference", pairs.difference()}};
  json["statistics"] = nullptr;
  if (pairs.conversations < 2) return json;
  BH_TRY(json["statistics"], paired_statistics(pairs, plan));
  return json;
}

Result<Json> hypotheses_json(const CellList& cells, const AnalysisPlan& plan) {
  Json list = Json::array();
  bool all_held = true;
  for (const auto& hypothesis : plan.hypotheses) {
    BH_TRY(auto comparison,
           comparison_of(cells, *find_endpoint(hypothesis.endpoint), hypothesis.higher, hypothesis.lower, plan));
    const bool measured = !comparison.is_null() && !comparison["statistics"].is_null();
    const bool holds = measured && all_held && comparison["difference"].get<double>() > 0 &&
                       comparison["statistics"]["p"].get<double>() < plan.alpha;
    const char* const outcome = !measured ? "not measured" : !all_held ? "not tested" : holds ? "holds" : "fails";
    list.push_back({{"endpoint", hypothesis.endpoint},
                    {"lower", hypothesis.lower},
                    {"higher", hypothesis.higher},
                    {"outcome", outcome},
                    {"comparison", std::move(comparison)}});
    all_held = holds;
  }
  return list;
}

// Differences turned so that positive is better for `condition`; "no worse": their mean lies above -margin.
Result<Json> no_worse_json(const CellList& cells, const AnalysisPlan& plan) {
  Json list = Json::array();
  for (const auto& claim : plan.no_worse) {
    const auto& endpoint = *find_endpoint(claim.endpoint);
    auto pairs = pair_items(cells, endpoint, claim.condition, claim.than);
    Json json = {{"endpoint", claim.endpoint}, {"condition", claim.condition}, {"than", claim.than},
                 {"margin", claim.margin},     {"outcome", "not measured"},    {"conversations", pairs.conversations},
                 {"better_by", nullptr},       {"interval", nullptr},          {"p", nullptr}};
    if (pairs.conversations >= 2) {
      if (endpoint.better == Better::kLower) {
        for (auto& difference : pairs.differences) difference = -difference;
      }
      BH_TRY(const auto means, measure::cluster_means(pairs.differences, pairs.clusters));
      BH_TRY(const auto test, measure::equivalence_test(means, {-claim.margin, claim.margin}, plan.alpha));
      json["outcome"] = test.p_above < plan.alpha ? "holds" : "fails";
      json["better_by"] = test.mean;
      json["interval"] = {test.interval.low, test.interval.high};
      json["p"] = test.p_above;
    }
    list.push_back(std::move(json));
  }
  return list;
}

Result<std::string> known_word(const JsonView& object, std::string_view key, bool endpoint) {
  BH_TRY(const auto view, object.at(key));
  BH_TRY(auto word, view.string());
  const bool known = endpoint ? find_endpoint(word) != nullptr : find_evaluation_condition(word).ok();
  if (!known) return view.fail(fmt::format("there is no {} \"{}\"", endpoint ? "endpoint" : "condition", word));
  return word;
}

Result<std::string> text_at(const JsonView& object, std::string_view key) {
  BH_TRY(const auto view, object.at(key));
  return view.string();
}

Result<std::int64_t> whole_number(const JsonView& object, std::string_view key) {
  BH_TRY(const auto view, object.at(key));
  return view.integer(1, kMostDraws);
}

Result<double> share_at(const JsonView& object, std::string_view key) {
  BH_TRY(const auto view, object.at(key));
  BH_TRY(const auto number, view.number());
  if (number <= 0 || number >= 0.5) return view.fail(fmt::format("{} is not between 0 and 0.5", number));
  return number;
}

Result<void> read_claims(const JsonView& root, AnalysisPlan& plan) {
  BH_TRY(const auto hypotheses_view, root.at("hypotheses"));
  BH_TRY(const auto hypotheses, hypotheses_view.items());
  for (const auto& view : hypotheses) {
    Hypothesis one;
    BH_TRY(one.endpoint, known_word(view, "endpoint", true));
    BH_TRY(one.lower, known_word(view, "lower", false));
    BH_TRY(one.higher, known_word(view, "higher", false));
    plan.hypotheses.push_back(std::move(one));
  }
  BH_TRY(const auto no_worse_view, root.at("no_worse"));
  BH_TRY(const auto no_worse, no_worse_view.items());
  for (const auto& view : no_worse) {
    NoWorse one;
    BH_TRY(one.endpoint, known_word(view, "endpoint", true));
    BH_TRY(one.condition, known_word(view, "condition", false));
    BH_TRY(one.than, known_word(view, "than", false));
    BH_TRY(one.margin, share_at(view, "margin"));
    plan.no_worse.push_back(std::move(one));
  }
  return {};
}

}  // namespace

Result<Json> paired_statistics(const PairedItems& pairs, const AnalysisPlan& plan) {
  BH_TRY(const auto interval,
         measure::bootstrap_mean(pairs.differences, pairs.clusters,
                                 {.confidence = 1 - plan.alpha, .resamples = plan.resamples, .seed = plan.seed}));
  BH_TRY(const auto flips,
         measure::sign_flip_test(pairs.differences, pairs.clusters, {.draws = plan.draws, .seed = plan.seed}));
  BH_TRY(const auto means, measure::cluster_means(pairs.differences, pairs.clusters));
  BH_TRY(const auto effect, measure::paired_effect(means));
  BH_TRY(const auto ranks, measure::wilcoxon_signed_rank(means));
  const auto& bounds = interval.bca ? *interval.bca : interval.percentile;
  return Json{{"interval", {bounds.low, bounds.high}},
              {"interval_method", interval.bca ? "bca" : "percentile"},
              {"p", flips.p},
              {"p_wilcoxon", ranks.p},
              {"d_z", effect.d_z ? Json(*effect.d_z) : Json()},
              {"rank_biserial", effect.rank_biserial},
              {"conversations_above", effect.wins},
              {"conversations_equal", effect.ties},
              {"conversations_below", effect.losses}};
}

Result<void> add_holm(std::vector<Json>& comparisons) {
  std::vector<double> p;
  for (const auto& one : comparisons) {
    if (!one["statistics"].is_null()) p.push_back(one["statistics"]["p"].get<double>());
  }
  if (p.empty()) return {};
  BH_TRY(const auto adjusted, measure::holm_adjusted(p));
  std::size_t next = 0;
  for (auto& one : comparisons) {
    if (!one["statistics"].is_null()) one["statistics"]["p_holm"] = adjusted[next++];
  }
  return {};
}

Result<AnalysisPlan> read_analysis_plan(const std::string& path) {
  BH_TRY(auto text, read_text_file(path));
  AnalysisPlan plan;
  plan.sha256 = sha256_hex(text);
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), path));
  const JsonView root(document);
  BH_CHECK(
      root.only({"about", "dataset_sha256", "model", "alpha", "resamples", "draws", "seed", "hypotheses", "no_worse"}));
  BH_TRY(plan.dataset_sha256, text_at(root, "dataset_sha256"));
  BH_TRY(plan.model, text_at(root, "model"));
  BH_TRY(plan.alpha, share_at(root, "alpha"));
  BH_TRY(const auto resamples, whole_number(root, "resamples"));
  plan.resamples = static_cast<std::size_t>(resamples);
  BH_TRY(const auto draws, whole_number(root, "draws"));
  plan.draws = static_cast<std::size_t>(draws);
  BH_TRY(const auto seed, whole_number(root, "seed"));
  plan.seed = static_cast<std::uint32_t>(seed);
  BH_CHECK(read_claims(root, plan));
  return plan;
}

Result<Json> compare(const std::vector<Cell>& cells, const AnalysisPlan& plan) {
  CellList list;
  for (const auto& cell : cells) list.push_back(&cell);
  Json all = Json::array();
  for (const auto& endpoint : endpoints()) {
    std::vector<Json> family;
    for (const auto& condition : evaluation_conditions()) {
      if (condition.name == kBaseline) continue;
      BH_TRY(auto one, comparison_of(list, endpoint, condition.name, kBaseline, plan));
      if (!one.is_null()) family.push_back(std::move(one));
    }
    BH_CHECK(add_holm(family));
    for (auto& one : family) all.push_back(std::move(one));
  }
  Json json = {{"plan", plan_json(plan)}, {"comparisons", std::move(all)}};
  BH_TRY(json["friedman"], rank_tests(list));
  BH_TRY(json["hypotheses"], hypotheses_json(list, plan));
  BH_TRY(json["no_worse"], no_worse_json(list, plan));
  return json;
}

}  // namespace bulkhead::eval
