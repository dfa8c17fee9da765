// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/matmul_table.h"

namespace bulkhead::engines::llama::kernels {

extern const MatmulKernels kMatmulAvx512 = kTable;

}  // namespace bulkhead::engines::llama::kernels
