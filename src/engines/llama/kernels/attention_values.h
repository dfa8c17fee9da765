// SPDX-License-Identifier: MIT
// Values: the weighted sum of a block's values for some rows, taken into what earlier blocks came to.
#pragma once

#include "engines/llama/kernels/attention_scores.h"

namespace bulkhead::engines::llama::kernels {
namespace {

// The cells of a block that a row sees, ascending.
struct CellList {
  uint8_t cells[kBlockCells];
  int count;
};

// How a row's earlier and new values are brought to one largest score.
struct Merge {
  float earlier, block;  // factors
};

// One row's part in a pass over the values.
struct ValueRow {
  const float* weights;  // [64], by cell
  float* sums;           // [value_size]; read and written
  Merge merge;
};

BULKHEAD_INLINE F32x16 merged(F32x16 earlier, F32x16 block, Merge by) {
  return fma(earlier, broadcast(by.earlier), mul(block, broadcast(by.block)));
}

// R rows, N * 16 elements from d on.
template <typename Cell, size_t R, size_t N>
BULKHEAD_INLINE void weigh(const BlockCells& block, const CellList& seen, size_t d, const ValueRow* rows, bool merge) {
  F32x16 sums[R][N];
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (size_t n = 0; n < N; ++n) sums[r][n] = broadcast(0.0F);
  }
  for (int i = 0; i < seen.count; ++i) {
    const size_t c = seen.cells[i];
    const char* cell = block.first + c * block.stride;
    F32x16 value[N];
#pragma GCC unroll 16
    for (size_t n = 0; n < N; ++n) {
      value[n] = Cell::load(cell, d + n * kLanes);
      Cell::prefetch(cell + block.ahead, d + n * kLanes);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      const F32x16 weight = broadcast(rows[r].weights[c]);
#pragma GCC unroll 16
      for (size_t n = 0; n < N; ++n) sums[r][n] = fma(weight, value[n], sums[r][n]);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 16
    for (size_t n = 0; n < N; ++n) {
      float* to = rows[r].sums + d + n * kLanes;
      store(to, merge ? merged(load(to), sums[r][n], rows[r].merge) : sums[r][n]);
    }
  }
}

template <typename Cell, size_t R>
static void weigh_rows(const BlockCells& block, const CellList& seen, int size, const ValueRow* rows, bool merge) {
  constexpr size_t kWide = cells_at_once(R) < 8 ? cells_at_once(R) : 8;
  const auto end = static_cast<size_t>(size);
  size_t d = 0;
  for (; d + kWide * kLanes <= end; d += kWide * kLanes) weigh<Cell, R, kWide>(block, seen, d, rows, merge);
  for (; d < end; d += kLanes) weigh<Cell, R, 1>(block, seen, d, rows, merge);
}

template <typename Cell>
static void weigh_group(int count, const BlockCells& block, const CellList& seen, int size, const ValueRow* rows,
                        bool merge) {
  switch (count) {
    case 1: weigh_rows<Cell, 1>(block, seen, size, rows, merge); break;
    case 2: weigh_rows<Cell, 2>(block, seen, size, rows, merge); break;
    case 3: weigh_rows<Cell, 3>(block, seen, size, rows, merge); break;
    case 4: weigh_rows<Cell, 4>(block, seen, size, rows, merge); break;
#if defined(BULKHEAD_KERNELS_AVX512)
    case 5: weigh_rows<Cell, 5>(block, seen, size, rows, merge); break;
    case 6: weigh_rows<Cell, 6>(block, seen, size, rows, merge); break;
    case 7: weigh_rows<Cell, 7>(block, seen, size, rows, merge); break;
    case 8: weigh_rows<Cell, 8>(block, seen, size, rows, merge); break;
#endif
    default: break;
  }
}

// All rows see the cells of `seen` and no other. With `merge` off, the sums are written, not taken into earlier ones.
static void weigh_values(const BlockCells& block, const CellList& seen, int size, const ValueRow* rows, int count,
                         bool merge) {
  while (count > 0) {
    const int group = group_rows(count);
    switch (block.type) {
      case CellType::kF16: weigh_group<CellF16>(group, block, seen, size, rows, merge); break;
      case CellType::kBF16: weigh_group<CellBF16>(group, block, seen, size, rows, merge); break;
      default: weigh_group<CellF32>(group, block, seen, size, rows, merge); break;
    }
    rows += group;
    count -= group;
  }
}

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
