// SPDX-License-Identifier: MIT
// How packed weights lie in memory: one layout for all instruction sets.
//
// Rows go in groups of 16, the last one filled up with rows of zeros. A group holds its 16 rows block by block along k.
// A vector is 64 bytes: 16 lanes of 32 bits, lane r for row r of the group, in each lane the values of 4 consecutive k.
// A step is such a vector's 4 k. So one broadcast of 4 activations meets 16 rows in one dot product.
//
// Nothing here has code: these types are shared by units compiled for different processors (see simd.h).
#pragma once

#include <stdint.h>  // NOLINT(modernize-deprecated-headers): see simd.h

namespace bulkhead::engines::llama::kernels {

enum class WeightFormat : int { kQ4K, kQ5K, kQ6K, kQ8_0, kQ5_0, kQ4_0, kF16, kBF16, kF32 };
constexpr int kFormats = 9;
constexpr int kGroupRows = 16;

// The bits below quants: two steps share a vector, step s in the low and step s + 4 in the high half of each byte.
struct alignas(64) PackedQ4K {  // 256 k
  uint16_t scale[kGroupRows];   // half floats
  uint16_t min_scale[kGroupRows];
  // Sub-block scales and mins are of 6 bits, one byte per sub-block of 32 in a lane; scales s0..s3 | s4..s7, mins in
  // the order m0 m2 m1 m3 | m4 m6 m5 m7, so that every other byte is a pair of neighbours for dot2.
  uint8_t low[2][64];        // low 4 bits: scales in the low half, mins in the high
  uint8_t high[64];          // high 2 bits of the four vectors above, scales first
  uint8_t quants[8][4][64];  // [sub-block][step % 4]
};

struct alignas(64) PackedQ5K {  // as PackedQ4K, and the fifth bits
  uint16_t scale[kGroupRows];
  uint16_t min_scale[kGroupRows];
  uint8_t low[2][64];
  uint8_t high[64];
  struct {
    uint8_t fifth[64];  // bit s of each byte: of step s
    uint8_t quants[4][64];
  } sub[8];
};

// A line of half-float scales, [2][16], lies before every two blocks, so that all is read in the order of its
// addresses: the processor's own prefetch loses a stream that jumps. Block b begins at kQ6KScales * (b / 2 + 1) + b *
// sizeof.
constexpr int kQ6KScales = 64;
struct alignas(64) PackedQ6K {    // 256 k
  int8_t scales[16][kGroupRows];  // [sub-block][row]
  struct {                        // 16 sub-blocks of 16 k; values 0 to 63 stand for -32 to 31
    uint8_t high[64];             // bits 4 and 5 of the four steps
    uint8_t low[2][64];           // low 4 bits: steps 0 | 2 and 1 | 3
  } sub[16];
};

// Blocks of 32 k lie in pairs, so that vectors start at multiples of 64; where their number is odd, zeros fill up.
struct alignas(64) PackedQ8_0 {
  uint16_t scale[2][kGroupRows];
  uint8_t quants[2][8][64];  // value + 128
};
struct alignas(64) PackedQ5_0 {
  uint16_t scale[2][kGroupRows];
  struct {
    uint8_t fifth[64];      // bit s of each byte: of step s
    uint8_t quants[4][64];  // value + 16, the low 4 bits
  } half[2];
};
struct alignas(64) PackedQ4_0 {
  uint16_t scale[2][kGroupRows];
  uint8_t quants[2][4][64];  // value + 8
};
// F16, BF16 and F32 are [k][16] of their own type.

static_assert(sizeof(PackedQ4K) == 16 * 144 && sizeof(PackedQ5K) == 16 * 176 && sizeof(PackedQ6K) == 16 * 208);
static_assert(sizeof(PackedQ8_0) == 32 * 34 && sizeof(PackedQ5_0) == 32 * 22 && sizeof(PackedQ4_0) == 32 * 18);

// An activation block: a column's values for one block of weights, as whole numbers of -127 to 127 and a scale. All NaN
// when any of its values is not finite; then every dot product with it is NaN.
struct Activations256 {  // for Q4_K, Q5_K and Q6_K
  int8_t values[256];
  float scale;
  int16_t sum32[8];         // sums of 32 values each, for the mins
  int32_t minus32_sum[16];  // -32 times the sums of 16 values each: what Q6_K's offset takes away
};
struct Activations32 {  // for Q8_0, Q5_0 and Q4_0
  int8_t values[32];
  float scale;
  int32_t minus_offset_sum;  // minus the format's offset (128, 16, 8) times the sum of the values
};
// For F16, BF16 and F32 an activation block is one float.

}  // namespace bulkhead::engines::llama::kernels
