// SPDX-License-Identifier: MIT
// What a snapshot of this engine holds besides the tokens, as plain bytes.
#pragma once

#include "engines/llama/sequence.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

struct SequenceImage {
  bool pending = false;
  std::shared_ptr<const Logits> logits;  // null: the sequence held none
  std::optional<StoredCells> cells;      // none: compute them from the tokens
};

[[nodiscard]] std::vector<std::byte> to_bytes(const SequenceImage& image);

// nullopt when the bytes are not of that form, or hold another number of logits than none or `vocabulary`.
[[nodiscard]] std::optional<SequenceImage> image_from(std::span<const std::byte> bytes, std::uint32_t vocabulary);

}  // namespace bulkhead::engines::llama
