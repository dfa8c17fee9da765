// SPDX-License-Identifier: MIT
// The mutants of the real engine (engines/llama/mutant.h), each killed by random traces on a model with random weights.
// Only where they are compiled in: preset dev.
#include "desk/mutant.h"
#include "engines/llama/llama_engine.h"
#include "engines/llama/mutant.h"
#include "engines/tiny_model.h"
#include "partition/mutant.h"
#include "temporary_folder.h"
#include "verify/campaign.h"
#include "verify/random_trace.h"
#include "verify/solo.h"
#include "verify/surface_run.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::verify {
namespace {

#if defined(BULKHEAD_MUTANTS)

namespace llama = engines::llama;

constexpr std::uint64_t kTraces = 300;

class RealMutants : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::write_tiny_model(path_, {}));
    kept_ = std::move(make_()).value();
  }
  void TearDown() override {
    llama::active_mutant = llama::Mutant::kNone;
    partition::active_mutant = partition::Mutant::kNone;
    desk::active_mutant = desk::Mutant::kNone;
  }

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

// Which witness of which random trace sees that something is wrong; empty: none does. The solo runs have the mutant
// too: what shows is that others were there.
std::string killed_by(const RunTrace& run, bool surface) {
  for (std::uint64_t trace = 1; trace <= kTraces; ++trace) {
    const auto verdict = check_trace(random_trace(trace, {.surface = surface}), run, {.watch = true});
    if (!verdict.ok()) return "error: " + verdict.error().to_string();
    std::string by;
    if (!verdict.value().books.empty()) by = "books: " + verdict.value().books.front().reason;
    if (!verdict.value().respect.empty()) by = "local respect: " + verdict.value().respect.front().reason;
    if (verdict.value().difference) by = "solo replay: " + verdict.value().difference->field;
    if (by.empty()) continue;
    std::printf("killed by trace %llu, %s\n", static_cast<unsigned long long>(trace), by.c_str());
    return by;
  }
  return {};
}

TEST_F(RealMutants, AreAllKilled) {
  for (const auto& [id, mutant] : llama::kMutants) {
    llama::active_mutant = mutant;
    EXPECT_FALSE(killed_by(on_engines(make_), false).empty()) << id << " lives";
  }
}

// By traces on the public surface: what is wrong between the surface and the engine cannot be seen on the seam.
TEST_F(RealMutants, OfTheSurfaceAreAllKilled) {
  auto surface = Surface::make({.path = path_, .context_tokens = 192, .threads = 1});
  ASSERT_TRUE(surface.ok()) << surface.error().to_string();
  for (const auto& [id, mutant] : partition::kMutants) {
    partition::active_mutant = mutant;
    // Ids that mean something elsewhere are the other half of the same fault.
    if (mutant == partition::Mutant::kForeignAccepted) desk::active_mutant = desk::Mutant::kIdsOfItsOwn;
    auto broken = Surface::make({.path = path_, .context_tokens = 192, .threads = 1});
    ASSERT_TRUE(broken.ok()) << id << ": " << broken.error().to_string();
    EXPECT_FALSE(killed_by(broken.value().runner(), true).empty()) << id << " lives";
    partition::active_mutant = partition::Mutant::kNone;
    desk::active_mutant = desk::Mutant::kNone;
  }
  for (const auto& [id, mutant] : desk::kMutants) {
    desk::active_mutant = mutant;
    EXPECT_FALSE(killed_by(surface.value().runner(), true).empty()) << id << " lives";
    desk::active_mutant = desk::Mutant::kNone;
  }
  llama::active_mutant = llama::Mutant::kCancelEndsAll;
  EXPECT_FALSE(killed_by(surface.value().runner(), true).empty()) << "M10 lives on the surface";
}

TEST_F(RealMutants, OfTheSurfaceAreTheOnlyCause) {
  auto surface = Surface::make({.path = path_, .context_tokens = 192, .threads = 1});
  ASSERT_TRUE(surface.ok()) << surface.error().to_string();
  CampaignOptions options;
  options.traces = 20;
  options.shape = {.surface = true};
  const auto campaign = run_campaign(surface.value().runner(), options);
  ASSERT_TRUE(campaign.ok()) << campaign.error().to_string();
  EXPECT_EQ(verdict_of(campaign.value().checks), Verdict::kClean)
      << (campaign.value().failing ? json_text(to_json(*campaign.value().failing)) : "");
}

TEST_F(RealMutants, AreTheOnlyCause) {
  CampaignOptions options;
  options.traces = 60;
  const auto campaign = run_campaign(on_engines(make_), options);
  ASSERT_TRUE(campaign.ok()) << campaign.error().to_string();
  EXPECT_EQ(verdict_of(campaign.value().checks), Verdict::kClean)
      << (campaign.value().failing ? to_json(*campaign.value().failing).dump() : "");
}

#endif

}  // namespace
}  // namespace bulkhead::verify
