// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/attention_kernel.h"

namespace bulkhead::engines::llama::kernels {

const AttentionTable kAttentionAvx512 = {attend, attend_block, merge};

}  // namespace bulkhead::engines::llama::kernels
