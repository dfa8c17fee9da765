// SPDX-License-Identifier: MIT
#include "report/evaluation_verdict.h"

#include <gtest/gtest.h>

namespace bulkhead::report {
namespace {

Json plan() {
  return {{"sha256", "12ab"}, {"alpha", 0.05}};
}

// "Lower under semantic than under sequential": the difference is sequential minus semantic.
std::string hypothesis(const std::string& outcome, double semantic, double sequential, double low, double high,
                       double p) {
  const Json comparison = {{"endpoint", "intrusions"},
                           {"condition", "sequential"},
                           {"against", "semantic"},
                           {"conversations", 120},
                           {"mean", sequential},
                           {"mean_against", semantic},
                           {"difference", sequential - semantic},
                           {"statistics", {{"interval", {low, high}}, {"p", p}}}};
  const Json one = {{"endpoint", "intrusions"},
                    {"lower", "semantic"},
                    {"higher", "sequential"},
                    {"outcome", outcome},
                    {"comparison", comparison}};
  const auto verdicts =
      verdicts_of({{"analysis", {{"plan", plan()}, {"hypotheses", Json::array({one})}, {"no_worse", Json::array()}}}});
  EXPECT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].claim, "Intrusions: lower under semantic than under sequential");
  EXPECT_EQ(verdicts[0].outcome, outcome);
  return verdicts[0].sentence;
}

std::string no_worse(const std::string& outcome, double better_by, double low, double high) {
  const Json one = {{"endpoint", "accuracy"}, {"condition", "semantic"}, {"than", "regrouped"},
                    {"margin", 0.03},         {"outcome", outcome},      {"conversations", 120},
                    {"better_by", better_by}, {"interval", {low, high}}, {"p", 0.01}};
  const auto verdicts =
      verdicts_of({{"analysis", {{"plan", plan()}, {"hypotheses", Json::array()}, {"no_worse", Json::array({one})}}}});
  EXPECT_EQ(verdicts.at(0).claim, "Accuracy: semantic no worse than regrouped, by a margin of 3.0 points");
  return verdicts.at(0).sentence;
}

TEST(EvaluationVerdict, AHypothesisIsToldWithItsInterval) {
  EXPECT_EQ(hypothesis("holds", 0.031, 0.254, 0.19, 0.256, 0.00001),
            "Holds: 3.1 % under semantic, 25.4 % under sequential: 22.3 points lower under semantic; 95 % interval of "
            "the difference 19.0 to 25.6, p = 1e-05, 120 conversations.");
  EXPECT_EQ(hypothesis("fails", 0.2, 0.21, -0.02, 0.04, 0.4),
            "Not shown: 20.0 % under semantic, 21.0 % under sequential: 1.0 points lower under semantic; 95 % interval "
            "of the difference -2.0 to 4.0, p = 0.4, 120 conversations. The interval covers no difference; that is no "
            "proof that there is none.");
  const auto other_way = hypothesis("fails", 0.3, 0.2, -0.12, -0.08, 0.001);
  EXPECT_TRUE(other_way.starts_with("Does not hold, the measured difference is the other way: 30.0 %")) << other_way;
  EXPECT_NE(other_way.find("10.0 points higher under semantic"), std::string::npos) << other_way;
}

TEST(EvaluationVerdict, TestAndIntervalMayDisagreeAndThenItSaysSo) {
  EXPECT_TRUE(hypothesis("holds", 0.2, 0.22, -0.001, 0.04, 0.049).ends_with("take this with care."));
  EXPECT_TRUE(hypothesis("fails", 0.2, 0.22, 0.001, 0.04, 0.051).ends_with("120 conversations."));
}

TEST(EvaluationVerdict, WhatWasNotTestedIsNoResult) {
  EXPECT_TRUE(hypothesis("not tested", 0.1, 0.3, 0.1, 0.3, 0.001)
                  .starts_with("Not tested, because a hypothesis before it did not hold. What was measured: 10.0 %"));
  EXPECT_EQ(hypothesis("not measured", 0, 0, 0, 0, 1),
            "Not measured: there are no two conversations with cells of both semantic and sequential.");
}

TEST(EvaluationVerdict, NoWorseIsToldByItsMargin) {
  EXPECT_EQ(no_worse("holds", -0.004, -0.02, 0.012),
            "Holds: semantic is 0.4 points worse than regrouped; 90 % interval -2.0 to 1.2, p = 0.01, 120 "
            "conversations. All of the interval is above -3.0 points.");
  EXPECT_NE(no_worse("fails", -0.02, -0.05, 0.01).find("Not shown: semantic is 2.0 points worse"), std::string::npos);
  EXPECT_TRUE(no_worse("fails", -0.08, -0.1, -0.06).starts_with("Does not hold, it is worse by more than 3.0 points"));
}

TEST(EvaluationVerdict, ReservationsComeFirst) {
  const Json whole = {{"complete", true},
                      {"made", {{"dataset", {{"conversations", 120}}}}},
                      {"conditions", {{{"conversations", 120}}, {{"conversations", 120}}}},
                      {"analysis", {{"plan", plan()}}}};
  EXPECT_TRUE(reservations_of(whole).empty());
  auto part = whole;
  part["complete"] = false;
  part["conditions"][1]["conversations"] = 12;
  part["analysis"]["plan"]["sha256"] = "";
  const auto words = reservations_of(part);
  ASSERT_EQ(words.size(), 3U);
  EXPECT_NE(words[1].find("12 of 120 conversations"), std::string::npos) << words[1];
}

}  // namespace
}  // namespace bulkhead::report
