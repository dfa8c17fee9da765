// SPDX-License-Identifier: MIT
// A model file in memory: what all engines of a process share that compute with the same file.
#pragma once

#include "base/result.h"
#include "engines/llama/gguf_check.h"
#include "engines/llama/kernels/kernels.h"

#include <bulkhead/options.h>
#include <llama.h>

#include <memory>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {

struct FreeModel {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
using ModelHandle = std::unique_ptr<llama_model, FreeModel>;

// Reads options.path, its weights only if they are wanted. kUnsupported: an architecture that libllama does not know;
// kResource: no memory; kCorrupt: anything else.
[[nodiscard]] Result<ModelHandle> load_model_file(const ModelOptions& options, bool without_weights);

// Read-only once loaded, on any number of threads.
class Weights {
 public:
  // Those of the file at options.path. What is asked of contexts (their size, cache types, threads, isolation, grade)
  // does not matter: engines that agree in the file, the kernels and the layers on a GPU share one, which lives as long
  // as one of them does. A model of which a file was replaced meanwhile counts as another. One load at a time; safe on
  // any thread. Needs start_backend(). Errors as for make_llama_engine().
  [[nodiscard]] static Result<std::shared_ptr<const Weights>> load(const ModelOptions& options);

  [[nodiscard]] const GgufSummary& summary() const { return summary_; }
  [[nodiscard]] llama_model* model() const { return model_.get(); }
  // The same model without weights: its contexts allocate nothing and tell their sizes.
  [[nodiscard]] llama_model* outline() const { return outline_.get(); }
  // "bulkhead (avx512-vnni)" or "stock"
  [[nodiscard]] const std::string& kernels() const { return kernels_; }
  // Each weight matrix, and whether our kernels multiply with it.
  [[nodiscard]] const std::vector<kernels::MatrixPath>& matrices() const { return matrices_; }
  // Why a product with weights may depend on its batch, naming the matrix; empty: none does.
  [[nodiscard]] const std::string& variance() const { return variance_; }

 private:
  [[nodiscard]] static Result<std::shared_ptr<const Weights>> load_anew(const ModelOptions& options);

  GgufSummary summary_;
  ModelHandle model_;
  ModelHandle outline_;
  std::string kernels_;
  std::vector<kernels::MatrixPath> matrices_;
  std::string variance_;
};

}  // namespace bulkhead::engines::llama
