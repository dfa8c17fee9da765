// SPDX-License-Identifier: MIT
// The public classes on the fake engine, and on a real chat model.
#include <bulkhead/bulkhead.h>

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace bulkhead {
namespace {

Model fake_model() {
  auto model = Model::load({.path = {}, .engine = "fake"});
  EXPECT_TRUE(model.ok());
  return std::move(model).value();
}

const GenerateOptions kGreedy{.sampling = {.temperature = 0}, .max_tokens = 8};

TEST(PublicModel, VersionIsTheHeadersVersion) {
  EXPECT_EQ(version(), BULKHEAD_VERSION);
}

TEST(PublicModel, UnknownEngineAndFileAreUsageErrors) {
  EXPECT_EQ(Model::load({.path = "x", .engine = "nonsense"}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(Model::load({.path = "no-such-model"}).error().code, ErrorCode::kUsage);
}

TEST(PublicModel, NamesAreUniqueWhileOpen) {
  auto model = fake_model();
  {
    const auto first = model.open("a");
    ASSERT_TRUE(first.ok());
    EXPECT_EQ(model.open("a").error().code, ErrorCode::kUsage);
  }
  EXPECT_TRUE(model.open("a").ok());
}

TEST(PublicModel, PartitionOutlivesItsModel) {
  auto opened = [] {
    auto model = fake_model();
    return model.open("a");
  }();
  ASSERT_TRUE(opened.ok());
  ASSERT_TRUE(opened->prefill("still here").ok());
  EXPECT_TRUE(opened->generate(kGreedy).ok());
}

TEST(PublicModel, NeighboursDoNotChangeATextAndMessagesDo) {
  const auto answer = [](bool neighbour, bool message) {
    auto model = fake_model();
    auto mine = model.open("mine");
    auto other = model.open("other");
    EXPECT_TRUE(mine->prefill("my own words").ok());
    if (neighbour) {
      EXPECT_TRUE(other->prefill("secret words").ok());
      EXPECT_TRUE(other->generate(kGreedy).ok());
    }
    if (message) {
      EXPECT_TRUE(mine->receive(*other->last_output("secret")).ok());
    }
    return mine->generate(kGreedy)->text;
  };
  EXPECT_EQ(answer(false, false), answer(true, false));
  EXPECT_NE(answer(true, false), answer(true, true));
}

TEST(PublicModel, BatchGivesWhatEachGivesAlone) {
  auto model = fake_model();
  auto a = model.open("a");
  auto b = model.open("b");
  ASSERT_TRUE(a->prefill("first").ok() && b->prefill("second").ok());
  auto a2 = a->fork("a2");
  auto b2 = b->fork("b2");
  ASSERT_TRUE(a2.ok() && b2.ok());
  const std::array<Partition*, 2> both = {&*a, &*b};
  const auto together = model.generate(both, std::array{kGreedy});
  ASSERT_TRUE(together[0].ok() && together[1].ok());
  EXPECT_EQ(together[0]->text, a2->generate(kGreedy)->text);
  EXPECT_EQ(together[1]->text, b2->generate(kGreedy)->text);
  EXPECT_FALSE(model.generate(both, {})[0].ok());
}

TEST(PublicModel, UsageCountsWhatHappened) {
  auto model = fake_model();
  auto a = model.open("a");
  ASSERT_TRUE(a->prefill("four").ok());
  ASSERT_TRUE(a->generate(kGreedy).ok());
  auto fork = a->fork("b");
  ASSERT_TRUE(fork.ok());
  const auto usage = fork->usage();
  EXPECT_EQ(usage.name, "b");
  EXPECT_EQ(usage.tokens, a->usage().tokens);
  EXPECT_EQ(usage.token_sha256, a->usage().token_sha256);
  EXPECT_EQ(a->usage().generated_tokens, 8U);
  EXPECT_EQ(usage.reused_tokens + usage.prefilled_tokens, usage.tokens);
}

TEST(PublicModel, ChatRemembersItsTurns) {
  auto model = fake_model();
  auto a = model.open("a");
  ASSERT_TRUE(a->chat("user", "first question").ok());
  ASSERT_TRUE(a->generate(kGreedy).ok());
  const auto before = a->usage().tokens;
  ASSERT_TRUE(a->chat("user", "second").ok());
  // Only the new turn is computed, not the whole chat again.
  EXPECT_EQ(a->usage().tokens, a->usage().prefilled_tokens + 8U);
  EXPECT_LT(a->usage().tokens - before, 40U);
  EXPECT_TRUE(a->generate(kGreedy).ok());
}

TEST(ModelChat, RealModelAnswersInTurnAndKeepsPartitionsApart) {
  const auto loaded = Model::load({.path = "qwen2.5-coder-0.5b"});
  if (!loaded.ok()) GTEST_SKIP() << loaded.error().to_string();
  auto model = Model::load({.path = "qwen2.5-coder-0.5b", .context_tokens = 512});
  auto a = model->open("a");
  auto b = model->open("b");
  ASSERT_TRUE(a.ok() && b.ok());
  const GenerateOptions options{.sampling = {.temperature = 0}, .max_tokens = 24};
  ASSERT_TRUE(a->chat("user", "My name is Ottokar. Greet me by name, in five words.").ok());
  const auto greeting = a->generate(options);
  ASSERT_TRUE(greeting.ok());
  EXPECT_NE(greeting->text.find("Ottokar"), std::string::npos) << greeting->text;
  ASSERT_TRUE(a->chat("user", "What is my name? One word.").ok());
  EXPECT_NE(a->generate(options)->text.find("Ottokar"), std::string::npos);
  ASSERT_TRUE(b->chat("user", "What is my name? One word.").ok());
  EXPECT_EQ(b->generate(options)->text.find("Ottokar"), std::string::npos);
}

}  // namespace
}  // namespace bulkhead
