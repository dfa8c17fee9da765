// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/kernels.h"

#include "base/log.h"
#include "engines/llama/kernels/buffer_type.h"
#include "engines/llama/kernels/gated_unit_op.h"
#include "engines/llama/kernels/matmul.h"
#include "engines/llama/kernels/packed_file.h"

#include <fmt/format.h>
#include <ggml.h>
#include <traits.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace bulkhead::engines::llama::kernels {
namespace {

std::atomic<InstructionSet> set_in_use{InstructionSet::kScalar};

}  // namespace

std::string_view name(KernelChoice choice) noexcept {
  switch (choice) {
    case KernelChoice::kAuto: return "auto";
    case KernelChoice::kBulkhead: return "bulkhead";
    case KernelChoice::kStock: return "stock";
  }
  return "?";
}

Result<KernelChoice> parse_kernel_choice(std::string_view text) {
  for (const auto choice : {KernelChoice::kAuto, KernelChoice::kBulkhead, KernelChoice::kStock}) {
    if (text == name(choice)) return choice;
  }
  return Error{ErrorCode::kUsage, fmt::format("unknown kernels \"{}\"", text), "--kernels",
               "use auto, bulkhead or stock"};
}

KernelChoice resolved(KernelChoice choice) noexcept {
  if (choice != KernelChoice::kAuto) return choice;
  return available().front() == InstructionSet::kScalar ? KernelChoice::kStock : KernelChoice::kBulkhead;
}

void install() {
  static std::once_flag once;
  std::call_once(once, [] {
    static_cast<void>(use(available().front()));
    auto& types = ggml_backend_cpu_get_extra_buffer_types();
    types.insert(types.begin(), packed_buffer_type());
  });
}

Result<void> use(InstructionSet set) {
  const auto sets = available();
  if (std::find(sets.begin(), sets.end(), set) == sets.end()) {
    return Error{ErrorCode::kUnsupported, fmt::format("this processor does not have {}", name(set)), {}, {}};
  }
  set_active_kernels(matmul_kernels(set));
  set_gated_units(set);
  set_in_use = set;
  return {};
}

InstructionSet in_use() noexcept {
  return set_in_use;
}

LoadScope::LoadScope(KernelChoice choice, bool shares_embedding, const PackedPlace& packed)
    : choice_(resolved(choice)), shares_embedding_(shares_embedding) {
  if (choice_ == KernelChoice::kBulkhead && !packed.folder.empty()) {
    packed_file_ = PackedFile::open(packed.folder, packed.model);
  }
  if (choice == KernelChoice::kAuto && choice_ == KernelChoice::kStock) {
    log::get().warn(
        "no fast kernels of Bulkhead for this processor: ggml's are used, whose results depend on the batch");
  }
  set_load_hooks(
      {.admit = [](void* scope,
                   const ggml_tensor& operation) { return static_cast<LoadScope*>(scope)->admit(operation); },
       .context = this,
       .packed_file = packed_file_.get()});
}

LoadScope::~LoadScope() {
  set_load_hooks({});
}

bool LoadScope::finish() {
  return packed_file_ == nullptr || packed_file_->finish();
}

bool LoadScope::admit(const ggml_tensor& operation) {
  const auto& weights = *operation.src[0];
  const bool ours = choice_ == KernelChoice::kBulkhead;
  if (operation.op == GGML_OP_GET_ROWS) {
    // The name is what libllama looks the shared matrix up by.
    return ours && shares_embedding_ && std::string_view(weights.name) == "token_embd.weight";
  }
  if (operation.op != GGML_OP_MUL_MAT && operation.op != GGML_OP_MUL_MAT_ID) return false;
  MatrixPath path{weights.name, ggml_type_name(weights.type), weights.ne[1], weights.ne[0], false, {}};
  if (operation.op == GGML_OP_MUL_MAT_ID) {
    path.reason = "no kernel for mixtures of experts";
  } else if (packable(weights, &path.reason)) {
    path.bulkhead = ours;
    if (!ours) path.reason = "stock kernels were asked for";
  }
  const bool admitted = path.bulkhead;
  const auto same = [&](const MatrixPath& other) { return other.name == path.name; };
  if (std::none_of(matrices_.begin(), matrices_.end(), same)) matrices_.push_back(std::move(path));
  return admitted;
}

bool LoadScope::all_invariant() const {
  return !matrices_.empty() &&
         std::all_of(matrices_.begin(), matrices_.end(), [](const MatrixPath& matrix) { return matrix.bulkhead; });
}

std::string LoadScope::kernels() const {
  return choice_ == KernelChoice::kStock ? std::string("stock") : fmt::format("bulkhead ({})", name(in_use()));
}

std::string LoadScope::summary() const {
  const auto ours =
      std::count_if(matrices_.begin(), matrices_.end(), [](const auto& matrix) { return matrix.bulkhead; });
  auto text =
      kernels() + fmt::format(": {} of {} matrices are multiplied by Bulkhead's kernels", ours, matrices_.size());
  for (const auto& matrix : matrices_) {
    if (matrix.bulkhead || choice_ == KernelChoice::kStock) continue;
    return text + fmt::format("; {} ({}, {} x {}) is not: {}", matrix.name, matrix.format, matrix.rows, matrix.values,
                              matrix.reason);
  }
  return text;
}

}  // namespace bulkhead::engines::llama::kernels
