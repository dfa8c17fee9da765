// SPDX-License-Identifier: MIT
// One small trace for each leak of the catalogue (tests/data/leaks, made by `bulkhead verify --engine fake -m
// mutant:ID` and shrunk until no action can be left out): it shows the leak on its mutant, and nothing on right
// engines.
#include "engines/fake/fake_engine.h"
#include "engines/fake/mutant.h"
#include "engines/llama/llama_engine.h"
#include "engines/tiny_model.h"
#include "paths.h"
#include "temporary_folder.h"
#include "verify/solo.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace bulkhead::verify {
namespace {

// By id.
std::map<std::string, Trace> leaks() {
  std::map<std::string, Trace> traces;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(testing::source_folder()) / "tests/data/leaks")) {
    const auto path = entry.path().string();
    const auto document = JsonDocument::parse(testing::read_file(path), path);
    EXPECT_TRUE(document.ok()) << document.error().to_string();
    const auto trace = trace_from_json(JsonView(document.value()).at("trace").value());
    EXPECT_TRUE(trace.ok()) << trace.error().to_string();
    traces[entry.path().stem().string()] = trace.value();
  }
  return traces;
}

TEST(Leaks, EachMutantHasItsTraceAndFailsOnIt) {
  const auto traces = leaks();
  for (const auto& info : engines::fake::mutants()) {
    const auto found = traces.find(std::string(info.id));
    ASSERT_NE(found, traces.end()) << "tests/data/leaks has no " << info.id << ".json";
    EXPECT_LE(found->second.actions.size(), 8U) << info.id << " is not small";
    const MakeEngine broken = [&]() -> Result<std::unique_ptr<engine::Engine>> {
      return engines::fake::make_fake_engine({.faults = {}, .mutant = info.mutant});
    };
    const auto verdict = check_trace(found->second, on_engines(broken), {.watch = true});
    ASSERT_TRUE(verdict.ok()) << verdict.error().to_string();
    EXPECT_FALSE(verdict.value().clean()) << info.id;
  }
}

TEST(Leaks, RightEnginesShowNone) {
  const testing::TemporaryFolder folder;
  ModelOptions options;
  options.path = (folder / "tiny.gguf").string();
  options.threads = 1;
  ASSERT_TRUE(testing::write_tiny_model(options.path, {}));
  const MakeEngine llama = [&] { return engines::llama::make_llama_engine(options); };
  const MakeEngine fake = []() -> Result<std::unique_ptr<engine::Engine>> {
    return engines::fake::make_fake_engine({});
  };
  const auto kept = llama();
  for (const auto& [id, trace] : leaks()) {
    for (const auto* make : {&fake, &llama}) {
      const auto verdict = check_trace(trace, on_engines(*make), {.watch = true});
      ASSERT_TRUE(verdict.ok()) << id << ": " << verdict.error().to_string();
      EXPECT_TRUE(verdict.value().clean()) << id << (make == &llama ? " on libllama" : " on the fake engine");
      EXPECT_GT(verdict.value().facts_compared, 0U) << id;
    }
  }
}

}  // namespace
}  // namespace bulkhead::verify
