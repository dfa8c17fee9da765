// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/matmul.h"

#include "engines/llama/kernels/weight_blocks.h"

#include <algorithm>

namespace bulkhead::engines::llama::kernels {
namespace {

constexpr std::size_t kLine = 64;
// How far ahead of the weights a single pass fetches. Few columns wait for memory: the first-level cache, a page ahead,
// or nothing where the processor does better alone. More columns can wait: the second-level cache. Measured on Zen 4
// with 4 columns of Q4_K from memory: 115 GMAC/s without, 146 a page ahead into the first level, 156, 180, 181, 180
// into the second 4, 12, 16, 32 KiB ahead. What is fetched beyond a thread's piece is lost, so no farther than needed.
constexpr std::size_t kNearAhead = 4096;
constexpr std::size_t kFarAhead = 16384;
// Prepared columns that stay in the second-level cache while all row groups of a piece pass by.
constexpr std::size_t kColumnsInCache = std::size_t{384} * 1024;
// Pieces of row groups that threads take in turn. With many passes a piece takes long, and at the end the last one is
// waited for; with few, small ones would lose what is fetched ahead of them.
constexpr int kPiecesPerThread = 8;
constexpr int kPiecesOfManyPasses = 32;
constexpr std::int64_t kManyPasses = 8;
// Up to these sizes preparing all columns again on each thread costs less than waiting for one another.
constexpr std::int64_t kPrivateValues = 16384;
constexpr std::size_t kPrivateWeightBytes = std::size_t{1536} * 1024;

std::size_t record_bytes(WeightFormat format) {
  switch (block_values(format)) {
    case 256: return sizeof(Activations256);
    case 32: return sizeof(Activations32);
    default: return sizeof(float);
  }
}

struct Plan {
  const FormatKernels* kernels;
  const MatrixShape* shape;
  std::int64_t columns;
  std::int64_t blocks;
  std::size_t record;
  std::int64_t passes;
  std::int64_t width;  // columns of a pass; the last one may have fewer
  bool alone;          // each thread prepares all columns for itself

  [[nodiscard]] std::size_t pass_bytes() const { return static_cast<std::size_t>(blocks * width) * record; }
  [[nodiscard]] int in_pass(std::int64_t pass) const {
    return static_cast<int>(std::min(width, columns - pass * width));
  }
  // Bytes to fetch ahead when `passes_of_set` passes go over the same weights; 0: none.
  [[nodiscard]] std::size_t ahead(std::int64_t passes_of_set) const {
    if (passes_of_set > 1) return group_bytes(*shape);
    if (columns > static_cast<std::int64_t>(kFewColumns)) return kFarAhead;
    return prefers_own_prefetch() ? 0 : kNearAhead;
  }
  // A multiple of a line, so that threads never write to the same one.
  [[nodiscard]] std::size_t area() const {
    return (static_cast<std::size_t>(columns * blocks) * record + kLine - 1) / kLine * kLine;
  }
};

Plan make_plan(const MatmulKernels& kernels, const MatrixShape& shape, std::int64_t columns, int threads) {
  const bool alone =
      threads == 1 || (columns * shape.k <= kPrivateValues && packed_bytes(shape) <= kPrivateWeightBytes);
  const auto& of_format = kernels.of[static_cast<std::size_t>(shape.format)];
  const auto passes = (columns + of_format.columns - 1) / of_format.columns;
  const auto width = passes == 0 ? 1 : (columns + passes - 1) / passes;
  return {&of_format, &shape, columns, blocks(shape), record_bytes(shape.format), passes, width, alone};
}

const float* column(const Columns& x, std::int64_t index) {
  const auto first = index % x.count[0];
  const auto second = index / x.count[0] % x.count[1];
  const auto third = index / x.count[0] / x.count[1];
  return reinterpret_cast<const float*>(x.data + static_cast<std::size_t>(first) * x.stride[0] +
                                        static_cast<std::size_t>(second) * x.stride[1] +
                                        static_cast<std::size_t>(third) * x.stride[2]);
}

// Few columns are shared out in quarters, so that two threads share even a single one.
void prepare_columns(const Plan& plan, const Columns& x, std::uint8_t* area, const Team& team) {
  const std::int64_t cuts = plan.alone || plan.columns >= std::int64_t{4} * team.size ? 1 : 4;
  for (std::int64_t i = plan.alone ? 0 : team.index; i < plan.columns * cuts; i += plan.alone ? 1 : team.size) {
    const auto index = i / cuts;
    const auto cut = i % cuts;
    const auto pass = index / plan.width;
    auto* to = area + static_cast<std::size_t>(pass) * plan.pass_bytes() +
               static_cast<std::size_t>(index % plan.width) * plan.record;
    plan.kernels->prepare(column(x, index), plan.blocks * cut / cuts, plan.blocks * (cut + 1) / cuts, to,
                          static_cast<std::size_t>(plan.in_pass(pass)) * plan.record);
  }
}

// The eighths of the lines ahead that pass `pass` of `passes` over the same weights fetches.
unsigned share_of(std::int64_t pass, std::int64_t passes) {
  const auto among = std::min<std::int64_t>(passes, 8);
  unsigned share = 0;
  for (unsigned eighth = 0; eighth < 8; ++eighth) {
    if (eighth % among == pass) share |= 1U << eighth;
  }
  return share;
}

// Row groups [begin, end) against all columns. Columns go in sets that stay in the cache.
void multiply_groups(const Plan& plan, const std::uint8_t* weights, const std::uint8_t* area, float* out,
                     std::int64_t begin, std::int64_t end) {
  const auto stride = group_bytes(*plan.shape);
  const auto set = std::max<std::int64_t>(1, static_cast<std::int64_t>(kColumnsInCache / plan.pass_bytes()));
  for (std::int64_t first = 0; first < plan.passes; first += set) {
    const auto last = std::min(plan.passes, first + set);
    for (auto group = begin; group < end; ++group) {
      const auto* group_weights = weights + static_cast<std::size_t>(group) * stride;
      const auto row = group * kGroupRows;
      GroupProduct product;
      product.weights = group_weights;
      product.blocks = plan.blocks;
      product.out_stride = plan.shape->rows;
      product.rows = static_cast<int>(std::min<std::int64_t>(kGroupRows, plan.shape->rows - row));
      // A number, not a pointer, until it names memory that is there.
      product.ahead =
          reinterpret_cast<const char*>(reinterpret_cast<std::uintptr_t>(group_weights) + plan.ahead(last - first));
      for (auto pass = first; pass < last; ++pass) {
        product.activations = area + static_cast<std::size_t>(pass) * plan.pass_bytes();
        product.out = out + pass * plan.width * plan.shape->rows + row;
        product.ahead_share = plan.ahead(last - first) == 0 ? 0 : share_of(pass - first, last - first);
        plan.kernels->multiply[plan.in_pass(pass) - 1](product);
      }
    }
  }
}

}  // namespace

const MatmulKernels* matmul_kernels(InstructionSet set) noexcept {
  switch (set) {
    case InstructionSet::kScalar: return &kMatmulScalar;
#if defined(BULKHEAD_KERNELS_X86)
    case InstructionSet::kAvx2: return &kMatmulAvx2;
    case InstructionSet::kAvxVnni: return &kMatmulAvxVnni;
    case InstructionSet::kAvx512: return &kMatmulAvx512;
#elif defined(BULKHEAD_KERNELS_ARM)
    case InstructionSet::kNeon: return &kMatmulNeon;
    case InstructionSet::kI8mm: return &kMatmulI8mm;
#endif
    default: return nullptr;
  }
}

std::size_t work_bytes(const MatmulKernels& kernels, const MatrixShape& shape, std::int64_t columns,
                       int threads) noexcept {
  const auto plan = make_plan(kernels, shape, columns, threads);
  return plan.area() * static_cast<std::size_t>(plan.alone ? threads : 1) + kLine - 1;
}

void multiply(const MatmulKernels& kernels, const MatrixShape& shape, const std::uint8_t* weights, const Columns& x,
              float* out, std::uint8_t* work, const Team& team) {
  const auto plan = make_plan(kernels, shape, x.size(), team.size);
  auto* area = work + (kLine - reinterpret_cast<std::uintptr_t>(work) % kLine) % kLine;
  if (plan.alone) area += plan.area() * static_cast<std::size_t>(team.index);
  prepare_columns(plan, x, area, team);
  const auto all = groups(shape);
  if (plan.alone) {
    multiply_groups(plan, weights, area, out, all * team.index / team.size, all * (team.index + 1) / team.size);
    return;
  }
  if (team.index == 0) team.set_next(team.pool, team.size);
  team.barrier(team.pool);
  const auto pieces = std::int64_t{team.size} * (plan.passes >= kManyPasses ? kPiecesOfManyPasses : kPiecesPerThread);
  const auto each = (all + pieces - 1) / pieces;
  for (std::int64_t piece = team.index; piece * each < all; piece = team.take_next(team.pool)) {
    multiply_groups(plan, weights, area, out, piece * each, std::min(all, (piece + 1) * each));
  }
}

}  // namespace bulkhead::engines::llama::kernels
