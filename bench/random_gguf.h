// SPDX-License-Identifier: MIT
// Models with random weights of a named shape, for benches and bit tests where no trained model is wanted. Their text
// is noise, but every operation of a real model of that shape runs on tensors of the real sizes and formats.
//
// Thread rule: plain functions, any thread.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace bulkhead::bench {

// What bench/shapes.json says of one shape.
struct ModelShape {
  std::string name;
  std::string architecture;  // "llama", "qwen2" or "gemma3"
  std::uint32_t layers = 0;
  std::uint32_t embedding = 0;  // values per token between layers
  std::uint32_t feed_forward = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head = 0;        // values per head
  std::uint32_t vocabulary = 0;  // tokens
  std::uint32_t context = 0;     // tokens it claims to be trained for
  std::uint32_t window = 0;      // sliding window of five of six layers, in tokens (gemma3); 0: none
  float rope_base = 0;
  bool tied_output = false;  // the output matrix is the embedding's
};

// The shape `name` of the JSON file `file`. kBadInput names line and field; kUsage, with the names there, when there is
// no such shape.
[[nodiscard]] Result<ModelShape> load_shape(const std::filesystem::path& file, std::string_view name);

// Writes a GGUF file with weights seeded by `seed`. `quantization` is "Q4_K_M" (the mix that llama.cpp's quantizer
// makes) or one type for all matrices: Q4_K, Q5_K, Q6_K, Q8_0, Q5_0, Q4_0, F16, BF16, F32. Rows that a K type's blocks
// do not divide become Q5_0, Q5_1 or Q8_0, as there. Vectors are F32. The same arguments give the same bytes on one
// processor and compiler; with F16, BF16 and F32 on all. kUsage: unknown quantization; kBadInput: rows that no block
// divides; kResource: the file could not be written, and is gone.
[[nodiscard]] Result<void> write_random_gguf(const ModelShape& shape, std::string_view quantization, std::uint32_t seed,
                                             const std::filesystem::path& path);

}  // namespace bulkhead::bench
