// SPDX-License-Identifier: MIT
// The contract of attention_table.h on every instruction set this processor has, in memory of exact size. Needs nothing
// of ggml: scripts/test_arm.sh runs this file under an emulator, scripts/test_valgrind.sh under valgrind. Accuracy and
// the operator in ggml's graphs: tests/engines/llama_attention_test.cpp.
#include "engines/llama/kernels/attention.h"
#include "guarded_memory.h"
#include "random_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

namespace bulkhead::engines::llama::kernels {
namespace {

using testing::Against;
using testing::differing;
using testing::GuardedMemory;

constexpr std::uint16_t kHidden = 0xfc00;
constexpr std::array kTypes = {CellType::kF32, CellType::kF16, CellType::kBF16, CellType::kQ8_0, CellType::kQ4_0};

std::size_t cell_bytes(CellType type, int size) {
  const auto count = static_cast<std::size_t>(size);
  switch (type) {
    case CellType::kF32: return count * 4;
    case CellType::kF16:
    case CellType::kBF16: return count * 2;
    case CellType::kQ8_0: return count / 32 * 34;
    case CellType::kQ4_0: return count / 32 * 18;
  }
  return 0;
}

struct Shape {
  int key_size, value_size, tokens, heads, cells;
  CellType key_type, value_type;
};

// A tile whose inputs lie in memory of exact size.
class Tile {
 public:
  Tile(const Shape& shape, Against against, unsigned seed)
      : shape_(shape),
        random_(seed),
        queries_(rows() * static_cast<std::size_t>(shape.key_size) * sizeof(float), against),
        keys_(cells() * cell_bytes(shape.key_type, shape.key_size), against),
        values_(cells() * cell_bytes(shape.value_type, shape.value_size), against),
        mask_(static_cast<std::size_t>(shape.tokens) * cells() * sizeof(std::uint16_t), against),
        slopes_(static_cast<std::size_t>(shape.heads) * sizeof(float), against),
        against_(against) {
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < rows() * static_cast<std::size_t>(shape.key_size); ++i)
      queries_.floats()[i] = normal(random_);
    fill(keys_.data(), shape.key_type, shape.key_size);
    fill(values_.data(), shape.value_type, shape.value_size);
    std::fill_n(slopes_.floats(), shape.heads, 1.0F);
    show([this](int token, int cell) { return visible(token, cell); });
  }

  void show(const std::function<bool(int token, int cell)>& visible_to) {
    auto* mask = reinterpret_cast<std::uint16_t*>(mask_.data());
    for (int token = 0; token < shape_.tokens; ++token) {
      for (int cell = 0; cell < shape_.cells; ++cell, ++mask) *mask = visible_to(token, cell) ? 0 : kHidden;
    }
  }
  [[nodiscard]] const std::uint8_t* keys() const { return keys_.data(); }
  [[nodiscard]] const std::uint8_t* values() const { return values_.data(); }

  // Causal, the last token sees the last cell; with holes.
  [[nodiscard]] bool visible(int token, int cell) const {
    return cell <= shape_.cells - shape_.tokens + token && (cell * 7 + token) % 31 != 3;
  }
  [[nodiscard]] std::size_t out_size() const { return rows() * static_cast<std::size_t>(shape_.value_size); }

  // `change`, if given, has the last word on the tile.
  using Change = std::function<void(AttentionTile&)>;
  std::vector<float> attend(const AttentionTable& kernels, const Change& change = {}) {
    const GuardedMemory out(out_size() * sizeof(float), against_);
    auto tile = tile_into(out);
    if (change) change(tile);
    kernels.attend(tile);
    return {out.floats(), out.floats() + out_size()};
  }

  std::vector<float> attend_by_blocks(const AttentionTable& kernels, int first = 0, const Change& change = {}) {
    const GuardedMemory out(out_size() * sizeof(float), against_);
    auto tile = tile_into(out);
    if (change) change(tile);
    const int blocks = (shape_.cells + kBlockCells - 1) / kBlockCells - first;
    const auto state = static_cast<std::size_t>(state_floats(shape_.value_size));
    std::vector<float> states(rows() * static_cast<std::size_t>(blocks) * state);
    const auto stride = static_cast<std::size_t>(blocks) * state;
    for (int block = blocks - 1; block >= 0; --block) {
      kernels.attend_block(tile, first + block, states.data() + static_cast<std::size_t>(block) * state, stride);
    }
    for (std::size_t row = 0; row < rows(); ++row) {
      kernels.merge(tile, static_cast<int>(row), states.data() + row * stride, blocks);
    }
    return {out.floats(), out.floats() + out_size()};
  }

  // NaN in every cell that no token sees.
  void poison_hidden() {
    for (int cell = 0; cell < shape_.cells; ++cell) {
      bool seen = false;
      for (int token = 0; token < shape_.tokens; ++token) seen = seen || visible(token, cell);
      if (!seen) {
        poison(keys_.data(), shape_.key_type, shape_.key_size, cell);
        poison(values_.data(), shape_.value_type, shape_.value_size, cell);
      }
    }
  }

 private:
  [[nodiscard]] std::size_t rows() const { return static_cast<std::size_t>(shape_.tokens * shape_.heads); }
  [[nodiscard]] std::size_t cells() const { return static_cast<std::size_t>(shape_.cells); }

  // A finite half of moderate size, either sign.
  std::uint16_t some_half() {
    const auto bits = random_();
    return static_cast<std::uint16_t>((bits & 0x83ffU) | ((10U + (bits >> 16U) % 6U) << 10U));
  }

  void fill(std::uint8_t* to, CellType type, int size) {
    std::normal_distribution<float> normal;
    const auto bytes = cells() * cell_bytes(type, size);
    for (std::size_t i = 0; i < bytes;) {
      if (type == CellType::kF32 || type == CellType::kBF16) {
        const float x = normal(random_);
        const std::size_t width = type == CellType::kF32 ? 4 : 2;
        std::memcpy(to + i, reinterpret_cast<const std::uint8_t*>(&x) + (4 - width), width);
        i += width;
        continue;
      }
      const auto half = some_half();
      std::memcpy(to + i, &half, 2);
      i += 2;
      if (type == CellType::kF16) continue;
      for (int k = type == CellType::kQ8_0 ? 32 : 16; k > 0; --k) to[i++] = static_cast<std::uint8_t>(random_());
    }
  }

  static void poison(std::uint8_t* all, CellType type, int size, int cell) {
    auto* at = all + static_cast<std::size_t>(cell) * cell_bytes(type, size);
    const auto bytes = cell_bytes(type, size);
    std::memset(at, 0xff, bytes);  // NaN in any of the float types, and in the scale of a block
  }

  AttentionTile tile_into(const GuardedMemory& out) {
    const auto key = static_cast<std::size_t>(shape_.key_size) * sizeof(float);
    const auto value = static_cast<std::size_t>(shape_.value_size) * sizeof(float);
    const auto heads = static_cast<std::size_t>(shape_.heads);
    scratch_.assign(
        static_cast<std::size_t>(scratch_floats(static_cast<int>(rows()), shape_.key_size, shape_.value_size)), 0.0F);
    return {.queries = reinterpret_cast<const char*>(queries_.data()),
            .query_token = key * heads,
            .query_head = key,
            .tokens = shape_.tokens,
            .heads = shape_.heads,
            .keys = reinterpret_cast<const char*>(keys_.data()),
            .key_cell = cell_bytes(shape_.key_type, shape_.key_size),
            .key_type = shape_.key_type,
            .key_size = shape_.key_size,
            .values = reinterpret_cast<const char*>(values_.data()),
            .value_cell = cell_bytes(shape_.value_type, shape_.value_size),
            .value_type = shape_.value_type,
            .value_size = shape_.value_size,
            .cells = shape_.cells,
            .mask = reinterpret_cast<const char*>(mask_.data()),
            .mask_token = cells() * sizeof(std::uint16_t),
            .pages = nullptr,
            .page_stride = kBlockCells,
            .position = 0,
            .window = 0,
            .slopes = slopes_.floats(),
            .sinks = nullptr,
            .scale = 0.125F,
            .softcap = 0.0F,
            .out = reinterpret_cast<char*>(out.data()),
            .out_token = value * heads,
            .out_head = value,
            .scratch = scratch_.data(),
            .prefetch = kBlockCells};
  }

  Shape shape_;
  std::mt19937 random_;
  GuardedMemory queries_, keys_, values_, mask_, slopes_;
  Against against_;
  std::vector<float> scratch_;
};

// The same cells twice, causal with or without a window: one after the other under a mask, and as pages in any order
// among pages of others, which hold NaN.
class PagedTile {
 public:
  PagedTile(const Shape& shape, int window, unsigned seed)
      : shape_(shape), window_(window), random_(seed), dense_(shape, Against::kEnd, seed) {
    dense_.show([&](int token, int cell) {
      const int position = shape.cells - shape.tokens + token;
      return cell <= position && (window == 0 || cell > position - window);
    });
    const auto blocks = static_cast<std::uint32_t>((shape.cells + kBlockCells - 1) / kBlockCells);
    std::vector<std::uint32_t> free(blocks * 2);
    std::iota(free.begin(), free.end(), 0U);
    std::shuffle(free.begin(), free.end(), random_);
    pages_.assign(free.begin(), free.begin() + blocks);
    keys_ = scattered(dense_.keys(), cell_bytes(shape.key_type, shape.key_size));
    values_ = scattered(dense_.values(), cell_bytes(shape.value_type, shape.value_size));
  }

  std::vector<float> attend_dense(const AttentionTable& kernels) { return dense_.attend(kernels); }
  std::vector<float> attend_pages(const AttentionTable& kernels) {
    return dense_.attend(kernels, [&](AttentionTile& tile) { use_pages(tile); });
  }
  // The blocks that a token sees, as an operator would compute them apart.
  std::vector<float> attend_pages_by_blocks(const AttentionTable& kernels) {
    const int oldest = window_ == 0 ? 0 : std::max(shape_.cells - shape_.tokens - window_ + 1, 0);
    return dense_.attend_by_blocks(kernels, oldest / kBlockCells, [&](AttentionTile& tile) { use_pages(tile); });
  }

 private:
  void use_pages(AttentionTile& tile) const {
    tile.keys = reinterpret_cast<const char*>(keys_.data());
    tile.values = reinterpret_cast<const char*>(values_.data());
    tile.mask = nullptr;
    tile.pages = pages_.data();
    tile.page_stride = kStride;
    tile.position = shape_.cells - shape_.tokens;
    tile.window = window_;
  }

  static constexpr int kStride = 3 * kBlockCells;  // as with two other layers in between

  // Only the cells that some token sees: all others, of the same pages too, are NaN.
  [[nodiscard]] std::vector<std::uint8_t> scattered(const std::uint8_t* cells, std::size_t bytes) const {
    std::vector<std::uint8_t> pool(pages_.size() * 2 * kStride * bytes, std::uint8_t{0xff});
    const int oldest = window_ == 0 ? 0 : std::max(shape_.cells - shape_.tokens - window_ + 1, 0);
    for (auto cell = static_cast<std::size_t>(oldest); cell < static_cast<std::size_t>(shape_.cells); ++cell) {
      const auto at = std::size_t{pages_[cell / kBlockCells]} * kStride + cell % kBlockCells;
      std::copy_n(cells + cell * bytes, bytes, pool.begin() + static_cast<std::ptrdiff_t>(at * bytes));
    }
    return pool;
  }

  Shape shape_;
  int window_;
  std::mt19937 random_;
  Tile dense_;
  std::vector<std::uint32_t> pages_;
  std::vector<std::uint8_t> keys_, values_;
};

class AttentionBits : public ::testing::TestWithParam<InstructionSet> {
 protected:
  Shape some_shape() {
    const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); };
    const auto type = [&] { return kTypes[static_cast<std::size_t>(pick(0, 4))]; };
    const int heads = pick(1, 8);
    return {32 * pick(1, 6), 32 * pick(1, 6), pick(1, kMaxRows / heads), heads, pick(kMaxRows, 260), type(), type()};
  }

  std::mt19937 random_{20261124};
};

TEST_P(AttentionBits, RandomTilesGiveTheScalarBitsInMemoryOfExactSize) {
  for (unsigned round = 0; round < 60; ++round) {
    const auto shape = some_shape();
    Tile tile(shape, round % 2 == 0 ? Against::kEnd : Against::kBegin, round);
    const auto expected = tile.attend(attention_of(InstructionSet::kScalar));
    const auto got = tile.attend(attention_of(GetParam()));
    ASSERT_EQ(differing(got.data(), expected.data(), expected.size()), 0U) << "round " << round;
    ASSERT_TRUE(std::all_of(got.begin(), got.end(), [](float x) { return std::isfinite(x); })) << "round " << round;
  }
}

TEST_P(AttentionBits, BlocksMergedAreTheWhole) {
  for (unsigned round = 0; round < 20; ++round) {
    Tile tile(some_shape(), Against::kEnd, round);
    const auto whole = tile.attend(attention_of(GetParam()));
    const auto merged = tile.attend_by_blocks(attention_of(GetParam()));
    ASSERT_EQ(differing(merged.data(), whole.data(), whole.size()), 0U) << "round " << round;
  }
}

TEST_P(AttentionBits, PagesGiveTheBitsOfCellsInARow) {
  for (unsigned round = 0; round < 60; ++round) {
    const auto shape = some_shape();
    const int window = round % 3 == 0 ? 0 : std::uniform_int_distribution<int>(1, shape.cells + 10)(random_);
    PagedTile tile(shape, window, round);
    const auto expected = tile.attend_dense(attention_of(InstructionSet::kScalar));
    const auto paged = tile.attend_pages(attention_of(GetParam()));
    ASSERT_EQ(differing(paged.data(), expected.data(), expected.size()), 0U) << "round " << round;
    const auto blocks = tile.attend_pages_by_blocks(attention_of(GetParam()));
    ASSERT_EQ(differing(blocks.data(), expected.data(), expected.size()), 0U) << "round " << round;
  }
}

TEST_P(AttentionBits, WhatNoTokenSeesMayBeAnything) {
  for (unsigned round = 0; round < 20; ++round) {
    auto shape = some_shape();
    shape.tokens = 1;
    Tile tile(shape, Against::kEnd, round);
    const auto before = tile.attend(attention_of(GetParam()));
    tile.poison_hidden();
    const auto after = tile.attend(attention_of(GetParam()));
    ASSERT_EQ(differing(after.data(), before.data(), before.size()), 0U) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, AttentionBits, ::testing::ValuesIn(available()), testing::set_name);

}  // namespace
}  // namespace bulkhead::engines::llama::kernels
