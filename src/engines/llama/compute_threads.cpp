// SPDX-License-Identifier: MIT
#include "engines/llama/compute_threads.h"

namespace bulkhead::engines::llama {
namespace {

// How long a thread looks for the next graph before it sleeps, in units of 1,024 looks: the time in which a token is
// drawn, some tenths of a millisecond.
constexpr std::uint32_t kPoll = 20;

}  // namespace

ComputeThreads::ComputeThreads(std::uint32_t threads) {
  auto params = ggml_threadpool_params_default(static_cast<int>(threads));
  params.poll = kPoll;
  pool_.reset(ggml_threadpool_new(&params));
}

void ComputeThreads::attach(llama_context* context) const {
  if (pool_) llama_attach_threadpool(context, pool_.get(), pool_.get());
}

}  // namespace bulkhead::engines::llama
