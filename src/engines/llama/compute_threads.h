// SPDX-License-Identifier: MIT
// The threads that compute the graphs of one engine. They are started once, and wait between two graphs: a short while
// at the ready, then asleep. Their barriers do the same (patches/llama.cpp), so that on a busy machine a thread never
// holds a core for long against the partner that it waits for.
#pragma once

#include <ggml-cpu.h>
#include <llama.h>

#include <cstdint>
#include <memory>

namespace bulkhead::engines::llama {

class ComputeThreads {
 public:
  explicit ComputeThreads(std::uint32_t threads);

  // From now on they compute the graphs of `context`, which must not outlive them. Contexts that share them must be
  // used from one thread at a time. Where no thread could be started, libllama makes its own for each graph.
  void attach(llama_context* context) const;

 private:
  struct Free {
    void operator()(ggml_threadpool* pool) const { ggml_threadpool_free(pool); }
  };
  std::unique_ptr<ggml_threadpool, Free> pool_;
};

}  // namespace bulkhead::engines::llama
