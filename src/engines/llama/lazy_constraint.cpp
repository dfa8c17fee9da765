// SPDX-License-Identifier: MIT
#include "engines/llama/lazy_constraint.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace bulkhead::engines::llama {

LazyConstraint::LazyConstraint(Constraint constraint, std::vector<std::string> triggers,
                               std::shared_ptr<const Spellings> spellings)
    : constraint_(std::move(constraint)),
      triggers_(std::move(triggers)),
      spellings_(std::move(spellings)),
      holds_(triggers_.empty()) {
  for (const auto& trigger : triggers_) longest_ = std::max(longest_, trigger.size());
}

std::size_t LazyConstraint::find_trigger(std::string_view text) const {
  auto first = std::string_view::npos;
  for (const auto& trigger : triggers_) first = std::min(first, text.find(trigger));
  return first;
}

Result<bool> LazyConstraint::take(engine::Token token) {
  if (holds_) {
    BH_TRY(const bool fits, constraint_.allows(token));
    if (fits) BH_CHECK(constraint_.accept(token));
    return fits;
  }
  auto text = tail_ + spellings_->pieces[static_cast<std::size_t>(token)];
  if (const auto at = find_trigger(text); at != std::string::npos) {
    BH_TRY(holds_, constraint_.accept_text(std::string_view(text).substr(at)));
    return holds_;
  }
  if (text.size() >= longest_) text.erase(0, text.size() - longest_ + 1);
  tail_ = std::move(text);
  return true;
}

Result<void> LazyConstraint::mask(std::span<float> logits, engine::Token refused) {
  if (holds_) return constraint_.mask(logits);
  logits[static_cast<std::size_t>(refused)] = -std::numeric_limits<float>::infinity();
  return {};
}

}  // namespace bulkhead::engines::llama
