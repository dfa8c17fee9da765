// SPDX-License-Identifier: MIT
// The table of products of the instruction set that the including unit is compiled for.
#pragma once

#include "engines/llama/kernels/multiply_groups.h"
#include "engines/llama/kernels/prepare_columns.h"

namespace bulkhead::engines::llama::kernels {
namespace {

// As many columns as the registers hold sums of: 32 registers of 16 lanes, 16 of 8, or 32 of 4. In the formats with
// blocks of 256 the sums over all blocks may leave the registers, which costs less than to unpack the weights more
// often: measured on Zen 5, 512 tokens of Qwen 1.5B take 1.09 s with 8 columns, 1.07 with 12 and 1.14 with 16.
#if defined(BULKHEAD_KERNELS_AVX512)
constexpr int kColumnsOf256 = 12;
constexpr int kColumnsOf32 = 8;
constexpr int kColumnsOfFloat = 4;
#else
constexpr int kColumnsOf256 = 4;
constexpr int kColumnsOf32 = 4;
constexpr int kColumnsOfFloat = 2;
#endif

#define BULKHEAD_COLUMNS_1_2(f) f<1>, f<2>
#define BULKHEAD_COLUMNS_1_4(f) BULKHEAD_COLUMNS_1_2(f), f<3>, f<4>
#define BULKHEAD_COLUMNS_1_8(f) BULKHEAD_COLUMNS_1_4(f), f<5>, f<6>, f<7>, f<8>
#define BULKHEAD_COLUMNS_1_12(f) BULKHEAD_COLUMNS_1_8(f), f<9>, f<10>, f<11>, f<12>
#if defined(BULKHEAD_KERNELS_AVX512)
#define BULKHEAD_OF_256(f) BULKHEAD_COLUMNS_1_12(f)
#define BULKHEAD_OF_32(f) BULKHEAD_COLUMNS_1_8(f)
#define BULKHEAD_OF_FLOAT(f) BULKHEAD_COLUMNS_1_4(f)
#else
#define BULKHEAD_OF_256(f) BULKHEAD_COLUMNS_1_4(f)
#define BULKHEAD_OF_32(f) BULKHEAD_COLUMNS_1_4(f)
#define BULKHEAD_OF_FLOAT(f) BULKHEAD_COLUMNS_1_2(f)
#endif

constexpr MatmulKernels kTable = {{
    {kColumnsOf256, prepare_256, {BULKHEAD_OF_256(multiply_q4k)}},
    {kColumnsOf256, prepare_256, {BULKHEAD_OF_256(multiply_q5k)}},
    {kColumnsOf256, prepare_256, {BULKHEAD_OF_256(multiply_q6k)}},
    {kColumnsOf32, prepare_32<128>, {BULKHEAD_OF_32(multiply_q8_0)}},
    {kColumnsOf32, prepare_32<16>, {BULKHEAD_OF_32(multiply_q5_0)}},
    {kColumnsOf32, prepare_32<8>, {BULKHEAD_OF_32(multiply_q4_0)}},
    {kColumnsOfFloat, prepare_float, {BULKHEAD_OF_FLOAT(multiply_f16)}},
    {kColumnsOfFloat, prepare_float, {BULKHEAD_OF_FLOAT(multiply_bf16)}},
    {kColumnsOfFloat, prepare_float, {BULKHEAD_OF_FLOAT(multiply_f32)}},
}};

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
