// SPDX-License-Identifier: MIT
// The mutants of the real engine (engines/llama/mutant.h), each killed by random traces on a model with random weights.
// Only where they are compiled in: preset dev.
#include "engines/llama/llama_engine.h"
#include "engines/llama/mutant.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"
#include "verify/campaign.h"
#include "verify/random_trace.h"
#include "verify/solo.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::verify {
namespace {

#if defined(BULKHEAD_MUTANTS)

using engines::llama::active_mutant;
using engines::llama::kMutants;
using engines::llama::Mutant;

constexpr std::uint64_t kTraces = 300;

class RealMutants : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::write_tiny_model(path_, {}));
    kept_ = std::move(make_()).value();
  }
  void TearDown() override { active_mutant = Mutant::kNone; }

  testing::TemporaryFolder folder_;
  std::string path_ = (folder_ / "tiny.gguf").string();
  MakeEngine make_ = [this]() {
    ModelOptions options;
    options.path = path_;
    options.threads = 1;
    return engines::llama::make_llama_engine(options);
  };
  std::unique_ptr<engine::Engine> kept_;  // so that the weights are loaded once
};

TEST_F(RealMutants, AreAllKilled) {
  for (const auto& [id, mutant] : kMutants) {
    active_mutant = mutant;
    std::uint64_t trace = 1;
    std::string by;
    for (; trace <= kTraces && by.empty(); ++trace) {
      // The solo runs have the mutant too: what shows is that others were there.
      const auto verdict = check_trace(random_trace(trace, {}), make_, {.watch = true});
      ASSERT_TRUE(verdict.ok()) << id << ": " << verdict.error().to_string();
      if (!verdict.value().books.empty()) by = "books";
      if (!verdict.value().respect.empty()) by = "local respect";
      if (verdict.value().difference) by = "solo replay, " + verdict.value().difference->field;
    }
    EXPECT_FALSE(by.empty()) << id << " lives";
    std::printf("%s killed by trace %llu: %s\n", std::string(id).c_str(), static_cast<unsigned long long>(trace - 1),
                by.c_str());
  }
}

TEST_F(RealMutants, AreTheOnlyCause) {
  CampaignOptions options;
  options.traces = 60;
  const auto campaign = run_campaign(make_, options);
  ASSERT_TRUE(campaign.ok()) << campaign.error().to_string();
  EXPECT_EQ(verdict_of(campaign.value().checks), Verdict::kClean)
      << (campaign.value().failing ? to_json(*campaign.value().failing).dump() : "");
}

#endif

}  // namespace
}  // namespace bulkhead::verify
