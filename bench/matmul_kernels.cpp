// SPDX-License-Identifier: MIT
// Matrix products alone: our kernels and what ggml would run for the same weights, in turns, the least time of each.
//   bulkhead_bench_matmul_kernels [--threads 1,2] [--columns 1,2,3,4,8,16,64,512] [--rounds 5] [--only TEXT] [--set
//   NAME]
// One line per shape, threads and columns: effective billions of multiply-adds a second of both, and their ratio.
#include "engines/llama/kernels/buffer_type.h"
#include "engines/llama/kernels/kernels.h"

#include <fmt/format.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

// ggml's own list of buffer types, to find the one it would repack into.
#include <traits.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

namespace kernels = bulkhead::engines::llama::kernels;
using Clock = std::chrono::steady_clock;

// As much as no cache holds, so that weights come from memory as they do in a model.
constexpr std::size_t kWeightBytes = std::size_t{128} << 20U;
// About what one timing reads from memory, times its columns.
constexpr std::size_t kPieceBytes = std::size_t{16} << 20U;
constexpr std::int64_t kOtherRows = 256;

struct Shape {
  const char* name;
  ggml_type type;
  std::int64_t k;
  std::int64_t rows;
};
constexpr Shape kShapes[] = {{"qwen gate/up", GGML_TYPE_Q4_K, 1536, 8960}, {"qwen down", GGML_TYPE_Q4_K, 8960, 1536},
                             {"qwen q/o", GGML_TYPE_Q4_K, 1536, 1536},     {"qwen k/v", GGML_TYPE_Q4_K, 1536, 256},
                             {"qwen down6", GGML_TYPE_Q6_K, 8960, 1536},   {"qwen vocab", GGML_TYPE_Q6_K, 1536, 151936},
                             {"gemma gate/up", GGML_TYPE_Q5_0, 640, 2048}, {"gemma down", GGML_TYPE_Q4_K, 2048, 640},
                             {"gemma q", GGML_TYPE_Q5_0, 640, 1024},       {"gemma vocab", GGML_TYPE_Q8_0, 640, 262144},
                             {"q5_K", GGML_TYPE_Q5_K, 1536, 4096},         {"q4_0", GGML_TYPE_Q4_0, 1536, 4096},
                             {"f16", GGML_TYPE_F16, 1536, 4096},           {"bf16", GGML_TYPE_BF16, 1536, 4096}};

std::vector<std::uint8_t> random_weights(const Shape& shape) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.003F, 0.02F);
  std::vector<float> values(static_cast<std::size_t>(shape.k * kOtherRows));
  for (auto& value : values) value = normal(random);
  const auto row = ggml_row_size(shape.type, shape.k);
  std::vector<std::uint8_t> some(row * static_cast<std::size_t>(kOtherRows));
  ggml_quantize_chunk(shape.type, values.data(), some.data(), 0, kOtherRows, shape.k, nullptr);
  std::vector<std::uint8_t> all(row * static_cast<std::size_t>(shape.rows));
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.rows); ++i) {
    std::memcpy(all.data() + i * row, some.data() + (i * 7) % kOtherRows * row, row);
  }
  return all;
}

// Where llama.cpp's loader would put such weights without us: the first buffer type that can multiply with them.
ggml_backend_buffer_type_t stock_buffer_type(const Shape& shape) {
  auto* device = ggml_backend_buft_get_device(kernels::packed_buffer_type());
  for (auto* type : ggml_backend_cpu_get_extra_buffer_types()) {
    if (type == kernels::packed_buffer_type()) continue;
    auto* context = ggml_init({ggml_tensor_overhead() * 4, nullptr, true});
    auto* weights = ggml_new_tensor_2d(context, shape.type, shape.k, shape.rows);
    auto* product = ggml_mul_mat(context, weights, ggml_new_tensor_2d(context, GGML_TYPE_F32, shape.k, 512));
    weights->buffer = ggml_backend_buft_alloc_buffer(type, 0);
    const bool can = ggml_backend_dev_supports_op(device, product);
    ggml_backend_buffer_free(weights->buffer);
    ggml_free(context);
    if (can) return type;
  }
  return ggml_backend_cpu_buffer_type();
}

// Copies of one matrix in a buffer of one type.
struct Weights {
  ggml_context* context;
  ggml_backend_buffer_t buffer;
  std::vector<ggml_tensor*> copies;
};

Weights make_weights(const Shape& shape, ggml_backend_buffer_type_t type, const std::vector<std::uint8_t>& bytes) {
  const auto count = std::max<std::size_t>(1, kWeightBytes / bytes.size());
  Weights weights{ggml_init({ggml_tensor_overhead() * (count + 1), nullptr, true}), nullptr, {}};
  for (std::size_t i = 0; i < count; ++i) {
    weights.copies.push_back(ggml_new_tensor_2d(weights.context, shape.type, shape.k, shape.rows));
  }
  weights.buffer = ggml_backend_alloc_ctx_tensors_from_buft(weights.context, type);
  ggml_backend_buffer_set_usage(weights.buffer, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
  for (auto* copy : weights.copies) ggml_backend_tensor_set(copy, bytes.data(), 0, bytes.size());
  return weights;
}

// Products with all copies, a few in each graph: the least time of a short piece is what the machine can do between the
// disturbances by others. Wide products take one copy: they do not wait for memory.
class Products {
 public:
  Products(ggml_backend_t backend, const Weights& weights, const Shape& shape, std::int64_t columns) {
    const auto all = columns > 16 ? std::min<std::size_t>(weights.copies.size(), 2) : weights.copies.size();
    const auto bytes = ggml_nbytes(weights.copies.front()) * static_cast<std::size_t>(columns);
    const auto count = std::clamp<std::size_t>(kPieceBytes / bytes, 1, all);
    context_ =
        ggml_init({ggml_tensor_overhead() * (all + 2) + all / count * ggml_graph_overhead_custom(count + 8, false),
                   nullptr, true});
    auto* x = ggml_new_tensor_2d(context_, GGML_TYPE_F32, shape.k, columns);
    for (std::size_t i = 0; i + count <= all; i += count) {
      graphs_.push_back(ggml_new_graph_custom(context_, count + 8, false));
      for (std::size_t j = i; j < i + count; ++j) {
        ggml_build_forward_expand(graphs_.back(), ggml_mul_mat(context_, weights.copies[j], x));
      }
    }
    buffer_ = ggml_backend_alloc_ctx_tensors(context_, backend);
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(shape.k * columns));
    for (auto& value : values) value = normal(random);
    ggml_backend_tensor_set(x, values.data(), 0, values.size() * sizeof(float));
    work_ = static_cast<double>(shape.k * shape.rows * columns) * static_cast<double>(count);
  }
  ~Products() {
    ggml_backend_buffer_free(buffer_);
    ggml_free(context_);
  }
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  // Runs all once more and keeps the least time of a graph.
  void run(ggml_backend_t backend) {
    for (auto* graph : graphs_) {
      const auto begin = Clock::now();
      ggml_backend_graph_compute(backend, graph);
      least_ = std::min(least_, std::chrono::duration<double>(Clock::now() - begin).count());
    }
  }
  [[nodiscard]] double rate() const { return work_ / least_ / 1e9; }

 private:
  ggml_context* context_ = nullptr;
  std::vector<ggml_cgraph*> graphs_;
  ggml_backend_buffer_t buffer_ = nullptr;
  double work_ = 0;
  double least_ = std::numeric_limits<double>::infinity();
};

struct Settings {
  std::vector<int> threads = {1, 2};
  std::vector<std::int64_t> columns = {1, 2, 3, 4, 8, 16, 64, 512};
  int rounds = 5;
  std::string only;
  std::string set;
};

void measure(const Shape& shape, const Settings& settings) {
  const auto bytes = random_weights(shape);
  const auto ours = make_weights(shape, kernels::packed_buffer_type(), bytes);
  const auto stock = make_weights(shape, stock_buffer_type(shape), bytes);
  auto* backend = ggml_backend_cpu_init();
  for (const int threads : settings.threads) {
    ggml_backend_cpu_set_n_threads(backend, threads);
    for (const auto columns : settings.columns) {
      if (columns > 64 && shape.rows > 100000) continue;  // a vocabulary never meets so many
      Products a(backend, ours, shape, columns);
      Products b(backend, stock, shape, columns);
      for (int round = 0; round < settings.rounds; ++round) {
        a.run(backend);
        b.run(backend);
      }
      const double weight = static_cast<double>(bytes.size()) / static_cast<double>(shape.k * shape.rows);
      fmt::print(
          "{:14} {:5} {:5} x {:6}  {} threads {:4} columns  {:7.1f} {:7.1f} GMAC/s  {:5.2f} x  {:5.1f} {:5.1f} GB/s\n",
          shape.name, ggml_type_name(shape.type), shape.k, shape.rows, threads, columns, a.rate(), b.rate(),
          a.rate() / b.rate(), a.rate() * weight / static_cast<double>(columns),
          b.rate() * weight / static_cast<double>(columns));
      std::fflush(stdout);
    }
  }
  ggml_backend_free(backend);
  for (const auto& weights : {ours, stock}) {
    ggml_backend_buffer_free(weights.buffer);
    ggml_free(weights.context);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CLI::App app("Matrix products: Bulkhead's kernels and ggml's in turns.");
  app.add_option("--threads", settings.threads)->delimiter(',');
  app.add_option("--columns", settings.columns)->delimiter(',');
  app.add_option("--rounds", settings.rounds)->check(CLI::Range(1, 1000));
  app.add_option("--only", settings.only, "shapes whose name contains this");
  app.add_option("--set", settings.set, "instruction set; default: the best one");
  CLI11_PARSE(app, argc, argv);
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  kernels::install();
  for (const auto set : kernels::available()) {
    if (kernels::name(set) == settings.set) static_cast<void>(kernels::use(set));
  }
  fmt::print("# {}\n", kernels::name(kernels::in_use()));
  for (const auto& shape : kShapes) {
    if (std::string(shape.name).find(settings.only) != std::string::npos) measure(shape, settings);
  }
  return 0;
}
