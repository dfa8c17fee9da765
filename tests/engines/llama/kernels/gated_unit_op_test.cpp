// SPDX-License-Identifier: MIT
// Gated activations inside ggml: ours where the gate is a product of packed weights, ggml's own elsewhere.
#include "engines/llama/kernels/gated_unit_op.h"

#include "engines/llama/kernels/buffer_type.h"
#include "engines/llama/kernels/gated_unit.h"
#include "engines/llama/kernels/kernels.h"
#include "graph.h"
#include "random_matrix.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bulkhead::engines::llama::kernels {
namespace {

using testing::CpuGraphs;
using testing::differing;
using testing::random_activations;
using testing::random_weights;
using testing::WeightTensor;

constexpr MatrixShape kShape{WeightFormat::kQ8_0, 200, 64};

class GatedUnitOp : public ::testing::Test {
 protected:
  void SetUp() override {
    install();
    ASSERT_TRUE(use(available().front()).ok());
  }
  void TearDown() override { static_cast<void>(use(available().front())); }

  // geglu(gate . x, up . x)
  std::vector<float> run(ggml_backend_buffer_type_t buffer_type, const std::vector<float>& x, int threads) {
    const WeightTensor gate(buffer_type, GGML_TYPE_Q8_0, kShape.k, kShape.rows, gate_.data());
    const WeightTensor up(buffer_type, GGML_TYPE_Q8_0, kShape.k, kShape.rows, up_.data());
    ggml_tensor* input = nullptr;
    return graphs_.run(
        threads,
        [&](ggml_context* context) {
          input = ggml_new_tensor_2d(context, GGML_TYPE_F32, kShape.k, static_cast<std::int64_t>(x.size()) / kShape.k);
          auto* gated = ggml_mul_mat(context, gate.get(), input);
          return ggml_geglu_split(context, gated, ggml_mul_mat(context, up.get(), input));
        },
        [&] { ggml_backend_tensor_set(input, x.data(), 0, x.size() * sizeof(float)); });
  }

  // The products with packed weights, and ggml's own GEGLU of them.
  std::vector<float> ggml_of_products(const std::vector<float>& x) {
    const WeightTensor gate(packed_buffer_type(), GGML_TYPE_Q8_0, kShape.k, kShape.rows, gate_.data());
    const WeightTensor up(packed_buffer_type(), GGML_TYPE_Q8_0, kShape.k, kShape.rows, up_.data());
    const auto gated = graphs_.multiply(gate, x, 1);
    const auto other = graphs_.multiply(up, x, 1);
    ggml_tensor* a = nullptr;
    ggml_tensor* b = nullptr;
    products_ = {gated, other};
    return graphs_.run(
        1,
        [&](ggml_context* context) {
          a = ggml_new_tensor_1d(context, GGML_TYPE_F32, static_cast<std::int64_t>(gated.size()));
          b = ggml_new_tensor_1d(context, GGML_TYPE_F32, static_cast<std::int64_t>(gated.size()));
          return ggml_geglu_split(context, a, b);
        },
        [&] {
          ggml_backend_tensor_set(a, gated.data(), 0, gated.size() * sizeof(float));
          ggml_backend_tensor_set(b, other.data(), 0, other.size() * sizeof(float));
        });
  }

  std::mt19937 random_{3};
  std::vector<std::uint8_t> gate_ = random_weights(kShape, random_);
  std::vector<std::uint8_t> up_ = random_weights(kShape, random_);
  std::pair<std::vector<float>, std::vector<float>> products_;
  CpuGraphs graphs_;
};

TEST_F(GatedUnitOp, HasTheTablesBitsForAnyColumnsAndThreads) {
  for (const std::int64_t columns : {1, 3, 40}) {
    const auto x = random_activations(static_cast<std::size_t>(columns * kShape.k), random_);
    static_cast<void>(ggml_of_products(x));
    std::vector<float> expected(products_.first.size());
    gated_units_of(InstructionSet::kScalar)
        .geglu(products_.first.data(), products_.second.data(), expected.data(), expected.size());
    for (const auto set : available()) {
      ASSERT_TRUE(use(set).ok());
      for (int threads = 1; threads <= 4; ++threads) {
        const auto got = run(packed_buffer_type(), x, threads);
        ASSERT_EQ(differing(got.data(), expected.data(), expected.size()), 0U)
            << name(set) << ", " << columns << " columns, " << threads << " threads";
      }
    }
  }
}

TEST_F(GatedUnitOp, IsNoFurtherFromDoublePrecisionThanGgml) {
  const auto x = random_activations(static_cast<std::size_t>(40 * kShape.k), random_);
  const auto theirs = ggml_of_products(x);
  const auto ours = run(packed_buffer_type(), x, 1);
  double our_error = 0;
  double their_error = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double gate = products_.first[i];
    const double exact = 0.5 * gate *
                         (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (gate + 0.044715 * std::pow(gate, 3)))) *
                         static_cast<double>(products_.second[i]);
    our_error = std::max(our_error, std::abs(ours[i] - exact));
    their_error = std::max(their_error, std::abs(theirs[i] - exact));
  }
  EXPECT_LT(our_error, their_error);
}

TEST_F(GatedUnitOp, StockWeightsKeepGgmlsOwn) {
  const auto x = random_activations(static_cast<std::size_t>(kShape.k), random_);
  const auto stock = run(ggml_backend_cpu_buffer_type(), x, 1);
  const WeightTensor gate(ggml_backend_cpu_buffer_type(), GGML_TYPE_Q8_0, kShape.k, kShape.rows, gate_.data());
  const WeightTensor up(ggml_backend_cpu_buffer_type(), GGML_TYPE_Q8_0, kShape.k, kShape.rows, up_.data());
  const auto gated = graphs_.multiply(gate, x, 1);
  const auto other = graphs_.multiply(up, x, 1);
  std::vector<float> ours(gated.size());
  gated_units_of(in_use()).geglu(gated.data(), other.data(), ours.data(), ours.size());
  EXPECT_GT(differing(stock.data(), ours.data(), ours.size()), 0U);
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
