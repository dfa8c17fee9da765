// SPDX-License-Identifier: MIT
// Cells in pages: one libllama context computes for all sequences of an engine, any mix of them at once. They grow as
// tokens come, a fork shares until one of both writes, and what is closed goes back to the system.
#pragma once

#include "engines/llama/cells.h"
#include "engines/llama/loaded_model.h"

#include <memory>

namespace bulkhead::engines::llama {

// Sequences of one decode at most: libllama sizes a buffer and a loop by it.
inline constexpr std::uint32_t kMostInStep = 64;

// model.paged() holds. Both must outlive the store, and the store all cells. kResource: no memory for the context.
[[nodiscard]] Result<std::unique_ptr<CellStore>> make_paged_store(const LoadedModel& model,
                                                                  const Cancellation& cancellation);

}  // namespace bulkhead::engines::llama
