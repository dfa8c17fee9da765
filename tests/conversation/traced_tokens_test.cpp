// SPDX-License-Identifier: MIT
#include "conversation/traced_tokens.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <vector>

namespace bulkhead::conversation {
namespace {

// Runs of 1 to 4 tokens, each of some turn.
TracedTokens any_traced() {
  TracedTokens traced;
  const auto runs = *rc::gen::inRange(0, 8);
  for (int i = 0; i < runs; ++i) {
    const auto tokens = *rc::gen::container<std::vector<std::int32_t>>(rc::gen::inRange(0, 4));
    Origin origin;
    origin.turn = *rc::gen::inRange(0, 3);
    traced.append(tokens, origin);
  }
  return traced;
}

void check_equal(const TracedTokens& a, const TracedTokens& b) {
  RC_ASSERT(a.tokens == b.tokens);
  for (std::size_t i = 0; i < a.size(); ++i) RC_ASSERT(a.origin(i) == b.origin(i));
}

RC_GTEST_PROP(TracedTokensProperty, EveryTokenHasAnOriginAndEachOriginIsKeptOnce, ()) {
  const auto traced = any_traced();
  RC_ASSERT(traced.tokens.size() == traced.origin_of.size());
  for (const auto index : traced.origin_of) RC_ASSERT(index < traced.origins.size());
  for (std::size_t i = 0; i < traced.origins.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) RC_ASSERT(traced.origins[i] != traced.origins[j]);
  }
}

RC_GTEST_PROP(TracedTokensProperty, TwoSlicesAtAnyCutGiveTheWhole, ()) {
  const auto whole = any_traced();
  const auto cut = *rc::gen::inRange<std::size_t>(0, whole.size() + 1);
  auto joined = whole.slice(0, cut);
  joined.append(whole.slice(cut, whole.size()));
  check_equal(joined, whole);
}

RC_GTEST_PROP(TracedTokensProperty, TheCommonPrefixIsTheLongest, ()) {
  const std::array all = {any_traced(), any_traced(), any_traced()};
  const std::array pointers = {&all[0], &all[1], &all[2]};
  const auto length = common_prefix(pointers);
  for (const auto& one : all) RC_ASSERT(one.size() >= length);
  for (std::size_t i = 0; i < length; ++i) {
    RC_ASSERT(all[0].tokens[i] == all[1].tokens[i] && all[0].tokens[i] == all[2].tokens[i]);
  }
  const bool all_longer = all[0].size() > length && all[1].size() > length && all[2].size() > length;
  if (all_longer) {
    const auto next = all[0].tokens[length];
    RC_ASSERT(next != all[1].tokens[length] || next != all[2].tokens[length]);
  }
}

TEST(TracedTokens, TheCommonPrefixOfNothingIsZeroAndOfOneIsAllOfIt) {
  EXPECT_EQ(common_prefix({}), 0U);
  TracedTokens one;
  one.append(std::array{1, 2, 3}, {});
  const std::array pointers = {static_cast<const TracedTokens*>(&one)};
  EXPECT_EQ(common_prefix(pointers), 3U);
}

}  // namespace
}  // namespace bulkhead::conversation
