// SPDX-License-Identifier: MIT
// The contract of matmul_kernels.h, for every format and every instruction set this processor has. Needs nothing of
// ggml: scripts/test_arm.sh runs this file under an emulator too.
#include "guarded_memory.h"
#include "random_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

namespace bulkhead::engines::llama::kernels {
namespace {

using testing::Against;
using testing::differing;
using testing::GuardedMemory;
using testing::kAllFormats;
using testing::name_of;
using testing::PackedMatrix;
using testing::product;
using testing::random_activations;
using testing::random_weights;
using testing::some_k;

struct Case {
  WeightFormat format;
  InstructionSet set;
};

std::vector<Case> cases(bool with_scalar) {
  std::vector<Case> all;
  for (const auto set : available()) {
    if (set == InstructionSet::kScalar && !with_scalar) continue;
    for (const auto format : kAllFormats) all.push_back({format, set});
  }
  return all;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string text = name_of(info.param.format) + "_" + std::string(name(info.param.set));
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

class MatmulBits : public ::testing::TestWithParam<Case> {
 protected:
  [[nodiscard]] const MatmulKernels& kernels() const { return *matmul_kernels(GetParam().set); }
  [[nodiscard]] MatrixShape shape(std::int64_t rows, std::int64_t k) const { return {GetParam().format, rows, k}; }

  std::mt19937 random_{20261124};
};
class MatmulAgainstScalar : public MatmulBits {};

TEST_P(MatmulAgainstScalar, RandomShapesGiveTheSameBits) {
  std::uniform_int_distribution<std::int64_t> rows(1, 70);
  std::uniform_int_distribution<std::int64_t> count(1, 30);
  for (int round = 0; round < 60; ++round) {
    const auto of = shape(rows(random_), some_k(GetParam().format, random_, 5));
    PackedMatrix w(of, random_weights(of, random_));
    const auto columns = count(random_);
    const auto x = random_activations(static_cast<std::size_t>(columns * of.k), random_);
    const auto expected = product(*matmul_kernels(InstructionSet::kScalar), w, x.data(), columns);
    const auto got = product(kernels(), w, x.data(), columns);
    ASSERT_EQ(differing(got.data(), expected.data(), expected.size()), 0U)
        << of.rows << " rows, " << of.k << " values, " << columns << " columns";
  }
}

TEST_P(MatmulAgainstScalar, LargestQuantsAndActivationsDoNotOverflow) {
  const auto of = shape(17, block_values(GetParam().format) == 256 ? 512 : 64);
  if (block_values(of.format) == 1) return;  // floats have no quants; RandomShapes covers them
  for (const int fill : {0x00, 0xff, 0x7f, 0x80}) {
    auto file = random_weights(of, random_);
    const auto bytes = block_bytes(of.format);
    for (std::size_t at = 0; at < file.size(); at += bytes) {
      const bool six = of.format == WeightFormat::kQ6K;
      std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(at + (six ? 0 : 4)), bytes - (six ? 2 : 4),
                  static_cast<std::uint8_t>(fill));
    }
    PackedMatrix w(of, file);
    for (const float sign : {1.0F, -1.0F}) {
      std::vector<float> x(static_cast<std::size_t>(of.k * 5), 3.0F * sign);
      const auto expected = product(*matmul_kernels(InstructionSet::kScalar), w, x.data(), 5);
      const auto got = product(kernels(), w, x.data(), 5);
      ASSERT_EQ(differing(got.data(), expected.data(), expected.size()), 0U) << fill << " " << sign;
    }
  }
}

TEST_P(MatmulBits, AColumnDoesNotDependOnItsCompany) {
  constexpr std::int64_t kMost = 40;
  const auto of = shape(37, block_values(GetParam().format) == 1 ? 203 : 3 * block_values(GetParam().format));
  PackedMatrix w(of, random_weights(of, random_));
  const auto x = random_activations(static_cast<std::size_t>(kMost * of.k), random_);
  std::vector<float> alone;
  for (std::int64_t j = 0; j < kMost; ++j) {
    const auto one = product(kernels(), w, x.data() + j * of.k, 1);
    alone.insert(alone.end(), one.begin(), one.end());
  }
  for (std::int64_t count = 2; count <= kMost; ++count) {
    for (std::int64_t first = 0; first + count <= kMost; first += 3) {
      const auto got = product(kernels(), w, x.data() + first * of.k, count);
      ASSERT_EQ(differing(got.data(), alone.data() + first * of.rows, got.size()), 0U) << count << " from " << first;
    }
  }
}

TEST_P(MatmulBits, ThreadsDoNotChangeBits) {
  for (const auto rows : {5, 300}) {
    const auto of = shape(rows, block_values(GetParam().format) == 1 ? 999 : 8 * block_values(GetParam().format));
    PackedMatrix w(of, random_weights(of, random_));
    for (const std::int64_t count : {1, 3, 100}) {
      const auto x = random_activations(static_cast<std::size_t>(count * of.k), random_);
      const auto expected = product(kernels(), w, x.data(), count);
      for (const int threads : {2, 3, 4}) {
        const auto got = testing::product_by_threads(kernels(), w, x.data(), count, threads);
        ASSERT_EQ(differing(got.data(), expected.data(), got.size()), 0U) << count << " columns, " << threads;
      }
    }
  }
}

TEST_P(MatmulBits, StridedColumnsInThreeDimensions) {
  const auto of = shape(20, block_values(GetParam().format) == 1 ? 33 : block_values(GetParam().format));
  PackedMatrix w(of, random_weights(of, random_));
  const auto gap = static_cast<std::size_t>(of.k) + 3;
  const auto x = random_activations(24 * gap, random_);
  const Columns strided{reinterpret_cast<const std::uint8_t*>(x.data()), {3, 2, 4}, {gap * 32, gap * 16, gap * 4}};
  std::vector<float> out(static_cast<std::size_t>(24 * of.rows));
  std::vector<std::uint8_t> work(work_bytes(kernels(), of, 24, 1));
  multiply(kernels(), of, w.aligned(), strided, out.data(), work.data(), Team{});
  for (std::size_t i = 0; i < 24; ++i) {
    const auto place = i % 3 * 8 + i / 3 % 2 * 4 + i / 6;
    const auto expected = product(kernels(), w, x.data() + place * gap, 1);
    EXPECT_EQ(differing(out.data() + i * expected.size(), expected.data(), expected.size()), 0U) << i;
  }
}

// What the last product of a graph without outputs is.
TEST_P(MatmulBits, NoColumnsWriteNothing) {
  const auto of = shape(37, block_values(GetParam().format) == 1 ? 203 : 3 * block_values(GetParam().format));
  PackedMatrix w(of, random_weights(of, random_));
  std::vector<std::uint8_t> work(work_bytes(kernels(), of, 0, 1));
  float out = 1.0F;
  multiply(kernels(), of, w.aligned(), Columns{nullptr, {0, 1, 1}, {0, 0, 0}}, &out, work.data(), Team{});
  EXPECT_EQ(out, 1.0F);
}

TEST_P(MatmulBits, NothingOutsideIsTouched) {
  for (const auto against : {Against::kBegin, Against::kEnd}) {
    for (const std::int64_t rows : {1, 16, 31}) {
      for (const std::int64_t count : {1, 5, 9}) {
        const auto of = shape(rows, block_values(GetParam().format) == 1 ? 37 : 3 * block_values(GetParam().format));
        const auto file = random_weights(of, random_);
        const auto values = random_activations(static_cast<std::size_t>(count * of.k), random_);
        const GuardedMemory from(file.size(), against);
        const GuardedMemory packed(packed_bytes(of), against);
        const GuardedMemory x(values.size() * sizeof(float), against);
        const GuardedMemory out(static_cast<std::size_t>(rows * count) * sizeof(float), against);
        const GuardedMemory work(work_bytes(kernels(), of, count, 1), against);
        std::copy(file.begin(), file.end(), from.data());
        std::copy(values.begin(), values.end(), x.floats());
        pack(of, from.data(), packed.data(), 1);
        multiply(kernels(), of, packed.data(), testing::columns_of(x.floats(), of.k, count), out.floats(), work.data(),
                 Team{});
        PackedMatrix w(of, file);
        const auto expected = product(kernels(), w, values.data(), count);
        EXPECT_EQ(differing(out.floats(), expected.data(), expected.size()), 0U);
      }
    }
  }
}

TEST_P(MatmulBits, OneValueThatIsNotFiniteMakesItsColumnNanAndNoOther) {
  const auto of = shape(35, block_values(GetParam().format) == 1 ? 103 : 3 * block_values(GetParam().format));
  PackedMatrix w(of, random_weights(of, random_));
  constexpr std::int64_t kColumns = 7;
  const auto clean = random_activations(static_cast<std::size_t>(kColumns * of.k), random_);
  const auto expected = product(kernels(), w, clean.data(), kColumns);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::signaling_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (std::int64_t column = 0; column < kColumns; ++column) {
      for (const std::int64_t place : {std::int64_t{0}, of.k / 2, of.k - 1}) {
        auto x = clean;
        std::memcpy(x.data() + column * of.k + place, &bad, sizeof(bad));
        const auto got = product(kernels(), w, x.data(), kColumns);
        for (std::int64_t j = 0; j < kColumns; ++j) {
          const auto* mine = got.data() + j * of.rows;
          if (j == column) {
            for (std::int64_t row = 0; row < of.rows; ++row) ASSERT_TRUE(std::isnan(mine[row])) << bad << " " << row;
          } else {
            ASSERT_EQ(differing(mine, expected.data() + j * of.rows, static_cast<std::size_t>(of.rows)), 0U) << bad;
          }
        }
      }
    }
  }
}

TEST_P(MatmulBits, TinyBlocksCountAsZeroAndTheLargestFiniteOnesStayFinite) {
  if (block_values(GetParam().format) == 1) return;  // floats are not quantized
  const auto of = shape(16, 2 * block_values(GetParam().format));
  PackedMatrix w(of, random_weights(of, random_));
  for (const float tiny : {0.0F, -0.0F, std::numeric_limits<float>::denorm_min(), 1e-39F, -1e-37F, 1.5e-36F}) {
    const std::vector<float> x(static_cast<std::size_t>(of.k), tiny);
    for (const auto y : product(kernels(), w, x.data(), 1)) ASSERT_EQ(y, 0.0F) << tiny;
  }
  for (const float value : {1.51e-36F, 1e-30F, 1e30F}) {
    const std::vector<float> x(static_cast<std::size_t>(of.k), value);
    const std::vector<float> one(static_cast<std::size_t>(of.k), 1.0F);
    const auto got = product(kernels(), w, x.data(), 1);
    const auto unit = product(kernels(), w, one.data(), 1);
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i] / value, unit[i], std::abs(unit[i]) * 1e-4F + 1e-2F) << value;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, MatmulBits, ::testing::ValuesIn(cases(true)), case_name);
INSTANTIATE_TEST_SUITE_P(Sets, MatmulAgainstScalar, ::testing::ValuesIn(cases(false)), case_name);
// A processor without any of them has nothing to compare.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(MatmulAgainstScalar);

class Packing : public ::testing::TestWithParam<WeightFormat> {};

TEST_P(Packing, RowsComeBackBitForBit) {
  std::mt19937 random(7);
  for (const std::int64_t rows : {1, 16, 37, 300}) {
    const MatrixShape of{GetParam(), rows, some_k(GetParam(), random, 5)};
    std::vector<std::uint8_t> file(static_cast<std::size_t>(rows) * row_bytes(of));
    for (auto& byte : file) byte = static_cast<std::uint8_t>(random());
    PackedMatrix one(of, file);
    const GuardedMemory two(packed_bytes(of), Against::kEnd);
    pack(of, file.data(), two.data(), 3);
    ASSERT_TRUE(std::equal(two.data(), two.data() + packed_bytes(of), one.aligned()));
    std::vector<std::uint8_t> row(row_bytes(of));
    for (std::int64_t r = 0; r < rows; ++r) {
      unpack_row(of, two.data(), r, row.data());
      ASSERT_TRUE(std::equal(row.begin(), row.end(), file.begin() + r * static_cast<std::ptrdiff_t>(row.size()))) << r;
    }
  }
}

TEST_P(Packing, ShapesThatDoNotFitAreInvalid) {
  const int values = block_values(GetParam());
  EXPECT_TRUE(valid({GetParam(), 1, values}));
  EXPECT_FALSE(valid({GetParam(), 0, values}));
  EXPECT_FALSE(valid({GetParam(), 1, 0}));
  EXPECT_EQ(valid({GetParam(), 1, values + 1}), values == 1);
}

INSTANTIATE_TEST_SUITE_P(Formats, Packing, ::testing::ValuesIn(kAllFormats),
                         [](const auto& tested) { return name_of(tested.param); });

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
