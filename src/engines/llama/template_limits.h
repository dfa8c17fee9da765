// SPDX-License-Identifier: MIT
// What running a model's chat template may cost, and what is told of one that fails.
#pragma once

#include "base/result.h"

#include <jinja/budget.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace bulkhead::engines::llama {

// Before what a template itself says when it refuses.
inline constexpr std::string_view kTemplateRaised = "Jinja Exception: ";

// Of one run on so many messages. Some templates look through all messages for each message.
[[nodiscard]] jinja::budget_limits template_limits(std::uint64_t messages);

// kCorrupt.
[[nodiscard]] Error broken_template(std::string_view why);

// The engine's messages repeat the source and point into it: what is wrong, without that.
[[nodiscard]] std::string what_template_says(std::string_view message);

}  // namespace bulkhead::engines::llama
