// SPDX-License-Identifier: MIT
// What a snapshot says of itself to who stores it.
#include "engine/snapshot.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/json.h"
#include "json_of.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bulkhead::engine {
namespace {

const SnapshotFit kFit = {{"engine", "made"}, {"model_digest", "abc"}};
const std::vector<std::int32_t> kTokens = {1, 2, 3};

std::vector<std::byte> payload(std::size_t bytes) {
  return std::vector<std::byte>(bytes, std::byte{7});
}

// The same snapshot with another header, and the digest made anew.
Snapshot with_header(const Json& header, std::size_t payload_bytes) {
  const auto text = json_text(header, JsonForm::kAscii);
  ByteWriter writer;
  writer.text("BHSNAP01");
  writer.number(std::uint64_t{text.size()});
  writer.text(text);
  writer.list(std::span<const std::int32_t>(kTokens));
  writer.bytes(payload(payload_bytes));
  const auto digest = xxh3_128(writer.written());
  writer.bytes(digest);
  return Snapshot(std::move(writer).take());
}

TEST(SnapshotOutline, SaysWhatWasPacked) {
  const std::vector<std::uint64_t> pieces = {10, 0, 90};
  const auto snapshot = pack_snapshot(kFit, kTokens, payload(100), pieces);
  const auto outline = outline_of(snapshot);
  ASSERT_TRUE(outline.ok()) << outline.error().to_string();
  EXPECT_EQ(outline->fit, kFit);
  EXPECT_EQ(outline->tokens, kTokens);
  EXPECT_EQ(outline->pieces, pieces);
  EXPECT_EQ(outline->payload_bytes, 100U);
  EXPECT_EQ(outline->payload_begin + 100 + 16, snapshot.bytes().size());
  EXPECT_EQ(snapshot.bytes()[outline->payload_begin], std::byte{7});
  EXPECT_TRUE(outline_of(pack_snapshot(kFit, kTokens, payload(100)))->pieces.empty());
}

TEST(SnapshotOutline, PiecesMakeUpThePayloadOrItIsDamaged) {
  const auto header = [](Json pieces) {
    Json made = {{"fit", {{"engine", "made"}}}, {"tokens", kTokens.size()}};
    made["pieces"] = std::move(pieces);
    return made;
  };
  EXPECT_TRUE(outline_of(with_header(header({40, 60}), 100)).ok());
  const auto most = ~std::uint64_t{0};
  for (const auto& pieces : {Json({40, 59}), Json({40, 61}), Json({most, 101}), Json({-1, 101}), Json({"40", 60}),
                             Json(100), Json::array(), Json({50.0, 50.0})}) {
    const auto refused = outline_of(with_header(header(pieces), 100));
    ASSERT_FALSE(refused.ok()) << pieces;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
  }
  Json numbers = {{"fit", {{"engine", 5}}}, {"tokens", kTokens.size()}};
  EXPECT_FALSE(outline_of(with_header(numbers, 100)).ok());
}

}  // namespace
}  // namespace bulkhead::engine
