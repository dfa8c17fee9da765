// SPDX-License-Identifier: MIT
// The contract of gated_unit_table.h on every instruction set this processor has. Needs nothing of ggml:
// scripts/test_arm.sh runs this file under an emulator too. The operator in ggml's graphs: gated_unit_op_test.cpp.
#include "engines/llama/kernels/gated_unit.h"
#include "guarded_memory.h"
#include "random_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace bulkhead::engines::llama::kernels {
namespace {

using testing::Against;
using testing::differing;
using testing::GuardedMemory;
using testing::random_activations;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

double gelu_of(double x) {
  const auto u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1 + std::tanh(u));
}

std::vector<float> geglu(InstructionSet set, const std::vector<float>& gate, const std::vector<float>& up) {
  std::vector<float> out(gate.size());
  gated_units_of(set).geglu(gate.data(), up.data(), out.data(), gate.size());
  return out;
}

float gelu_on(InstructionSet set, float x) {
  return geglu(set, {x}, {1.0F})[0];
}

class GatedUnit : public ::testing::TestWithParam<InstructionSet> {
 protected:
  std::mt19937 random_{11};
};

TEST_P(GatedUnit, GivesTheScalarBitsInMemoryOfExactSize) {
  for (std::size_t count = 1; count <= 70; ++count) {
    const auto gate = random_activations(count, random_);
    const auto up = random_activations(count, random_);
    const auto expected = geglu(InstructionSet::kScalar, gate, up);
    for (const auto against : {Against::kBegin, Against::kEnd}) {
      const GuardedMemory x(count * sizeof(float), against);
      const GuardedMemory y(count * sizeof(float), against);
      const GuardedMemory out(count * sizeof(float), against);
      std::copy(gate.begin(), gate.end(), x.floats());
      std::copy(up.begin(), up.end(), y.floats());
      gated_units_of(GetParam()).geglu(x.floats(), y.floats(), out.floats(), count);
      ASSERT_EQ(differing(out.floats(), expected.data(), count), 0U) << count;
      gated_units_of(GetParam()).geglu(x.floats(), y.floats(), x.floats(), count);
      ASSERT_EQ(differing(x.floats(), expected.data(), count), 0U) << count << ", in place";
    }
  }
}

// In last places of the result, or of 1e-3 where it is smaller: the tail below -3 loses most, as exp does what u lost.
TEST_P(GatedUnit, IsWithinTenLastPlacesOfDoublePrecision) {
  double worst = 0;
  for (float x = -9.99F; x < 20.0F; x += 0.00137F) {
    const double exact = gelu_of(x);
    const double place = std::ldexp(std::max(std::abs(exact), 1e-3), -23);
    worst = std::max(worst, std::abs(gelu_on(GetParam(), x) - exact) / place);
  }
  EXPECT_LT(worst, 10.0);
  RecordProperty("worst_last_places", std::to_string(worst));
}

TEST_P(GatedUnit, SpecialValues) {
  EXPECT_EQ(gelu_on(GetParam(), kInfinity), kInfinity);
  EXPECT_EQ(gelu_on(GetParam(), -kInfinity), 0.0F);
  EXPECT_EQ(gelu_on(GetParam(), -1e30F), 0.0F);
  EXPECT_EQ(gelu_on(GetParam(), 1e30F), 1e30F);
  EXPECT_EQ(gelu_on(GetParam(), 0.0F), 0.0F);
  EXPECT_TRUE(std::isnan(gelu_on(GetParam(), std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(geglu(GetParam(), {1.0F}, {std::numeric_limits<float>::quiet_NaN()})[0]));
  const float denormal = 1e-40F;
  EXPECT_EQ(gelu_on(GetParam(), denormal), denormal / 2);
}

// One NaN must not touch its neighbours in the vector.
TEST_P(GatedUnit, AnElementDependsOnItselfOnly) {
  auto gate = random_activations(64, random_);
  const auto up = random_activations(64, random_);
  const auto before = geglu(GetParam(), gate, up);
  gate[21] = std::numeric_limits<float>::quiet_NaN();
  auto after = geglu(GetParam(), gate, up);
  EXPECT_TRUE(std::isnan(after[21]));
  after[21] = before[21];
  EXPECT_EQ(differing(after.data(), before.data(), before.size()), 0U);
}

INSTANTIATE_TEST_SUITE_P(Sets, GatedUnit, ::testing::ValuesIn(available()), testing::set_name);

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
