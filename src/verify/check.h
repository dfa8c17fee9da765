// SPDX-License-Identifier: MIT
// What one check of `bulkhead verify` found, with the two things without which "no difference" says nothing: how often
// something was really compared, and whether the check sees a leak that was planted for it.
#pragma once

#include "base/json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::verify {

enum class Verdict {
  kClean,         // compared, nothing found, control caught
  kInterference,  // a difference was found
  kVacuous,       // nothing was compared, or the planted leak was not seen: it proves nothing
};

[[nodiscard]] std::string_view name(Verdict verdict) noexcept;

struct CheckResult {
  std::string name;               // "solo_replay"
  std::string about = {};         // one line for people: what was compared
  std::uint64_t compared = 0;     // values that were compared
  std::uint64_t differences = 0;  // traces, partitions or secrets with a difference
  std::string control = {};       // what was planted
  bool control_caught = false;
  std::string first = {};  // the first difference, in words; empty: none
  Json detail = Json::object();

  [[nodiscard]] Verdict verdict() const noexcept;
};

// Interference wins over vacuous, vacuous over clean. No checks at all are vacuous.
[[nodiscard]] Verdict verdict_of(const std::vector<CheckResult>& checks) noexcept;

[[nodiscard]] Json to_json(const CheckResult& check);

}  // namespace bulkhead::verify
