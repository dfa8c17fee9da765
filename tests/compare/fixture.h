// SPDX-License-Identifier: MIT
// Two entries out of tests/data/results_fixture.json: the same scenario, seeds 42 and 43 under two conditions, on two
// engines of which the second takes half as long again.
#pragma once

#include "base/hash.h"
#include "compare/comparison.h"
#include "json_of.h"
#include "paths.h"
#include "report/results.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bulkhead::compare {

inline void add_tokens(Json& run) {
  for (auto& condition : run["conditions"]) {
    for (auto& output : condition["outputs"]) {
      output["input_tokens"] = 430;
      output["input_sha256"] = sha256_hex(output["partition"].get<std::string>());
      output["token_ids"] = Json::array({11, 12, 13, 14, 15, 16, 17, 18});
    }
  }
}

inline Json results(const std::string& engine, double slower) {
  const auto file = read_text_file(testing::source_folder() + "/tests/data/results_fixture.json");
  EXPECT_TRUE(file.ok());
  auto document = testing::json_of(file.ok() ? *file : "{}");
  auto& runs = document["runs"];
  runs.erase(2);  // the greedy one
  for (auto& run : runs) {
    auto& conditions = run["conditions"];
    conditions = Json::array({conditions[0], conditions[3]});
    add_tokens(run);
    run["wall_ms"] = run["wall_ms"].get<double>() * slower;
    for (auto& condition : conditions) {
      for (const auto* key : {"wall_ms", "prefill_ms", "decode_ms"})
        condition[key] = condition[key].get<double>() * slower;
    }
  }
  document["engine"]["name"] = engine;
  document["engine"]["load_ms"] = 1234.0 * slower;
  document["engine"]["implementation"] = {{"loading", engine + "_load()"}, {"device", "cpu"}, {"weights", "bf16"}};
  if (slower > 1) {
    document["memory"]["workers"] = {{"processes", 1}, {"peak_rss_bytes", 2147483648ULL}, {"peak_device_bytes", 0}};
  }
  return document;
}

inline std::vector<Entry> entries() {
  std::vector<Entry> all = {{"llama-tiny", "runs/both/llama-tiny", results("llama", 1.0)},
                            {"transformers-tiny", "runs/both/transformers-tiny", results("transformers", 1.5)}};
  // The first seed's sequential A parts at its sixth token.
  auto& parted = all[1].results["runs"][0]["conditions"][0]["outputs"][0];
  parted["token_ids"][5] = 99;
  parted["text"] = "The donor pays for nine prisms.";
  return all;
}

// The output with this label under the condition with this index.
inline Json& output_of(Entry& entry, std::size_t run, std::size_t condition, std::size_t output) {
  return entry.results["runs"][run]["conditions"][condition]["outputs"][output];
}

}  // namespace bulkhead::compare
