// SPDX-License-Identifier: MIT
// Draws tokens from logits. One sampler per generation, each with its own seeded generator.
#pragma once

#include "engine/engine.h"

#include <bulkhead/options.h>
#include <llama.h>

#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// Order of work: penalties, top-k, top-p, min-p, temperature, draw. Greedy (temperature 0 or less) takes the first
// token with the largest logit. The same logits, options and history give the same token on every machine with IEEE
// floats.
class Sampler {
 public:
  // `forbidden` are never drawn; must outlive the sampler. `options` have passed engine::check_options().
  Sampler(const SamplingOptions& options, std::span<const engine::Token> forbidden);

  // `history`: all tokens of the sequence, for the penalty. nullopt: no logit is a finite number.
  [[nodiscard]] std::optional<engine::Token> draw(std::span<const float> logits,
                                                  std::span<const engine::Token> history);

 private:
  struct FreeSampler {
    void operator()(llama_sampler* sampler) const { llama_sampler_free(sampler); }
  };
  [[nodiscard]] std::span<const float> adjusted(std::span<const float> logits, std::span<const engine::Token> history);
  [[nodiscard]] engine::Token draw_from_all(std::span<const float> logits, float largest);
  [[nodiscard]] engine::Token draw_filtered(std::span<const float> logits);
  [[nodiscard]] double uniform();

  SamplingOptions options_;
  std::span<const engine::Token> forbidden_;
  std::mt19937 generator_;
  std::unique_ptr<llama_sampler, FreeSampler>
      filters_;                               // top-k, top-p, min-p, temperature; null when all but the last are off
  std::vector<float> logits_;                 // the adjusted ones; [n_vocabulary]
  std::vector<float> weights_;                // [n_vocabulary]
  std::vector<llama_token_data> candidates_;  // [n_vocabulary]
};

}  // namespace bulkhead::engines::llama
