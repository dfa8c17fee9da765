// SPDX-License-Identifier: MIT
// Independent pieces of work on a few threads, for what is done while a model is loaded.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

namespace bulkhead::engines::llama::kernels {

// Calls work(i) once for each i in [0, count), on up to `threads` threads, this one among them; returns when all are
// done. `work` does not throw.
template <class Work>
void parallel_for(std::int64_t count, int threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  const auto run = [&] {
    for (auto i = next.fetch_add(1); i < count; i = next.fetch_add(1)) work(i);
  };
  std::vector<std::jthread> others;
  try {
    for (std::int64_t i = 1; i < std::min<std::int64_t>(threads, count); ++i) others.emplace_back(run);
  } catch (const std::system_error&) {  // no more threads to have: those there are do it all
  }
  run();
}

}  // namespace bulkhead::engines::llama::kernels
