// SPDX-License-Identifier: MIT
// How a model was loaded, as JSON: in transcripts, and in what workers are told.
#pragma once

#include "base/json.h"

#include <bulkhead/options.h>

#include <string_view>

namespace bulkhead::engine {

// Without the guard, which is about one process and one run. The path is escape_bytes(): it may be no UTF-8.
[[nodiscard]] Json to_json(const ModelOptions& options);
// kBadInput, naming the field, for another form or a number out of its range.
[[nodiscard]] Result<ModelOptions> model_options_from(const JsonView& json);

// A grade that this version does not know promises nothing here: kClaimed.
[[nodiscard]] Grade grade_from(std::string_view name);
[[nodiscard]] Isolation isolation_from(std::string_view name);

}  // namespace bulkhead::engine
