// SPDX-License-Identifier: MIT
// Replay of a run: every sequence that showed something is run again from the transcript, alone, in a fresh engine, and
// must show the same tokens and the same bits of logits.
#pragma once

#include "base/result.h"
#include "engine/transcript.h"
#include "verify/check.h"
#include "verify/solo.h"

#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

namespace bulkhead::verify {

// The calls that made what `sequence` shows: its own, and for a fork its ancestors' up to the fork. Calls that failed
// are left out, and with a poisoned sequence all that followed.
[[nodiscard]] std::vector<engine::Call> calls_of(const engine::Transcript& transcript, std::uint32_t sequence);

struct ReplayOptions {
  std::stop_token cancel;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // after each sequence; may be empty
};

// The check "run_replay": `compared` counts tokens, logit hashes, log probabilities and finish reasons; differences are
// sequences. The control puts one token in front of a sequence's text. Errors: those of making engines and reserving
// room; kBadInput when an engine refuses a call that went well in the run; kInterrupted when cancelled.
[[nodiscard]] Result<CheckResult> replay_transcript(const engine::Transcript& transcript, const MakeEngine& make_engine,
                                                    const ReplayOptions& options = {});

}  // namespace bulkhead::verify
