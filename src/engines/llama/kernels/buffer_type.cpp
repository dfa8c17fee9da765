// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/buffer_type.h"

#include "engines/llama/kernels/gated_unit_op.h"
#include "engines/llama/kernels/matmul.h"
#include "engines/llama/kernels/weight_blocks.h"

#include <ggml-backend-impl.h>
#include <ggml-cpu-impl.h>
#include <ggml-cpu.h>
#include <traits.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace bulkhead::engines::llama::kernels {
namespace {

// Buffers above this size are worth large pages.
constexpr std::size_t kLargeBuffer = std::size_t{4} << 20U;
constexpr std::size_t kAlignment = 64;

std::atomic<const MatmulKernels*> active{&kMatmulScalar};
thread_local LoadHooks load_hooks;

std::optional<WeightFormat> format_of(ggml_type type) {
  switch (type) {
    case GGML_TYPE_Q4_K: return WeightFormat::kQ4K;
    case GGML_TYPE_Q5_K: return WeightFormat::kQ5K;
    case GGML_TYPE_Q6_K: return WeightFormat::kQ6K;
    case GGML_TYPE_Q8_0: return WeightFormat::kQ8_0;
    case GGML_TYPE_Q5_0: return WeightFormat::kQ5_0;
    case GGML_TYPE_Q4_0: return WeightFormat::kQ4_0;
    case GGML_TYPE_F16: return WeightFormat::kF16;
    case GGML_TYPE_BF16: return WeightFormat::kBF16;
    case GGML_TYPE_F32: return WeightFormat::kF32;
    default: return std::nullopt;
  }
}

bool is_packed(const ggml_tensor* tensor) {
  return tensor != nullptr && tensor->buffer != nullptr && tensor->buffer->buft == packed_buffer_type();
}

bool is_gate_of_packed(const ggml_tensor& operation) {
  return operation.op == GGML_OP_GLU && operation.src[0]->op == GGML_OP_MUL_MAT &&
         is_packed(operation.src[0]->src[0]) && gated_unit_supports(&operation);
}

MatrixShape shape_of(const ggml_tensor& weights) {
  const auto shape = packable(weights);
  GGML_ASSERT(shape.has_value());
  return *shape;
}

bool runs(const ggml_tensor& operation) {
  const auto* x = operation.src[1];
  if (!packable(*operation.src[0])) return false;
  // The loader's trial operations have no buffers yet.
  if (x->buffer != nullptr && !ggml_backend_buft_is_host(x->buffer->buft)) return false;
  if (operation.op == GGML_OP_MUL_MAT) {
    return x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && ggml_is_contiguous(&operation);
  }
  return operation.op == GGML_OP_GET_ROWS && x->type == GGML_TYPE_I32 && x->nb[0] == sizeof(std::int32_t) &&
         ggml_n_dims(x) == 1 && ggml_is_contiguous(&operation);
}

Team team_of(const ggml_compute_params& params) {
  return {
      .index = params.ith,
      .size = params.nth,
      .pool = params.threadpool,
      .barrier = [](void* pool) { ggml_barrier(static_cast<ggml_threadpool*>(pool)); },
      .set_next = [](void* pool, int next) { ggml_threadpool_chunk_set(static_cast<ggml_threadpool*>(pool), next); },
      .take_next = [](void* pool) { return ggml_threadpool_chunk_add(static_cast<ggml_threadpool*>(pool), 1); }};
}

void multiply_forward(const ggml_compute_params& params, ggml_tensor& out) {
  const auto& weights = *out.src[0];
  const auto& x = *out.src[1];
  const Columns columns{
      static_cast<const std::uint8_t*>(x.data), {x.ne[1], x.ne[2], x.ne[3]}, {x.nb[1], x.nb[2], x.nb[3]}};
  multiply(*active.load(std::memory_order_relaxed), shape_of(weights), static_cast<const std::uint8_t*>(weights.data),
           columns, static_cast<float*>(out.data), static_cast<std::uint8_t*>(params.wdata), team_of(params));
}

// A row goes back to the file's layout first: ggml's own conversion then gives ggml's own floats.
void rows_forward(const ggml_compute_params& params, ggml_tensor& out) {
  const auto& weights = *out.src[0];
  const auto shape = shape_of(weights);
  const auto* indices = static_cast<const std::int32_t*>(out.src[1]->data);
  const auto bytes = row_bytes(shape);
  auto* row = static_cast<std::uint8_t*>(params.wdata) + bytes * static_cast<std::size_t>(params.ith);
  const auto to_float = ggml_get_type_traits(weights.type)->to_float;
  for (std::int64_t i = params.ith; i < out.src[1]->ne[0]; i += params.nth) {
    GGML_ASSERT(indices[i] >= 0 && indices[i] < shape.rows);
    auto* to = static_cast<float*>(out.data) + i * shape.k;
    unpack_row(shape, static_cast<const std::uint8_t*>(weights.data), indices[i], row);
    if (shape.format == WeightFormat::kF32) {
      std::memcpy(to, row, bytes);
    } else {
      to_float(row, to, shape.k);
    }
  }
}

class PackedTraits : public ggml::cpu::tensor_traits {
 public:
  bool work_size(int threads, const ggml_tensor* operation, size_t& size) override {
    const auto shape = shape_of(*operation->src[0]);
    size = operation->op == GGML_OP_GET_ROWS ? row_bytes(shape) * static_cast<std::size_t>(threads)
                                             : work_bytes(*active, shape, ggml_nrows(operation->src[1]), threads);
    return true;
  }
  bool compute_forward(ggml_compute_params* params, ggml_tensor* operation) override {
    if (operation->op == GGML_OP_GET_ROWS) {
      rows_forward(*params, *operation);
    } else {
      multiply_forward(*params, *operation);
    }
    return true;
  }
};

class PackedBufferType : public ggml::cpu::extra_buffer_type {
 public:
  bool supports_op(ggml_backend_dev_t /*device*/, const ggml_tensor* operation) override {
    if (!is_packed(operation->src[0])) return false;
    const bool is_trial = operation->src[0]->buffer->size == 0;
    if (is_trial && load_hooks.admit != nullptr && !load_hooks.admit(load_hooks.context, *operation)) {
      return false;
    }
    return (operation->op == GGML_OP_MUL_MAT || operation->op == GGML_OP_GET_ROWS) && runs(*operation);
  }
  ggml::cpu::tensor_traits* get_tensor_traits(const ggml_tensor* operation) override {
    if (is_gate_of_packed(*operation)) return gated_unit_traits();
    if (operation->op != GGML_OP_MUL_MAT && operation->op != GGML_OP_GET_ROWS) return nullptr;
    const auto* weights = operation->src[0];
    if (!is_packed(weights)) return nullptr;
    GGML_ASSERT(weights->view_src == nullptr && "a view of packed weights has no meaning");
    return &traits_;
  }

 private:
  PackedTraits traits_;
};

void set_tensor(ggml_backend_buffer_t /*buffer*/, ggml_tensor* tensor, const void* data, size_t offset, size_t size) {
  GGML_ASSERT(offset == 0 && size == ggml_nbytes(tensor) && "packed weights are set as a whole");
  const auto threads = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 8);
  const auto shape = shape_of(*tensor);
  auto* to = static_cast<std::uint8_t*>(tensor->data);
  auto* kept = load_hooks.packed_file;
  if (kept != nullptr && kept->read(tensor->name, shape, to, threads)) return;
  pack(shape, static_cast<const std::uint8_t*>(data), to, threads);
  if (kept != nullptr) kept->keep(tensor->name, shape, to, threads);
}

void get_tensor(ggml_backend_buffer_t /*buffer*/, const ggml_tensor* tensor, void* data, size_t offset, size_t size) {
  GGML_ASSERT(offset == 0 && size == ggml_nbytes(tensor) && "packed weights are read as a whole");
  const auto shape = shape_of(*tensor);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    unpack_row(shape, static_cast<const std::uint8_t*>(tensor->data), row,
               static_cast<std::uint8_t*>(data) + static_cast<std::size_t>(row) * row_bytes(shape));
  }
}

void ask_for_large_pages([[maybe_unused]] void* data, [[maybe_unused]] std::size_t size) {
#if defined(__linux__)
  if (size < kLargeBuffer) return;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<std::uintptr_t>(data) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(data) + size) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // a wish: refusal does no harm
#endif
}

ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t type, size_t size) {
  auto* buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
  if (buffer == nullptr) return nullptr;
  ask_for_large_pages(ggml_backend_buffer_get_base(buffer), size);
  buffer->buft = type;
  buffer->iface.init_tensor = nullptr;
  buffer->iface.memset_tensor = nullptr;
  buffer->iface.set_tensor = set_tensor;
  buffer->iface.get_tensor = get_tensor;
  buffer->iface.cpy_tensor = nullptr;
  return buffer;
}

const char* type_name(ggml_backend_buffer_type_t /*type*/) {
  return "CPU_BULKHEAD";
}

size_t alignment(ggml_backend_buffer_type_t /*type*/) {
  return kAlignment;
}

size_t alloc_size(ggml_backend_buffer_type_t /*type*/, const ggml_tensor* tensor) {
  const auto shape = packable(*tensor);
  return shape ? packed_bytes(*shape) : ggml_nbytes(tensor);
}

std::string name_of_shape(const ggml_tensor& weights, WeightFormat format) {
  return std::string("rows of ") + std::to_string(weights.ne[0]) + " values are no whole blocks of " +
         std::to_string(block_values(format));
}

}  // namespace

ggml_backend_buffer_type_t packed_buffer_type() {
  static PackedBufferType operations;
  static ggml_backend_buffer_type type = {{type_name, alloc_buffer, alignment, nullptr, alloc_size, nullptr},
                                          ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0),
                                          // ggml casts this back to the base class.
                                          static_cast<ggml::cpu::extra_buffer_type*>(&operations)};
  return &type;
}

void set_active_kernels(const MatmulKernels* kernels) noexcept {
  active.store(kernels, std::memory_order_relaxed);
}

std::optional<MatrixShape> packable(const ggml_tensor& weights, std::string* reason) {
  const auto refuse = [&](std::string why) -> std::optional<MatrixShape> {
    if (reason != nullptr) *reason = std::move(why);
    return std::nullopt;
  };
  const auto format = format_of(weights.type);
  if (!format) return refuse(std::string("no kernel for ") + ggml_type_name(weights.type));
  if (weights.ne[2] != 1 || weights.ne[3] != 1) return refuse("more than two dimensions");
  const MatrixShape shape{*format, weights.ne[1], weights.ne[0]};
  if (!valid(shape)) return refuse(name_of_shape(weights, *format));
  return shape;
}

LoadHooks set_load_hooks(LoadHooks hooks) noexcept {
  return std::exchange(load_hooks, hooks);
}

}  // namespace bulkhead::engines::llama::kernels
