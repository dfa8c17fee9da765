// SPDX-License-Identifier: MIT
// What a partition says is what it holds: stop strings, end tokens, unfinished characters, cancelled generations.
#include "api/public_surface.h"

#include <algorithm>

namespace bulkhead::testing {
namespace {

class WhatStays : public ::testing::TestWithParam<Kind> {};

constexpr const char* kPrompt = "The lighthouse keeper counted the ships each evening. On Monday there were four, on";

std::uint64_t came_in(const PartitionUsage& usage) {
  return usage.prefilled_tokens + usage.reused_tokens + usage.generated_tokens - usage.removed_tokens;
}

// What one that was given `text` at once would say next; none of the tests' cuts may show in it.
Generation next_of(Model& model, const std::string& text) {
  auto partition = open(model, "told at once");
  EXPECT_TRUE(partition.prefill(text).ok());
  auto generation = partition.generate(greedy(6));
  EXPECT_TRUE(generation.ok());
  return std::move(generation).value();
}

TEST_P(WhatStays, AStopStringLeavesTheCacheWithItsText) {
  BULKHEAD_LOAD(model, GetParam());
  auto probe = open(model, "probe");
  ASSERT_TRUE(probe.prefill(kPrompt).ok());
  const auto whole = probe.generate(greedy(12));
  ASSERT_TRUE(whole.ok());
  ASSERT_GE(whole->text.size(), 12U);
  std::size_t inside_a_token = 0;
  for (std::size_t at = 0; at + 2 <= 12; ++at) {
    const auto stop = whole->text.substr(at, 2);
    auto options = greedy(12);
    options.stop = {stop};
    auto partition = open(model, "stopped");
    ASSERT_TRUE(partition.prefill(kPrompt).ok());
    const auto prompt_tokens = partition.usage().tokens;
    const auto cut = partition.generate(options);
    ASSERT_TRUE(cut.ok()) << cut.error().to_string();
    EXPECT_EQ(cut->finish, FinishReason::kStop);
    EXPECT_EQ(cut->text, whole->text.substr(0, whole->text.find(stop)));
    EXPECT_EQ(partition.last_output()->text(), cut->text);
    EXPECT_TRUE(std::equal(cut->tokens.begin(), cut->tokens.end(), whole->tokens.begin())) << "as drawn";
    EXPECT_EQ(cut->tokens.size(), cut->logit_hashes.size());
    const auto usage = partition.usage();
    EXPECT_EQ(usage.tokens, came_in(usage));
    EXPECT_EQ(usage.generated_tokens, cut->tokens.size());
    inside_a_token += usage.prefilled_tokens > prompt_tokens ? 1U : 0U;
    // It holds the tokens of the text: those drawn that stayed, or the text tokenized anew.
    auto twin = open(model, "twin");
    ASSERT_TRUE(twin.prefill(kPrompt).ok());
    if (!cut->text.empty() && GetParam().options.engine == "fake") {
      ASSERT_TRUE(twin.prefill(cut->text).ok());
      EXPECT_EQ(usage.token_sha256, twin.usage().token_sha256);
    }
    // And it goes on behind the text, without a trace of the stop string.
    const auto next = partition.generate(greedy(6));
    ASSERT_TRUE(next.ok());
    if (GetParam().options.engine == "fake") {
      EXPECT_EQ(next->text, next_of(model, kPrompt + cut->text).text);
    }
  }
  if (GetParam().options.engine != "fake") {
    EXPECT_GT(inside_a_token, 0U) << "some cut must fall inside a token";
  }
}

TEST_P(WhatStays, AReceiverAndTheSenderHoldTheSameText) {
  BULKHEAD_LOAD(model, GetParam());
  auto sender = open(model, "sender");
  ASSERT_TRUE(sender.prefill(kPrompt).ok());
  auto probe = sender.fork("probe");
  ASSERT_TRUE(probe.ok());
  const auto whole = probe->generate(greedy(12));
  auto options = greedy(12);
  options.stop = {whole->text.substr(5, 2)};
  ASSERT_TRUE(sender.generate(options).ok());
  auto fork = sender.fork("fork");
  ASSERT_TRUE(fork.ok());
  EXPECT_EQ(fork->usage().token_sha256, sender.usage().token_sha256);
  EXPECT_EQ(fork->usage().tokens, came_in(fork->usage()));
  EXPECT_EQ(fork->generate(greedy(5))->logit_hashes, sender.generate(greedy(5))->logit_hashes);
}

TEST_P(WhatStays, AGenerationInSlicesIsOneText) {
  BULKHEAD_LOAD(model, GetParam());
  // Each of these is several tokens in most vocabularies: slices end in the middle of one.
  const std::string rare = "\xf0\x93\x80\x80\xf0\x93\x80\x81 ";
  std::string prompt;
  for (int i = 0; i < 8; ++i) prompt += rare;
  auto at_once = open(model, "at once");
  auto sliced = open(model, "sliced");
  for (auto* partition : {&at_once, &sliced}) ASSERT_TRUE(partition->prefill(prompt).ok());
  const auto whole = at_once.generate(greedy(24));
  ASSERT_TRUE(whole.ok());
  std::string text;
  std::vector<std::int32_t> tokens;
  std::size_t silent = 0;
  for (int i = 0; i < 24; ++i) {
    const auto slice = sliced.generate(greedy(1));
    ASSERT_TRUE(slice.ok()) << slice.error().to_string();
    text += slice->text;
    silent += slice->text.empty() ? 1U : 0U;
    tokens.insert(tokens.end(), slice->tokens.begin(), slice->tokens.end());
  }
  EXPECT_EQ(text, whole->text);
  EXPECT_EQ(tokens, whole->tokens);
  EXPECT_EQ(sliced.usage().token_sha256, at_once.usage().token_sha256);
  if (GetParam().options.engine != "fake") {
    EXPECT_GT(silent, 0U) << "some slice must end inside a character";
  }
}

TEST_P(WhatStays, ACancelledGenerationKeepsItsTokensAndSendsNothing) {
  BULKHEAD_LOAD(model, GetParam());
  auto a = open(model, "a");
  auto b = open(model, "b");
  for (auto* partition : {&a, &b}) ASSERT_TRUE(partition->prefill(kPrompt).ok());
  auto alone = a.fork("alone");
  ASSERT_TRUE(alone.ok());
  const auto whole = alone->generate(greedy(10));
  std::stop_source stop;
  std::vector<GenerateOptions> options = {greedy(10), greedy(10)};
  options[0].cancel = stop.get_token();
  options[0].on_token = [&](const TokenEvent& event) {
    if (event.index == 2) stop.request_stop();
    return true;
  };
  const std::array<Partition*, 2> both = {&a, &b};
  const auto results = model.generate(both, options);
  ASSERT_TRUE(results[0].ok() && results[1].ok());
  EXPECT_EQ(results[0]->finish, FinishReason::kCancelled);
  EXPECT_EQ(results[0]->tokens.size(), 3U);
  EXPECT_EQ(a.usage().generated_tokens, 3U);
  EXPECT_EQ(code(a.last_output()), ErrorCode::kBadInput);
  EXPECT_EQ(results[1]->finish, FinishReason::kLength);
  EXPECT_EQ(results[1]->tokens, whole->tokens);
  EXPECT_EQ(results[1]->logit_hashes, whole->logit_hashes);
  EXPECT_TRUE(b.last_output().ok());
  // Stopped by its callback it is the same, and before its first step it draws nothing.
  options[0] = greedy(10);
  options[0].on_token = [](const TokenEvent&) { return false; };
  options[1] = greedy(10);
  options[1].cancel = stop.get_token();
  const auto more = model.generate(both, options);
  ASSERT_TRUE(more[0].ok() && more[1].ok());
  EXPECT_EQ(more[0]->tokens.size(), 1U);
  EXPECT_EQ(more[1]->tokens.size(), 0U);
  EXPECT_EQ(more[1]->finish, FinishReason::kCancelled);
  EXPECT_EQ(code(b.last_output()), ErrorCode::kBadInput);
}

class ChatStays : public ::testing::TestWithParam<Kind> {};

TEST_P(ChatStays, TheChatGoesOnBehindTheAnswer) {
  BULKHEAD_LOAD(model, GetParam());
  auto a = open(model, "a");
  ASSERT_TRUE(a.chat("user", "Count.").ok());
  auto probe = a.fork("probe");
  const auto whole = probe->generate(greedy(10));
  auto options = greedy(10);
  options.stop = {whole->text.substr(3, 2)};
  ASSERT_TRUE(a.generate(options).ok());
  const auto before = a.usage();
  ASSERT_TRUE(a.chat("user", "Go on.").ok());
  EXPECT_EQ(a.usage().tokens, came_in(a.usage()));
  EXPECT_GT(a.usage().tokens, before.tokens);
  EXPECT_TRUE(a.generate(greedy(3)).ok());
}

// The fake engine draws whole characters only.
class RareCharacters : public ::testing::TestWithParam<Kind> {};

TEST_P(RareCharacters, AnUnfinishedCharacterGoesWhenAnythingElseComes) {
  BULKHEAD_LOAD(model, GetParam());
  std::string prompt;
  for (int i = 0; i < 8; ++i) prompt += "\xf0\x93\x80\x80\xf0\x93\x80\x81 ";
  bool seen = false;
  for (std::uint32_t count = 1; count <= 8; ++count) {
    auto a = open(model, "a");
    ASSERT_TRUE(a.prefill(prompt).ok());
    const auto spoken = a.generate(greedy(count));
    ASSERT_TRUE(spoken.ok());
    const auto refused = show(a);
    EXPECT_EQ(code(a.prefill(too_long())), ErrorCode::kResource);
    EXPECT_EQ(show(a), refused) << "a refused text does not end the character";
    ASSERT_TRUE(a.prefill(" and then").ok());
    EXPECT_EQ(a.usage().tokens, came_in(a.usage()));
    if (a.usage().removed_tokens == 0) continue;
    seen = true;
    EXPECT_TRUE(a.generate(greedy(2)).ok());
  }
  EXPECT_TRUE(seen) << "some generation must end inside a character";
}

INSTANTIATE_TEST_SUITE_P(All, ChatStays, ::testing::Values(fake_kind(), process_kind()), kind_name);
INSTANTIATE_TEST_SUITE_P(Model, ChatStays, ::testing::Values(qwen_kind()), kind_name);
INSTANTIATE_TEST_SUITE_P(Model, RareCharacters, ::testing::Values(gemma_kind(), qwen_kind()), kind_name);
INSTANTIATE_TEST_SUITE_P(All, WhatStays, ::testing::Values(fake_kind(), process_kind()), kind_name);
INSTANTIATE_TEST_SUITE_P(Model, WhatStays, ::testing::Values(gemma_kind(), qwen_kind()), kind_name);

}  // namespace
}  // namespace bulkhead::testing
