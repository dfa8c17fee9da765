// SPDX-License-Identifier: MIT
// Output: a text that the model wrote of a cluster's topic, and what it is measured by, beside the reference text and
// against what other clusters hold. No judge: overlap with the reference, and occurrences of things that are known.
//
// Pure functions, for any thread.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "dataset/dataset.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::eval {

// Foreign is what belongs to a cluster that is neither the output's own nor one that it receives messages from.
struct Output {
  std::string text;                       // UTF-8
  std::uint32_t tokens = 0;               // generated, the end token included
  bool ended = false;                     // by itself, before the most tokens that were allowed
  double bleu = 0;                        // of this one text, 0 to 100 (measure/bleu.h: coarse)
  double chrf = 0;                        // chrF2, 0 to 100
  double rouge_l = 0;                     // F1, 0 to 1
  std::optional<double> similarity = {};  // cosine with the reference text as vectors of an embedding model, -1 to 1;
                                          // absent where none was given
  std::uint64_t words = 0;                // measure/words.h
  double repetition = 0;  // share of pairs of neighbouring words that stood there before; 0 with fewer than two words
  std::optional<std::uint64_t> own_terms = 0;      // occurrences of the cluster's terminology; absent: not countable
  std::optional<std::uint64_t> foreign_terms = 0;  // occurrences, without those that are own terms too; absent likewise
  std::uint64_t own_facts = 0;                     // different values of the cluster's facts, old ones too
  std::uint64_t foreign_facts = 0;                 // different values that only foreign clusters state
  std::uint64_t canaries = 0;  // of all other clusters, however they are connected; no reference text holds one
  friend bool operator==(const Output&, const Output&) = default;
};

// What `text` comes to as the output of `cluster`, one of the conversation's. How it was generated (`tokens`, `ended`)
// and its `similarity` are the caller's to say.
[[nodiscard]] Output measure_output(const dataset::Conversation& conversation, std::string_view cluster,
                                    std::string text);

[[nodiscard]] Json to_json(const Output& output);
// kCorrupt when `text` is not what to_json() makes.
[[nodiscard]] Result<Output> output_from_json(const std::string& text);

}  // namespace bulkhead::eval
