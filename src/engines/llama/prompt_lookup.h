// SPDX-License-Identifier: MIT
// Drafts by prompt lookup: where the last tokens stood before, in the partition's own context, messages or output, what
// followed them there may follow now. A draft is verified in the step that decodes it, so it changes the time, never
// the text. (Saxena, "Prompt Lookup Decoding", 2023.)
#pragma once

#include "engine/engine.h"
#include "engines/llama/step_times.h"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// What may come next, and how likely each token of it is to be right.
struct Draft {
  std::vector<engine::Token> tokens;
  std::size_t match_class = 0;
  double chance = 0;  // of each token, given that those before it were right
};

// Looks up drafts for one generation and learns from what came how far to trust them. Learning needs no draft to be
// decoded: what would have been drafted is compared with what came.
class PromptLookup {
 public:
  // The continuation of the longest earlier match of the end of `history` (the latest of equals), at most `most`
  // tokens; empty when fewer than kShortest tokens match. Time: linear in the history, no more than microseconds per
  // thousand tokens.
  [[nodiscard]] Draft look_up(std::span<const engine::Token> history, std::uint32_t most) const;

  // `came`: the tokens that were drawn in this step, in order.
  void learn(const Draft& draft, std::span<const engine::Token> came);

  static constexpr std::size_t kShortest = 2;

 private:
  static constexpr std::size_t kLongest = 16;
  // By length of the match: a long one is nearly always right, a short one seldom.
  static constexpr std::array<std::size_t, 4> kClassBounds = {2, 3, 5, 9};
  struct Record {
    double right;
    double wrong;
  };
  // Priors worth a few observations.
  std::array<Record, kClassBounds.size()> records_ = {{{0.5, 1.5}, {1.0, 1.0}, {2.0, 1.0}, {3.5, 0.5}}};
};

// How many tokens of each draft the next step computes: those with the most tokens to be expected per unit of time, all
// 0 when drafting does not pay. `most`: [n_drafts] what each may be given. `times`: what a step costs by its columns,
// of which each sequence takes one for the token that it draws in any case.
[[nodiscard]] std::vector<std::uint32_t> draft_lengths(std::span<const Draft> drafts,
                                                       std::span<const std::uint32_t> most, const StepTimes& times);

}  // namespace bulkhead::engines::llama
