// SPDX-License-Identifier: MIT
#include "engines/llama/cache_map.h"

#include <ggml-backend.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace bulkhead::engines::llama {

void CacheMap::watch(llama_context_params& params) {
  flash_attention_ = params.flash_attn_type != LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.cb_eval = &CacheMap::see;
  params.cb_eval_user_data = this;
}

std::uint64_t CacheMap::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& tensor : tensors_) sum += std::uint64_t{tensor.stream_bytes} * tensor.streams;
  return sum;
}

std::vector<GuardedCells> CacheMap::foreign_cells(std::span<const std::uint32_t> own) const {
  std::vector<GuardedCells> found;
  for (const auto& tensor : tensors_) {
    for (std::uint32_t stream = 0; stream < tensor.streams; ++stream) {
      if (std::ranges::find(own, stream) == own.end()) found.push_back({tensor.stream(stream), tensor.type});
    }
  }
  return found;
}

std::vector<GuardedCells> CacheMap::free_cells(std::span<const std::uint32_t> own,
                                               std::span<const std::uint32_t> free_from) const {
  std::vector<GuardedCells> found;
  for (const auto& tensor : tensors_) {
    for (std::size_t i = 0; i < own.size(); ++i) {
      const auto used = tensor.row_bytes * free_from[i];
      if (own[i] >= tensor.streams || tensor.row_bytes == 0 || used >= tensor.stream_bytes) continue;
      found.push_back({tensor.stream(own[i]).subspan(used), tensor.type});
    }
  }
  return found;
}

void CacheMap::clear(std::uint32_t stream, std::uint32_t cells) const {
  for (const auto& tensor : tensors_) {
    if (stream >= tensor.streams) continue;
    // By columns, a cell lies in all rows.
    const auto used = tensor.row_bytes > 0 ? tensor.row_bytes * cells : tensor.stream_bytes;
    std::memset(tensor.stream(stream).data(), 0, std::min(used, tensor.stream_bytes));
  }
}

// libllama names its cache tensors cache_k_l0, cache_v_l0, ...; all that it computes with are views of them.
bool CacheMap::see(ggml_tensor* node, bool ask, void* self) {
  if (!ask) return true;
  for (const auto* source : node->src) {  // NOLINT(*-array-to-pointer-decay): ggml's array
    if (source == nullptr) continue;
    const auto* whole = source->view_src != nullptr ? source->view_src : source;
    if (std::string_view(&whole->name[0]).starts_with("cache_")) static_cast<CacheMap*>(self)->add(*whole);
  }
  return false;
}

void CacheMap::add(const ggml_tensor& tensor) {
  auto* data = static_cast<std::byte*>(tensor.data);
  const std::string_view name(&tensor.name[0]);
  const bool known =
      std::any_of(tensors_.begin(), tensors_.end(), [&](const CacheTensor& entry) { return entry.data == data; });
  const bool on_host = tensor.buffer != nullptr && ggml_backend_buffer_is_host(tensor.buffer);
  if (known || !on_host || data == nullptr) return;
  tensors_.push_back({.data = data,
                      .stream_bytes = tensor.nb[2],
                      .row_bytes = flash_attention_ || name.find("k_l") != std::string_view::npos ? tensor.nb[1] : 0,
                      .streams = static_cast<std::uint32_t>(tensor.ne[2]),
                      .type = tensor.type});
}

}  // namespace bulkhead::engines::llama
