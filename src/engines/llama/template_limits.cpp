// SPDX-License-Identifier: MIT
#include "engines/llama/template_limits.h"

#include <fmt/format.h>

namespace bulkhead::engines::llama {
namespace {

constexpr std::size_t kMaxStackBytes = 512U << 10U;
constexpr double kMaxSeconds = 20;

}  // namespace

jinja::budget_limits template_limits(std::uint64_t messages) {
  return {.steps = 2'000'000 + 20'000 * messages + 64 * messages * messages,
          .bytes = (64ULL << 20U) + (64ULL << 10U) * messages,
          .values = 500'000 + 1000 * messages,
          .stack = kMaxStackBytes,
          .seconds = kMaxSeconds};
}

// What is wrong stands behind one of these marks, or first.
std::string what_template_says(std::string_view message) {
  for (const std::string_view mark : {kTemplateRaised, std::string_view("Error: ")}) {
    if (const auto at = message.rfind(mark); at != std::string_view::npos) message.remove_prefix(at + mark.size());
  }
  return std::string(message.substr(0, message.find('\n')));
}

Error broken_template(std::string_view why) {
  return {ErrorCode::kCorrupt, fmt::format("the model's chat template is broken: {}", why), "chat template",
          "choose a raw text format, or another model file"};
}

}  // namespace bulkhead::engines::llama
