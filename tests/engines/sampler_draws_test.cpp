// SPDX-License-Identifier: MIT
// Draws that workers/tests/test_sampler.py makes too, from the same logits: the samplers of all engines are one.
#include "base/json.h"
#include "engines/llama/sampler.h"
#include "json_of.h"
#include "paths.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

// Exact in any language: multiples of 12 / 2^32 between -6 and 6, rounded once to a float.
std::vector<float> logits(std::size_t count) {
  std::vector<float> made;
  for (std::size_t i = 0; i < count; ++i) {
    const auto mixed = static_cast<std::uint32_t>(i) * 2654435761U;
    made.push_back(static_cast<float>(static_cast<double>(mixed) * 12.0 / 4294967296.0 - 6.0));
  }
  return made;
}

TEST(SamplerDraws, AreThoseThatWereWrittenDown) {
  const auto document =
      testing::json_of(testing::read_file(testing::source_folder() + "/tests/data/sampler_draws.json"));
  const auto given = logits(document["logits"].get<std::size_t>());
  ASSERT_GE(document["cases"].size(), 10U);
  for (const auto& each : document["cases"]) {
    SamplingOptions options;
    options.temperature = each["temperature"].get<float>();
    options.top_k = each["top_k"].get<std::int32_t>();
    options.top_p = each["top_p"].get<float>();
    options.min_p = each["min_p"].get<float>();
    options.repeat_penalty = each["repeat_penalty"].get<float>();
    options.repeat_last_n = each["repeat_last_n"].get<std::int32_t>();
    options.seed = each["seed"].get<std::uint32_t>();
    const auto forbidden = each["forbidden"].get<std::vector<engine::Token>>();
    Sampler sampler(options, forbidden);
    std::vector<engine::Token> drawn;
    for (std::size_t i = 0; i < each["tokens"].size(); ++i) drawn.push_back(sampler.draw(given, drawn).value());
    EXPECT_EQ(drawn, each["tokens"].get<std::vector<engine::Token>>()) << Json(drawn).dump();
  }
}

}  // namespace
}  // namespace bulkhead::engines::llama
