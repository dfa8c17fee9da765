// SPDX-License-Identifier: MIT
// The values of the seam as JSON of the worker protocol, and back. Nothing of what is read is known before: a field
// that is missing, of another kind or out of its range is kBadInput, naming it.
#pragma once

#include "base/json.h"
#include "engine/engine.h"

#include <string>

namespace bulkhead::engines::worker {

[[nodiscard]] Json to_json(const Error& error);
// Its texts are cut and made printable. A code that this version does not know is kInternal; one that only this side
// can give (interference, incomplete) is kRemote.
[[nodiscard]] Result<void> read_error(const JsonView& json, Error& error);

[[nodiscard]] Json to_json(const engine::Facts& facts);
[[nodiscard]] Result<engine::Facts> facts_from(const JsonView& json);

// Without callback and stop token, which do not travel, and without the stop strings, which may be any bytes: those are
// the tail of the frame, and "stop_bytes" their lengths.
[[nodiscard]] Json to_json(const GenerateOptions& options);
[[nodiscard]] Result<GenerateOptions> generate_options_from(const JsonView& json);

[[nodiscard]] Json to_json(const engine::GenerateResult& result);
// Of a generation with `options` on an engine with `vocabulary` tokens: every list is as long as it must be.
[[nodiscard]] Result<engine::GenerateResult> generate_result_from(const JsonView& json, const GenerateOptions& options,
                                                                  std::uint32_t vocabulary);

// The outcome of a job: "prefilled", how many tokens of its prefill, and "generated", where it `generates`.
[[nodiscard]] Json to_json(const engine::JobResult& result, bool generates);
// Of `job`: no more tokens than it has, and a generation where one was asked for.
[[nodiscard]] Result<engine::JobResult> job_result_from(const JsonView& json, const engine::Job& job,
                                                        std::uint32_t vocabulary);

// What is told of a token that was drawn; its piece does not travel.
[[nodiscard]] Json to_json(const engine::Drawn& drawn);
// The token number `next` of a generation with `options`.
[[nodiscard]] Result<engine::Drawn> drawn_from(const JsonView& json, const GenerateOptions& options, std::uint32_t next,
                                               std::uint32_t vocabulary);

[[nodiscard]] Json to_json(const engine::SequenceState& state);
[[nodiscard]] Result<engine::SequenceState> sequence_state_from(const JsonView& json, std::uint32_t context_tokens);

// 64 bits as "0123456789abcdef": not every language keeps such a number whole.
[[nodiscard]] std::string hex(std::uint64_t value);

}  // namespace bulkhead::engines::worker
