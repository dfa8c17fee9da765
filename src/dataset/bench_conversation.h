// SPDX-License-Identifier: MIT
// One conversation in our own form: a scenario with facts, questions and canaries
// (datasets/bulkhead-bench/conversation.schema.json).
#pragma once

#include "dataset/dataset.h"

namespace bulkhead::dataset {

// Beyond the form, checked are: question ids used once; clusters and turns that exist; facts in turns of their cluster,
// which hold the value; answers that differ from the distractors. kBadInput with file, line and field. `path` and
// `sha256` of the scenario stay empty.
[[nodiscard]] Result<Conversation> read_bench_conversation(const JsonView& root);

}  // namespace bulkhead::dataset
