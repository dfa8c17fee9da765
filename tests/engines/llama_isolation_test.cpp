// SPDX-License-Identifier: MIT
// Which isolation a model gets: strict only where it holds, refused by name where it does not, and decided by the model
// alone, whatever other threads load or decode. And what engines of one file share: the weights, not the rest.
#include "engines/llama/llama_engine.h"
#include "engines/llama/loaded_model.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

class LlamaIsolation : public ::testing::Test {
 protected:
  ModelOptions tiny(const testing::TinyModelOptions& model = {}, Isolation isolation = Isolation::kAuto) {
    ModelOptions options;
    options.path = (folder_ / (std::to_string(files_++) + ".gguf")).string();
    EXPECT_TRUE(testing::write_tiny_model(options.path, model));
    options.threads = 1;
    options.kernels = "bulkhead";  // on every processor
    options.isolation = isolation;
    return options;
  }
  // One whose attention our kernels cannot compute.
  static testing::TinyModelOptions odd_heads() { return {.head = 40}; }
  // One with a matrix that our kernels cannot multiply with.
  static testing::TinyModelOptions odd_matrix() { return {.up_type = GGML_TYPE_Q5_1}; }

  static engine::Facts facts_of(const ModelOptions& options) {
    const auto made = make_llama_engine(options);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    return made.ok() ? made.value()->facts() : engine::Facts{};
  }
  static void expect_refused(const ModelOptions& options, const std::string& named) {
    const auto made = make_llama_engine(options);
    ASSERT_FALSE(made.ok()) << named;
    EXPECT_EQ(made.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(made.error().place, "--isolation");
    EXPECT_NE(made.error().message.find(named), std::string::npos) << made.error().message;
  }

  testing::TemporaryFolder folder_;
  int files_ = 0;
};

TEST_F(LlamaIsolation, StrictIsTakenWhereItHolds) {
  for (const auto asked : {Isolation::kAuto, Isolation::kStrict}) {
    for (const std::uint32_t window : {0U, testing::kTinyWindow}) {
      const auto facts = facts_of(tiny({.window = window}, asked));
      EXPECT_EQ(facts.isolation, Isolation::kStrict);
      EXPECT_TRUE(facts.batch_invariant) << facts.variance;
    }
  }
}

TEST_F(LlamaIsolation, StrictIsRefusedWhereItDoesNotHoldAndNamesWhy) {
  constexpr auto kStrict = Isolation::kStrict;
  expect_refused(tiny(odd_matrix(), kStrict), "blk.0.ffn_up.weight (q5_1");
  expect_refused(tiny(odd_heads(), kStrict), "FLASH_ATTN_EXT: keys of 40 f16 values");
  auto options = tiny({}, kStrict);
  options.grade = Grade::kMask;
  expect_refused(options, "--grade mask");
  options = tiny({}, kStrict);
  options.flash_attention = false;
  expect_refused(options, "-fa");
  options = tiny({}, kStrict);
  options.kernels = "stock";
  expect_refused(options, "--kernels");
}

TEST_F(LlamaIsolation, AutoTakesFastThereAndSaysWhy) {
  const auto expect_fast = [](const ModelOptions& options, const std::string& named) {
    const auto facts = facts_of(options);
    EXPECT_EQ(facts.isolation, Isolation::kFast) << named;
    EXPECT_FALSE(facts.batch_invariant);
    EXPECT_NE(facts.variance.find(named), std::string::npos) << facts.variance;
  };
  expect_fast(tiny(odd_matrix()), "blk.0.ffn_up.weight");
  expect_fast(tiny(odd_heads()), "FLASH_ATTN_EXT");
  auto masked = tiny();
  masked.grade = Grade::kMask;
  expect_fast(masked, "--grade mask");
}

// Strict too, where cells lie in pages; rooms save them only when they need not be strict.
TEST_F(LlamaIsolation, TheCellsBehindAWindowAreSaved) {
  const auto bytes = [&](ModelOptions options, Isolation isolation) {
    options.isolation = isolation;
    return make_llama_engine(options).value()->bytes_for(1, 2048);
  };
  const auto windowed = tiny({.window = testing::kTinyWindow});
  EXPECT_EQ(facts_of(tiny({}, Isolation::kFast)).isolation, Isolation::kFast);
  EXPECT_EQ(bytes(windowed, Isolation::kFast), bytes(windowed, Isolation::kStrict));
  auto kept = windowed;
  kept.full_window_cache = true;
  EXPECT_LT(bytes(windowed, Isolation::kStrict), bytes(kept, Isolation::kStrict));
  auto rooms = windowed;
  rooms.kernels = "stock";
  auto kept_rooms = kept;
  kept_rooms.kernels = "stock";
  EXPECT_LT(bytes(rooms, Isolation::kFast), bytes(kept_rooms, Isolation::kFast));
}

// Facts are found by decoding a token: what another thread decodes meanwhile is no part of them.
TEST_F(LlamaIsolation, FactsDoNotDependOnOtherThreads) {
  const std::vector<ModelOptions> models = {tiny(), tiny(odd_heads()), tiny(odd_matrix())};
  std::vector<engine::Facts> alone;
  for (const auto& options : models) alone.push_back(facts_of(options));
  ASSERT_TRUE(alone[0].batch_invariant);
  ASSERT_FALSE(alone[1].batch_invariant);

  std::atomic<bool> done = false;
  std::atomic<int> decoded = 0;
  const auto busy = [&](const ModelOptions& options) {
    const auto engine = make_llama_engine(options).value();
    const std::vector<Token> text = {300, 301, 302};
    while (!done) {
      const auto id = engine->open({.capacity_tokens = 64}).value();
      if (engine->prefill(id, text).ok()) ++decoded;
      static_cast<void>(engine->close(id));
    }
  };
  std::thread good(busy, models[0]);
  std::thread odd(busy, models[1]);
  while (decoded < 4) std::this_thread::yield();
  for (int round = 0; round < 30; ++round) {
    for (std::size_t i = 0; i < models.size(); ++i) {
      const auto facts = facts_of(models[i]);
      EXPECT_EQ(facts.batch_invariant, alone[i].batch_invariant) << facts.variance;
      EXPECT_EQ(facts.variance, alone[i].variance);
      EXPECT_EQ(facts.isolation, alone[i].isolation);
    }
  }
  done = true;
  good.join();
  odd.join();
}

TEST_F(LlamaIsolation, EnginesOfOneFileShareItsWeightsWhateverElseIsAsked) {
  const auto options = tiny();
  const auto first = LoadedModel::load(options).value();
  const auto shares = [&](const auto& change) {
    auto other = options;
    change(other);
    return LoadedModel::load(other).value()->model() == first->model();
  };
  EXPECT_TRUE(shares([](ModelOptions& other) { other.context_tokens = 512; }));
  EXPECT_TRUE(shares([](ModelOptions& other) { other.threads = 2; }));
  EXPECT_TRUE(shares([](ModelOptions& other) { other.kv_type_k = "q8_0"; }));
  EXPECT_TRUE(shares([](ModelOptions& other) { other.isolation = Isolation::kFast; }));
  EXPECT_TRUE(shares([](ModelOptions& other) { other.grade = Grade::kMask; }));
  EXPECT_TRUE(shares([](ModelOptions& other) { other.flash_attention = false; }));
  EXPECT_TRUE(shares([](ModelOptions& other) { other.guard = Guard::kPages; }));
  EXPECT_FALSE(shares([](ModelOptions& other) { other.kernels = "stock"; })) << "packed and not";
  EXPECT_EQ(LoadedModel::load(options).value()->facts().context_tokens, first->facts().context_tokens);
}

TEST_F(LlamaIsolation, AReplacedFileIsAnotherModel) {
  const auto options = tiny();
  const auto first = LoadedModel::load(options).value();
  const auto other = tiny(odd_matrix());
  std::filesystem::rename(other.path, options.path);
  EXPECT_NE(LoadedModel::load(options).value()->model(), first->model());
}

}  // namespace
}  // namespace bulkhead::engines::llama
