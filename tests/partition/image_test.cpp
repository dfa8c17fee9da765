// SPDX-License-Identifier: MIT
// A partition as plain values and back, on an engine whose next token depends on all before.
#include "partition/image.h"

#include "engines/fake/fake_engine.h"
#include "partition/partition.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace bulkhead::testing {
namespace {

using conversation::TracedTokens;
using partition::Partition;
using partition::PartitionImage;

const engine::OpenOptions kRoom = {.capacity_tokens = 256};

class Image : public ::testing::Test {
 protected:
  Partition opened(const std::string& text) {
    auto partition = Partition::open(*engine_, "p", kRoom).value();
    EXPECT_TRUE(partition.prefill(traced(text)).ok());
    return partition;
  }
  TracedTokens traced(const std::string& text) {
    TracedTokens tokens;
    tokens.append(engine_->tokenizer().tokenize(text).value(), {.kind = conversation::OriginKind::kTurn, .turn = 1});
    return tokens;
  }
  std::string generate(Partition& partition, std::vector<std::string> stop = {}) {
    GenerateOptions options;
    options.max_tokens = 12;
    options.sampling.temperature = 0;
    options.stop = std::move(stop);
    const std::vector<partition::GenerateRequest> requests = {{&partition, options, "A"}};
    auto results = partition::generate(*engine_, requests);
    EXPECT_TRUE(results.front().ok());
    return results.front().ok() ? results.front().value().text : std::string();
  }
  Partition restored(PartitionImage image, std::uint32_t reused) {
    auto back = Partition::restore(*engine_, std::move(image), kRoom);
    EXPECT_TRUE(back.ok()) << back.error().to_string();
    EXPECT_EQ(back->reused_tokens, reused) << back->why_not_more;
    return std::move(back->partition);
  }

  std::unique_ptr<engine::Engine> engine_ = engines::fake::make_fake_engine();
};

TEST_F(Image, GoesOnAsThePartitionWould) {
  auto partition = opened("a story");
  const auto said = generate(partition);
  const auto image = partition.image().value();
  const auto held = static_cast<std::uint32_t>(partition.ledger().tokens.size());
  auto copy = restored(image, held);
  auto without = image;
  without.cells.reset();
  auto anew = restored(without, 0);
  EXPECT_EQ(anew.ledger().prefilled_tokens, image.ledger.prefilled_tokens + held) << "what it cost is counted";
  EXPECT_EQ(anew.ledger().tokens.origin_of, image.ledger.tokens.origin_of);
  EXPECT_EQ(copy.output_message("A").value().text(), said);
  const auto expected = generate(partition);
  EXPECT_EQ(generate(copy), expected);
  EXPECT_EQ(generate(anew), expected);
}

TEST_F(Image, ASurplusComesBackAndGoes) {
  auto partition = opened("a story");
  const auto whole = generate(partition);
  auto second = opened("a story");
  const auto cut = generate(second, {whole.substr(5, 2)});
  ASSERT_LT(cut.size(), whole.size());
  const auto image = second.image().value();
  ASSERT_TRUE(image.surplus.has_value());
  auto copy = restored(image, static_cast<std::uint32_t>(second.ledger().tokens.size()));
  ASSERT_TRUE(second.settle(true).ok());
  ASSERT_TRUE(copy.settle(true).ok());
  EXPECT_EQ(copy.ledger().tokens.tokens, second.ledger().tokens.tokens);
  EXPECT_EQ(copy.inspect()->token_sha256, second.inspect()->token_sha256);
}

TEST_F(Image, BooksThatContradictThemselvesAreRefused) {
  const auto image = opened("a story").image().value();
  const std::vector<std::function<void(PartitionImage&)>> harms = {
      [](auto& one) { one.ledger.tokens.tokens.pop_back(); },
      [](auto& one) { one.ledger.tokens.origin_of.back() = 9; },
      [](auto& one) { ++one.ledger.generated_tokens; },
      [](auto& one) { --one.ledger.removed_tokens; },
      [](auto& one) { one.surplus = partition::Surplus{.begin = 0, .keep = 8}; },
      [](auto& one) { one.surplus = partition::Surplus{.begin = 8, .keep = 0}; }};
  for (std::size_t i = 0; i < harms.size(); ++i) {
    auto harmed = image;
    harms[i](harmed);
    const auto refused = Partition::restore(*engine_, harmed, kRoom);
    ASSERT_FALSE(refused.ok()) << i;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt) << i;
  }
}

TEST_F(Image, WithoutRoomNothingIsOpened) {
  const auto image = opened("a story").image().value();
  const auto refused = Partition::restore(*engine_, image, {.capacity_tokens = 3});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
}

}  // namespace
}  // namespace bulkhead::testing
