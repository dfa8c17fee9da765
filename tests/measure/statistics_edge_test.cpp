// SPDX-License-Identifier: MIT
// What statistics do with too little, too much or broken data; and what clusters change.
#include "measure/bootstrap.h"
#include "measure/distributions.h"
#include "measure/effect_size.h"
#include "measure/equivalence.h"
#include "measure/holm.h"
#include "measure/paired_differences.h"
#include "measure/permutation.h"
#include "measure/proportion.h"
#include "measure/random_draws.h"
#include "measure/wilcoxon.h"

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace bulkhead::measure {
namespace {

using Numbers = std::vector<double>;
using Indices = std::vector<std::size_t>;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(PairedDifferences, ClustersInTheOrderOfFirstAppearance) {
  auto sums = sum_by_cluster(Numbers{1, 2, 3, 4, 5}, Indices{9, 4, 9, 7, 4});
  ASSERT_TRUE(sums.ok());
  ASSERT_EQ(sums->size(), 3U);
  EXPECT_EQ((*sums)[0].sum, 4.0);
  EXPECT_EQ((*sums)[1].count, 2U);
  auto means = cluster_means(Numbers{1, 2, 3, 4, 5}, Indices{9, 4, 9, 7, 4});
  EXPECT_THAT(means.value(), ElementsAre(2.0, 3.5, 4.0));
  EXPECT_THAT(cluster_means(Numbers{1, 2}, {}).value(), ElementsAre(1.0, 2.0));
}

TEST(PairedDifferences, BrokenDataHaveAPlace) {
  const Numbers broken{1.0, kNan, 2.0};
  const auto expect_refused = [](const Error& error, const char* place) {
    EXPECT_EQ(error.code, ErrorCode::kBadInput);
    EXPECT_THAT(error.place, HasSubstr(place));
  };
  expect_refused(sum_by_cluster({}, {}).error(), "differences");
  expect_refused(sum_by_cluster(broken, {}).error(), "differences[1]");
  expect_refused(sum_by_cluster(Numbers{1, 2}, Indices{1}).error(), "clusters");
  expect_refused(bootstrap_mean(broken, {}).error(), "differences[1]");
  expect_refused(bootstrap_mean(Numbers{1, 2}, Indices{3, 3}).error(), "clusters");
  expect_refused(sign_flip_test(broken, {}).error(), "differences[1]");
  expect_refused(wilcoxon_signed_rank({}).error(), "differences");
  expect_refused(paired_effect(broken).error(), "differences[1]");
  expect_refused(cliffs_delta(Numbers{1}, {}).error(), "differences");
  expect_refused(equivalence_test(Numbers{1}, {-1, 1}).error(), "differences");
  expect_refused(holm_adjusted(Numbers{0.5, 1.5}).error(), "p[1]");
  expect_refused(holm_adjusted(Numbers{kNan}).error(), "p[0]");
}

TEST(Statistics, BrokenSettingsAreUsageErrors) {
  const Numbers two{1, 2};
  for (const double confidence : {0.0, 1.0, -0.5, kNan}) {
    EXPECT_EQ(bootstrap_mean(two, {}, {.confidence = confidence}).error().code, ErrorCode::kUsage);
    EXPECT_EQ(wilson(1, 2, confidence).error().code, ErrorCode::kUsage);
    EXPECT_EQ(clopper_pearson(1, 2, confidence).error().code, ErrorCode::kUsage);
  }
  EXPECT_EQ(bootstrap_mean(two, {}, {.resamples = 0}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(bootstrap_mean(two, {}, Indices{0, 1, 0}, 0.95).error().code, ErrorCode::kUsage);
  EXPECT_EQ(bootstrap_mean(two, {}, Indices{0, 2}, 0.95).error().code, ErrorCode::kUsage);
  EXPECT_EQ(bootstrap_mean(two, {}, Indices{}, 0.95).error().code, ErrorCode::kUsage);
  EXPECT_EQ(sign_flip_test(two, {}, {.draws = 0}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(clopper_pearson(3, 2).error().code, ErrorCode::kUsage);
  EXPECT_EQ(equivalence_test(two, {1, 1}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(equivalence_test(two, {-1, kNan}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(equivalence_test(two, {-1, 1}, 0.5).error().code, ErrorCode::kUsage);
}

TEST(Permutation, ClustersCountAsOne) {
  const Numbers same(12, 1.0);
  const Indices clusters{1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  EXPECT_EQ(sign_flip_test(same, {})->p, 2.0 / 4096);
  EXPECT_EQ(sign_flip_test(same, clusters)->p, 2.0 / 8);
  EXPECT_EQ(sign_flip_test(same, clusters)->clusters, 3U);
}

TEST(Permutation, TwentyMovingClustersAreExactAndOneMoreIsDrawn) {
  Numbers differences(20, 1.0);
  differences.insert(differences.end(), 100, 0.0);
  auto exact = sign_flip_test(differences, {});
  EXPECT_TRUE(exact->exact);
  EXPECT_EQ(exact->p, std::ldexp(1.0, -19));
  EXPECT_EQ(exact->flips, std::size_t{1} << 20U);
  differences.push_back(1.0);
  auto drawn = sign_flip_test(differences, {}, {.draws = 999, .seed = 3});
  EXPECT_FALSE(drawn->exact);
  EXPECT_EQ(drawn->flips, 999U);
  EXPECT_EQ(drawn->p, 1.0 / 1000);
}

// Both ways of computing one p must meet.
TEST(Permutation, DrawnIsNearExact) {
  Numbers differences{1.5, -0.2, 0.9, 0.4, -1.1, 2.0, 0.3, 0.8,  -0.6, 1.2,
                      0.1, -0.9, 0.5, 0.7, -0.4, 0.6, 1.0, -0.3, 0.2,  0.35};
  const double exact = sign_flip_test(differences, {})->p;
  differences.push_back(1e-15);  // too small to matter, but it makes 21
  auto drawn = sign_flip_test(differences, {}, {.draws = 200'000, .seed = 11});
  ASSERT_FALSE(drawn->exact);
  EXPECT_NEAR(drawn->p, exact, 4 * std::sqrt(exact * (1 - exact) / 200'000));
}

TEST(Wilcoxon, AllZeroIsNoEvidence) {
  for (const auto zeros : {ZeroDifferences::kDrop, ZeroDifferences::kPratt}) {
    auto test = wilcoxon_signed_rank(Numbers(4, 0.0), zeros);
    EXPECT_EQ(test->p, 1.0);
    EXPECT_EQ(test->nonzero, 0U);
  }
}

TEST(Wilcoxon, ExactUpToTwoHundred) {
  Numbers many;
  for (int i = 0; i < 200; ++i) many.push_back(i % 3 == 0 ? -i - 0.5 : i + 1.0);
  auto exact = wilcoxon_signed_rank(many);
  EXPECT_TRUE(exact->exact);
  EXPECT_NEAR(exact->p, wilcoxon_signed_rank(many, ZeroDifferences::kPratt, WilcoxonMethod::kNormal)->p, 1e-4);
  many.push_back(7.25);
  EXPECT_FALSE(wilcoxon_signed_rank(many)->exact);
  auto refused = wilcoxon_signed_rank(many, ZeroDifferences::kPratt, WilcoxonMethod::kExact);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_THAT(refused.error().message, HasSubstr("201"));
}

TEST(EffectSize, WithoutSpread) {
  auto effect = paired_effect(Numbers(7, 0.1));
  EXPECT_FALSE(effect->d_z.has_value());
  EXPECT_EQ(effect->rank_biserial, 1.0);
  EXPECT_EQ(effect->wins, 7U);
  EXPECT_EQ(paired_effect(Numbers(3, 0.0))->rank_biserial, 0.0);
}

TEST(Equivalence, WithoutSpread) {
  const Interval margin{-0.1, 0.1};
  EXPECT_EQ(equivalence_test(Numbers(6, 0.0), margin)->p, 0.0);
  EXPECT_EQ(equivalence_test(Numbers(6, 0.3), margin)->p, 1.0);
  EXPECT_EQ(equivalence_test(Numbers(6, 0.1), margin)->p, 0.5);
  EXPECT_EQ(equivalence_test(Numbers(6, 0.0), margin)->interval.high, 0.0);
}

TEST(Proportion, WithoutTrialsAnythingMayBe) {
  EXPECT_EQ(clopper_pearson(0, 0)->low, 0.0);
  EXPECT_EQ(clopper_pearson(0, 0)->high, 1.0);
  EXPECT_EQ(wilson(0, 0)->high, 1.0);
}

TEST(Proportion, ZeroOfManyIsNearTheRuleOfThree) {
  EXPECT_NEAR(clopper_pearson(0, 1000, 0.9)->high, 3.0 / 1000, 1e-5);
}

TEST(Distributions, AtTheirEnds) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(normal_quantile(0.0), -infinity);
  EXPECT_EQ(normal_quantile(1.0), infinity);
  EXPECT_TRUE(std::isnan(normal_quantile(1.5)));
  EXPECT_EQ(normal_cdf(-infinity), 0.0);
  EXPECT_EQ(normal_cdf(infinity), 1.0);
  EXPECT_EQ(student_t_cdf(infinity, 3), 1.0);
  EXPECT_TRUE(std::isnan(student_t_cdf(0.0, -1)));
  EXPECT_EQ(beta_quantile(0.0, 2, 3), 0.0);
  EXPECT_EQ(beta_quantile(1.0, 2, 3), 1.0);
}

TEST(RandomDraws, EveryIndexAndBothSidesOfACoin) {
  RandomDraws draws(5);
  std::array<int, 7> seen{};
  for (int i = 0; i < 7000; ++i) ++seen.at(draws.index(7));
  for (const int count : seen) EXPECT_NEAR(count, 1000, 150);
  int heads = 0;
  for (int i = 0; i < 10'000; ++i) heads += draws.coin() ? 1 : 0;
  EXPECT_NEAR(heads, 5000, 250);
}

}  // namespace
}  // namespace bulkhead::measure
