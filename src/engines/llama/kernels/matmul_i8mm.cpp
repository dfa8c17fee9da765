// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/matmul_table.h"

namespace bulkhead::engines::llama::kernels {

extern const MatmulKernels kMatmulI8mm = kTable;

}  // namespace bulkhead::engines::llama::kernels
