// SPDX-License-Identifier: MIT
#include "conversation/names.h"

#include <array>

namespace bulkhead::conversation {

std::span<const std::string_view> roles() noexcept {
  static constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
  return kRoles;
}

// A=1 ... Z=26, AA=27.
std::string cluster_label(std::size_t index) {
  std::string label;
  for (std::size_t n = index + 1; n > 0; n = (n - 1) / 26)
    label.insert(label.begin(), static_cast<char>('A' + (n - 1) % 26));
  return label;
}

}  // namespace bulkhead::conversation
