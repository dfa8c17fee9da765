// SPDX-License-Identifier: MIT
// Names that every conversation uses, whatever file it comes from.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace bulkhead::conversation {

// Who speaks in a turn: "system", "developer", "user", "assistant", "tool" (what a program answered).
[[nodiscard]] std::span<const std::string_view> roles() noexcept;

// Of the cluster at `index`: A, B, ... Z, AA, AB, ... as the columns of a spreadsheet.
[[nodiscard]] std::string cluster_label(std::size_t index);

}  // namespace bulkhead::conversation
