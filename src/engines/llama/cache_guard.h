// SPDX-License-Identifier: MIT
// Cache guard: makes a computation show that it does not touch what is not its own.
//   pages    the pages of all other sequences are locked (PROT_NONE): a read or write is a fault
//   poison   the cells of all other sequences hold NaN, and so do the free cells behind its own: a value read is seen
#pragma once

#include <bulkhead/options.h>
#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// What one guard did; sums over all of a process are kept for tests and reports.
struct GuardTotals {
  std::uint64_t computations = 0;
  std::uint64_t foreign_bytes = 0;  // bytes of the other sequences' cells, over all computations
  std::uint64_t guarded_bytes = 0;  // of these, locked or poisoned
};

[[nodiscard]] GuardTotals guard_totals() noexcept;

// Cells that lie side by side, of one type.
struct GuardedCells {
  std::span<std::byte> bytes;
  ggml_type type = GGML_TYPE_F16;
};

// Around one computation. When it ends, foreign cells are as before; free ones keep the NaN, since nobody may read
// them.
class CacheGuard {
 public:
  // `foreign`: the cells of all sequences that it is not about; `free`: those of its own that hold nothing yet. Locking
  // fails where the system does not allow it; then those bytes count as foreign and not as guarded.
  CacheGuard(Guard guard, std::span<const GuardedCells> foreign, std::span<const GuardedCells> free);
  ~CacheGuard();
  CacheGuard(const CacheGuard&) = delete;
  CacheGuard& operator=(const CacheGuard&) = delete;

 private:
  void lock(std::span<std::byte> foreign);
  void poison(const GuardedCells& cells);

  struct Saved {
    std::span<std::byte> where;
    std::vector<std::byte> bytes;
  };
  std::vector<std::span<std::byte>> locked_;
  std::vector<Saved> saved_;
};

// From now on a fault in a locked page ends this process with a message and exit code 7, "interference"; any other
// fault takes its usual course. For programs, not for libraries: it sets the handler of SIGSEGV and SIGBUS.
void end_on_guard_fault();

}  // namespace bulkhead::engines::llama
