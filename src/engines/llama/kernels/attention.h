// SPDX-License-Identifier: MIT
// The attention of each instruction set. What it computes: attention_table.h.
#pragma once

#include "engines/llama/kernels/attention_table.h"
#include "engines/llama/kernels/instruction_set.h"

namespace bulkhead::engines::llama::kernels {

// Sets without kernels of their own have the nearest set's: kAvxVnni AVX2's, kI8mm NEON's. `set` must be available().
[[nodiscard]] const AttentionTable& attention_of(InstructionSet set) noexcept;

}  // namespace bulkhead::engines::llama::kernels
