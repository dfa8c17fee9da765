// SPDX-License-Identifier: MIT
// Whether a run's results say what its transcript says: then a replay of the transcript confirms the results too.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "engine/transcript.h"

namespace bulkhead::verify {

// Compares each output of a complete results document (form checked by report::check_results) with the generation of
// its partition in the transcript: token ids, how it ended, the hash of its last logits. kCorrupt names the first that
// differs. Nothing is compared for a run that was cut short, whose last generations may stand in the transcript alone.
[[nodiscard]] Result<void> check_recorded_results(const Json& results, const engine::Transcript& transcript);

}  // namespace bulkhead::verify
