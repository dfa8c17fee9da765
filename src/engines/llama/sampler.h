// SPDX-License-Identifier: MIT
// Draws tokens from logits. One sampler per generation, each with its own seeded generator.
#pragma once

#include "engine/engine.h"

#include <bulkhead/options.h>

#include <optional>
#include <random>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// Order of work: bias, penalties, top-k, top-p, min-p, temperature, draw. Greedy (temperature 0 or less) takes the
// first token with the largest logit. The same logits, options and history give the same token on every machine with
// IEEE floats.
class Sampler {
 public:
  // `forbidden` are never drawn; must outlive the sampler. `options` and `bias` have passed engine::check_generation().
  Sampler(const SamplingOptions& options, std::span<const engine::Token> forbidden, std::vector<TokenBias> bias = {});

  // `history`: all tokens of the sequence, for the penalty. nullopt: no logit is a finite number, with the bias added.
  [[nodiscard]] std::optional<engine::Token> draw(std::span<const float> logits,
                                                  std::span<const engine::Token> history);

 private:
  struct Candidate {
    engine::Token token;
    float logit;
    double weight;  // e^(logit - largest), before the temperature
  };
  [[nodiscard]] std::span<const float> biased(std::span<const float> logits);
  [[nodiscard]] std::span<const float> adjusted(std::span<const float> logits, std::span<const engine::Token> history);
  [[nodiscard]] std::optional<engine::Token> draw_greedily(std::span<const float> logits,
                                                           std::span<const engine::Token> history);
  [[nodiscard]] engine::Token draw_from_all(std::span<const float> logits, float largest);
  [[nodiscard]] engine::Token draw_filtered(std::span<const float> logits, float largest);
  void collect_top_k(std::span<const float> logits, float largest);
  [[nodiscard]] double collect_likely(std::span<const float> logits, float largest);
  void cut_tail(double total);
  [[nodiscard]] double uniform();

  SamplingOptions options_;
  std::span<const engine::Token> forbidden_;
  std::vector<TokenBias> bias_;
  std::mt19937 generator_;
  std::vector<float> biased_;          // [n_vocabulary]
  std::vector<float> logits_;          // the adjusted ones; [n_vocabulary]
  std::vector<float> weights_;         // [n_vocabulary]
  std::vector<Candidate> candidates_;  // what the filters leave
};

}  // namespace bulkhead::engines::llama
