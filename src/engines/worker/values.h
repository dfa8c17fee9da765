// SPDX-License-Identifier: MIT
// The values of the seam as JSON of the worker protocol, and back. Reading throws Json::exception on a wrong form.
#pragma once

#include "base/json.h"
#include "engine/engine.h"

#include <span>
#include <string>
#include <vector>

namespace bulkhead::engines::worker {

[[nodiscard]] Json to_json(const Error& error);
[[nodiscard]] Error error_from(const Json& json);

[[nodiscard]] Json to_json(const engine::Facts& facts);
[[nodiscard]] engine::Facts facts_from(const Json& json);

// Without callback and stop token, which do not travel, and without the stop strings, which may be any bytes: those are
// the tail of the frame, and "stop_bytes" their lengths.
[[nodiscard]] Json to_json(const GenerateOptions& options);
[[nodiscard]] GenerateOptions generate_options_from(const Json& json);

[[nodiscard]] Json to_json(const engine::GenerateResult& result);
[[nodiscard]] engine::GenerateResult generate_result_from(const Json& json);

[[nodiscard]] Json to_json(const engine::SequenceState& state);
[[nodiscard]] engine::SequenceState sequence_state_from(const Json& json);

// 64 bits as "0123456789abcdef": not every language keeps such a number whole.
[[nodiscard]] std::string hex(std::uint64_t value);
[[nodiscard]] std::uint64_t from_hex(const Json& json);

}  // namespace bulkhead::engines::worker
