// SPDX-License-Identifier: MIT
// The table of products of the instruction set that the including unit is compiled for.
#pragma once

#include "engines/llama/kernels/multiply_groups.h"
#include "engines/llama/kernels/prepare_columns.h"

namespace bulkhead::engines::llama::kernels {
namespace {

// As many columns as the registers hold sums of: 32 registers of 16 lanes, 16 of 8, or 32 of 4.
#if defined(BULKHEAD_KERNELS_AVX512)
constexpr int kWholeColumns = 8;
constexpr int kFloatColumns = 4;
#else
constexpr int kWholeColumns = 4;
constexpr int kFloatColumns = 2;
#endif

#define BULKHEAD_COLUMNS_1_2(f) f<1>, f<2>
#define BULKHEAD_COLUMNS_1_4(f) BULKHEAD_COLUMNS_1_2(f), f<3>, f<4>
#if defined(BULKHEAD_KERNELS_AVX512)
#define BULKHEAD_WHOLE(f) BULKHEAD_COLUMNS_1_4(f), f<5>, f<6>, f<7>, f<8>
#define BULKHEAD_FLOAT(f) BULKHEAD_COLUMNS_1_4(f)
#else
#define BULKHEAD_WHOLE(f) BULKHEAD_COLUMNS_1_4(f)
#define BULKHEAD_FLOAT(f) BULKHEAD_COLUMNS_1_2(f)
#endif

constexpr MatmulKernels kTable = {{
    {kWholeColumns, prepare_256, {BULKHEAD_WHOLE(multiply_q4k)}},
    {kWholeColumns, prepare_256, {BULKHEAD_WHOLE(multiply_q5k)}},
    {kWholeColumns, prepare_256, {BULKHEAD_WHOLE(multiply_q6k)}},
    {kWholeColumns, prepare_32<128>, {BULKHEAD_WHOLE(multiply_q8_0)}},
    {kWholeColumns, prepare_32<16>, {BULKHEAD_WHOLE(multiply_q5_0)}},
    {kWholeColumns, prepare_32<8>, {BULKHEAD_WHOLE(multiply_q4_0)}},
    {kFloatColumns, prepare_float, {BULKHEAD_FLOAT(multiply_f16)}},
    {kFloatColumns, prepare_float, {BULKHEAD_FLOAT(multiply_bf16)}},
    {kFloatColumns, prepare_float, {BULKHEAD_FLOAT(multiply_f32)}},
}};

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
