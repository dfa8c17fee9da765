// SPDX-License-Identifier: MIT
#include "measure/divergence.h"

#include "measure/fixture.h"

#include <cmath>
#include <limits>
#include <vector>

namespace bulkhead::measure {
namespace {

using Row = std::vector<float>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Divergence, AsScipy) {
  const Json fixture = read_fixture("statistics_cases.json");
  for (const auto& entry : fixture.at("divergence")) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    auto divergence = kl_divergence(entry.at("p").get<Row>(), entry.at("q").get<Row>());
    ASSERT_TRUE(divergence.ok());
    expect_same(*divergence, entry.at("kl"), "KL");
  }
}

TEST(Divergence, ByHand) {
  const Row half{0.0F, 0.0F};
  const Row all{0.0F, -kInfinity};
  EXPECT_DOUBLE_EQ(kl_divergence(all, half).value(), std::log(2.0));
  EXPECT_EQ(kl_divergence(half, all).value(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(kl_divergence(all, all).value(), 0.0);
  EXPECT_EQ(kl_divergence(Row{1.0F, 2.0F, 3.0F}, Row{1.0F, 2.0F, 3.0F}).value(), 0.0);
}

TEST(Divergence, AConstantAddedToARowChangesNothing) {
  const Row p{1.0F, -2.0F, 0.5F, 4.0F};
  EXPECT_NEAR(kl_divergence(p, Row{1025.0F, 1022.0F, 1024.5F, 1028.0F}).value(), 0.0, 1e-12);
  EXPECT_NEAR(kl_divergence(p, Row{20000.0F, 20001.0F, 20000.0F, 20000.0F}).value(),
              kl_divergence(p, Row{0.0F, 1.0F, 0.0F, 0.0F}).value(), 1e-12);
}

TEST(Divergence, BrokenRows) {
  const Row two{0.0F, 1.0F};
  EXPECT_FALSE(kl_divergence({}, {}).ok());
  EXPECT_FALSE(kl_divergence(two, Row{0.0F}).ok());
  EXPECT_EQ(kl_divergence(two, Row{0.0F, std::nanf("")}).error().place, "q_logits[1]");
  EXPECT_EQ(kl_divergence(Row{kInfinity, 0.0F}, two).error().place, "p_logits[0]");
  EXPECT_EQ(kl_divergence(two, Row{-kInfinity, -kInfinity}).error().place, "q_logits");
}

}  // namespace
}  // namespace bulkhead::measure
