// SPDX-License-Identifier: MIT
// "Isolation achieved?", computed. Three witnesses must agree for every output:
//   1. what the plan says its partition should hold (tokens assembled anew from the scenario and the messages sent),
//   2. what the partition's ledger says it holds,
//   3. what the engine says it holds, asked back.
// And every token must be allowed: a turn of the output's own cluster, a message from a cluster it depends on, or text
// of the experiment itself (markers, prompts, templates).
#pragma once

#include "conversation/scenario.h"
#include "conversation/traced_tokens.h"
#include "engine/engine.h"
#include "partition/ledger.h"

#include <map>
#include <string>
#include <vector>

namespace bulkhead::run {

// One output's partition at the moment its generation ended.
struct Evidence {
  std::string output;  // label
  std::string cluster;
  std::string partition;
  conversation::TracedTokens expected;  // context and prompt, assembled anew
  const partition::Ledger* ledger = nullptr;
  engine::SequenceState state;      // from Engine::inspect
  std::uint32_t window_tokens = 0;  // Facts::window_tokens: older positions may have left the cache
};

// What the senders sent: label -> SHA-256 of the finished text.
using SentMessages = std::map<std::string, std::string>;

// Reasons against isolation, for people; empty: none.
[[nodiscard]] std::vector<std::string> objections(const Evidence& evidence, const conversation::Scenario& scenario,
                                                  const SentMessages& sent);

}  // namespace bulkhead::run
