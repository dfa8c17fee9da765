// SPDX-License-Identifier: MIT
// A constraint that holds from the first token on, or from where the text says one of some words.
#pragma once

#include "engines/llama/constraint.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {

// All errors as Constraint's.
class LazyConstraint {
 public:
  // Without triggers it holds at once.
  LazyConstraint(Constraint constraint, std::vector<std::string> triggers, std::shared_ptr<const Spellings> spellings);

  // Goes on behind `token`. False, and nothing is changed: it may not come next.
  [[nodiscard]] Result<bool> take(engine::Token token);
  // After take() refused `refused`: sets its logit, and those of all that are known not to fit, to -infinity.
  [[nodiscard]] Result<void> mask(std::span<float> logits, engine::Token refused);

 private:
  // Where the first trigger that `text` holds begins; npos: none.
  [[nodiscard]] std::size_t find_trigger(std::string_view text) const;

  Constraint constraint_;
  std::vector<std::string> triggers_;
  std::shared_ptr<const Spellings> spellings_;
  std::size_t longest_ = 0;  // of the triggers
  std::string tail_;         // the end of the text, as much as may begin a trigger
  bool holds_;
};

}  // namespace bulkhead::engines::llama
