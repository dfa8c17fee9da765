// SPDX-License-Identifier: MIT
// The gated activations of each instruction set. What they compute: gated_unit_table.h.
#pragma once

#include "engines/llama/kernels/gated_unit_table.h"
#include "engines/llama/kernels/instruction_set.h"

namespace bulkhead::engines::llama::kernels {

// Sets without kernels of their own have the nearest set's: kAvxVnni AVX2's, kI8mm NEON's. `set` must be available().
[[nodiscard]] const GatedUnitTable& gated_units_of(InstructionSet set) noexcept;

}  // namespace bulkhead::engines::llama::kernels
