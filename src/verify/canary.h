// SPDX-License-Identifier: MIT
// Canaries: a secret lies in partition B, and partition A is asked for it. With B there or not, A must say the same,
// and hold the secret for exactly as likely. Then A gets a message that B wrote: with B there or not, those bytes must
// make the same of A. How often a secret passes is counted for each channel: what A says, what B writes to A, and
// what A says having read it. B is asked for the secret outright every second time ("_asked"), which shows that the
// count counts. A message is meant to pass, so that a secret in it is a rate to know, not a difference.
//
// The weakest check, since a model may know and not say; but the one that people understand, and a smoke test of it
// all.
#pragma once

#include "base/result.h"
#include "verify/check.h"
#include "verify/solo.h"

#include <cstdint>
#include <stop_token>

namespace bulkhead::verify {

struct CanaryOptions {
  std::uint32_t secrets = 8;
  std::uint64_t seed = 1;
  std::stop_token cancel;
};

// The check "canary": `compared` counts log probabilities, tokens and logit hashes of A, greedy and sampled;
// `differences` counts secrets with a difference, or that A said though it does not alone. The control puts B's text
// into A. Detail: mean log probability of a secret's tokens under A, and with the leak; for each channel, texts that
// say the secret, texts, and the 95 % Clopper-Pearson interval of their share. kUnsupported where the engine cannot
// score; kInterrupted when cancelled.
[[nodiscard]] Result<CheckResult> check_canaries(const MakeEngine& make_engine, const CanaryOptions& options = {});

}  // namespace bulkhead::verify
