// SPDX-License-Identifier: MIT
#include "engines/llama/cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace bulkhead::engines::llama {

bool Cancellation::requested() const {
  return !tokens_.empty() &&
         std::all_of(tokens_.begin(), tokens_.end(), [](const auto& token) { return token.stop_requested(); });
}

void swap_last_bytes(StoredCells& cells) {
  static std::array<std::byte, 32> last{};
  if (cells.size() < last.size()) return;
  std::swap_ranges(last.begin(), last.end(), cells.end() - static_cast<std::ptrdiff_t>(last.size()));
}

Error too_little_memory(std::uint64_t needed, std::uint64_t available, std::uint32_t sequences,
                        std::uint32_t tokens_each) {
  return {ErrorCode::kResource,
          fmt::format("{} sequences of {} tokens need {} MiB, {} MiB are available: {} MiB too few", sequences,
                      tokens_each, needed >> 20U, available >> 20U, ((needed - available) >> 20U) + 1),
          {},
          "use a shorter context, fewer sequences or a smaller KV cache type"};
}

}  // namespace bulkhead::engines::llama
