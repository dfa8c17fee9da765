// SPDX-License-Identifier: MIT
// Strong integer ids: a SequenceId cannot be passed where a StepId is meant, and no value of one means "all".
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace bulkhead {

template <typename Tag>
class Id {
 public:
  explicit constexpr Id(std::uint32_t value) noexcept : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const noexcept { return value_; }
  friend constexpr auto operator<=>(Id, Id) noexcept = default;

 private:
  std::uint32_t value_;
};

}  // namespace bulkhead

template <typename Tag>
struct std::hash<bulkhead::Id<Tag>> {
  std::size_t operator()(bulkhead::Id<Tag> id) const noexcept { return std::hash<std::uint32_t>{}(id.value()); }
};
