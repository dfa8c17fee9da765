// SPDX-License-Identifier: MIT
#include "engines/llama/token_weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

// One function, compiled several times; the loader takes the best one for this processor. cmake keeps the compiler from
// joining products and sums, which only some of them could do: so all give the same bits.
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define BULKHEAD_FOR_EACH_PROCESSOR [[gnu::target_clones("default", "avx2", "avx512f")]]
#else
#define BULKHEAD_FOR_EACH_PROCESSOR
#endif

namespace bulkhead::engines::llama {
namespace {

// Enough independent lanes for any vector unit; fixed, so that sums do not depend on the compiler.
constexpr std::size_t kLanes = 16;
// e^-x for x >= 0 with a relative error below 2e-7; 0 from 87 on and for NaN. Compares bits, not floats: compilers turn
// a float comparison into a branch, and then do not vectorize the loop around it.
[[gnu::always_inline]] inline float exp_minus(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const auto keep = 0U - static_cast<std::uint32_t>(bits < std::bit_cast<std::uint32_t>(87.0F));  // all bits or none
  const float negative = -std::bit_cast<float>(bits & keep);
  const float exponent = negative * 1.44269504F;
  const auto whole = static_cast<std::int32_t>(exponent - 0.5F);
  const float rest =
      (negative - static_cast<float>(whole) * 0.693359375F) - static_cast<float>(whole) * -2.12194440e-4F;
  float power = 1.9875691500e-4F;
  power = power * rest + 1.3981999507e-3F;
  power = power * rest + 8.3334519073e-3F;
  power = power * rest + 4.1665795894e-2F;
  power = power * rest + 1.6666665459e-1F;
  power = power * rest + 5.0000001201e-1F;
  power = power * rest * rest + rest + 1.0F;
  const auto scale = std::bit_cast<float>(static_cast<std::uint32_t>(whole + 127) << 23U);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(power * scale) & keep);
}

}  // namespace

BULKHEAD_FOR_EACH_PROCESSOR float largest_of(std::span<const float> values) {
  std::array<float, kLanes> lanes{};
  lanes.fill(-std::numeric_limits<float>::infinity());
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = values[i + lane] > lanes[lane] ? values[i + lane] : lanes[lane];
    }
  }
  for (; i < values.size(); ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  return *std::max_element(lanes.begin(), lanes.end());
}

BULKHEAD_FOR_EACH_PROCESSOR void weigh(std::span<const float> values, float largest, float scale,
                                       std::span<float> weights) {
  for (std::size_t i = 0; i < values.size(); ++i) weights[i] = exp_minus((largest - values[i]) * scale);
}

BULKHEAD_FOR_EACH_PROCESSOR double sum_of(std::span<const float> values) {
  std::array<double, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += static_cast<double>(values[i + lane]);
  }
  for (; i < values.size(); ++i) lanes[0] += static_cast<double>(values[i]);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace bulkhead::engines::llama
