// SPDX-License-Identifier: MIT
// Provenance: what made a number, as results documents say it (docs/results-format.md).
#pragma once

#include "base/json.h"
#include "engine/engine.h"

#include <string>

namespace bulkhead::run {

[[nodiscard]] Json machine_json();                                                     // "machine": of this process
[[nodiscard]] Json build_json();                                                       // "bulkhead": version and commit
[[nodiscard]] Json model_json(const engine::Facts& facts, const std::string& sha256);  // "model"
[[nodiscard]] Json engine_json(const engine::Facts& facts);                            // "engine"

}  // namespace bulkhead::run
