// SPDX-License-Identifier: MIT
#include "engine/option_bounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits>
#include <string>

namespace bulkhead::engine {
namespace {

constexpr double kAboveZero = std::numeric_limits<float>::denorm_min();
constexpr double kMostInteger = std::numeric_limits<std::int32_t>::max();

constexpr std::array<OptionBound, 9> kBounds = {{
    {"temperature", -100, 100, "a number from -100 to 100; 0 or less is greedy"},
    {"top_k", 0, kMostInteger, "0 (all) or more"},
    {"top_p", kAboveZero, 1, "above 0 and at most 1 (all)"},
    {"min_p", 0, 1, "from 0 (none) to 1"},
    // Beyond it logits overflow, or all are the same. As a float, which is what it is compared with.
    {"repeat_penalty", 0.01F, 100, "from 0.01 to 100; 1 is off"},
    {"repeat_last_n", 0, kMostInteger, "0 (off) or more"},
    {"context_tokens", 0, 1 << 24, "from 0 (the model's own) to 16777216"},
    {"threads", 0, 1024, "from 0 (one per core) to 1024"},
    {"gpu_layers", -1, 1 << 16, "from -1 (all) to 65536"},
}};

struct Value {
  std::string_view field;
  double value;
};

template <std::size_t kCount>
Result<void> check_all(const std::array<Value, kCount>& values) {
  for (const auto& [field, value] : values) BH_CHECK(check_bound(field, value));
  return {};
}

}  // namespace

const OptionBound& bound_of(std::string_view field) noexcept {
  const auto* const found =
      std::find_if(kBounds.begin(), kBounds.end(), [&](const auto& bound) { return bound.field == field; });
  if (found == kBounds.end()) std::abort();
  return *found;
}

Result<void> check_bound(std::string_view field, double value) {
  const auto& bound = bound_of(field);
  if (value >= bound.least && value <= bound.most) return {};
  return Error{
      ErrorCode::kUsage, fmt::format("{} is {}, it must be {}", field, value, bound.range), std::string(field), {}};
}

Result<void> check_bounds(const SamplingOptions& options) {
  return check_all(std::array<Value, 6>{{{"temperature", options.temperature},
                                         {"top_k", static_cast<double>(options.top_k)},
                                         {"top_p", options.top_p},
                                         {"min_p", options.min_p},
                                         {"repeat_penalty", options.repeat_penalty},
                                         {"repeat_last_n", static_cast<double>(options.repeat_last_n)}}});
}

Result<void> check_bounds(const ModelOptions& options) {
  return check_all(std::array<Value, 3>{{{"context_tokens", static_cast<double>(options.context_tokens)},
                                         {"threads", static_cast<double>(options.threads)},
                                         {"gpu_layers", static_cast<double>(options.gpu_layers)}}});
}

}  // namespace bulkhead::engine
