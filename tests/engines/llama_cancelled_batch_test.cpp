// SPDX-License-Identifier: MIT
// A batch that libllama computes in several parts and that ends before its last one: what each sequence shows
// afterwards is what it shows alone, bit for bit. Stopped at a given node of a given part, not by the clock.
// BULKHEAD_ROUNDS: how many rounds with each model, over all batches (default 10; then also with Qwen 1.5B, if it is
// there).
#include "base/hash.h"
#include "engines/llama/context_pool.h"
#include "engines/llama/loaded_model.h"
#include "engines/llama/sequence.h"
#include "engines/real_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;
using Tokens = std::vector<Token>;

constexpr std::uint32_t kRoomCount = 5;
constexpr std::uint32_t kStepsBehind = 3;  // tokens behind the stopped step
constexpr std::uint32_t kDrafted = 2;      // in every other round
constexpr std::uint32_t kCapacity = 768;

// libllama asks whether to stop before each node of a graph. This says yes at one of these questions.
class Countdown {
 public:
  void watch(PoolContext& context) { llama_set_abort_callback(context.handle.get(), &Countdown::ask, this); }
  void stop_at(int question) {
    asked_ = 0;
    stop_at_ = question;
  }
  [[nodiscard]] int asked() const { return asked_; }

 private:
  static bool ask(void* self) {
    auto& countdown = *static_cast<Countdown*>(self);
    return ++countdown.asked_ == countdown.stop_at_;
  }
  int asked_ = 0;
  int stop_at_ = 0;
};

int rounds() {
  const char* asked = std::getenv("BULKHEAD_ROUNDS");
  return asked == nullptr ? 10 : std::atoi(asked);
}

// What one room holds: its text, and how much of it went in before the stopped step.
struct Text {
  Tokens tokens;
  std::uint32_t prefilled = 0;
};

// Rooms that are decoded together, as lists of neighbours: each list is a part, computed after the one before.
const std::array<std::vector<std::vector<std::size_t>>, 5> kBatches = {
    {{{0}, {2}}, {{0}, {3, 4}}, {{1}, {3}}, {{0, 1}, {3}}, {{0}, {2}, {4}}}};

// A model's file, and one of kBatches: a test for each, since all take long under ASan.
using ModelAndBatch = std::tuple<std::string, std::size_t>;

class ModelCancelledBatch : public ::testing::TestWithParam<ModelAndBatch> {
 protected:
  void SetUp() override {
    BULKHEAD_NEED_MODEL(std::get<0>(GetParam()));
    ModelOptions options;
    options.path = testing::model_file(std::get<0>(GetParam())).string();
    options.isolation = Isolation::kStrict;
    auto loaded = LoadedModel::load(options);
    ASSERT_TRUE(loaded.ok()) << loaded.error().to_string();
    model_ = std::move(loaded).value();
    vocabulary_ = model_->facts().vocabulary;
    among_ = std::make_unique<ContextPool>(*model_, cancellation_);
    alone_ = std::make_unique<ContextPool>(*model_, cancellation_);
    ASSERT_TRUE(among_->reserve(kRoomCount, kCapacity).ok());
    ASSERT_TRUE(alone_->reserve(1, kCapacity).ok());
  }

  Text text(std::uint32_t length) {
    Text made{{}, length};
    for (std::uint32_t i = 0; i < length + kStepsBehind; ++i)
      made.tokens.push_back(static_cast<Token>(1000 + random_() % (vocabulary_ - 2000)));
    return made;
  }

  Sequence opened(ContextPool& pool, const Text& text) {
    Sequence sequence;
    sequence.cells = std::move(pool.open(kCapacity, false, nullptr)).value();
    sequence.capacity = kCapacity;
    EXPECT_TRUE(append(sequence, std::span(text.tokens).first(text.prefilled)).ok());
    return sequence;
  }

  // Gives each the next token of its text, with what follows as drafts. Hashes of the logits behind those tokens.
  std::vector<std::uint64_t> step(const std::vector<Sequence*>& sequences, const std::vector<const Text*>& texts,
                                  std::uint32_t drafted = 0) {
    std::vector<StepPart> parts;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      auto& sequence = *sequences[i];
      const auto next = texts[i]->tokens.begin() + sequence.cached();
      if (!sequence.pending) sequence.tokens.push_back(*next);
      sequence.pending = true;
      sequence.logits.reset();
      parts.push_back({&sequence, Tokens(next + 1, next + 1 + drafted), Want::kAll});
    }
    std::vector<std::uint64_t> hashes;
    for (const auto& outcome : decode_step(parts)) {
      hashes.push_back(outcome.error ? 0 : xxh3_64(std::as_bytes(outcome.logits[0])));
    }
    return hashes;
  }

  std::vector<std::uint64_t> shown_alone(const Text& text) {
    auto sequence = opened(*alone_, text);
    std::vector<std::uint64_t> hashes;
    for (std::uint32_t i = 0; i < kStepsBehind; ++i) hashes.push_back(step({&sequence}, {&text})[0]);
    return hashes;
  }

  static std::uint64_t state_of(const Sequence& sequence) { return sequence.cells->hash().value(); }
  static PoolContext& context_of(const Sequence& sequence) {
    return static_cast<PoolContext&>(sequence.cells->decoder());
  }

  // Questions while one sequence makes one step.
  int questions_of_a_step() {
    const auto its_text = text(8);
    auto sequence = opened(*alone_, its_text);
    countdown_.watch(context_of(sequence));
    countdown_.stop_at(0);
    static_cast<void>(step({&sequence}, {&its_text}));
    return countdown_.asked();
  }

  std::mt19937 random_{static_cast<unsigned>(11 + std::get<1>(GetParam()))};
  std::shared_ptr<const LoadedModel> model_;
  std::uint32_t vocabulary_ = 0;
  Cancellation cancellation_;
  Countdown countdown_;
  std::unique_ptr<ContextPool> among_;
  std::unique_ptr<ContextPool> alone_;
};

TEST_P(ModelCancelledBatch, EachGoesOnAsAlone) {
  const auto window = model_->facts().window_tokens;
  const int questions = questions_of_a_step();
  ASSERT_GT(questions, 20);
  int made = 0;
  int differ = 0;
  const auto& batch = kBatches[std::get<1>(GetParam())];
  for (int round = static_cast<int>(std::get<1>(GetParam())); round < rounds();
       round += static_cast<int>(kBatches.size())) {
    ++made;
    // Lengths that are nearly the same, or of which only the last is beyond the window: where a wrong beginning of the
    // search for a cell is not put right by the search itself.
    const bool beyond = window > 0 && window + 100 < kCapacity && round % 4 == 3;
    const auto length = 10 + random_() % 60;
    std::vector<Text> texts;
    std::vector<Sequence> sequences;
    for (std::size_t i = 0; i < kRoomCount; ++i) {
      const auto more = beyond && i == batch.back().back() ? window : 0;
      texts.push_back(text(static_cast<std::uint32_t>(length + more + random_() % 4)));
    }
    for (const auto& its : texts) sequences.push_back(opened(*among_, its));
    countdown_.watch(context_of(sequences[0]));

    std::vector<Sequence*> members;
    std::vector<const Text*> member_texts;
    for (const auto& part : batch) {
      for (const auto room : part) {
        members.push_back(&sequences[room]);
        member_texts.push_back(&texts[room]);
      }
    }
    std::vector<std::uint64_t> before;
    for (const auto& sequence : sequences) before.push_back(state_of(sequence));
    // Anywhere before the last part begins.
    const auto last_begins = questions * static_cast<int>(batch.size() - 1);
    countdown_.stop_at(1 + static_cast<int>(random_() % static_cast<unsigned>(last_begins)));
    for (const auto hash : step(members, member_texts, round % 2 == 0 ? 0 : kDrafted)) ASSERT_EQ(hash, 0U);
    countdown_.stop_at(0);

    bool differs = false;
    for (std::size_t room = 0; room < kRoomCount; ++room) {
      auto& sequence = sequences[room];
      ASSERT_FALSE(sequence.poisoned);
      EXPECT_EQ(sequence.cells->last_position() + 1, sequence.cached());
      EXPECT_EQ(state_of(sequence), before[room]) << "room " << room << " holds what it held";
      std::vector<std::uint64_t> shown;
      for (std::uint32_t i = 0; i < kStepsBehind; ++i) shown.push_back(step({&sequence}, {&texts[room]})[0]);
      if (shown == shown_alone(texts[room])) continue;
      differs = true;
      ADD_FAILURE() << "round " << round << ": room " << room << " of length " << texts[room].prefilled
                    << " goes on otherwise than alone; room 0 has " << texts[0].prefilled;
    }
    differ += differs ? 1 : 0;
  }
  RecordProperty("rounds", made);
  RecordProperty("differ", differ);
  EXPECT_EQ(differ, 0) << "of " << made << " rounds";
}

// The largest only where it was pulled and many rounds are asked for.
std::vector<std::string> models() {
  std::vector<std::string> all = {testing::kGemma, testing::kQwen};
  if (std::getenv("BULKHEAD_ROUNDS") != nullptr && testing::have_model(testing::kLargeQwen))
    all.push_back(testing::kLargeQwen);
  return all;
}

std::string name_of(const ::testing::TestParamInfo<ModelAndBatch>& chosen) {
  const auto& model = std::get<0>(chosen.param);
  const std::string name = model == testing::kGemma ? "Gemma" : model == testing::kQwen ? "Qwen" : "LargeQwen";
  return name + std::to_string(std::get<1>(chosen.param));
}

INSTANTIATE_TEST_SUITE_P(Models, ModelCancelledBatch,
                         ::testing::Combine(::testing::ValuesIn(models()),
                                            ::testing::Range(std::size_t{0}, kBatches.size())),
                         name_of);

}  // namespace
}  // namespace bulkhead::engines::llama
