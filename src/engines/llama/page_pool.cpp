// SPDX-License-Identifier: MIT
#include "engines/llama/page_pool.h"

#include "engines/llama/mutant.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace bulkhead::engines::llama {
namespace {

std::size_t os_page() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

// Zeros from here on; whole pages of the system go back to it.
void scrub(std::span<std::byte> bytes) {
  const auto page = os_page();
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());  // NOLINT: pages are about addresses
  const auto head = std::min((page - address % page) % page, bytes.size());
  const auto whole = (bytes.size() - head) / page * page;
  std::memset(bytes.data(), 0, head);
  if (whole > 0 && ::madvise(bytes.data() + head, whole, MADV_DONTNEED) != 0)
    std::memset(bytes.data() + head, 0, whole);
  std::memset(bytes.data() + head + whole, 0, bytes.size() - head - whole);
}

bool same_rows(std::span<ggml_tensor* const> tensors) {
  return std::ranges::all_of(tensors, [&](const auto* tensor) {
    return tensor->type == tensors.front()->type && tensor->nb[1] == tensors.front()->nb[1];
  });
}

}  // namespace

PagePool::PagePool(std::uint32_t pages) : references_(pages, 0), window_references_(pages, 0) {
  std::vector<std::uint32_t> all(pages);
  std::iota(all.begin(), all.end(), 0U);
  free_ = decltype(free_)(std::greater<>(), std::move(all));
}

PagePool::~PagePool() {
  for (const auto& area : areas_) {
    ggml_backend_buffer_free(area.buffer);
    ::munmap(area.data, area.bytes);
  }
}

bool PagePool::adopt(std::span<ggml_tensor* const> keys, std::span<ggml_tensor* const> values, int window) {
  const bool windowed = window > 0;
  const bool side_by_side = same_rows(keys) && same_rows(values);
  const auto stride = side_by_side ? static_cast<std::uint32_t>(keys.size()) * kPageCells : kPageCells;
  stride_[windowed ? 1 : 0] = stride;
  for (const auto& tensors : {keys, values}) {
    for (std::size_t i = 0; i < tensors.size(); i += side_by_side ? tensors.size() : 1) {
      if (!add_area(tensors.subspan(i, side_by_side ? tensors.size() : 1), windowed, stride)) return false;
    }
  }
  for (const auto* tensor : keys) layers_.push_back({tensor, window, static_cast<int>(stride)});
  return true;
}

// The tensors begin one behind the other within the first page; so the same row of each lies in the same page.
bool PagePool::add_area(std::span<ggml_tensor* const> tensors, bool windowed, std::uint32_t stride) {
  Area area;
  area.row_bytes = tensors.front()->nb[1];
  area.type = tensors.front()->type;
  area.page_bytes = area.row_bytes * stride;
  area.windowed = windowed;
  area.bytes = (area.page_bytes * references_.size() + os_page() - 1) / os_page() * os_page();
  void* mapped =
      ::mmap(nullptr, area.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return false;
  // A huge page would commit megabytes for one page of cells.
  static_cast<void>(::madvise(mapped, area.bytes, MADV_NOHUGEPAGE));
  area.data = static_cast<std::byte*>(mapped);
  area.buffer = ggml_backend_cpu_buffer_from_ptr(mapped, area.bytes);
  const auto rows = static_cast<std::size_t>(stride) * references_.size();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    ggml_tensor& tensor = *tensors[i];
    const auto skipped = i * kPageCells;
    tensor.data = area.data + skipped * area.row_bytes;
    tensor.buffer = area.buffer;
    tensor.ne[1] = static_cast<std::int64_t>(rows - skipped);
    tensor.nb[2] = tensor.nb[3] = area.row_bytes * (rows - skipped);
  }
  areas_.push_back(area);
  return true;
}

std::uint32_t PagePool::row_of(std::uint32_t page, std::uint32_t cell, bool windowed) const {
  return page * stride_[windowed ? 1 : 0] + cell;
}

std::uint32_t PagePool::take() {
  if (free_.empty()) scrub_waiting(pages_at_once());
  const auto page = free_.top();
  free_.pop();
  references_[page] = window_references_[page] = 1;
  return page;
}

std::uint32_t PagePool::missing_pages(const PageTable& table, std::uint32_t end) const {
  const auto there = static_cast<std::uint32_t>(table.pages.size());
  return pages_for(end) - std::min(pages_for(end), there) + (writes_shared(table) ? 1U : 0U);
}

// Whether its next cell lies in a page that others own too.
bool PagePool::writes_shared(const PageTable& table) const {
  const auto first = table.tokens / kPageCells;
  return first < table.pages.size() && references_[table.pages[first]] > 1;
}

bool PagePool::make_writable(PageTable& table, std::uint32_t end) {
  if (missing_pages(table, end) > free_pages()) return false;
  if (writes_shared(table) && !mutant(Mutant::kSharedCache)) {
    const auto first = table.tokens / kPageCells;
    const auto made = take();
    copy_cells(table.pages[first], made, table.tokens % kPageCells);
    --references_[table.pages[first]];
    --window_references_[table.pages[first]];
    table.pages[first] = made;
  }
  while (table.pages.size() < pages_for(end)) table.pages.push_back(take());
  return true;
}

bool PagePool::are_scrubbed(std::span<const std::uint32_t> pages) const {
  return std::ranges::all_of(pages, [&](std::uint32_t page) {
    return std::ranges::all_of(areas_, [&](const Area& area) {
      return std::ranges::all_of(area.page(page), [](std::byte byte) { return byte == std::byte{0}; });
    });
  });
}

void PagePool::copy_cells(std::uint32_t from, std::uint32_t to, std::uint32_t cells) {
  for (const auto& area : areas_) {
    const auto layer_bytes = kPageCells * area.row_bytes;
    for (std::size_t at = 0; at < area.page_bytes; at += layer_bytes) {
      std::memcpy(area.page(to).data() + at, area.page(from).data() + at, cells * area.row_bytes);
    }
  }
  for (std::uint32_t cell = 0; cell < cells; ++cell) note_token(to, cell, witness_[from * kPageCells + cell]);
}

PageTable PagePool::fork(const PageTable& source, std::uint32_t tokens) {
  PageTable made{source.pages, tokens, source.behind_window};
  made.pages.resize(pages_for(tokens));
  for (std::size_t i = 0; i < made.pages.size(); ++i) {
    ++references_[made.pages[i]];
    if (i >= made.behind_window) ++window_references_[made.pages[i]];
  }
  return made;
}

void PagePool::trim(PageTable& table, std::uint32_t tokens) {
  const auto keep = std::min<std::size_t>(pages_for(tokens), table.pages.size());
  std::vector<std::uint32_t> gone;
  std::vector<std::uint32_t> gone_behind_window;
  for (auto i = keep; i < table.pages.size(); ++i) {
    const auto page = table.pages[i];
    const bool windowed = i >= table.behind_window && --window_references_[page] == 0;
    if (--references_[page] == 0) {
      gone.push_back(page);
    } else if (windowed) {
      gone_behind_window.push_back(page);
    }
  }
  waiting_.insert(waiting_.end(), gone.begin(), gone.end());
  scrub_waiting(pages_at_once());
  scrub_neighbours(std::move(gone_behind_window), true);
  table.pages.resize(keep);
  table.tokens = std::min(table.tokens, tokens);
  table.behind_window = std::min(table.behind_window, static_cast<std::uint32_t>(keep));
}

void PagePool::scrub_waiting(std::size_t pages) {
  const auto begin = waiting_.end() - static_cast<std::ptrdiff_t>(std::min(pages, waiting_.size()));
  std::vector<std::uint32_t> scrubbed(begin, waiting_.end());
  waiting_.erase(begin, waiting_.end());
  for (const auto page : scrubbed) free_.push(page);
  if (!mutant(Mutant::kUnscrubbedPage)) scrub_neighbours(std::move(scrubbed), false);
}

std::size_t PagePool::pages_at_once() const {
  constexpr std::uint64_t kBytesAtOnce = std::uint64_t{16} << 20U;
  return std::max<std::size_t>(kBytesAtOnce / std::max<std::uint64_t>(page_bytes(), 1), 1);
}

// Pages side by side at once: each call of the system costs as much as clearing some of them.
void PagePool::scrub_neighbours(std::vector<std::uint32_t> pages, bool windowed_only) const {
  std::sort(pages.begin(), pages.end());
  for (std::size_t i = 0; i < pages.size();) {
    std::size_t next = i + 1;
    while (next < pages.size() && pages[next] == pages[next - 1] + 1) ++next;
    for (const auto& area : areas_) {
      if (area.windowed || !windowed_only) scrub({area.page(pages[i]).data(), area.page_bytes * (next - i)});
    }
    i = next;
  }
}

void PagePool::drop_behind_window(PageTable& table, std::uint32_t spare) {
  int window = 0;
  for (const auto& layer : layers_) window = std::max(window, layer.window);
  const auto needed = static_cast<std::uint32_t>(window) + spare;
  if (window == 0 || table.tokens <= needed) return;
  const auto oldest = mutant(Mutant::kWindowTooEarly) ? table.tokens : table.tokens - needed;
  give_up_window(table, oldest / kPageCells);
}

void PagePool::give_up_window(PageTable& table, std::uint32_t pages) {
  std::vector<std::uint32_t> gone;
  for (; table.behind_window < pages; ++table.behind_window) {
    const auto page = table.pages[table.behind_window];
    if (--window_references_[page] == 0) gone.push_back(page);
  }
  scrub_neighbours(std::move(gone), true);
}

void PagePool::note_token(std::uint32_t page, std::uint32_t cell, std::int32_t token) {
  const auto at = std::size_t{page} * kPageCells + cell;
  if (at >= witness_.size()) witness_.resize((std::size_t{page} + 1) * kPageCells, -1);
  witness_[at] = token;
}

std::vector<std::int32_t> PagePool::tokens_of(const PageTable& table) const {
  std::vector<std::int32_t> tokens;
  tokens.reserve(table.tokens);
  for (std::uint32_t i = 0; i < table.tokens; ++i) {
    tokens.push_back(witness_[std::size_t{table.pages[i / kPageCells]} * kPageCells + i % kPageCells]);
  }
  return tokens;
}

namespace {

// Calls visit(area, page of the table, cells that count) for all that read() and write() are about, in their order.
template <typename Areas>
void visit_cells(const Areas& areas, const PageTable& table, const auto& visit) {
  for (const auto& area : areas) {
    for (std::uint32_t i = area.windowed ? table.behind_window : 0; i < pages_for(table.tokens); ++i) {
      visit(area, table.pages[i], std::min(kPageCells, table.tokens - i * kPageCells));
    }
  }
}

}  // namespace

std::vector<std::byte> PagePool::read(const PageTable& table) const {
  std::vector<std::byte> bytes;
  visit_cells(areas_, table, [&](const Area& area, std::uint32_t page, std::uint32_t cells) {
    const auto all = area.page(page);
    for (std::size_t at = 0; at < area.page_bytes; at += kPageCells * area.row_bytes) {
      const auto rows = all.subspan(at, cells * area.row_bytes);
      bytes.insert(bytes.end(), rows.begin(), rows.end());
    }
  });
  return bytes;
}

std::vector<std::uint64_t> PagePool::stored_pieces(const PageTable& table) const {
  std::vector<std::uint64_t> sizes;
  visit_cells(areas_, table, [&](const Area& area, std::uint32_t /*page*/, std::uint32_t cells) {
    sizes.push_back(std::uint64_t{area.page_bytes} / kPageCells * cells);
  });
  return sizes;
}

bool PagePool::write(const PageTable& table, std::span<const std::byte> bytes) {
  if (bytes.size() != stored_bytes(table.tokens, table.behind_window)) return false;
  visit_cells(areas_, table, [&](const Area& area, std::uint32_t page, std::uint32_t cells) {
    const auto rows = cells * area.row_bytes;
    for (std::size_t at = 0; at < area.page_bytes; at += kPageCells * area.row_bytes) {
      std::memcpy(area.page(page).data() + at, bytes.data(), rows);
      bytes = bytes.subspan(rows);
    }
  });
  return true;
}

std::uint64_t PagePool::stored_bytes(std::uint32_t tokens, std::uint32_t behind_window) const {
  std::uint64_t sum = 0;
  for (const auto& area : areas_) {
    const auto cells = area.windowed ? tokens - std::min(tokens, behind_window * kPageCells) : tokens;
    sum += area.page_bytes / kPageCells * cells;
  }
  return sum;
}

std::vector<GuardedCells> PagePool::foreign_cells(std::span<const PageTable* const> own) const {
  std::vector<bool> foreign(references_.size());
  for (std::size_t page = 0; page < foreign.size(); ++page) foreign[page] = references_[page] > 0;
  for (const auto page : waiting_) foreign[page] = true;
  for (const auto* table : own) {
    for (const auto page : table->pages) foreign[page] = false;
  }
  std::vector<GuardedCells> found;
  for (const auto& area : areas_) {
    for (std::uint32_t page = 0; page < foreign.size(); ++page) {
      if (foreign[page]) found.push_back({area.page(page), area.type});
    }
  }
  return found;
}

std::vector<GuardedCells> PagePool::free_cells(std::span<const PageTable* const> own) const {
  std::vector<GuardedCells> found;
  for (const auto* table : own) {
    for (auto i = table->tokens / kPageCells; i < table->pages.size(); ++i) {
      const auto page = table->pages[i];
      if (references_[page] > 1) continue;  // what lies there may be a fork's
      const auto used = table->tokens > i * kPageCells ? table->tokens - i * kPageCells : 0;
      for (const auto& area : areas_) {
        for (std::size_t at = 0; at < area.page_bytes; at += kPageCells * area.row_bytes) {
          found.push_back(
              {area.page(page).subspan(at + used * area.row_bytes, (kPageCells - used) * area.row_bytes), area.type});
        }
      }
    }
  }
  return found;
}

std::uint64_t PagePool::page_bytes() const {
  return std::accumulate(areas_.begin(), areas_.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const Area& area) { return sum + area.page_bytes; });
}

std::uint64_t PagePool::bytes_for(std::uint32_t tokens, std::uint32_t window_cells) const {
  const auto pages = pages_for(tokens);
  // A window begins and ends within a page.
  const auto window_pages = std::min(pages, pages_for(window_cells) + 1);
  std::uint64_t sum = 0;
  for (const auto& area : areas_) sum += area.page_bytes * (area.windowed ? window_pages : pages);
  return sum;
}

std::uint64_t PagePool::bytes_of(const PageTable& table) const {
  std::uint64_t sum = 0;
  for (const auto& area : areas_)
    sum += area.page_bytes * (table.pages.size() - (area.windowed ? table.behind_window : 0));
  return sum;
}

}  // namespace bulkhead::engines::llama
