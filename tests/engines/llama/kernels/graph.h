// SPDX-License-Identifier: MIT
// One operation on weights in a buffer of a chosen type, run by ggml.
#pragma once

#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace bulkhead::testing {

struct FreeGraphParts {
  void operator()(ggml_context* context) const { ggml_free(context); }
  void operator()(ggml_backend_buffer* buffer) const { ggml_backend_buffer_free(buffer); }
  void operator()(ggml_backend* backend) const { ggml_backend_free(backend); }
};
using ContextPart = std::unique_ptr<ggml_context, FreeGraphParts>;
using BufferPart = std::unique_ptr<ggml_backend_buffer, FreeGraphParts>;
using BackendPart = std::unique_ptr<ggml_backend, FreeGraphParts>;

inline ContextPart new_context() {
  return ContextPart(ggml_init({ggml_tensor_overhead() * 64 + ggml_graph_overhead(), nullptr, true}));
}

// A weight matrix with its bytes set.
class WeightTensor {
 public:
  WeightTensor(ggml_backend_buffer_type_t buffer_type, ggml_type type, std::int64_t k, std::int64_t rows,
               const void* bytes)
      : context_(new_context()), tensor_(ggml_new_tensor_2d(context_.get(), type, k, rows)) {
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), buffer_type));
    if (!buffer_) std::abort();
    ggml_backend_buffer_set_usage(buffer_.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    ggml_backend_tensor_set(tensor_, bytes, 0, ggml_nbytes(tensor_));
  }
  [[nodiscard]] ggml_tensor* get() const { return tensor_; }

 private:
  ContextPart context_;
  ggml_tensor* tensor_;
  BufferPart buffer_;
};

class CpuGraphs {
 public:
  CpuGraphs() : backend_(ggml_backend_cpu_init()) {}

  // `build` makes the result from the tensors of `inputs`, which it also fills in through `fill`.
  template <class Build, class Fill>
  std::vector<float> run(int threads, const Build& build, const Fill& fill) {
    const auto context = new_context();
    ggml_tensor* result = build(context.get());
    auto* graph = ggml_new_graph(context.get());
    ggml_build_forward_expand(graph, result);
    const BufferPart buffer(ggml_backend_alloc_ctx_tensors(context.get(), backend_.get()));
    fill();
    ggml_backend_cpu_set_n_threads(backend_.get(), threads);
    if (ggml_backend_graph_compute(backend_.get(), graph) != GGML_STATUS_SUCCESS) std::abort();
    std::vector<float> out(static_cast<std::size_t>(ggml_nelements(result)));
    ggml_backend_tensor_get(result, out.data(), 0, out.size() * sizeof(float));
    return out;
  }

  // weights . x; x is [k, columns, second, third].
  std::vector<float> multiply(const WeightTensor& weights, const std::vector<float>& x, int threads,
                              std::int64_t second = 1, std::int64_t third = 1) {
    ggml_tensor* input = nullptr;
    const auto k = weights.get()->ne[0];
    const auto columns = static_cast<std::int64_t>(x.size()) / k / second / third;
    return run(
        threads,
        [&](ggml_context* context) {
          input = ggml_new_tensor_4d(context, GGML_TYPE_F32, k, columns, second, third);
          return ggml_mul_mat(context, weights.get(), input);
        },
        [&] { ggml_backend_tensor_set(input, x.data(), 0, x.size() * sizeof(float)); });
  }

  std::vector<float> rows(const WeightTensor& weights, const std::vector<std::int32_t>& indices, int threads) {
    ggml_tensor* input = nullptr;
    return run(
        threads,
        [&](ggml_context* context) {
          input = ggml_new_tensor_1d(context, GGML_TYPE_I32, static_cast<std::int64_t>(indices.size()));
          return ggml_get_rows(context, weights.get(), input);
        },
        [&] { ggml_backend_tensor_set(input, indices.data(), 0, indices.size() * sizeof(std::int32_t)); });
  }

 private:
  BackendPart backend_;
};

}  // namespace bulkhead::testing
