// SPDX-License-Identifier: MIT
// Tests, intervals and effect sizes against SciPy, statsmodels and NumPy (tests/reference/statistics_cases.py made the
// fixture).
#include "measure/bootstrap.h"
#include "measure/effect_size.h"
#include "measure/equivalence.h"
#include "measure/fixture.h"
#include "measure/friedman.h"
#include "measure/holm.h"
#include "measure/mcnemar.h"
#include "measure/permutation.h"
#include "measure/proportion.h"
#include "measure/wilcoxon.h"

#include <functional>
#include <limits>
#include <vector>

namespace bulkhead::measure {
namespace {

using Numbers = std::vector<double>;
using Indices = std::vector<std::size_t>;

// Walks one group of the fixture; returns how many cases it has.
std::size_t for_each_case(const char* group, const std::function<void(const Json&)>& test) {
  static const Json fixture = read_fixture("statistics_cases.json");
  for (const auto& entry : fixture.at(group)) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    test(entry);
  }
  return fixture.at(group).size();
}

Numbers differences_of(const Json& entry) {
  return entry.at("differences").get<Numbers>();
}
Indices clusters_of(const Json& entry) {
  return entry.at("clusters").get<Indices>();
}

void expect_same_interval(const Interval& ours, const Json& expected, const char* what) {
  expect_same(ours.low, expected.at(0), what);
  expect_same(ours.high, expected.at(1), what);
}

TEST(Statistics, BootstrapAsScipyAndNumpy) {
  std::size_t undefined = 0;
  const auto cases = for_each_case("bootstrap", [&](const Json& entry) {
    const auto differences = differences_of(entry);
    const auto clusters = clusters_of(entry);
    const auto confidence = entry.at("confidence").get<double>();
    auto result = entry.contains("indices")
                      ? bootstrap_mean(differences, clusters, entry.at("indices").get<Indices>(), confidence)
                      : bootstrap_mean(differences, clusters,
                                       {.confidence = confidence,
                                        .resamples = entry.at("resamples").get<std::size_t>(),
                                        .seed = entry.at("seed").get<std::uint32_t>()});
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    expect_same(result->mean, entry.at("mean"), "mean");
    expect_same_interval(result->percentile, entry.at("percentile"), "percentile");
    ASSERT_EQ(result->bca.has_value(), !entry.at("bca").is_null());
    if (result->bca) expect_same_interval(*result->bca, entry.at("bca"), "BCa");
    undefined += result->bca ? 0U : 1U;
  });
  EXPECT_GE(cases, 30U);
  EXPECT_EQ(undefined, 2U);
}

TEST(Statistics, PermutationAsScipyAndNumpy) {
  std::size_t drawn = 0;
  const auto cases = for_each_case("permutation", [&](const Json& entry) {
    auto result =
        sign_flip_test(differences_of(entry), clusters_of(entry),
                       {.draws = entry.at("draws").get<std::size_t>(), .seed = entry.at("seed").get<std::uint32_t>()});
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(result->exact, entry.at("exact").get<bool>());
    expect_same(result->p, entry.at("p"), "p");
    expect_same(result->mean, entry.at("mean"), "mean");
    drawn += result->exact ? 0U : 1U;
  });
  EXPECT_GE(cases, 40U);
  EXPECT_GE(drawn, 5U);
}

TEST(Statistics, WilcoxonAsScipy) {
  std::size_t exact = 0;
  for_each_case("wilcoxon", [&](const Json& entry) {
    const auto zeros = entry.at("zeros") == "pratt" ? ZeroDifferences::kPratt : ZeroDifferences::kDrop;
    auto normal = wilcoxon_signed_rank(differences_of(entry), zeros, WilcoxonMethod::kNormal);
    ASSERT_TRUE(normal.ok()) << normal.error().to_string();
    expect_same(std::min(normal->ranks.positive, normal->ranks.negative), entry.at("statistic"), "statistic");
    expect_same(-std::abs(normal->z), entry.at("z"), "z");
    expect_same(normal->p, entry.at("normal_p"), "normal p");
    if (entry.at("exact_p").is_null()) return;
    auto result = wilcoxon_signed_rank(differences_of(entry), zeros);
    ASSERT_TRUE(result.ok() && result->exact);
    expect_same(result->p, entry.at("exact_p"), "exact p");
    ++exact;
  });
  EXPECT_GE(exact, 15U);
}

TEST(Statistics, HolmAsStatsmodels) {
  for_each_case("holm", [](const Json& entry) {
    auto adjusted = holm_adjusted(entry.at("p").get<Numbers>());
    ASSERT_TRUE(adjusted.ok());
    ASSERT_EQ(adjusted->size(), entry.at("adjusted").size());
    for (std::size_t i = 0; i < adjusted->size(); ++i) expect_same((*adjusted)[i], entry.at("adjusted").at(i), "p");
  });
}

TEST(Statistics, FriedmanAsScipy) {
  const auto cases = for_each_case("friedman", [](const Json& entry) {
    const auto blocks = entry.at("blocks").get<std::vector<Numbers>>();
    auto test = friedman_test(blocks);
    ASSERT_TRUE(test.ok()) << test.error().to_string();
    expect_same(test->statistic, entry.at("statistic"), "statistic");
    expect_same(test->p, entry.at("p"), "p");
    EXPECT_EQ(test->degrees_of_freedom, blocks.front().size() - 1);
    ASSERT_EQ(test->mean_ranks.size(), entry.at("mean_ranks").size());
    for (std::size_t i = 0; i < test->mean_ranks.size(); ++i) {
      expect_same(test->mean_ranks[i], entry.at("mean_ranks").at(i), "mean rank");
    }
  });
  EXPECT_GE(cases, 8U);
}

TEST(Statistics, FriedmanRefusesAndKnowsNoDifference) {
  const auto equal = friedman_test(std::vector<Numbers>{{1, 1, 1}, {2, 2, 2}});
  ASSERT_TRUE(equal.ok());
  EXPECT_EQ(equal->statistic, 0);
  EXPECT_EQ(equal->p, 1);
  EXPECT_EQ(equal->mean_ranks, (Numbers{2, 2, 2}));
  const std::vector<std::vector<Numbers>> wrong = {
      {}, {{1, 2}, {2, 1}}, {{1, 2, 3}, {1, 2}}, {{1, 2, std::numeric_limits<double>::quiet_NaN()}}};
  for (const auto& blocks : wrong) {
    const auto test = friedman_test(blocks);
    ASSERT_FALSE(test.ok());
    EXPECT_EQ(test.error().code, ErrorCode::kBadInput);
  }
}

TEST(Statistics, EffectSizesAsScipy) {
  for_each_case("effect", [](const Json& entry) {
    auto effect = paired_effect(differences_of(entry));
    ASSERT_TRUE(effect.ok());
    expect_same(effect->mean, entry.at("mean"), "mean");
    ASSERT_EQ(effect->d_z.has_value(), !entry.at("d_z").is_null());
    if (effect->d_z) expect_same(*effect->d_z, entry.at("d_z"), "d_z");
    expect_same(effect->rank_biserial, entry.at("rank_biserial"), "rank biserial");
    EXPECT_EQ(effect->wins, entry.at("wins").get<std::size_t>());
    EXPECT_EQ(effect->ties, entry.at("ties").get<std::size_t>());
    EXPECT_EQ(effect->losses, entry.at("losses").get<std::size_t>());
  });
  for_each_case("cliff", [](const Json& entry) {
    auto delta = cliffs_delta(entry.at("a").get<Numbers>(), entry.at("b").get<Numbers>());
    ASSERT_TRUE(delta.ok());
    expect_same(*delta, entry.at("delta"), "Cliff's delta");
  });
}

TEST(Statistics, EquivalenceAsStatsmodels) {
  for_each_case("equivalence", [](const Json& entry) {
    const Interval margin{entry.at("margin").at(0).get<double>(), entry.at("margin").at(1).get<double>()};
    const auto alpha = entry.at("alpha").get<double>();
    auto test = equivalence_test(differences_of(entry), margin, alpha);
    ASSERT_TRUE(test.ok()) << test.error().to_string();
    expect_same(test->p, entry.at("p"), "p");
    expect_same(test->p_above, entry.at("p_above"), "p above");
    expect_same(test->p_below, entry.at("p_below"), "p below");
    expect_same_interval(test->interval, entry.at("interval"), "interval");
    EXPECT_EQ(test->p<alpha, test->interval.low> margin.low && test->interval.high < margin.high);
  });
}

TEST(Statistics, McNemarAsStatsmodels) {
  for_each_case("mcnemar", [](const Json& entry) {
    const auto only = entry.at("only").get<Indices>();
    expect_same(mcnemar_exact_p(only[0], only[1]), entry.at("p"), "p");
  });
}

TEST(Statistics, ProportionsAsStatsmodels) {
  for_each_case("proportion", [](const Json& entry) {
    const auto successes = entry.at("successes").get<std::size_t>();
    const auto trials = entry.at("trials").get<std::size_t>();
    const auto confidence = entry.at("confidence").get<double>();
    auto exact = clopper_pearson(successes, trials, confidence);
    auto score = wilson(successes, trials, confidence);
    ASSERT_TRUE(exact.ok() && score.ok());
    expect_same_interval(*exact, entry.at("clopper_pearson"), "Clopper-Pearson");
    expect_same_interval(*score, entry.at("wilson"), "Wilson");
  });
}

}  // namespace
}  // namespace bulkhead::measure
