// SPDX-License-Identifier: MIT
// Snapshots behind a right digest, which a forger can make too, and libllama's image of a sequence inside.
#include "fuzz/input.h"

#include "base/hash.h"
#include "engine/engine.h"
#include "engine/snapshot.h"
#include "engines/llama/sequence_image.h"

#include <algorithm>
#include <vector>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  constexpr std::uint32_t kVocabulary = 16;
  engine::Facts facts;
  facts.engine = "llama";
  facts.vocabulary = kVocabulary;
  static const auto fit = engine::snapshot_fit(facts, "digest");
  std::vector<std::byte> bytes(size);
  std::transform(data, data + size, bytes.begin(), [](std::uint8_t byte) { return std::byte{byte}; });
  const auto digest = xxh3_128(bytes);
  bytes.insert(bytes.end(), digest.begin(), digest.end());
  const engine::Snapshot snapshot(std::move(bytes));
  const auto content = engine::unpack_snapshot(snapshot, fit);
  if (content.ok()) {
    const auto image = engines::llama::image_from(content->payload, kVocabulary);
    if (image) fuzz::require(!image->logits || image->logits->size() == kVocabulary);
  }
  if (const auto outline = engine::outline_of(snapshot); outline.ok()) {
    fuzz::require(outline->payload_begin + outline->payload_bytes + 16 == snapshot.bytes().size());
  }
  const auto image = engines::llama::image_from(std::as_bytes(std::span(data, size)), kVocabulary);
  if (image && image->cells) {
    const auto written = engines::llama::to_bytes(*image);
    const auto again = engines::llama::image_from(written, kVocabulary);
    fuzz::require(again && again->cells && *again->cells == *image->cells);
  }
  return 0;
}
