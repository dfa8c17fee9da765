// SPDX-License-Identifier: MIT
// Where libllama keeps the K and V cells of one context: found by looking at the graphs it computes, since its
// interface does not tell. What knows the place can clear it (a room that gets a new owner), poison it, or lock its
// pages.
#pragma once

#include "engines/llama/cache_guard.h"

#include <ggml.h>
#include <llama.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// The cells of one layer's K or V: [streams][cells][row bytes], one stream for each sequence id.
struct CacheTensor {
  std::byte* data = nullptr;
  std::size_t stream_bytes = 0;
  std::size_t row_bytes = 0;  // of one cell; 0 where V is stored by columns (no flash attention)
  std::uint32_t streams = 0;
  ggml_type type = GGML_TYPE_F16;

  [[nodiscard]] std::span<std::byte> stream(std::uint32_t index) const {
    return {data + stream_bytes * index, stream_bytes};
  }
};

// Thread rule: that of the context. Must outlive it, and stay where it is.
class CacheMap {
 public:
  CacheMap() = default;
  CacheMap(const CacheMap&) = delete;
  CacheMap& operator=(const CacheMap&) = delete;

  // To be set before the context is made. Only caches in main memory are seen.
  void watch(llama_context_params& params);

  // Layer by layer, K and V; empty before the first computation.
  [[nodiscard]] const std::vector<CacheTensor>& tensors() const { return tensors_; }
  [[nodiscard]] std::uint64_t bytes() const;

  // The cells of all streams but `own`; and of these those from `free_from` on, one number for each.
  [[nodiscard]] std::vector<GuardedCells> foreign_cells(std::span<const std::uint32_t> own) const;
  [[nodiscard]] std::vector<GuardedCells> free_cells(std::span<const std::uint32_t> own,
                                                     std::span<const std::uint32_t> free_from) const;

  // Fills the first `cells` cells of a stream with zeros, as they were when the context was made.
  void clear(std::uint32_t stream, std::uint32_t cells) const;

 private:
  static bool see(ggml_tensor* node, bool ask, void* self);
  void add(const ggml_tensor& tensor);

  std::vector<CacheTensor> tensors_;
  bool flash_attention_ = true;
};

}  // namespace bulkhead::engines::llama
