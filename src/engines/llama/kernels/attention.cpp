// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/attention.h"

namespace bulkhead::engines::llama::kernels {

const AttentionTable& attention_of(InstructionSet set) noexcept {
  switch (set) {
#if defined(BULKHEAD_KERNELS_X86)
    case InstructionSet::kAvx512: return kAttentionAvx512;
    case InstructionSet::kAvxVnni:
    case InstructionSet::kAvx2: return kAttentionAvx2;
#elif defined(BULKHEAD_KERNELS_ARM)
    case InstructionSet::kNeon:
    case InstructionSet::kI8mm: return kAttentionNeon;
#endif
    default: return kAttentionScalar;
  }
}

}  // namespace bulkhead::engines::llama::kernels
