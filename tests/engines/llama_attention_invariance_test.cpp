// SPDX-License-Identifier: MIT
// A query's attention depends on nothing but itself and the cells it sees: the same bits for any neighbours, threads,
// chunks, padding and poison. ggml's own operator is the control that differs.
#include "engines/attention_case.h"

#include <gtest/gtest.h>

#include <array>

namespace bulkhead::testing {
namespace {

namespace kernels = engines::llama::kernels;

class LlamaAttentionInvariance : public ::testing::Test {
 protected:
  void SetUp() override { kernels::install_attention(); }
};

// Head sizes and head counts of Gemma 3 270M, Qwen2.5 0.5B and 1.5B.
std::vector<AttentionShape> models() {
  return {{.key_size = 256, .value_size = 256, .heads = 4, .kv_heads = 1},
          {.key_size = 64, .value_size = 64, .heads = 14, .kv_heads = 2},
          {.key_size = 128, .value_size = 128, .heads = 12, .kv_heads = 2}};
}

std::vector<AttentionShape> models_and_types() {
  std::vector<AttentionShape> all;
  for (AttentionShape shape : models()) {
    for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0}) {
      shape.key_type = shape.value_type = type;
      all.push_back(shape);
    }
  }
  return all;
}

int padded(int cells) {
  return (cells + 255) / 256 * 256;  // as libllama does
}

// `source`'s streams in the order given, seen through as many cells as `cells`; what lies beyond the source's own cells
// is poison that no query sees.
AttentionInputs select(AttentionInputs& source, const std::vector<int>& streams, int cells) {
  AttentionShape shape = source.shape;
  shape.streams = static_cast<int>(streams.size());
  shape.cells = cells;
  AttentionInputs in = hidden_poison(shape);
  const int kept = std::min(cells, source.shape.cells);
  const auto kept_cells = static_cast<std::size_t>(kept * shape.kv_heads);
  for (int s = 0; s < shape.streams; ++s) {
    const int from = streams[static_cast<std::size_t>(s)];
    std::memcpy(in.key(s, 0), source.key(from, 0), kept_cells * in.key_row());
    std::memcpy(in.value(s, 0), source.value(from, 0), kept_cells * in.value_row());
    for (int t = 0; t < shape.tokens; ++t) {
      std::memcpy(in.query(s, t), source.query(from, t), in.query_floats() * sizeof(float));
      std::memcpy(in.mask_row(s, t), source.mask_row(from, t), static_cast<std::size_t>(kept) * sizeof(ggml_fp16_t));
    }
  }
  return in;
}

// Tokens [first, first + count) of stream 0, with as many cells as libllama would show them.
AttentionInputs chunk(AttentionInputs& source, int first, int count, int cells) {
  AttentionShape shape = source.shape;
  shape.tokens = count;
  shape.cells = cells;
  AttentionInputs in = hidden_poison(shape);
  const int kept = std::min(cells, source.shape.cells);
  const auto kept_cells = static_cast<std::size_t>(kept * shape.kv_heads);
  std::memcpy(in.key(0, 0), source.key(0, 0), kept_cells * in.key_row());
  std::memcpy(in.value(0, 0), source.value(0, 0), kept_cells * in.value_row());
  for (int t = 0; t < count; ++t) {
    std::memcpy(in.query(0, t), source.query(0, first + t), in.query_floats() * sizeof(float));
    std::memcpy(in.mask_row(0, t), source.mask_row(0, first + t), static_cast<std::size_t>(kept) * sizeof(ggml_fp16_t));
  }
  return in;
}

TEST_F(LlamaAttentionInvariance, AloneAndAmongOtherStreamsOnAnyNumberOfThreads) {
  for (AttentionShape shape : models_and_types()) {
    shape.streams = 16;
    shape.cells = 300;
    AttentionInputs all = random_inputs(shape);
    all.set_mask([](int stream, int /*token*/, int cell) { return causal(cell, 20 + 17 * stream); });
    std::vector<std::vector<float>> alone;
    for (int s = 0; s < shape.streams; ++s) alone.push_back(run(select(all, {s}, 300), AttentionChoice::kBulkhead, 1));
    for (int streams = 1; streams <= 16; ++streams) {
      std::vector<int> order;
      for (int s = 0; s < streams; ++s) order.push_back((s * 5 + streams) % 16);
      const AttentionInputs in = select(all, order, streams % 2 == 0 ? 300 : 512);
      for (int threads = 1; threads <= 4; ++threads) {
        const auto together = run(in, AttentionChoice::kBulkhead, threads);
        for (std::size_t s = 0; s < order.size(); ++s) {
          const auto& expected = alone[static_cast<std::size_t>(order[s])];
          EXPECT_EQ(differing(together.data() + s * in.out_floats(), expected.data(), in.out_floats()), 0U)
              << describe(in.shape) << " stream " << s << " threads " << threads;
        }
      }
    }
  }
}

TEST_F(LlamaAttentionInvariance, EveryLengthAloneAndPaddedBesideEightThousandCells) {
  for (AttentionShape shape : models_and_types()) {
    for (const int length : {63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 511, 512, 513, 2100}) {
      shape.streams = 1;
      shape.cells = length;
      AttentionInputs exact = random_inputs(shape, static_cast<unsigned>(length));
      const auto expected = run(exact, AttentionChoice::kBulkhead, 1);
      for (const int cells : {padded(length), 8000}) {
        const AttentionInputs longer = select(exact, {0}, cells);
        for (const int threads : {1, 2, 3, 4}) {
          EXPECT_EQ(differing(run(longer, AttentionChoice::kBulkhead, threads), expected), 0U)
              << length << " cells of " << cells << ", threads " << threads << ", " << describe(shape);
        }
      }
    }
  }
}

// A prefill in chunks of any size equals token by token, from the beginning and after 100 cells, with and without a
// window.
TEST_F(LlamaAttentionInvariance, PrefillInChunksEqualsTokenByToken) {
  for (AttentionShape shape : models()) {
    for (const ggml_type type : {GGML_TYPE_F16, GGML_TYPE_Q8_0}) {
      for (const int window : {0, 128}) {
        constexpr int kTokens = 512;
        constexpr int kBefore = 100;
        shape.key_type = shape.value_type = type;
        shape.tokens = kTokens;
        shape.cells = kBefore + kTokens;
        AttentionInputs whole = random_inputs(shape, 7);
        whole.set_mask([&](int, int token, int cell) { return causal(cell, kBefore + token, window); });
        std::vector<float> one_by_one;
        for (int t = 0; t < kTokens; ++t) {
          const auto row = run(chunk(whole, t, 1, padded(kBefore + t + 1)), AttentionChoice::kBulkhead, 1 + t % 3);
          one_by_one.insert(one_by_one.end(), row.begin(), row.end());
        }
        for (const int size : {7, 64, 100, 256, 512}) {
          std::vector<float> chunked;
          for (int t = 0; t < kTokens; t += size) {
            const int count = std::min(size, kTokens - t);
            const auto rows =
                run(chunk(whole, t, count, padded(kBefore + t + count)), AttentionChoice::kBulkhead, 1 + t % 2);
            chunked.insert(chunked.end(), rows.begin(), rows.end());
          }
          EXPECT_EQ(differing(chunked, one_by_one), 0U) << size << " window " << window << " " << describe(shape);
        }
      }
    }
  }
}

// Every cell that a query does not see is poisoned, with NaN and with infinities: within the window's blocks too.
TEST_F(LlamaAttentionInvariance, PoisonInInvisibleCellsChangesNothing) {
  for (AttentionShape shape : models_and_types()) {
    for (const int tokens : {1, 5, 40}) {
      shape.tokens = tokens;
      shape.cells = 330;
      AttentionInputs clean = random_inputs(shape, 5);
      // All tokens see the same, odd, cells, so that all others can be poisoned.
      const auto visible = [](int, int, int cell) {
        return cell >= 90 && cell < 300 && cell % 3 != 1 ? 0.0F : kHidden;
      };
      clean.set_mask(visible);
      const auto expected = run(clean);
      ASSERT_FALSE(std::isnan(expected[0]));
      for (const std::uint16_t half : {std::uint16_t{0x7e00}, std::uint16_t{0x7c00}, std::uint16_t{0xfc00}}) {
        AttentionInputs poisoned = clean;
        for (int c = 0; c < shape.cells; ++c) {
          if (visible(0, 0, c) == 0.0F) continue;
          for (int h = 0; h < shape.kv_heads; ++h) {
            // As halves they are the elements of F16 and the scales of the quantized types.
            for (std::size_t i = 0; i + 1 < clean.key_row(); i += 2) std::memcpy(poisoned.key(0, c, h) + i, &half, 2);
            for (std::size_t i = 0; i + 1 < clean.value_row(); i += 2)
              std::memcpy(poisoned.value(0, c, h) + i, &half, 2);
          }
        }
        for (const int threads : {1, 2}) {
          EXPECT_EQ(differing(run(poisoned, AttentionChoice::kBulkhead, threads), expected), 0U) << describe(shape);
        }
      }
    }
  }
}

// NaN in one query, or in a cell that one query sees, stays with that query.
TEST_F(LlamaAttentionInvariance, PoisonStaysWithTheQueryThatSeesIt) {
  for (AttentionShape shape : models()) {
    shape.tokens = 40;
    shape.cells = 200;
    AttentionInputs clean = random_inputs(shape, 6);
    clean.set_mask([](int, int token, int cell) { return causal(cell, 150 + token); });
    const auto expected = run(clean);
    AttentionInputs poisoned = clean;
    poisoned.query(0, 11)[3] = std::numeric_limits<float>::quiet_NaN();
    std::memset(poisoned.value(0, 150 + 30), 0xff, clean.value_row());  // seen by tokens 30 and later
    const auto out = run(poisoned);
    for (int t = 0; t < shape.tokens; ++t) {
      const std::size_t row = static_cast<std::size_t>(t) * clean.out_floats();
      if (t == 11 || t >= 30) {
        EXPECT_TRUE(std::isnan(out[row])) << t;
      } else {
        EXPECT_EQ(differing(out.data() + row, expected.data() + row, clean.out_floats()), 0U) << t;
      }
    }
  }
}

// The same cells seen from another place in the batch, beside other tokens, with other tokens' masks.
TEST_F(LlamaAttentionInvariance, AnyPlaceInTheBatch) {
  for (AttentionShape shape : models_and_types()) {
    shape.tokens = 50;
    shape.cells = 256;
    AttentionInputs first = random_inputs(shape, 8);
    first.set_mask([](int, int token, int cell) { return causal(cell, 60 + token); });
    AttentionInputs second = first;
    std::mt19937 random(3);
    std::vector<int> order(static_cast<std::size_t>(shape.tokens));
    for (std::size_t t = 0; t < order.size(); ++t) order[t] = static_cast<int>(t);
    std::shuffle(order.begin(), order.end(), random);
    for (int t = 0; t < shape.tokens; ++t) {
      const int from = order[static_cast<std::size_t>(t)];
      std::memcpy(second.query(0, t), first.query(0, from), first.query_floats() * sizeof(float));
      std::memcpy(second.mask_row(0, t), first.mask_row(0, from),
                  static_cast<std::size_t>(shape.cells) * sizeof(ggml_fp16_t));
    }
    const auto a = run(first);
    const auto b = run(second);
    for (std::size_t t = 0; t < order.size(); ++t) {
      const auto from = static_cast<std::size_t>(order[t]);
      EXPECT_EQ(differing(b.data() + t * first.out_floats(), a.data() + from * first.out_floats(), first.out_floats()),
                0U);
    }
  }
}

// The control: these tests can tell. ggml's operator does change with the number of threads from 512 cells on.
TEST_F(LlamaAttentionInvariance, GgmlsOwnOperatorDoesDiffer) {
  AttentionShape shape = models()[0];
  shape.cells = 600;
  const AttentionInputs in = random_inputs(shape);
  EXPECT_NE(differing(run(in, AttentionChoice::kStock, 1), run(in, AttentionChoice::kStock, 2)), 0U);
}

}  // namespace
}  // namespace bulkhead::testing
