// SPDX-License-Identifier: MIT
// Provenance: what made a number, as results documents say it (docs/results-format.md).
#pragma once

#include "base/json.h"
#include "engine/engine.h"

#include <string>

namespace bulkhead::run {

[[nodiscard]] Json machine_json();  // "machine": of this process
// "workers": memory of an engine's processes beside this one. Null where they cannot say: a worker that died is told of
// by what it did not finish, which is no reason to lose the rest.
[[nodiscard]] Json workers_json(const engine::Engine& engine);
[[nodiscard]] Json build_json();                                                       // "bulkhead": version and commit
[[nodiscard]] Json model_json(const engine::Facts& facts, const std::string& sha256);  // "model"
[[nodiscard]] Json engine_json(const engine::Facts& facts);                            // "engine"

}  // namespace bulkhead::run
