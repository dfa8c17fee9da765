// SPDX-License-Identifier: MIT
#include "engines/llama/cache_guard.h"

#include <bulkhead/error.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <string_view>

namespace bulkhead::engines::llama {
namespace {

// NOLINTBEGIN(*-avoid-non-const-global-variables): sums over the process
std::atomic<std::uint64_t> computations{0};
std::atomic<std::uint64_t> foreign_bytes{0};
std::atomic<std::uint64_t> guarded_bytes{0};
// NOLINTEND(*-avoid-non-const-global-variables)

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

// The whole pages inside: a page that is shared with a neighbour must stay open.
std::span<std::byte> whole_pages(std::span<std::byte> bytes) {
  const auto page = page_bytes();
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());  // NOLINT: pages are about addresses
  const auto skip = (page - address % page) % page;
  if (bytes.size() < skip + page) return {};
  return bytes.subspan(skip, (bytes.size() - skip) / page * page);
}

// A NaN in every value that the type stores; for block types, in the scale that all values of a block are multiplied
// by.
void fill_with_nan(ggml_type type, std::span<std::byte> cells) {
  constexpr std::array kHalf = {std::byte{0x00}, std::byte{0x7e}};
  const auto block = ggml_type_size(type);
  if (type == GGML_TYPE_F32) {
    std::memset(cells.data(), 0xff, cells.size());
    return;
  }
  for (std::size_t i = 0; i + block <= cells.size(); i += block) std::memcpy(&cells[i], kHalf.data(), kHalf.size());
}

// What the handler may look at: it must not allocate or lock. One guard at a time in a process locks pages.
std::atomic<const std::vector<std::span<std::byte>>*> locked_now{nullptr};  // NOLINT(*-global-variables)

bool is_locked(const void* address) {
  const auto* pages = locked_now.load();
  if (pages == nullptr) return false;
  const auto at = reinterpret_cast<std::uintptr_t>(address);  // NOLINT
  return std::any_of(pages->begin(), pages->end(), [&](const auto& span) {
    const auto begin = reinterpret_cast<std::uintptr_t>(span.data());  // NOLINT
    return at >= begin && at < begin + span.size();
  });
}

void on_fault(int signal, siginfo_t* info, void* /*context*/) {
  if (!is_locked(info->si_addr)) {
    static_cast<void>(::signal(signal, SIG_DFL));  // again, the usual way, as soon as this returns
    return;
  }
  constexpr std::string_view kMessage =
      "bulkhead: interference: a computation touched the memory of a partition that it is not about\n";
  static_cast<void>(::write(STDERR_FILENO, kMessage.data(), kMessage.size()));
  ::_exit(exit_code(ErrorCode::kInterference));
}

}  // namespace

GuardTotals guard_totals() noexcept {
  return {computations.load(), foreign_bytes.load(), guarded_bytes.load()};
}

CacheGuard::CacheGuard(Guard guard, std::span<const GuardedCells> foreign, std::span<const GuardedCells> free) {
  if (guard == Guard::kNone) return;
  ++computations;
  for (const auto& cells : foreign) {
    foreign_bytes += cells.bytes.size();
    guard == Guard::kPages ? lock(cells.bytes) : poison(cells);
  }
  if (guard == Guard::kPoison) {
    for (const auto& cells : free) fill_with_nan(cells.type, cells.bytes);
  }
  if (guard == Guard::kPages) locked_now = &locked_;
}

void CacheGuard::lock(std::span<std::byte> foreign) {
  const auto pages = whole_pages(foreign);
  if (pages.empty() || ::mprotect(pages.data(), pages.size(), PROT_NONE) != 0) return;
  locked_.push_back(pages);
  guarded_bytes += pages.size();
}

void CacheGuard::poison(const GuardedCells& cells) {
  saved_.push_back({cells.bytes, std::vector<std::byte>(cells.bytes.begin(), cells.bytes.end())});
  fill_with_nan(cells.type, cells.bytes);
  guarded_bytes += cells.bytes.size();
}

CacheGuard::~CacheGuard() {
  if (!locked_.empty()) locked_now = nullptr;
  for (const auto& pages : locked_) ::mprotect(pages.data(), pages.size(), PROT_READ | PROT_WRITE);
  for (const auto& [where, bytes] : saved_) std::copy(bytes.begin(), bytes.end(), where.begin());
}

void end_on_guard_fault() {
  struct sigaction action {};
  action.sa_sigaction = &on_fault;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace bulkhead::engines::llama
