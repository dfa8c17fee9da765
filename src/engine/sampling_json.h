// SPDX-License-Identifier: MIT
// The options of a generation that are seldom set, and what they report, as JSON: for transcripts and for workers.
#pragma once

#include "base/json.h"
#include "engine/engine.h"

#include <cstdint>

namespace bulkhead::engine {

// Writes `logit_bias` (a list of `token`, `bias`, the bias as text, since JSON has no infinity), `logprobs`,
// `grammar` and what begins it into `object`, each only where it is set.
void add_seldom_options(Json& object, const GenerateOptions& options);

// Reads them back; what is not there stays unset. kBadInput for a field of another form. Ranges are check_options()'s.
[[nodiscard]] Result<void> read_seldom_options(const JsonView& object, GenerateOptions& options);

// Numbers are the bits of each double, 16 hexadecimal digits: they come back as they were.
[[nodiscard]] Json to_json(const TokenLogprobs& logprobs);

// kBadInput when it is not the report of one of `vocabulary` tokens with `count` likeliest ones, best first.
[[nodiscard]] Result<TokenLogprobs> logprobs_from(const JsonView& json, std::uint32_t count, std::uint32_t vocabulary);

}  // namespace bulkhead::engine
