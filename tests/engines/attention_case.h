// SPDX-License-Identifier: MIT
// One flash-attention operation of ggml with the layouts that libllama gives it, for the tests of our own operator:
// seeded inputs, a run through a ggml graph, and the result in double precision.
#pragma once

#include "engines/llama/kernels/attention_op.h"

#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace bulkhead::testing {

using engines::llama::kernels::AttentionChoice;
using engines::llama::kernels::AttentionScope;

struct AttentionShape {
  int key_size = 64, value_size = 64;
  int heads = 4, kv_heads = 1;
  int tokens = 1, streams = 1;
  int cells = 64;
  ggml_type key_type = GGML_TYPE_F16, value_type = GGML_TYPE_F16;
  float softcap = 0, max_bias = 0;
  bool sinks = false, mask = true;
};

// What a query sees of a cell: 0, a bias, or kHidden.
inline constexpr float kHidden = -std::numeric_limits<float>::infinity();

// Token i of n stands at cell `cells_before + i` and sees what is not after it, and within `window` cells if that is
// not 0.
inline float causal(int cell, int position, int window = 0) {
  return cell <= position && (window == 0 || cell > position - window) ? 0.0F : kHidden;
}

// The bytes of all inputs, in libllama's layouts. Queries [stream][token][head][d]; keys and values
// [stream][cell][kv head][d]; mask [stream][token][cell]; result [stream][token][head][d].
struct AttentionInputs {
  AttentionShape shape;
  std::vector<float> queries;
  std::vector<std::uint8_t> keys, values;
  std::vector<ggml_fp16_t> mask;
  std::vector<float> sinks;

  std::size_t key_row() const { return ggml_row_size(shape.key_type, shape.key_size); }
  std::size_t value_row() const { return ggml_row_size(shape.value_type, shape.value_size); }
  std::size_t query_floats() const {
    return static_cast<std::size_t>(shape.key_size) * static_cast<std::size_t>(shape.heads);
  }
  std::size_t out_floats() const {
    return static_cast<std::size_t>(shape.value_size) * static_cast<std::size_t>(shape.heads);
  }
  std::uint8_t* key(int stream, int cell, int head = 0) { return keys.data() + index(stream, cell, head) * key_row(); }
  std::uint8_t* value(int stream, int cell, int head = 0) {
    return values.data() + index(stream, cell, head) * value_row();
  }
  float* query(int stream, int token) {
    return queries.data() + static_cast<std::size_t>(stream * shape.tokens + token) * query_floats();
  }
  ggml_fp16_t* mask_row(int stream, int token) {
    return mask.data() +
           static_cast<std::size_t>(stream * shape.tokens + token) * static_cast<std::size_t>(shape.cells);
  }
  // visible(stream, token, cell)
  void set_mask(const std::function<float(int, int, int)>& visible) {
    for (int s = 0; s < shape.streams; ++s) {
      for (int t = 0; t < shape.tokens; ++t) {
        for (int c = 0; c < shape.cells; ++c) mask_row(s, t)[c] = ggml_fp32_to_fp16(visible(s, t, c));
      }
    }
  }

 private:
  std::size_t index(int stream, int cell, int head) const {
    return (static_cast<std::size_t>(stream) * static_cast<std::size_t>(shape.cells) + static_cast<std::size_t>(cell)) *
               static_cast<std::size_t>(shape.kv_heads) +
           static_cast<std::size_t>(head);
  }
};

inline std::vector<std::uint8_t> random_rows(ggml_type type, std::size_t rows, int size, std::mt19937& random) {
  const std::size_t row = ggml_row_size(type, size);
  std::vector<std::uint8_t> bytes(rows * row);
  std::vector<float> floats(static_cast<std::size_t>(size));
  std::normal_distribution<float> normal;
  for (std::size_t r = 0; r < rows; ++r) {
    for (float& x : floats) x = normal(random);
    if (type == GGML_TYPE_F32) {
      std::memcpy(bytes.data() + r * row, floats.data(), row);
    } else {
      ggml_get_type_traits(type)->from_float_ref(floats.data(), bytes.data() + r * row, size);
    }
  }
  return bytes;
}

// Seeded: the same shape and seed give the same bytes. Every query sees every cell until set_mask() says otherwise.
inline AttentionInputs random_inputs(const AttentionShape& shape, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  AttentionInputs in;
  in.shape = shape;
  const auto streams = static_cast<std::size_t>(shape.streams);
  in.queries.resize(streams * static_cast<std::size_t>(shape.tokens) * in.query_floats());
  for (float& x : in.queries) x = 1.5F * normal(random);
  const std::size_t rows = streams * static_cast<std::size_t>(shape.cells * shape.kv_heads);
  in.keys = random_rows(shape.key_type, rows, shape.key_size, random);
  in.values = random_rows(shape.value_type, rows, shape.value_size, random);
  in.mask.assign(streams * static_cast<std::size_t>(shape.tokens * shape.cells), ggml_fp32_to_fp16(0));
  if (shape.sinks) {
    in.sinks.resize(static_cast<std::size_t>(shape.heads));
    for (float& x : in.sinks) x = normal(random);
  }
  return in;
}

// The same sizes, nothing visible, and every cell poison: NaN in every type.
inline AttentionInputs hidden_poison(const AttentionShape& shape) {
  AttentionInputs in;
  in.shape = shape;
  const auto rows = static_cast<std::size_t>(shape.streams * shape.cells * shape.kv_heads);
  const auto tokens = static_cast<std::size_t>(shape.streams * shape.tokens);
  in.queries.resize(tokens * in.query_floats());
  in.keys.assign(rows * in.key_row(), std::uint8_t{0xff});
  in.values.assign(rows * in.value_row(), std::uint8_t{0xff});
  in.mask.assign(tokens * static_cast<std::size_t>(shape.cells), ggml_fp32_to_fp16(kHidden));
  return in;
}

// Where a run finds its bytes: the vectors of the inputs, or copies elsewhere (guard pages).
struct AttentionMemory {
  const float* queries;
  const std::uint8_t *keys, *values;
  const ggml_fp16_t* mask;
  const float* sinks;
  float* out;
  std::function<void*(std::size_t)> work;  // gives so many bytes; empty: ordinary memory
};

using GgmlContext = std::unique_ptr<ggml_context, decltype(&ggml_free)>;

inline GgmlContext no_alloc_context() {
  return {ggml_init({.mem_size = std::size_t{1} << 20U, .mem_buffer = nullptr, .no_alloc = true}), &ggml_free};
}

// The operation in `context`, its tensors pointing into `memory`.
inline ggml_tensor* attention_operation(ggml_context* context, const AttentionShape& shape,
                                        const AttentionMemory& memory) {
  const auto place = [](ggml_tensor* tensor, const void* data) {
    tensor->data = const_cast<void*>(data);  // NOLINT(*-const-cast): ggml has no type for what it only reads
    return tensor;
  };
  const auto permuted = [&](ggml_type type, int size, int heads, int rows, const void* data) {
    return ggml_permute(context, place(ggml_new_tensor_4d(context, type, size, heads, rows, shape.streams), data), 0, 2,
                        1, 3);
  };
  ggml_tensor* queries = permuted(GGML_TYPE_F32, shape.key_size, shape.heads, shape.tokens, memory.queries);
  ggml_tensor* keys = permuted(shape.key_type, shape.key_size, shape.kv_heads, shape.cells, memory.keys);
  ggml_tensor* values = permuted(shape.value_type, shape.value_size, shape.kv_heads, shape.cells, memory.values);
  ggml_tensor* mask = nullptr;
  if (shape.mask) {
    mask = place(ggml_new_tensor_4d(context, GGML_TYPE_F16, shape.cells, shape.tokens, 1, shape.streams), memory.mask);
  }
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.key_size));
  ggml_tensor* result = ggml_flash_attn_ext(context, queries, keys, values, mask, scale, shape.max_bias, shape.softcap);
  if (shape.sinks) {
    ggml_flash_attn_ext_add_sinks(result, place(ggml_new_tensor_1d(context, GGML_TYPE_F32, shape.heads), memory.sinks));
  }
  ggml_prec_set_acc(result, GGML_PREC_F32);
  result->data = memory.out;
  // A permuted view's data is that of what it views only when it had some at the time: it had.
  return result;
}

inline void run_attention(const AttentionShape& shape, const AttentionMemory& memory, AttentionChoice choice,
                          int threads) {
  const GgmlContext context = no_alloc_context();
  ggml_cgraph* graph = ggml_new_graph(context.get());
  ggml_build_forward_expand(graph, attention_operation(context.get(), shape, memory));
  const AttentionScope scope(choice);
  ggml_cplan plan = ggml_graph_plan(graph, threads, nullptr);
  std::vector<std::uint8_t> work;
  if (memory.work) {
    plan.work_data = static_cast<std::uint8_t*>(memory.work(plan.work_size));
  } else {
    work.resize(plan.work_size);
    plan.work_data = work.data();
  }
  ggml_graph_compute(graph, &plan);
}

inline std::size_t out_size(const AttentionInputs& in) {
  return static_cast<std::size_t>(in.shape.streams * in.shape.tokens) * in.out_floats();
}

// The result; NaN where the operator wrote nothing.
inline std::vector<float> run(const AttentionInputs& in, AttentionChoice choice = AttentionChoice::kBulkhead,
                              int threads = 2) {
  std::vector<float> out(out_size(in), std::numeric_limits<float>::quiet_NaN());
  const AttentionMemory memory = {
      in.queries.data(), in.keys.data(), in.values.data(), in.mask.data(), in.sinks.data(), out.data(), {}};
  run_attention(in.shape, memory, choice, threads);
  return out;
}

inline std::vector<float> row_floats(ggml_type type, const std::uint8_t* row, int size) {
  std::vector<float> floats(static_cast<std::size_t>(size));
  if (type == GGML_TYPE_F32) {
    std::memcpy(floats.data(), row, floats.size() * sizeof(float));
  } else {
    ggml_get_type_traits(type)->to_float(row, floats.data(), size);
  }
  return floats;
}

// How often the mask counts for a head (ALiBi), from the paper's definition: a geometric series over the power of two
// below, then every other one of the series with half the step.
inline double alibi_slope(const AttentionShape& shape, int head) {
  if (shape.max_bias <= 0) return 1;
  int power = 1;
  while (power * 2 <= shape.heads) power *= 2;
  const double step = static_cast<double>(shape.max_bias) / power;
  return head < power ? std::exp2(-step * (head + 1)) : std::exp2(-step / 2 * (2 * (head - power) + 1));
}

// One query in double precision over the very bytes of keys and values.
inline std::vector<double> reference_row(AttentionInputs& in, int stream, int token, int head) {
  const AttentionShape& shape = in.shape;
  const int kv_head = head / (shape.heads / shape.kv_heads);
  const double scale = 1.0F / std::sqrt(static_cast<float>(shape.key_size));
  const float* query = in.query(stream, token) + head * shape.key_size;
  std::vector<double> scores(static_cast<std::size_t>(shape.cells), -std::numeric_limits<double>::infinity());
  double largest = shape.sinks ? in.sinks[static_cast<std::size_t>(head)] : -std::numeric_limits<double>::infinity();
  for (int c = 0; c < shape.cells; ++c) {
    const float bias = shape.mask ? ggml_fp16_to_fp32(in.mask_row(stream, token)[c]) : 0;
    if (bias == kHidden) continue;
    const auto key = row_floats(shape.key_type, in.key(stream, c, kv_head), shape.key_size);
    double score = 0;
    for (int d = 0; d < shape.key_size; ++d) score += static_cast<double>(query[d]) * key[static_cast<std::size_t>(d)];
    score *= scale;
    if (shape.softcap != 0) score = shape.softcap * std::tanh(score / shape.softcap);
    scores[static_cast<std::size_t>(c)] = score + alibi_slope(shape, head) * static_cast<double>(bias);
    largest = std::max(largest, scores[static_cast<std::size_t>(c)]);
  }
  std::vector<double> result(static_cast<std::size_t>(shape.value_size));
  double sum = shape.sinks ? std::exp(in.sinks[static_cast<std::size_t>(head)] - largest) : 0;
  for (int c = 0; c < shape.cells; ++c) {
    const double score = scores[static_cast<std::size_t>(c)];
    if (score == -std::numeric_limits<double>::infinity()) continue;
    const double weight = std::exp(score - largest);
    sum += weight;
    const auto value = row_floats(shape.value_type, in.value(stream, c, kv_head), shape.value_size);
    for (std::size_t d = 0; d < result.size(); ++d) result[d] += weight * value[d];
  }
  for (double& x : result) x = sum == 0 ? 0 : x / sum;
  return result;
}

// Root mean square distance from the double-precision result, over all rows.
inline double distance_from_reference(AttentionInputs& in, const std::vector<float>& out) {
  double squares = 0;
  std::size_t i = 0;
  for (int s = 0; s < in.shape.streams; ++s) {
    for (int t = 0; t < in.shape.tokens; ++t) {
      for (int h = 0; h < in.shape.heads; ++h) {
        for (const double x : reference_row(in, s, t, h)) squares += std::pow(static_cast<double>(out[i++]) - x, 2);
      }
    }
  }
  return std::sqrt(squares / static_cast<double>(out.size()));
}

// How many floats differ in their bits.
inline std::size_t differing(const float* a, const float* b, std::size_t count) {
  std::size_t different = 0;
  for (std::size_t i = 0; i < count; ++i) different += std::memcmp(a + i, b + i, sizeof(float)) != 0 ? 1U : 0U;
  return different;
}

inline std::size_t differing(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  return differing(a.data(), b.data(), a.size());
}

inline std::string describe(const AttentionShape& s) {
  return std::to_string(s.key_size) + "/" + std::to_string(s.value_size) + " heads " + std::to_string(s.heads) + "/" +
         std::to_string(s.kv_heads) + " tokens " + std::to_string(s.tokens) + " streams " + std::to_string(s.streams) +
         " cells " + std::to_string(s.cells) + " " + ggml_type_name(s.key_type) + "/" + ggml_type_name(s.value_type);
}

}  // namespace bulkhead::testing
