// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/gated_unit.h"

namespace bulkhead::engines::llama::kernels {

const GatedUnitTable& gated_units_of(InstructionSet set) noexcept {
  switch (set) {
#if defined(BULKHEAD_KERNELS_X86)
    case InstructionSet::kAvx512: return kGatedUnitAvx512;
    case InstructionSet::kAvxVnni:
    case InstructionSet::kAvx2: return kGatedUnitAvx2;
#elif defined(BULKHEAD_KERNELS_ARM)
    case InstructionSet::kNeon:
    case InstructionSet::kI8mm: return kGatedUnitNeon;
#endif
    default: return kGatedUnitScalar;
  }
}

}  // namespace bulkhead::engines::llama::kernels
