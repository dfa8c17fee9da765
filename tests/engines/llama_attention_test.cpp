// SPDX-License-Identifier: MIT
// Our attention operator: right (against double precision and ggml's own), the same bits on every instruction set, and
// within its buffers.
#define BULKHEAD_KERNELS_SCALAR
#include "engines/attention_case.h"
#include "engines/llama/kernels/simd_math.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace bulkhead::testing {
namespace {

namespace kernels = engines::llama::kernels;

class LlamaAttention : public ::testing::Test {
 protected:
  void SetUp() override { kernels::install_attention(); }
  void TearDown() override { kernels::install_attention(); }  // the best set again
};

// Shapes of the three models, and the odd ones: unequal head sizes, more heads than a tile, sinks, slopes, soft caps.
std::vector<AttentionShape> shapes() {
  return {
      {.key_size = 256, .value_size = 256, .heads = 4, .kv_heads = 1, .tokens = 1, .cells = 300},
      {.key_size = 256, .value_size = 256, .heads = 4, .kv_heads = 1, .tokens = 33, .cells = 130},
      {.key_size = 128, .value_size = 128, .heads = 12, .kv_heads = 2, .tokens = 5, .cells = 192},
      {.key_size = 64, .value_size = 64, .heads = 14, .kv_heads = 2, .tokens = 20, .streams = 2, .cells = 513},
      {.key_size = 64, .value_size = 64, .heads = 14, .kv_heads = 2, .tokens = 1, .streams = 3, .cells = 100},
      {.key_size = 192, .value_size = 128, .heads = 3, .kv_heads = 3, .tokens = 9, .cells = 70},
      {.key_size = 80, .value_size = 112, .heads = 10, .kv_heads = 2, .tokens = 3, .cells = 65},
      {.key_size = 64, .value_size = 64, .heads = 71, .kv_heads = 1, .tokens = 2, .cells = 128},
      {.key_size = 64, .value_size = 64, .heads = 8, .kv_heads = 8, .tokens = 11, .cells = 90, .sinks = true},
      {.key_size = 96, .value_size = 96, .heads = 6, .kv_heads = 2, .tokens = 7, .cells = 129, .max_bias = 8.0F},
      {.key_size = 128, .value_size = 128, .heads = 4, .kv_heads = 2, .tokens = 4, .cells = 200, .softcap = 30.0F},
      {.key_size = 64, .value_size = 64, .heads = 4, .kv_heads = 2, .tokens = 4, .cells = 77, .mask = false},
  };
}

constexpr std::array kCellTypes = {GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0};

// Causal with a few holes and a few biases: full, partial and empty blocks.
void set_ragged_mask(AttentionInputs& in) {
  const AttentionShape& shape = in.shape;
  in.set_mask([&](int s, int t, int c) {
    if ((c * 7 + s) % 61 == 3) return kHidden;
    if (causal(c, shape.cells - shape.tokens + t) == kHidden) return kHidden;
    return (c + t) % 29 == 5 ? -0.75F * static_cast<float>(1 + c % 3) : 0.0F;
  });
}

std::vector<AttentionInputs> cases() {
  std::vector<AttentionInputs> all;
  for (AttentionShape shape : shapes()) {
    for (const ggml_type type : kCellTypes) {
      const int block = static_cast<int>(ggml_blck_size(type));
      if (shape.key_size % block != 0 || shape.value_size % block != 0) continue;
      shape.key_type = shape.value_type = type;
      all.push_back(random_inputs(shape, static_cast<unsigned>(all.size() + 1)));
      set_ragged_mask(all.back());
    }
  }
  // Each independently.
  AttentionShape mixed = shapes()[2];
  mixed.key_type = GGML_TYPE_Q8_0;
  mixed.value_type = GGML_TYPE_Q4_0;
  all.push_back(random_inputs(mixed));
  mixed.key_type = GGML_TYPE_F16;
  mixed.value_type = GGML_TYPE_F32;
  all.push_back(random_inputs(mixed));
  return all;
}

TEST_F(LlamaAttention, EveryInstructionSetGivesTheScalarBits) {
  for (const AttentionInputs& in : cases()) {
    kernels::install_attention(kernels::InstructionSet::kScalar);
    const auto scalar = run(in);
    for (const auto set : kernels::available()) {
      kernels::install_attention(set);
      EXPECT_EQ(differing(run(in), scalar), 0U) << kernels::name(set) << ": " << describe(in.shape);
    }
  }
}

TEST_F(LlamaAttention, IsNoFurtherFromDoublePrecisionThanGgml) {
  for (AttentionInputs& in : cases()) {
    const auto taken = kernels::attention_taken();
    const double ours = distance_from_reference(in, run(in));
    EXPECT_EQ(kernels::attention_taken(), taken + 1) << describe(in.shape);
    const double stock = distance_from_reference(in, run(in, AttentionChoice::kStock));
    EXPECT_EQ(kernels::attention_taken(), taken + 1);
    // Where ggml is exact to the last bit too (single cells), both are rounding noise.
    EXPECT_LE(ours, stock + 1e-8) << describe(in.shape);
    EXPECT_LT(ours, 5e-7) << describe(in.shape);
  }
}

TEST_F(LlamaAttention, AQueryThatSeesNothingGivesZerosAsGgmlDoes) {
  for (const bool sinks : {false, true}) {
    AttentionInputs in = random_inputs({.heads = 4, .kv_heads = 2, .tokens = 3, .cells = 140, .sinks = sinks});
    in.set_mask([](int /*stream*/, int token, int cell) { return token == 1 || cell > 100 ? kHidden : 0.0F; });
    const auto ours = run(in);
    const auto stock = run(in, AttentionChoice::kStock);
    for (std::size_t i = in.out_floats(); i < 2 * in.out_floats(); ++i) {
      EXPECT_EQ(ours[i], 0.0F);
      EXPECT_EQ(stock[i], 0.0F);
    }
    EXPECT_NE(ours[0], 0.0F);
  }
}

TEST_F(LlamaAttention, WhatIsNotSupportedIsLeftToGgmlAndCounted) {
  AttentionInputs in = random_inputs({.key_size = 40, .value_size = 40, .cells = 64});
  const auto before = kernels::attention_fell_through();
  const auto ours = run(in);
  EXPECT_EQ(kernels::attention_fell_through(), before + 1);
  const auto stock = run(in, AttentionChoice::kStock);
  EXPECT_EQ(kernels::attention_fell_through(), before + 1) << "nobody asked for ours";
  EXPECT_EQ(differing(ours, stock), 0U);
}

TEST_F(LlamaAttention, TheChoiceIsThePlanningThreadsAndElseTheProcesss) {
  const AttentionInputs in = random_inputs({.cells = 600});
  const auto bits = [&](AttentionChoice process) {
    kernels::set_attention_choice(process);
    const auto taken = kernels::attention_taken();
    const GgmlContext context = no_alloc_context();
    std::vector<float> out(out_size(in));
    const AttentionMemory memory = {
        in.queries.data(), in.keys.data(), in.values.data(), in.mask.data(), nullptr, out.data(), {}};
    ggml_cgraph* graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, attention_operation(context.get(), in.shape, memory));
    ggml_graph_plan(graph, 2, nullptr);
    return kernels::attention_taken() - taken;
  };
  EXPECT_EQ(bits(AttentionChoice::kStock), 0U);
  EXPECT_EQ(bits(AttentionChoice::kBulkhead), 1U);
  {
    const AttentionScope stock(AttentionChoice::kStock);
    EXPECT_EQ(bits(AttentionChoice::kBulkhead), 0U);
    std::uint64_t elsewhere = 0;
    std::thread([&] { elsewhere = bits(AttentionChoice::kBulkhead); }).join();
    EXPECT_EQ(elsewhere, 1U) << "the scope is this thread's alone";
    const AttentionScope inner(AttentionChoice::kBulkhead);
    EXPECT_EQ(bits(AttentionChoice::kStock), 1U);
  }
  EXPECT_EQ(bits(AttentionChoice::kBulkhead), 1U);
}

TEST_F(LlamaAttention, APlannedGraphKeepsItsChoice) {
  const AttentionInputs in = random_inputs({.cells = 600});
  const auto ours = run(in);
  const auto stock = run(in, AttentionChoice::kStock);
  ASSERT_NE(differing(ours, stock), 0U);
  std::vector<float> out(out_size(in));
  const AttentionMemory memory = {
      in.queries.data(), in.keys.data(), in.values.data(), in.mask.data(), nullptr, out.data(), {}};
  const GgmlContext context = no_alloc_context();
  ggml_cgraph* graph = ggml_new_graph(context.get());
  ggml_build_forward_expand(graph, attention_operation(context.get(), in.shape, memory));
  ggml_cplan plan = ggml_graph_plan(graph, 2, nullptr);
  std::vector<std::uint8_t> work(plan.work_size);
  plan.work_data = work.data();
  kernels::set_attention_choice(AttentionChoice::kStock);
  ggml_graph_compute(graph, &plan);
  kernels::set_attention_choice(AttentionChoice::kBulkhead);
  EXPECT_EQ(differing(out, ours), 0U);
  // The same nodes planned anew follow the choice of that moment.
  {
    const AttentionScope scope(AttentionChoice::kStock);
    plan = ggml_graph_plan(graph, 2, nullptr);
  }
  work.resize(plan.work_size);
  plan.work_data = work.data();
  ggml_graph_compute(graph, &plan);
  EXPECT_EQ(differing(out, stock), 0U);
}

// Memory that ends (or begins) exactly at a page that nobody may touch.
class GuardedBytes {
 public:
  GuardedBytes(std::size_t size, bool at_end) : size_(size) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    whole_ = (size + page - 1) / page * page + 2 * page;
    base_ = static_cast<std::uint8_t*>(mmap(nullptr, whole_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (whole_ > 2 * page) mprotect(base_ + page, whole_ - 2 * page, PROT_READ | PROT_WRITE);
    data_ = at_end ? base_ + whole_ - page - size : base_ + page;
  }
  ~GuardedBytes() { munmap(base_, whole_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  template <typename T>
  T* fill(const std::vector<T>& from) {
    if (!from.empty()) std::memcpy(data_, from.data(), size_);
    return reinterpret_cast<T*>(data_);
  }
  void* data() { return data_; }

 private:
  std::size_t size_, whole_ = 0;
  std::uint8_t *base_ = nullptr, *data_ = nullptr;
};

template <typename T>
std::size_t bytes_in(const std::vector<T>& vector) {
  return vector.size() * sizeof(T);
}

TEST_F(LlamaAttention, StaysWithinItsBuffers) {
  for (const AttentionInputs& in : cases()) {
    for (const auto set : kernels::available()) {
      kernels::install_attention(set);
      for (const bool at_end : {true, false}) {
        GuardedBytes queries(bytes_in(in.queries), at_end);
        GuardedBytes keys(bytes_in(in.keys), at_end);
        GuardedBytes values(bytes_in(in.values), at_end);
        GuardedBytes mask(bytes_in(in.mask), at_end);
        GuardedBytes sinks(bytes_in(in.sinks), at_end);
        GuardedBytes out(out_size(in) * sizeof(float), at_end);
        std::unique_ptr<GuardedBytes> work;
        const AttentionMemory memory = {queries.fill(in.queries),
                                        keys.fill(in.keys),
                                        values.fill(in.values),
                                        mask.fill(in.mask),
                                        sinks.fill(in.sinks),
                                        static_cast<float*>(out.data()),
                                        [&](std::size_t size) {
                                          // ggml asks for some more than the operation said; what it adds lies at the
                                          // end.
                                          work = std::make_unique<GuardedBytes>(size, at_end);
                                          return work->data();
                                        }};
        run_attention(in.shape, memory, AttentionChoice::kBulkhead, 2);
        const auto plain = run(in);
        EXPECT_EQ(differing(plain.data(), static_cast<float*>(out.data()), plain.size()), 0U) << describe(in.shape);
      }
    }
  }
}

// Largest distance in units in the last place of the result.
template <typename Ours, typename Exact>
double largest_error(float from, float to, Ours ours, Exact exact) {
  double largest = 0;
  constexpr int kSteps = 400000;
  for (int i = 0; i <= kSteps; ++i) {
    const float x = from + (to - from) * static_cast<float>(i) / kSteps;
    const double want = exact(static_cast<double>(x));
    float got[kernels::kLanes];
    kernels::store(got, ours(kernels::broadcast(x)));
    const double unit = std::ldexp(1.0, std::max(std::ilogb(want), -126) - 23);
    largest = std::max(largest, std::abs(static_cast<double>(got[i % kernels::kLanes]) - want) / unit);
  }
  return largest;
}

TEST(LlamaAttentionMath, ExponentialIsWithinTwoUnits) {
  const auto ours = [](kernels::F32x16 x) { return kernels::exponential(x); };
  const auto exact = [](double x) { return std::exp(x); };
  EXPECT_LT(largest_error(-86.9F, 0.0F, ours, exact), 2.0);
  EXPECT_LT(largest_error(-1.0F, 0.0F, ours, exact), 2.0);
  EXPECT_LT(largest_error(0.0F, 88.0F, ours, exact), 2.0);
}

TEST(LlamaAttentionMath, TangentIsWithinThreeUnits) {
  const auto ours = [](kernels::F32x16 x) { return kernels::hyperbolic_tangent(x); };
  const auto exact = [](double x) { return std::tanh(x); };
  EXPECT_LT(largest_error(-12.0F, 12.0F, ours, exact), 3.0);
  EXPECT_LT(largest_error(1e-6F, 0.6F, ours, exact), 3.0);
}

TEST(LlamaAttentionMath, SpecialValues) {
  const auto lane = [](kernels::F32x16 x) {
    float lanes[kernels::kLanes];
    kernels::store(lanes, x);
    return lanes[7];
  };
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(lane(kernels::exponential(kernels::broadcast(0.0F))), 1.0F);
  EXPECT_EQ(lane(kernels::exponential(kernels::broadcast(-0.0F))), 1.0F);
  EXPECT_EQ(lane(kernels::exponential(kernels::broadcast(-infinity))), 0.0F);
  EXPECT_EQ(lane(kernels::exponential(kernels::broadcast(-88.0F))), 0.0F);
  EXPECT_TRUE(std::isnan(lane(kernels::exponential(kernels::broadcast(nan)))));
  EXPECT_EQ(lane(kernels::hyperbolic_tangent(kernels::broadcast(infinity))), 1.0F);
  EXPECT_EQ(lane(kernels::hyperbolic_tangent(kernels::broadcast(-infinity))), -1.0F);
  EXPECT_EQ(lane(kernels::hyperbolic_tangent(kernels::broadcast(0.0F))), 0.0F);
  EXPECT_TRUE(std::isnan(lane(kernels::hyperbolic_tangent(kernels::broadcast(nan)))));
}

}  // namespace
}  // namespace bulkhead::testing
