// SPDX-License-Identifier: MIT
// Guards: locked pages fault, poisoned cells change nothing that a partition shows, and a room's next owner finds it
// cleared.
#include "engines/llama/cache_guard.h"

#include "engines/llama/context_pool.h"
#include "engines/llama/llama_engine.h"
#include "engines/real_models.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Engine;
using engine::Token;

std::vector<Token> text(std::size_t count, std::uint32_t state) {
  std::vector<Token> tokens;
  while (tokens.size() < count) {
    state = state * 1664525U + 1013904223U;
    tokens.push_back(static_cast<Token>(270 + (state >> 16U) % 80));
  }
  return tokens;
}

std::unique_ptr<Engine> tiny_engine(Guard guard, std::uint32_t window = 0) {
  const testing::TemporaryFolder folder;
  const auto path = (folder / "tiny.gguf").string();
  EXPECT_TRUE(testing::write_tiny_model(path, {.window = window}));
  ModelOptions options;
  options.path = path;
  options.threads = 2;
  options.guard = guard;
  auto made = make_llama_engine(options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
  return made.ok() ? std::move(made).value() : nullptr;
}

// Prefills, forks, batches, scores, closes and opens again; all logits that show.
std::vector<std::uint64_t> life(Engine& engine, std::uint32_t tokens) {
  std::vector<std::uint64_t> hashes;
  const auto generate = [&](std::vector<engine::SequenceId> members) {
    std::vector<engine::GenerateRequest> requests;
    for (const auto member : members) {
      GenerateOptions options;
      options.sampling.temperature = 0;
      options.max_tokens = 3;
      options.ignore_end = true;
      options.hash_logits = true;
      requests.push_back({member, options});
    }
    for (const auto& result : engine.generate(requests)) {
      EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().to_string());
      if (result.ok()) hashes.insert(hashes.end(), result->logit_hashes.begin(), result->logit_hashes.end());
    }
  };
  EXPECT_TRUE(engine.reserve(4, tokens + 40).ok());
  const auto a = engine.open({.capacity_tokens = tokens + 40}).value();
  const auto b = engine.open({.capacity_tokens = tokens + 40}).value();
  EXPECT_TRUE(engine.prefill(a, text(tokens, 1)).ok());
  EXPECT_TRUE(engine.prefill(b, text(tokens / 2 + 3, 2)).ok());
  generate({a, b});
  const auto whole = engine.fork(a, tokens + 3, {.capacity_tokens = tokens + 20}).value().sequence;
  const auto part = engine.fork(b, tokens / 2, {.capacity_tokens = tokens + 20}).value().sequence;
  generate({part, a});
  generate({whole});
  EXPECT_TRUE(engine.close(a).ok());
  const auto again = engine.open({.capacity_tokens = 40}).value();
  EXPECT_TRUE(engine.prefill(again, text(9, 3)).ok());
  generate({again, whole, part, b});
  return hashes;
}

TEST(CacheGuard, ChangesNothingThatPartitionsShow) {
  for (const std::uint32_t window : {0U, testing::kTinyWindow}) {
    const auto plain = life(*tiny_engine(Guard::kNone, window), 90);
    ASSERT_EQ(plain.size(), 3U * 9U);
    const auto before = guard_totals();
    EXPECT_EQ(life(*tiny_engine(Guard::kPages, window), 90), plain) << window;
    const auto locked = guard_totals();
    EXPECT_EQ(life(*tiny_engine(Guard::kPoison, window), 90), plain) << window;
    const auto poisoned = guard_totals();
    EXPECT_GT(locked.computations, before.computations + 10);
    EXPECT_GT(locked.guarded_bytes, before.guarded_bytes);
    EXPECT_GT(poisoned.guarded_bytes, locked.guarded_bytes);
    EXPECT_EQ(poisoned.guarded_bytes - locked.guarded_bytes, poisoned.foreign_bytes - locked.foreign_bytes)
        << "every foreign byte is poisoned";
  }
}

TEST(CacheGuard, NeedsBuffersOfTheirOwn) {
  ModelOptions options;
  options.path = "unused";
  options.guard = Guard::kPages;
  options.grade = Grade::kMask;
  const auto made = make_llama_engine(options);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kUsage);
  EXPECT_NE(made.error().to_string().find("--guard"), std::string::npos);
}

// A pool with its model, where the test can see the cells.
class CacheCells : public ::testing::Test {
 protected:
  void SetUp() override {
    const testing::TemporaryFolder folder;
    options_.path = (folder / "tiny.gguf").string();
    options_.threads = 1;
    options_.guard = Guard::kPages;
    ASSERT_TRUE(testing::write_tiny_model(options_.path, {}));
    auto loaded = LoadedModel::load(options_);
    ASSERT_TRUE(loaded.ok());
    model_ = std::move(loaded).value();
    pool_ = std::make_unique<ContextPool>(*model_, cancellation_);
  }

  ModelOptions options_;
  std::shared_ptr<const LoadedModel> model_;
  Cancellation cancellation_;
  std::unique_ptr<ContextPool> pool_;
};

using CacheCellsDeathTest = CacheCells;

TEST_F(CacheCellsDeathTest, AForeignReadOrWriteEndsTheProcessWithSeven) {
  const auto place = pool_->take(256, false, nullptr).value();
  const auto& map = *place.context->cache;
  ASSERT_FALSE(map.tensors().empty());
  const std::vector<std::uint32_t> own = {0};
  const auto foreign = map.tensors().back().stream(1);
  const auto touch = [&](bool write) {
    end_on_guard_fault();
    const CacheGuard guard(Guard::kPages, map.foreign_cells(own), {});
    auto* middle = static_cast<volatile std::byte*>(foreign.data() + foreign.size() / 2);
    if (write) *middle = std::byte{1};
    std::fprintf(stderr, "read %d", static_cast<int>(*middle));
  };
  EXPECT_EXIT(touch(false), ::testing::ExitedWithCode(7), "interference");
  EXPECT_EXIT(touch(true), ::testing::ExitedWithCode(7), "interference");
  const auto mine = map.tensors().back().stream(0);
  const CacheGuard guard(Guard::kPages, map.foreign_cells(own), {});
  EXPECT_EQ(mine[mine.size() / 2], std::byte{0}) << "its own can be read";
}

TEST_F(CacheCells, MostBytesAreLockedAndAllAreOpenAfterwards) {
  const auto place = pool_->take(2048, false, nullptr).value();
  const auto& map = *place.context->cache;
  const auto before = guard_totals();
  const std::vector<std::uint32_t> own = {0};
  { const CacheGuard guard(Guard::kPages, map.foreign_cells(own), {}); }
  const auto after = guard_totals();
  const auto foreign = static_cast<double>(after.foreign_bytes - before.foreign_bytes);
  const auto share = static_cast<double>(after.guarded_bytes - before.guarded_bytes) / foreign;
  std::printf("%.1f %% of %.0f foreign bytes were locked\n", share * 100, foreign);
  EXPECT_GT(share, 0.9);
  for (const auto& tensor : map.tensors()) {
    for (std::uint32_t stream = 0; stream < tensor.streams; ++stream) tensor.stream(stream)[0] = std::byte{0};
  }
}

TEST_F(CacheCells, ANewOwnerFindsNothingOfTheLast) {
  const auto place = pool_->take(256, false, nullptr).value();
  const auto& map = *place.context->cache;
  for (const auto& tensor : map.tensors())
    std::ranges::fill(tensor.stream(0).first(tensor.row_bytes * 40), std::byte{9});
  place.context->written_cells[0] = 40;
  pool_->release(place);
  for (const auto& tensor : map.tensors()) {
    EXPECT_TRUE(std::ranges::all_of(tensor.stream(0), [](std::byte byte) { return byte == std::byte{0}; }));
  }
}

TEST(ModelCacheGuard, HoldsOnARealModel) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  const auto run = [](Guard guard) {
    ModelOptions options;
    options.guard = guard;
    options.context_tokens = 1024;
    const auto engine = std::move(testing::load_llama(testing::kGemma, options)).value();
    return life(*engine, 530);
  };
  const auto plain = run(Guard::kNone);
  ASSERT_EQ(plain.size(), 3U * 9U);
  const auto before = guard_totals();
  EXPECT_EQ(run(Guard::kPages), plain);
  const auto locked = guard_totals();
  const auto share = static_cast<double>(locked.guarded_bytes - before.guarded_bytes) /
                     static_cast<double>(locked.foreign_bytes - before.foreign_bytes);
  std::printf("%.1f %% of foreign bytes were locked\n", share * 100);
  EXPECT_GT(share, 0.9);
  EXPECT_EQ(run(Guard::kPoison), plain);
}

}  // namespace
}  // namespace bulkhead::engines::llama
