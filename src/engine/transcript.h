// SPDX-License-Identifier: MIT
// Transcript: the calls that were made on an engine, in order, with what each gave. It holds all that is needed to make
// the calls of one sequence again, alone, and to compare: token ids literally, logits and texts by what was drawn.
//
// On disk one JSON object a line (docs/results-format.md): the header, then the calls.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "engine/engine.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engine {

enum class CallKind { kOpen, kPrefill, kFork, kGenerate, kScore, kTruncate, kClose };

[[nodiscard]] std::string_view name(CallKind kind) noexcept;

// One call, or one sequence's part of a generate call. Fields that a kind does not use are empty.
struct Call {
  std::uint32_t number = 0;  // of the call, from 0; the members of a generate call share it
  CallKind kind = CallKind::kOpen;
  std::uint32_t sequence = 0;                    // numbered from 0 in the order of opening; never used twice
  std::string partition = {};                    // kOpen, kFork: its name, for people; may be empty
  std::uint32_t source = 0;                      // kFork
  std::uint32_t at = 0;                          // kFork: tokens taken over; kTruncate: that stay
  std::uint32_t capacity = 0;                    // kOpen, kFork: tokens
  std::vector<Token> tokens = {};                // kPrefill, kScore: given; kGenerate: drawn
  GenerateOptions options = {};                  // kGenerate; without callback and stop token
  std::string outcome = "ok";                    // or the name of an error code
  std::string finish = {};                       // kGenerate: "end", "length", "stop" or "cancelled"
  std::vector<std::uint64_t> logit_hashes = {};  // kGenerate: one for each token, or none
  std::vector<std::uint64_t> score_bits = {};    // kScore: the doubles' bits
};

struct Transcript {
  std::vector<Call> calls;

  [[nodiscard]] std::uint32_t sequences() const;
};

// The lines, each with its line feed. `header` is written first, as it is.
[[nodiscard]] std::string to_json_lines(const Transcript& transcript, const Json& header);

struct ReadTranscript {
  JsonDocument header;
  Transcript transcript;
};

// kBadInput, with `name` and line, when a line is no JSON or breaks the form of to_json_lines(), or when the calls are
// none that a recorder leaves behind: one about a sequence that is not open, numbers out of order, options out of their
// ranges. What an engine can hold is not looked at.
[[nodiscard]] Result<ReadTranscript> transcript_from_json_lines(const std::string& text, const std::string& name);

}  // namespace bulkhead::engine
