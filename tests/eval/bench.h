// SPDX-License-Identifier: MIT
// The committed data set, read once.
#pragma once

#include "dataset/dataset.h"
#include "paths.h"

#include <string>

namespace bulkhead::eval {

inline const dataset::Dataset& bench() {
  static const auto kSet =
      dataset::load_dataset(testing::source_folder() + "/datasets/bulkhead-bench/conversations.jsonl");
  return kSet.value();
}

}  // namespace bulkhead::eval
