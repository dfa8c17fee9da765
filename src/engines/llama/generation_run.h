// SPDX-License-Identifier: MIT
// One call of generate(): many sequences, one batched step after another.
#pragma once

#include "engine/engine.h"
#include "engine/generation.h"
#include "engines/llama/prompt_lookup.h"
#include "engines/llama/sampler.h"
#include "engines/llama/sequence.h"

#include <chrono>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// One request while it runs.
struct Generation {
  Generation(Sequence& its_sequence, const GenerateOptions& its_options, std::span<const engine::Token> forbidden)
      : sequence(&its_sequence),
        options(&its_options),
        sampler(its_options.sampling, forbidden),
        text(its_options.stop) {}

  Sequence* sequence;
  const GenerateOptions* options;
  Sampler sampler;
  engine::GeneratedText text;
  PromptLookup lookup = {};
  engine::GenerateResult result = {};
  std::optional<Error> error = {};
  bool active = true;
};

class GenerationRun {
 public:
  // `cancellation` is the one that stops decodes. All must outlive the run. `draft`: verify drafts in the steps; only
  // where logits do not depend on what else is in the batch, since the tokens could be others elsewhere.
  GenerationRun(const engine::Tokenizer& tokenizer, Cancellation& cancellation, bool draft)
      : tokenizer_(&tokenizer), cancellation_(&cancellation), draft_(draft) {}

  // Runs all to their ends. A failure ends one of them, with its error set, and a cancel the one whose token it was: in
  // the middle of a decode only where all of that decode are cancelled, else after it.
  void run(std::span<Generation* const> generations);

 private:
  using Clock = std::chrono::steady_clock;
  static void end(Generation& generation, engine::GenerateResult::Finish finish);
  static void end_those_that_are_done(std::span<Generation* const> generations);
  void draw_first(Generation& generation);
  [[nodiscard]] std::vector<Draft> look_up_drafts(std::span<Generation* const> generations) const;
  void decode_and_draw(std::span<Generation* const> generations);
  void draw_and_verify(Generation& generation, const StepOutcome& outcome, const Draft& proposal,
                       std::span<const engine::Token> draft);
  void draw(Generation& generation, std::span<const float> logits);

  const engine::Tokenizer* tokenizer_;
  Cancellation* cancellation_;
  bool draft_;
  Clock::time_point begin_ = Clock::now();
  Clock::duration drawing_{};  // time spent in samplers
  StepTimes times_;
};

}  // namespace bulkhead::engines::llama
