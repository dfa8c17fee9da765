// SPDX-License-Identifier: MIT
// Scores: dot products of some rows' queries with sixteen cells' keys.
#pragma once

#include "engines/llama/kernels/attention_cells.h"
#include "engines/llama/kernels/simd_sums.h"

namespace bulkhead::engines::llama::kernels {
namespace {

// What the registers hold: accumulators of sixteen lanes, and rows that one pass over the cells serves.
#if defined(BULKHEAD_KERNELS_AVX512)
constexpr size_t kAccumulators = 16;
constexpr int kGroupRows = 8;
#else
constexpr size_t kAccumulators = 4;
constexpr int kGroupRows = 4;
#endif

// The largest power of two of cells so that rows * cells accumulators fit.
constexpr size_t cells_at_once(size_t rows) {
  size_t cells = 16;
  while (cells > 1 && rows * cells > kAccumulators) cells /= 2;
  return cells;
}

// Partial sums of R rows and C cells, kept in registers over the whole key; into parts[r * row + c].
template <typename Cell, size_t R, size_t C>
BULKHEAD_INLINE void partial_sums(const float* const* queries, const char* const* keys, int size, ptrdiff_t ahead,
                                  F32x16* parts, size_t row) {
  F32x16 sums[R][C];
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (size_t c = 0; c < C; ++c) sums[r][c] = broadcast(0.0F);
  }
  for (size_t d = 0; d < static_cast<size_t>(size); d += kLanes) {
    F32x16 key[C];
#pragma GCC unroll 16
    for (size_t c = 0; c < C; ++c) {
      key[c] = Cell::load(keys[c], d);
      Cell::prefetch(keys[c] + ahead, d);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      const F32x16 query = load(queries[r] + d);
#pragma GCC unroll 16
      for (size_t c = 0; c < C; ++c) sums[r][c] = fma(query, key[c], sums[r][c]);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (size_t c = 0; c < C; ++c) parts[r * row + c] = sums[r][c];
  }
}

// Where a tile of R rows and C cells fills the registers, its sums are reduced at once; else they are gathered until
// there are sixteen of a row. Either way a score is the sum_of_lanes() of its partial sums.
template <typename Cell, size_t R>
static void score_rows(const float* const* queries, const char* const* keys, int size, ptrdiff_t ahead, float* scores) {
  constexpr size_t kCells = cells_at_once(R);
  if constexpr (kAccumulators == kLanes) {
    for (size_t c = 0; c < kLanes; c += kCells) {
      F32x16 parts[kLanes];
      partial_sums<Cell, R, kCells>(queries, keys + c, size, ahead, parts, kCells);
#pragma GCC unroll 16
      for (size_t i = R * kCells; i < kLanes; ++i) parts[i] = broadcast(0.0F);
      float sums[kLanes];
      store(sums, sums_of_lanes(parts));
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) memcpy(scores + r * kBlockCells + c, sums + r * kCells, kCells * sizeof(float));
    }
  } else {
    F32x16 parts[R * kLanes];
    for (size_t c = 0; c < kLanes; c += kCells) {
      partial_sums<Cell, R, kCells>(queries, keys + c, size, ahead, parts + c, kLanes);
    }
    for (size_t r = 0; r < R; ++r) store(scores + r * kBlockCells, sums_of_lanes(parts + r * kLanes));
  }
}

template <typename Cell>
static void score_group(int rows, const float* const* queries, const char* const* keys, int size, ptrdiff_t ahead,
                        float* scores) {
  switch (rows) {
    case 1: score_rows<Cell, 1>(queries, keys, size, ahead, scores); break;
    case 2: score_rows<Cell, 2>(queries, keys, size, ahead, scores); break;
    case 3: score_rows<Cell, 3>(queries, keys, size, ahead, scores); break;
    case 4: score_rows<Cell, 4>(queries, keys, size, ahead, scores); break;
#if defined(BULKHEAD_KERNELS_AVX512)
    case 5: score_rows<Cell, 5>(queries, keys, size, ahead, scores); break;
    case 6: score_rows<Cell, 6>(queries, keys, size, ahead, scores); break;
    case 7: score_rows<Cell, 7>(queries, keys, size, ahead, scores); break;
    case 8: score_rows<Cell, 8>(queries, keys, size, ahead, scores); break;
#endif
    default: break;
  }
}

// Rows served together next when `rows` are left: all of them when they fit, else four, which keeps the registers full.
BULKHEAD_INLINE int group_rows(int rows) {
  return rows <= kGroupRows ? rows : 4;
}

// Scores of at most kGroupRows rows with the sixteen cells from `cell` on (of the block): into scores[row][cell ...].
// Cells that are not there get the last one's score.
static void score_cells(const BlockCells& block, int cell, int size, const float* const* queries, int rows,
                        float* scores) {
  const char* keys[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const int c = cell + i < block.count ? cell + i : block.count - 1;
    keys[i] = block.first + static_cast<size_t>(c) * block.stride;
  }
  switch (block.type) {
    case CellType::kF16: score_group<CellF16>(rows, queries, keys, size, block.ahead, scores + cell); break;
    case CellType::kBF16: score_group<CellBF16>(rows, queries, keys, size, block.ahead, scores + cell); break;
    default: score_group<CellF32>(rows, queries, keys, size, block.ahead, scores + cell); break;
  }
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
