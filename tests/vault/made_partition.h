// SPDX-License-Identifier: MIT
// Partitions made by hand, without an engine: pages whose bytes follow from the tokens up to there, as cells do.
#pragma once

#include "base/hash.h"
#include "conversation/traced_tokens.h"
#include "engine/engine.h"
#include "engine/snapshot.h"
#include "partition/image.h"

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace bulkhead::testing {

inline constexpr std::size_t kMadePageTokens = 64;
inline constexpr std::size_t kMadePageBytes = 4096;

inline engine::SnapshotFit made_fit(std::string model_digest = "0123456789abcdef", std::string kv_type = "f16") {
  engine::Facts facts;
  facts.engine = "made";
  facts.build = "1";
  facts.model_name = "made by hand";
  facts.vocabulary = 1000;
  facts.kv_bytes_per_token = kMadePageBytes / kMadePageTokens;
  facts.kv_type_k = facts.kv_type_v = std::move(kv_type);
  return engine::snapshot_fit(facts, std::move(model_digest));
}

// Token `i` of the conversation `seed`; the first `shared` tokens are those of the conversation 0.
inline std::vector<std::int32_t> made_tokens(std::size_t count, std::uint32_t seed, std::size_t shared = 0) {
  std::vector<std::int32_t> tokens;
  for (std::size_t i = 0; i < count; ++i) {
    const auto from = i < shared ? 0 : seed;
    tokens.push_back(static_cast<std::int32_t>((i * 7919 + from * 104729 + 13) % 1000));
  }
  return tokens;
}

inline std::vector<std::byte> made_page(std::span<const std::int32_t> tokens_up_to_there) {
  std::mt19937_64 numbers(xxh3_64(std::as_bytes(tokens_up_to_there)));
  std::vector<std::byte> page(kMadePageBytes);
  for (std::size_t at = 0; at < page.size(); at += 8) {
    const auto number = numbers();
    std::memcpy(&page[at], &number, sizeof(number));
  }
  return page;
}

inline partition::PartitionImage made_partition(std::string name, const std::vector<std::int32_t>& tokens,
                                                const engine::SnapshotFit& fit = made_fit()) {
  partition::PartitionImage image{.name = std::move(name)};
  const auto half = tokens.size() / 2;
  const std::span<const std::int32_t> all(tokens);
  image.ledger.tokens.append(all.first(half), {.kind = conversation::OriginKind::kTurn, .turn = 1});
  image.ledger.tokens.append(all.subspan(half), {.kind = conversation::OriginKind::kMessage, .label = "A\xff"});
  image.ledger.prefilled_tokens = tokens.size() + 3;
  image.ledger.removed_tokens = 3;
  image.ledger.messages = {{"A\xff", "bob", std::string(64, 'a'), static_cast<std::uint32_t>(tokens.size() - half)}};
  image.ledger.prefill_time = std::chrono::milliseconds(5);
  image.surplus = partition::Surplus{.begin = 1, .keep = 2, .said = "so", .end = 7, .unfinished = "\xe2\x82"};
  image.finished_text = "a finished \xf0\x9f\x8c\x8a text\n";
  std::vector<std::byte> payload(40, std::byte{1});
  std::vector<std::uint64_t> pieces = {payload.size()};
  for (std::size_t end = kMadePageTokens; end <= tokens.size(); end += kMadePageTokens) {
    const auto page = made_page(all.first(end));
    payload.insert(payload.end(), page.begin(), page.end());
    pieces.push_back(page.size());
  }
  image.cells = engine::pack_snapshot(fit, tokens, payload, pieces);
  return image;
}

inline void expect_same_partition(const partition::PartitionImage& one, const partition::PartitionImage& other) {
  EXPECT_EQ(one.name, other.name);
  const auto& ledger = one.ledger;
  EXPECT_EQ(ledger.tokens.tokens, other.ledger.tokens.tokens);
  EXPECT_EQ(ledger.tokens.origin_of, other.ledger.tokens.origin_of);
  EXPECT_EQ(ledger.tokens.origins, other.ledger.tokens.origins);
  EXPECT_EQ(ledger.prefilled_tokens, other.ledger.prefilled_tokens);
  EXPECT_EQ(ledger.reused_tokens, other.ledger.reused_tokens);
  EXPECT_EQ(ledger.generated_tokens, other.ledger.generated_tokens);
  EXPECT_EQ(ledger.removed_tokens, other.ledger.removed_tokens);
  EXPECT_EQ(ledger.prefill_time, other.ledger.prefill_time);
  EXPECT_EQ(ledger.decode_time, other.ledger.decode_time);
  ASSERT_EQ(ledger.messages.size(), other.ledger.messages.size());
  for (std::size_t i = 0; i < ledger.messages.size(); ++i) {
    EXPECT_EQ(ledger.messages[i].label, other.ledger.messages[i].label);
    EXPECT_EQ(ledger.messages[i].from, other.ledger.messages[i].from);
    EXPECT_EQ(ledger.messages[i].sha256, other.ledger.messages[i].sha256);
    EXPECT_EQ(ledger.messages[i].tokens, other.ledger.messages[i].tokens);
  }
  EXPECT_EQ(one.surplus, other.surplus);
  EXPECT_EQ(one.finished_text, other.finished_text);
  ASSERT_EQ(one.cells.has_value(), other.cells.has_value());
  if (one.cells) {
    EXPECT_EQ(one.cells->bytes(), other.cells->bytes());
  }
}

}  // namespace bulkhead::testing
