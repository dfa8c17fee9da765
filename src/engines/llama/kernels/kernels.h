// SPDX-License-Identifier: MIT
// Our kernels as the engine sees them: plugged into ggml once, switched on or off for each model that is loaded.
#pragma once

#include "base/result.h"
#include "engines/llama/kernels/instruction_set.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ggml_tensor;

namespace bulkhead::engines::llama::kernels {

class PackedFile;

enum class KernelChoice {
  kAuto,      // ours where this processor has an instruction set they are fast on, else ggml's with a warning
  kBulkhead,  // ours, the scalar ones if need be
  kStock,     // ggml's
};

[[nodiscard]] std::string_view name(KernelChoice choice) noexcept;
// "auto", "bulkhead" or "stock"; kUsage otherwise.
[[nodiscard]] Result<KernelChoice> parse_kernel_choice(std::string_view text);
// kAuto decided for this processor: kBulkhead or kStock.
[[nodiscard]] KernelChoice resolved(KernelChoice choice) noexcept;

// Makes ggml know our buffer type. Call it on one thread before the process loads its first model: ggml reads its list
// of buffer types once. Further calls do nothing. Models are then loaded with our kernels unless a LoadScope says
// otherwise.
void install();

// The instruction set that multiplies: the best there is, until a test says otherwise. Weights are packed the same for
// all, so it may be changed between two graphs. kUnsupported: this processor has it not.
[[nodiscard]] Result<void> use(InstructionSet set);
[[nodiscard]] InstructionSet in_use() noexcept;

// A weight matrix and what multiplies with it.
struct MatrixPath {
  std::string name;    // "blk.0.ffn_up.weight"
  std::string format;  // as ggml calls it: "q4_K"
  std::int64_t rows = 0;
  std::int64_t values = 0;  // of one row
  bool bulkhead = false;
  std::string reason;  // why it is not ours; empty if it is
};

// Where the packed matrices of a model file are kept for its next load (packed_file.h); an empty folder: nowhere.
struct PackedPlace {
  std::filesystem::path folder = {};
  std::filesystem::path model = {};
};

// While it lives, models that this thread loads use the kernels of its choice, and it notes what becomes of their
// matrices. Two models of one process can differ. Does not nest, and stays on its thread.
class LoadScope {
 public:
  // `shares_embedding`: the model has no output matrix of its own, so its token embedding multiplies too. It is then
  // held once, packed; else embeddings stay as they are in the file, since they only hand out rows. `packed`: where our
  // kernels' packed matrices come from, or are kept.
  LoadScope(KernelChoice choice, bool shares_embedding, const PackedPlace& packed = {});
  ~LoadScope();
  LoadScope(const LoadScope&) = delete;
  LoadScope& operator=(const LoadScope&) = delete;

  // The model is loaded: what was packed may be kept. False when its file was changed meanwhile, so that packed
  // matrices may be of another one.
  [[nodiscard]] bool finish();

  // Each matrix once, in the order of loading. Those that go to another device than the CPU are not seen here.
  [[nodiscard]] const std::vector<MatrixPath>& matrices() const { return matrices_; }
  // There were matrices, and all of them are multiplied by our kernels: no product depends on the batch it is made in.
  [[nodiscard]] bool all_invariant() const;
  // "bulkhead (avx512-vnni)" or "stock".
  [[nodiscard]] std::string kernels() const;
  // One line for people: "bulkhead (avx512-vnni): 170 of 170 matrices", with the first that is not ours and its reason.
  [[nodiscard]] std::string summary() const;

 private:
  [[nodiscard]] bool admit(const ggml_tensor& operation);

  KernelChoice choice_;
  bool shares_embedding_;
  std::unique_ptr<PackedFile> packed_file_;
  std::vector<MatrixPath> matrices_;
};

}  // namespace bulkhead::engines::llama::kernels
