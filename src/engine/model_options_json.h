// SPDX-License-Identifier: MIT
// How a model was loaded, as JSON: in transcripts, and in what workers are told. Reading throws Json::exception on a
// wrong form.
#pragma once

#include "base/json.h"

#include <bulkhead/options.h>

namespace bulkhead::engine {

// Without the guard, which is about one process and one run. The path is escape_bytes(): it may be no UTF-8.
[[nodiscard]] Json to_json(const ModelOptions& options);
[[nodiscard]] ModelOptions model_options_from(const Json& json);

// A grade that this version does not know promises nothing here: kClaimed.
[[nodiscard]] Grade grade_from(const Json& json);
[[nodiscard]] Isolation isolation_from(const Json& json);

}  // namespace bulkhead::engine
