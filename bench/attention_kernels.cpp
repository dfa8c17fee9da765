// SPDX-License-Identifier: MIT
// Attention alone: our operator, ggml's flash attention, and ggml's three operations without it (mul_mat, soft_max,
// mul_mat), on the shapes of three models. All three are ggml graphs over the same numbers; rounds alternate and minima
// count.
//   bulkhead_bench_attention_kernels [--threads 2] [--rounds 5] [--filter TEXT]
#include "engines/llama/kernels/attention_op.h"

#include <fmt/format.h>
#include <ggml-cpu.h>
#include <ggml.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

namespace kernels = bulkhead::engines::llama::kernels;

struct Model {
  const char* name;
  int heads, kv_heads, size;
};

struct Work {
  Model model;
  int streams, tokens, before;  // tokens per stream, after so many cells
  ggml_type type = GGML_TYPE_F16;
  int window = 0;

  int cells() const { return (before + tokens + 255) / 256 * 256; }
  std::string name() const {
    return fmt::format("{:<10} {} {:>2} x {:>3} after {:>4}{}{}", model.name, tokens == 1 ? "decode " : "prefill",
                       streams, tokens, before, type == GGML_TYPE_F16 ? "" : fmt::format(" {}", ggml_type_name(type)),
                       window == 0 ? "" : fmt::format(" window {}", window));
  }
};

enum class Way { kOurs, kFlash, kPlain };

using Context = std::unique_ptr<ggml_context, decltype(&ggml_free)>;

// As many attention layers as it takes to leave the caches: in a model, weights pass between two layers. They run as
// graphs of a few layers each, timed apart, so that each finds a moment when the machine does nothing else.
class Layers {
 public:
  Layers(const Work& work, Way way, int threads)
      : work_(work), way_(way), layers_(count(work)), context_(make_context(work, layers_)) {
    ggml_context* c = context_.get();
    mask_ = ggml_new_tensor_4d(c, way == Way::kPlain ? GGML_TYPE_F32 : GGML_TYPE_F16, work.cells(), work.tokens, 1,
                               work.streams);
    fill_mask();
    const kernels::AttentionScope scope(choice());
    for (int i = 0; i < layers_; ++i) {
      if (i % per_graph() == 0) graphs_.push_back({ggml_new_graph_custom(c, 128, false), {}});
      ggml_build_forward_expand(graphs_.back().graph, add_layer());
    }
    for (Graph& graph : graphs_) {
      graph.plan = ggml_graph_plan(graph.graph, threads, nullptr);
      area_.resize(std::max(area_.size(), graph.plan.work_size));
    }
  }

  void run() {
    for (Graph& graph : graphs_) {
      graph.plan.work_data = area_.data();
      const double start = now(graph.plan.n_threads);
      ggml_graph_compute(graph.graph, &graph.plan);
      graph.best = std::min(graph.best, now(graph.plan.n_threads) - start);
    }
  }

  // The mean over the layers of the best time of each.
  double seconds() const {
    double sum = 0;
    for (const Graph& graph : graphs_) sum += graph.best;
    return sum / layers_;
  }

 private:
  struct Graph {
    ggml_cgraph* graph;
    ggml_cplan plan;
    double best = std::numeric_limits<double>::infinity();
  };

  // One thread's own time does not count what others take from the processor; of several threads the wall's must do.
  static double now(int threads) {
    timespec time{};
    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  int per_graph() const { return work_.tokens == 1 ? 4 : 1; }
  kernels::AttentionChoice choice() const {
    return way_ == Way::kOurs ? kernels::AttentionChoice::kBulkhead : kernels::AttentionChoice::kStock;
  }
  static std::size_t cache_bytes(const Work& w) {
    return 2 * ggml_row_size(w.type, w.model.size) * static_cast<std::size_t>(w.model.kv_heads * w.cells() * w.streams);
  }
  static int count(const Work& w) {
    return static_cast<int>(std::clamp<std::size_t>((std::size_t{96} << 20U) / cache_bytes(w), w.tokens == 1 ? 4 : 1,
                                                    w.tokens == 1 ? 48 : 2));
  }
  static Context make_context(const Work& w, int layers) {
    const auto rows = static_cast<std::size_t>(w.streams * w.tokens);
    const std::size_t activations =
        rows * static_cast<std::size_t>(w.model.heads) *
        (static_cast<std::size_t>(w.model.size) * 4 + static_cast<std::size_t>(w.cells()) * 2 + 64) * 4;
    Work half = w;
    half.type = GGML_TYPE_F16;  // what the plain way's values always are
    const std::size_t cells = std::max(cache_bytes(w), cache_bytes(half));
    const std::size_t bytes = static_cast<std::size_t>(layers) * (cells + activations + 65536) +
                              rows * static_cast<std::size_t>(w.cells()) * 4 + (std::size_t{4} << 20U);
    return {ggml_init({.mem_size = bytes, .mem_buffer = nullptr, .no_alloc = false}), &ggml_free};
  }

  ggml_tensor* random_tensor(ggml_type type, int a, int b, int c) {
    ggml_tensor* tensor = ggml_new_tensor_4d(context_.get(), type, a, b, c, work_.streams);
    static std::mt19937 random(1);
    static const std::vector<float> numbers = [] {
      std::normal_distribution<float> normal;
      std::vector<float> made(65536);
      for (float& x : made) x = normal(random);
      return made;
    }();
    const auto rows = static_cast<std::size_t>(ggml_nrows(tensor));
    const std::size_t row = ggml_row_size(type, a);
    for (std::size_t r = 0; r < rows; ++r) {
      auto* to = static_cast<char*>(tensor->data) + r * row;
      const float* from = numbers.data() + (r * 977) % (numbers.size() - static_cast<std::size_t>(a));
      if (type == GGML_TYPE_F32) {
        std::memcpy(to, from, row);
      } else {
        ggml_get_type_traits_cpu(type)->from_float(from, to, a);
      }
    }
    return tensor;
  }

  ggml_tensor* add_layer() {
    ggml_context* c = context_.get();
    const Model& m = work_.model;
    ggml_tensor* queries = ggml_permute(c, random_tensor(GGML_TYPE_F32, m.size, m.heads, work_.tokens), 0, 2, 1, 3);
    ggml_tensor* keys = ggml_permute(c, random_tensor(work_.type, m.size, m.kv_heads, work_.cells()), 0, 2, 1, 3);
    const float scale = 1.0F / std::sqrt(static_cast<float>(m.size));
    if (way_ != Way::kPlain) {
      ggml_tensor* values = ggml_permute(c, random_tensor(work_.type, m.size, m.kv_heads, work_.cells()), 0, 2, 1, 3);
      ggml_tensor* result = ggml_flash_attn_ext(c, queries, keys, values, mask_, scale, 0, 0);
      ggml_prec_set_acc(result, GGML_PREC_F32);
      return result;
    }
    // Without flash attention libllama keeps values transposed.
    ggml_tensor* values = random_tensor(GGML_TYPE_F16, work_.cells(), m.size, m.kv_heads);
    ggml_tensor* scores = ggml_mul_mat(c, keys, queries);
    ggml_prec_set_acc(scores, GGML_PREC_F32);
    scores = ggml_soft_max_ext(c, scores, mask_, scale, 0);
    return ggml_cont(c, ggml_permute(c, ggml_mul_mat(c, values, scores), 0, 2, 1, 3));
  }

  void fill_mask() {
    std::size_t i = 0;
    for (int s = 0; s < work_.streams; ++s) {
      for (int t = 0; t < work_.tokens; ++t) {
        const int position = work_.before + t;
        for (int cell = 0; cell < work_.cells(); ++cell, ++i) {
          const bool seen = cell <= position && (work_.window == 0 || cell > position - work_.window);
          const float entry = seen ? 0.0F : -std::numeric_limits<float>::infinity();
          if (way_ == Way::kPlain) {
            static_cast<float*>(mask_->data)[i] = entry;
          } else {
            static_cast<ggml_fp16_t*>(mask_->data)[i] = ggml_fp32_to_fp16(entry);
          }
        }
      }
    }
  }

  Work work_;
  Way way_;
  int layers_;
  Context context_;
  ggml_tensor* mask_ = nullptr;
  std::vector<Graph> graphs_;
  std::vector<std::uint8_t> area_;
};

void measure(const Work& work, int threads, int rounds) {
  std::array<Layers, 3> ways = {Layers(work, Way::kOurs, threads), Layers(work, Way::kFlash, threads),
                                Layers(work, Way::kPlain, threads)};
  for (int round = 0; round < rounds; ++round) {
    for (Layers& way : ways) way.run();
  }
  const std::array<double, 3> best = {ways[0].seconds(), ways[1].seconds(), ways[2].seconds()};
  fmt::print("{:<46} | {:>9.1f} | {:>9.1f} {:>5.2f}x | {:>9.1f} {:>5.2f}x\n", work.name(), best[0] * 1e6, best[1] * 1e6,
             best[1] / best[0], best[2] * 1e6, best[2] / best[0]);
  std::fflush(stdout);
}

std::vector<Work> all_work() {
  constexpr std::array<Model, 3> kModels = {
      {{"gemma-270m", 4, 1, 256}, {"qwen-0.5b", 14, 2, 64}, {"qwen-1.5b", 12, 2, 128}}};
  std::vector<Work> all;
  for (const Model& model : kModels) {
    for (const int cells : {100, 1088, 4000}) {
      for (const int streams : {1, 3, 8, 16}) all.push_back({model, streams, 1, cells - 1});
    }
    all.push_back({model, 1, 512, 0});
    all.push_back({model, 1, 512, 1088});
    // Quantized values have no path without flash attention: that column then reads F16 values.
    all.push_back({model, 3, 1, 1087, GGML_TYPE_Q8_0});
    all.push_back({model, 1, 512, 1088, GGML_TYPE_Q8_0});
  }
  all.push_back({kModels[0], 1, 512, 1088, GGML_TYPE_F16, 512});
  all.push_back({kModels[0], 3, 1, 1087, GGML_TYPE_F16, 512});
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Attention kernels against ggml's");
  int threads = 2;
  int rounds = 5;
  std::string filter;
  app.add_option("--threads", threads);
  app.add_option("--rounds", rounds);
  app.add_option("--filter", filter, "only work whose name holds this");
  CLI11_PARSE(app, argc, argv);
  kernels::install_attention();
  fmt::print("{} threads, {}, minima of {} rounds, microseconds per layer\n", threads,
             kernels::name(kernels::available().front()), rounds);
  fmt::print("{:<46} | {:>9} | {:>16} | {:>16}\n", "", "ours", "ggml flash", "ggml no flash");
  for (const Work& work : all_work()) {
    if (work.name().find(filter) != std::string::npos) measure(work, threads, rounds);
  }
  return 0;
}
