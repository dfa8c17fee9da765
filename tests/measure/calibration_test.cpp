// SPDX-License-Identifier: MIT
// Where there is nothing to find, a test at level 0.05 must find something in 5 of 100 data sets. The full table is
// docs/results/calibration.md.
#include "measure/paired_differences.h"
#include "measure/permutation.h"
#include "measure/wilcoxon.h"
#include "null_data.h"

#include <gtest/gtest.h>

namespace bulkhead::measure {
namespace {

constexpr std::size_t kSets = 1500;
constexpr std::size_t kConversations = 30;
constexpr double kLevel = 0.05;

template <typename Test>
std::size_t count_hits(NullScores kind, Test test) {
  RandomDraws draws(7);
  std::size_t hits = 0;
  for (std::size_t set = 0; set < kSets; ++set) {
    auto result = test(draw_null_data(kind, kConversations, draws), static_cast<std::uint32_t>(set));
    hits += result.value().p < kLevel ? 1U : 0U;
  }
  return hits;
}

auto by_conversation(const NullData& data, std::uint32_t seed) {
  return sign_flip_test(data.differences, data.clusters, {.draws = 999, .seed = seed});
}

auto by_question(const NullData& data, std::uint32_t seed) {
  return sign_flip_test(data.differences, {}, {.draws = 999, .seed = seed});
}

auto wilcoxon(const NullData& data, std::uint32_t) {
  return wilcoxon_signed_rank(cluster_means(data.differences, data.clusters).value());
}

auto wilcoxon_normal(const NullData& data, std::uint32_t) {
  return wilcoxon_signed_rank(cluster_means(data.differences, data.clusters).value(), ZeroDifferences::kPratt,
                              WilcoxonMethod::kNormal);
}

void expect_calibrated(std::size_t hits) {
  EXPECT_TRUE(not_too_many(hits, kSets, kLevel)) << hits << " of " << kSets;
  EXPECT_TRUE(not_too_few(hits, kSets, kLevel)) << hits << " of " << kSets;
}

TEST(Calibration, PermutationByConversation) {
  expect_calibrated(count_hits(NullScores::kContinuous, by_conversation));
}

TEST(Calibration, Wilcoxon) {
  expect_calibrated(count_hits(NullScores::kContinuous, wilcoxon));
  expect_calibrated(count_hits(NullScores::kContinuous, wilcoxon_normal));
}

// Few different values make few different p, and 0.05 may not be among them: fewer hits are right.
TEST(Calibration, OfRatesNeverTooMany) {
  EXPECT_TRUE(not_too_many(count_hits(NullScores::kRates, by_conversation), kSets, kLevel));
  EXPECT_TRUE(not_too_many(count_hits(NullScores::kRates, wilcoxon), kSets, kLevel));
}

// The control: a test that takes the questions of a conversation for independent is caught.
TEST(Calibration, PermutationByQuestionIsCaught) {
  EXPECT_FALSE(not_too_many(count_hits(NullScores::kContinuous, by_question), kSets, kLevel));
}

TEST(Calibration, BoundsOfTheBinomial) {
  // Of 1000 with chance 0.05, SciPy's binom.ppf gives 33 and 69 for the shares 0.005 and 0.995.
  EXPECT_FALSE(not_too_few(32, 1000, 0.05));
  EXPECT_TRUE(not_too_few(33, 1000, 0.05));
  EXPECT_TRUE(not_too_many(69, 1000, 0.05));
  EXPECT_FALSE(not_too_many(70, 1000, 0.05));
  EXPECT_TRUE(not_too_many(0, 1000, 0.05));
}

}  // namespace
}  // namespace bulkhead::measure
