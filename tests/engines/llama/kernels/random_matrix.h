// SPDX-License-Identifier: MIT
// Random weights in the layout of GGUF files, random activations, and one product of them.
#pragma once

#include "engines/llama/kernels/matmul.h"
#include "engines/llama/kernels/weight_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::testing {

using engines::llama::kernels::Columns;
using engines::llama::kernels::InstructionSet;
using engines::llama::kernels::MatmulKernels;
using engines::llama::kernels::MatrixShape;
using engines::llama::kernels::Team;
using engines::llama::kernels::WeightFormat;

inline constexpr std::array kAllFormats = {WeightFormat::kQ4K,  WeightFormat::kQ5K,  WeightFormat::kQ6K,
                                           WeightFormat::kQ8_0, WeightFormat::kQ5_0, WeightFormat::kQ4_0,
                                           WeightFormat::kF16,  WeightFormat::kBF16, WeightFormat::kF32};
// Of a test parameter: a name in letters, digits and underscores.
inline std::string set_name(const ::testing::TestParamInfo<InstructionSet>& info) {
  std::string text(name(info.param));
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}
inline constexpr std::array kFormatNames = {"Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q5_0", "Q4_0", "F16", "BF16", "F32"};

inline std::string name_of(WeightFormat format) {
  return kFormatNames[static_cast<std::size_t>(format)];
}

// Values a row may have: whole blocks, and for floats some that no loop divides evenly.
inline std::int64_t some_k(WeightFormat format, std::mt19937& random, int most_blocks) {
  const int values = engines::llama::kernels::block_values(format);
  const auto count = std::uniform_int_distribution<std::int64_t>(1, most_blocks)(random);
  return values == 1 ? std::uniform_int_distribution<std::int64_t>(1, 32 * most_blocks)(random) : count * values;
}

// Every bit pattern of quants and sub-block scales; finite block scales, some of them subnormal, zero or negative.
inline std::vector<std::uint8_t> random_weights(const MatrixShape& shape, std::mt19937& random) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(shape.rows) * row_bytes(shape));
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  const auto block = engines::llama::kernels::block_bytes(shape.format);
  const auto half = [&] {
    const auto exponent = std::uniform_int_distribution<unsigned>(0, 18)(random);
    return static_cast<std::uint16_t>((random() & 0x83ffU) | exponent << 10U);
  };
  for (std::size_t at = 0; at < bytes.size(); at += block) {
    if (shape.format == WeightFormat::kF32 || shape.format == WeightFormat::kBF16) {
      bytes[at + block - 1] = static_cast<std::uint8_t>((random() & 0x80U) | 0x3eU);
      continue;
    }
    const auto scale = half();
    std::memcpy(bytes.data() + at + (shape.format == WeightFormat::kQ6K ? 208 : 0), &scale, 2);
    if (shape.format != WeightFormat::kQ4K && shape.format != WeightFormat::kQ5K) continue;
    const auto min_scale = half();
    std::memcpy(bytes.data() + at + 2, &min_scale, 2);
  }
  return bytes;
}

inline std::vector<float> random_activations(std::size_t size, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> x(size);
  for (std::size_t i = 0; i < size; ++i) x[i] = normal(random) * (i % 97 == 0 ? 12.0F : 1.0F);
  return x;
}

struct PackedMatrix {
  MatrixShape shape;
  std::vector<std::uint8_t> memory;

  PackedMatrix(const MatrixShape& of, const std::vector<std::uint8_t>& file) : shape(of) {
    memory.resize(packed_bytes(shape) + 63);
    pack(shape, file.data(), aligned(), 1);
  }
  [[nodiscard]] std::uint8_t* aligned() {
    const auto past = reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
    return memory.data() + (past == 0 ? 0 : 64 - past);
  }
};

inline Columns columns_of(const float* x, std::int64_t k, std::int64_t count) {
  const auto stride = static_cast<std::size_t>(k) * sizeof(float);
  return {reinterpret_cast<const std::uint8_t*>(x), {count, 1, 1}, {stride, 0, 0}};
}

// [column][row]
inline std::vector<float> product(const MatmulKernels& kernels, PackedMatrix& w, const float* x, std::int64_t count) {
  std::vector<float> out(static_cast<std::size_t>(count * w.shape.rows), -1.0F);
  std::vector<std::uint8_t> work(work_bytes(kernels, w.shape, count, 1));
  multiply(kernels, w.shape, w.aligned(), columns_of(x, w.shape.k, count), out.data(), work.data(), Team{});
  return out;
}

inline std::vector<float> product_by_threads(const MatmulKernels& kernels, PackedMatrix& w, const float* x,
                                             std::int64_t count, int threads) {
  struct Pool {
    std::barrier<> barrier;
    std::atomic<int> next{0};
  } pool{.barrier = std::barrier<>(threads)};
  std::vector<float> out(static_cast<std::size_t>(count * w.shape.rows), -1.0F);
  std::vector<std::uint8_t> work(work_bytes(kernels, w.shape, count, threads));
  std::vector<std::jthread> team;
  for (int i = 0; i < threads; ++i) {
    team.emplace_back([&, i] {
      const Team mine{.index = i,
                      .size = threads,
                      .pool = &pool,
                      .barrier = [](void* p) { static_cast<Pool*>(p)->barrier.arrive_and_wait(); },
                      .set_next = [](void* p, int next) { static_cast<Pool*>(p)->next = next; },
                      .take_next = [](void* p) { return static_cast<Pool*>(p)->next++; }};
      multiply(kernels, w.shape, w.aligned(), columns_of(x, w.shape.k, count), out.data(), work.data(), mine);
    });
  }
  team.clear();
  return out;
}

// How many values have other bits.
inline std::size_t differing(const float* a, const float* b, std::size_t size) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < size; ++i) count += std::memcmp(a + i, b + i, sizeof(float)) != 0 ? 1U : 0U;
  return count;
}

}  // namespace bulkhead::testing
