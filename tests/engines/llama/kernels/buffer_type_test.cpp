// SPDX-License-Identifier: MIT
// Packed weights inside ggml: products and rows through its graphs, and what the loader is told.
#include "engines/llama/kernels/buffer_type.h"

#include "engines/llama/kernels/kernels.h"
#include "graph.h"
#include "random_matrix.h"

#include <gtest/gtest.h>

#include <cmath>

namespace bulkhead::engines::llama::kernels {
namespace {

using testing::CpuGraphs;
using testing::differing;
using testing::kAllFormats;
using testing::name_of;
using testing::random_activations;
using testing::random_weights;
using testing::WeightTensor;

ggml_type type_of(WeightFormat format) {
  constexpr std::array kWeightTypes = {GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0, GGML_TYPE_Q5_0,
                                       GGML_TYPE_Q4_0, GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_F32};
  return kWeightTypes[static_cast<std::size_t>(format)];
}

class PackedBuffer : public ::testing::TestWithParam<WeightFormat> {
 protected:
  void SetUp() override {
    install();
    ASSERT_TRUE(use(available().front()).ok());
  }
  void TearDown() override { static_cast<void>(use(available().front())); }

  [[nodiscard]] MatrixShape shape(std::int64_t rows) const { return {GetParam(), rows, 512}; }
  [[nodiscard]] WeightTensor packed(const MatrixShape& of, const std::vector<std::uint8_t>& file) const {
    return {packed_buffer_type(), type_of(of.format), of.k, of.rows, file.data()};
  }

  std::mt19937 random_{5};
  CpuGraphs graphs_;
};

TEST_P(PackedBuffer, ProductsThroughGraphsHaveTheKernelsBits) {
  for (const std::int64_t rows : {1, 37, 600}) {
    const auto of = shape(rows);
    const auto file = random_weights(of, random_);
    const auto weights = packed(of, file);
    testing::PackedMatrix direct(of, file);
    for (const std::int64_t columns : {1, 4, 67}) {
      const auto x = random_activations(static_cast<std::size_t>(columns * of.k), random_);
      const auto expected = product(*matmul_kernels(InstructionSet::kScalar), direct, x.data(), columns);
      for (const auto set : available()) {
        ASSERT_TRUE(use(set).ok());
        for (int threads = 1; threads <= 4; ++threads) {
          const auto got = graphs_.multiply(weights, x, threads);
          ASSERT_EQ(differing(got.data(), expected.data(), got.size()), 0U)
              << name(set) << ", " << threads << " threads, " << columns << " columns, " << rows << " rows";
        }
      }
    }
  }
}

TEST_P(PackedBuffer, ActivationsOfFourDimensions) {
  const auto of = shape(20);
  const auto file = random_weights(of, random_);
  const auto weights = packed(of, file);
  const auto x = random_activations(static_cast<std::size_t>(3 * 2 * 2 * of.k), random_);
  const auto flat = graphs_.multiply(weights, x, 2);
  const auto deep = graphs_.multiply(weights, x, 2, 2, 2);
  EXPECT_EQ(differing(flat.data(), deep.data(), flat.size()), 0U);
}

TEST_P(PackedBuffer, APermutedInputIsReadByItsStrides) {
  const auto of = shape(20);
  const auto weights = packed(of, random_weights(of, random_));
  const auto x = random_activations(static_cast<std::size_t>(3 * 2 * of.k), random_);
  ggml_tensor* input = nullptr;
  const auto got = graphs_.run(
      2,
      [&](ggml_context* context) {
        input = ggml_new_tensor_3d(context, GGML_TYPE_F32, of.k, 2, 3);
        return ggml_mul_mat(context, weights.get(), ggml_permute(context, input, 0, 2, 1, 3));
      },
      [&] { ggml_backend_tensor_set(input, x.data(), 0, x.size() * sizeof(float)); });
  const auto plain = graphs_.multiply(weights, x, 1);
  const auto rows = static_cast<std::size_t>(of.rows);
  for (std::size_t i = 0; i < 6; ++i) {
    const auto same = i % 3 * 2 + i / 3;
    EXPECT_EQ(differing(got.data() + i * rows, plain.data() + same * rows, rows), 0U) << i;
  }
}

TEST_P(PackedBuffer, RowsAreThoseOfGgml) {
  const auto of = shape(37);
  const auto file = random_weights(of, random_);
  const auto weights = packed(of, file);
  const WeightTensor stock(ggml_backend_cpu_buffer_type(), type_of(of.format), of.k, of.rows, file.data());
  const std::vector<std::int32_t> indices = {36, 0, 15, 16, 36, 5};
  const auto expected = graphs_.rows(stock, indices, 1);
  for (int threads = 1; threads <= 3; ++threads) {
    const auto got = graphs_.rows(weights, indices, threads);
    EXPECT_EQ(differing(got.data(), expected.data(), got.size()), 0U) << threads;
  }
}

TEST_P(PackedBuffer, WeightsCanBeReadBack) {
  const auto of = shape(37);
  const auto file = random_weights(of, random_);
  const auto weights = packed(of, file);
  std::vector<std::uint8_t> back(file.size());
  ggml_backend_tensor_get(weights.get(), back.data(), 0, back.size());
  EXPECT_EQ(back, file);
}

// Weights and activations as models have them. The error is against exact arithmetic on the weights as they are; ggml's
// own is what its vec_dot gives for the same row and column.
TEST_P(PackedBuffer, ErrorIsNoLargerThanThatOfGgml) {
  const MatrixShape of{GetParam(), 96, 1536};
  const auto type = type_of(of.format);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(of.rows * of.k));
  for (auto& value : values) value = normal(random_) * 0.02F + 0.003F;
  std::vector<std::uint8_t> file(static_cast<std::size_t>(of.rows) * row_bytes(of));
  ggml_quantize_chunk(type, values.data(), file.data(), 0, of.rows, of.k, nullptr);
  std::vector<float> exact(values);
  if (type != GGML_TYPE_F32) ggml_get_type_traits(type)->to_float(file.data(), exact.data(), of.rows * of.k);
  constexpr std::size_t kColumns = 24;
  const auto k = static_cast<std::size_t>(of.k);
  const auto rows = static_cast<std::size_t>(of.rows);
  const auto x = random_activations(kColumns * k, random_);
  const auto ours = graphs_.multiply(packed(of, file), x, 1);

  const auto* stock = ggml_get_type_traits_cpu(type);
  const auto* other = ggml_get_type_traits_cpu(stock->vec_dot_type);
  std::vector<std::uint8_t> quantized(ggml_row_size(stock->vec_dot_type, of.k));
  double our_error = 0;
  double stock_error = 0;
  double size = 0;
  for (std::size_t column = 0; column < kColumns; ++column) {
    const auto* y = x.data() + column * k;
    if (other->from_float != nullptr) {
      other->from_float(y, quantized.data(), of.k);
    } else {
      std::memcpy(quantized.data(), y, quantized.size());
    }
    for (std::size_t row = 0; row < rows; ++row) {
      double truth = 0;
      for (std::size_t i = 0; i < k; ++i) truth += static_cast<double>(exact[row * k + i]) * static_cast<double>(y[i]);
      float theirs = 0;
      stock->vec_dot(static_cast<int>(of.k), &theirs, 0, file.data() + row * row_bytes(of), 0, quantized.data(), 0, 1);
      our_error += std::pow(static_cast<double>(ours[column * rows + row]) - truth, 2);
      stock_error += std::pow(static_cast<double>(theirs) - truth, 2);
      size += truth * truth;
    }
  }
  const auto relative = [&](double error) { return std::sqrt(error / size); };
  RecordProperty("ours", std::to_string(relative(our_error)));
  RecordProperty("ggml", std::to_string(relative(stock_error)));
  EXPECT_GT(size, 0);
  // Both round activations to the same grid, so errors differ by chance only; floats have no such error at all.
  EXPECT_LE(relative(our_error), relative(stock_error) * 1.02 + 1e-7);
  EXPECT_LT(relative(our_error), block_values(of.format) == 1 ? 1e-6 : 0.05);
}

INSTANTIATE_TEST_SUITE_P(Formats, PackedBuffer, ::testing::ValuesIn(kAllFormats),
                         [](const auto& tested) { return name_of(tested.param); });

// What llama.cpp's loader does to learn whether a tensor may lie in a buffer type.
bool asks(ggml_op operation, ggml_type type, std::int64_t k, std::int64_t rows, const char* called,
          std::int64_t experts = 1) {
  const auto context = testing::new_context();
  auto* weights = ggml_new_tensor_3d(context.get(), type, k, rows, experts);
  ggml_set_name(weights, called);
  ggml_tensor* result = nullptr;
  if (operation == GGML_OP_GET_ROWS) {
    result = ggml_get_rows(context.get(), weights, ggml_new_tensor_1d(context.get(), GGML_TYPE_I32, 512));
  } else if (operation == GGML_OP_MUL_MAT) {
    result = ggml_mul_mat(context.get(), weights, ggml_new_tensor_4d(context.get(), GGML_TYPE_F32, k, 512, experts, 1));
  } else {
    result = ggml_mul_mat_id(context.get(), weights, ggml_new_tensor_3d(context.get(), GGML_TYPE_F32, k, 2, 512),
                             ggml_new_tensor_2d(context.get(), GGML_TYPE_I32, 2, 512));
  }
  const testing::BufferPart empty(ggml_backend_buft_alloc_buffer(packed_buffer_type(), 0));
  weights->buffer = empty.get();
  const bool yes = ggml_backend_dev_supports_op(ggml_backend_buft_get_device(packed_buffer_type()), result);
  weights->buffer = nullptr;
  return yes;
}

TEST(LoadScope, NotesWhatBecomesOfEachMatrix) {
  install();
  LoadScope scope(KernelChoice::kBulkhead, true);
  EXPECT_FALSE(scope.all_invariant());  // nothing loaded yet
  EXPECT_TRUE(asks(GGML_OP_MUL_MAT, GGML_TYPE_Q4_K, 512, 64, "a"));
  EXPECT_TRUE(asks(GGML_OP_MUL_MAT, GGML_TYPE_Q4_K, 512, 64, "a"));
  EXPECT_TRUE(asks(GGML_OP_GET_ROWS, GGML_TYPE_Q4_K, 512, 64, "token_embd.weight"));
  EXPECT_FALSE(asks(GGML_OP_GET_ROWS, GGML_TYPE_F32, 512, 64, "token_types.weight"));
  EXPECT_TRUE(scope.all_invariant());
  ASSERT_EQ(scope.matrices().size(), 1U);
  EXPECT_FALSE(asks(GGML_OP_MUL_MAT, GGML_TYPE_IQ4_NL, 512, 48, "b"));
  EXPECT_FALSE(asks(GGML_OP_MUL_MAT, GGML_TYPE_F16, 512, 48, "c", 3));
  EXPECT_FALSE(asks(GGML_OP_MUL_MAT_ID, GGML_TYPE_Q4_K, 512, 48, "d", 4));
  EXPECT_FALSE(scope.all_invariant());
  ASSERT_EQ(scope.matrices().size(), 4U);
  const auto& other = scope.matrices()[1];
  EXPECT_EQ(other.name, "b");
  EXPECT_EQ(other.format, "iq4_nl");
  EXPECT_EQ(other.rows, 48);
  EXPECT_EQ(other.values, 512);
  EXPECT_FALSE(other.bulkhead);
  EXPECT_EQ(other.reason, "no kernel for iq4_nl");
  EXPECT_EQ(scope.matrices()[2].reason, "more than two dimensions");
  EXPECT_EQ(scope.matrices()[3].reason, "no kernel for mixtures of experts");
  EXPECT_NE(scope.summary().find("1 of 4 matrices"), std::string::npos) << scope.summary();
  EXPECT_NE(scope.summary().find("b (iq4_nl, 48 x 512)"), std::string::npos) << scope.summary();
}

TEST(LoadScope, StockTakesNothingAndEndsWithTheScope) {
  install();
  {
    const LoadScope scope(KernelChoice::kStock, true);
    EXPECT_FALSE(asks(GGML_OP_MUL_MAT, GGML_TYPE_Q4_K, 512, 64, "a"));
    EXPECT_FALSE(asks(GGML_OP_GET_ROWS, GGML_TYPE_Q4_K, 512, 64, "token_embd.weight"));
    EXPECT_FALSE(scope.all_invariant());
    EXPECT_EQ(scope.kernels(), "stock");
  }
  EXPECT_TRUE(asks(GGML_OP_MUL_MAT, GGML_TYPE_Q4_K, 512, 64, "a"));
}

TEST(LoadScope, EmbeddingsOfTheirOwnStayInTheFile) {
  install();
  const LoadScope scope(KernelChoice::kBulkhead, false);
  EXPECT_FALSE(asks(GGML_OP_GET_ROWS, GGML_TYPE_Q4_K, 512, 64, "token_embd.weight"));
  EXPECT_TRUE(scope.matrices().empty());
}

TEST(KernelChoice, NamesAndTheirErrors) {
  for (const auto choice : {KernelChoice::kAuto, KernelChoice::kBulkhead, KernelChoice::kStock}) {
    const auto parsed = parse_kernel_choice(name(choice));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed.value(), choice);
  }
  const auto wrong = parse_kernel_choice("fast");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kUsage);
  EXPECT_EQ(resolved(KernelChoice::kStock), KernelChoice::kStock);
  EXPECT_EQ(resolved(KernelChoice::kBulkhead), KernelChoice::kBulkhead);
  EXPECT_EQ(resolved(KernelChoice::kAuto),
            available().front() == InstructionSet::kScalar ? KernelChoice::kStock : KernelChoice::kBulkhead);
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
