// SPDX-License-Identifier: MIT
// What the tests of the public classes share: each kind of model, and all that a partition shows of itself.
#pragma once

#include <bulkhead/bulkhead.h>

#include "paths.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::testing {

struct Kind {
  std::string name;
  ModelOptions options;
};

inline void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

inline std::string kind_name(const ::testing::TestParamInfo<Kind>& instance) {
  return instance.param.name;
}

inline Kind fake_kind() {
  return {"Fake", {.engine = "fake", .context_tokens = 256}};
}
inline Kind process_kind() {
  return {"ProcessFake", {.engine = "fake", .grade = Grade::kProcess, .context_tokens = 256}};
}
inline Kind gemma_kind() {
  return {"Gemma", {.path = "gemma-3-270m", .context_tokens = 256}};
}
inline Kind qwen_kind() {  // with a chat template
  return {"Qwen", {.path = "qwen2.5-coder-0.5b", .context_tokens = 256}};
}

// Of the kinds above; the test is skipped where a real model has not been pulled.
#define BULKHEAD_LOAD(model, kind)                                                                                  \
  auto loaded_##model = ::bulkhead::testing::load(kind);                                                            \
  if (!loaded_##model.ok() && (kind).options.engine == "llama") GTEST_SKIP() << loaded_##model.error().to_string(); \
  ASSERT_TRUE(loaded_##model.ok()) << loaded_##model.error().to_string();                                           \
  auto model = std::move(loaded_##model).value()

inline Result<Model> load(const Kind& kind) {
  ::setenv("BULKHEAD_PROGRAM", (build_folder() + "/src/bulkhead").c_str(), 1);
  return Model::load(kind.options);
}

inline Partition open(Model& model, std::string name) {
  auto opened = model.open(std::move(name));
  EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : opened.error().to_string());
  if (!opened.ok()) std::abort();
  return std::move(opened).value();
}

inline GenerateOptions greedy(std::uint32_t tokens) {
  return {.sampling = {.temperature = 0}, .max_tokens = tokens, .ignore_end = true, .hash_logits = true};
}

// More than a partition of these kinds can hold, whatever the vocabulary.
inline std::string too_long() {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "word " + std::to_string(i) + ", ";
  return text;
}

// The code of a refusal; none: the call went well.
template <class Value>
std::optional<ErrorCode> code(const Result<Value>& result) {
  return result.ok() ? std::nullopt : std::optional(result.error().code);
}

// All that can be asked of a partition without changing it. `name` counts for its last_output() only.
struct Shown {
  std::string name;
  std::array<std::uint64_t, 7> counts{};
  std::string token_sha256;
  std::optional<ErrorCode> no_output;
  std::string output;

  friend bool operator==(const Shown&, const Shown&) = default;
};

inline void PrintTo(const Shown& shown, std::ostream* out) {
  *out << shown.name << ": counts";
  for (const auto count : shown.counts) *out << ' ' << count;
  *out << ", tokens " << shown.token_sha256.substr(0, 8) << ", output \"" << shown.output << '"';
}

inline Shown show(const Partition& partition) {
  const auto usage = partition.usage();
  const auto output = partition.last_output("x");
  return {.name = partition.name(),
          .counts = {usage.tokens, usage.prefilled_tokens, usage.reused_tokens, usage.generated_tokens,
                     usage.removed_tokens, usage.messages_received, usage.kv_bytes_used},
          .token_sha256 = usage.token_sha256,
          .no_output = code(output),
          .output = output.ok() ? output->text() : std::string()};
}

}  // namespace bulkhead::testing
