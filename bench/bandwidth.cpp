// SPDX-License-Identifier: MIT
#include "bandwidth.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kLeastBytes = 512ULL << 20U;
constexpr std::size_t kLine = 64;
constexpr std::size_t kAheadBytes = 8192;  // far enough that a line is there when it is read

// The largest cache of the first core, as Linux tells it; 0 where it does not.
std::uint64_t largest_cache_bytes() {
  std::uint64_t largest = 0;
  for (int index = 0; index < 8; ++index) {
    std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
    std::uint64_t kib = 0;
    if (file >> kib) largest = std::max(largest, kib << 10U);
  }
  return largest;
}

// Memory of its own pages, huge ones where the system gives them, as model weights have.
class Pages {
 public:
  explicit Pages(std::size_t bytes)
      : bytes_(bytes), begin_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (begin_ == MAP_FAILED) {
      bytes_ = 0;
      return;
    }
#ifdef MADV_HUGEPAGE
    madvise(begin_, bytes_, MADV_HUGEPAGE);
#endif
    std::memset(begin_, 1, bytes_);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() {
    if (bytes_ > 0) munmap(begin_, bytes_);
  }
  [[nodiscard]] std::span<const std::uint64_t> words() const {
    return {static_cast<const std::uint64_t*>(begin_), bytes_ / sizeof(std::uint64_t)};
  }

 private:
  std::size_t bytes_;
  void* begin_;
};

// The sum of all words: something the compiler cannot leave out. One stream: more of them at once read slower.
std::uint64_t read_all(std::span<const std::uint64_t> words) {
  constexpr std::size_t kWords = kLine / sizeof(std::uint64_t);
  std::array<std::uint64_t, kWords> sums{};
  for (std::size_t at = 0; at + kWords <= words.size(); at += kWords) {
    const std::uint64_t* line = words.data() + at;
    __builtin_prefetch(line + kAheadBytes / sizeof(std::uint64_t));
    for (std::size_t i = 0; i < kWords; ++i) sums[i] += line[i];
  }
  std::uint64_t sum = 0;
  for (const auto part : sums) sum += part;
  return sum;
}

}  // namespace

Bandwidth measure_read_bandwidth(std::uint32_t threads, std::uint32_t passes) {
  const Pages pages(std::max(kLeastBytes, 8 * largest_cache_bytes()));
  const auto words = pages.words();
  const std::size_t share = words.size() / threads;
  std::atomic<std::uint64_t> sum = 0;
  const auto read_share = [&](std::uint32_t thread) { sum += read_all(words.subspan(thread * share, share)); };
  std::barrier all(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::jthread> others;
  for (std::uint32_t thread = 1; thread < threads; ++thread) {
    others.emplace_back([&, thread] {
      for (std::uint32_t pass = 0; pass < passes; ++pass) {
        all.arrive_and_wait();
        read_share(thread);
        all.arrive_and_wait();
      }
    });
  }
  // This thread reads too, and its clock starts before anybody may: one that only watched would need a core of its own,
  // and where there is none it wakes late and takes the reading for faster than it was.
  double best = 0;
  for (std::uint32_t pass = 0; pass < passes; ++pass) {
    const auto begin = Clock::now();
    all.arrive_and_wait();
    read_share(0);
    all.arrive_and_wait();
    const std::chrono::duration<double> time = Clock::now() - begin;
    best = std::max(best, static_cast<double>(words.size_bytes()) / time.count());
  }
  return sum.load() == 0 ? Bandwidth{} : Bandwidth{best, words.size_bytes()};
}

}  // namespace bulkhead::bench
