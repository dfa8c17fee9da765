// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/gated_unit_kernel.h"

namespace bulkhead::engines::llama::kernels {

const GatedUnitTable kGatedUnitNeon = {geglu};

}  // namespace bulkhead::engines::llama::kernels
