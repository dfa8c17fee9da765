// SPDX-License-Identifier: MIT
#include "verify/check.h"

#include <algorithm>

namespace bulkhead::verify {

std::string_view name(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kClean: return "clean";
    case Verdict::kInterference: return "interference";
    case Verdict::kVacuous: return "vacuous";
  }
  return "";
}

Verdict CheckResult::verdict() const noexcept {
  if (differences > 0) return Verdict::kInterference;
  return compared > 0 && control_caught ? Verdict::kClean : Verdict::kVacuous;
}

Verdict verdict_of(const std::vector<CheckResult>& checks) noexcept {
  const auto any = [&](Verdict wanted) {
    return std::any_of(checks.begin(), checks.end(), [&](const auto& check) { return check.verdict() == wanted; });
  };
  if (any(Verdict::kInterference)) return Verdict::kInterference;
  return checks.empty() || any(Verdict::kVacuous) ? Verdict::kVacuous : Verdict::kClean;
}

Json to_json(const CheckResult& check) {
  return {{"name", check.name},
          {"verdict", name(check.verdict())},
          {"about", check.about},
          {"compared", check.compared},
          {"differences", check.differences},
          {"control", check.control},
          {"control_caught", check.control_caught},
          {"first_difference", check.first.empty() ? Json(nullptr) : Json(check.first)},
          {"detail", check.detail}};
}

}  // namespace bulkhead::verify
