// SPDX-License-Identifier: MIT
// Cells of all sequences of one model in pages of 64. A page is the same 64 cells in every layer's keys and values; a
// sequence is a list of pages (PageTable). Forks share pages, and who writes into a shared one gets its own first.
//
// Where a page lies: the keys of a cache's layers stand side by side, page by page, and so do its values. So a page is
// two runs of bytes for each cache, however many layers there are: it is locked, scrubbed and given back by few calls.
// Where layers differ in size each has an area of its own.
//
// Invariants:
//   position p of a sequence is cell p % 64 of page pages[p / 64]
//   a page has one owner, or several that are forks of one ancestor; a shared page is never written
//   cells at or behind `tokens` mean nothing, and nothing reads them before they are written
//   a free page is zero, and takes no memory but for what shares an OS page with a neighbour
//   a page that nobody owns is free, or waits to be scrubbed and is given to nobody before
#pragma once

#include "engines/llama/cache_guard.h"
#include "engines/llama/kernels/paged_attention.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

inline constexpr std::uint32_t kPageCells = kernels::kBlockCells;

// The pages of one sequence: plain data, of which the pool keeps no list.
struct PageTable {
  std::vector<std::uint32_t> pages;
  std::uint32_t tokens = 0;         // cells that count
  std::uint32_t behind_window = 0;  // so many of its first pages hold no cells of windowed layers any more
};

[[nodiscard]] constexpr std::uint32_t pages_for(std::uint32_t tokens) {
  return (tokens + kPageCells - 1) / kPageCells;
}

// Thread rule: one thread at a time.
class PagePool {
 public:
  // Address space for `pages` pages of whatever is adopted later; takes no memory before cells are written.
  explicit PagePool(std::uint32_t pages);
  ~PagePool();
  PagePool(const PagePool&) = delete;
  PagePool& operator=(const PagePool&) = delete;

  // The layers of one libllama cache move into the pool: keys and values, two-dimensional, in the same order. `window`:
  // cells that their queries see; 0: all. At most one cache with a window and one without. False: no address space.
  // The tensors must not be used after the pool is gone.
  [[nodiscard]] bool adopt(std::span<ggml_tensor* const> keys, std::span<ggml_tensor* const> values, int window);

  // For the attention operator; valid as long as the pool, once everything is adopted.
  [[nodiscard]] std::span<const kernels::PagedLayer> layers() const { return layers_; }
  // Row of a cache's tensors in which a cell lies.
  [[nodiscard]] std::uint32_t row_of(std::uint32_t page, std::uint32_t cell, bool windowed) const;

  // Pages that make_writable() would take.
  [[nodiscard]] std::uint32_t missing_pages(const PageTable& table, std::uint32_t end) const;
  // Makes sure that the pages of the cells [table.tokens, end) exist and belong to this table alone. False, and nothing
  // is changed, when so many pages are not left.
  [[nodiscard]] bool make_writable(PageTable& table, std::uint32_t end);
  // Whether pages hold nothing but zeros: reads all of them.
  [[nodiscard]] bool are_scrubbed(std::span<const std::uint32_t> pages) const;
  // Shares the pages of the first `tokens` cells.
  [[nodiscard]] PageTable fork(const PageTable& source, std::uint32_t tokens);
  // Gives back the pages that hold no cell below `tokens`; cells between there and the end of a page stay as they are.
  // Of many pages only some are scrubbed now, so that nobody waits long; the others by scrub_waiting().
  void trim(PageTable& table, std::uint32_t tokens);
  // Scrubs pages that wait for it, at most so many.
  void scrub_waiting(std::size_t pages);
  // What may be scrubbed while somebody waits: 16 MiB take about a millisecond.
  [[nodiscard]] std::size_t pages_at_once() const;
  // Gives back what windowed layers hold of pages that no token sees any more, now or after `spare` tokens are trimmed.
  // What a table has given up does not depend on who else owns its pages; memory comes back when all of them have.
  void drop_behind_window(PageTable& table, std::uint32_t spare);

  // The first `pages` pages of a table that has given up nothing yet hold no windowed cells.
  void give_up_window(PageTable& table, std::uint32_t pages);

  // The witness: which token each cell was last written for.
  void note_token(std::uint32_t page, std::uint32_t cell, std::int32_t token);
  [[nodiscard]] std::vector<std::int32_t> tokens_of(const PageTable& table) const;

  // All bytes that a sequence's cells have, page by page; windowed layers from page `behind_window` on only.
  [[nodiscard]] std::vector<std::byte> read(const PageTable& table) const;
  // Sizes of what read() gives, page by page: forks have those of the pages that they share in common.
  [[nodiscard]] std::vector<std::uint64_t> stored_pieces(const PageTable& table) const;
  // Fills the pages of a table, which are its own, with such bytes. False, and nothing is written, when their number is
  // not that of the table.
  [[nodiscard]] bool write(const PageTable& table, std::span<const std::byte> bytes);
  // Bytes that read() gives of so many cells.
  [[nodiscard]] std::uint64_t stored_bytes(std::uint32_t tokens, std::uint32_t behind_window) const;

  // The cells of all pages but those of `own`; and of `own` those behind the last one that counts.
  [[nodiscard]] std::vector<GuardedCells> foreign_cells(std::span<const PageTable* const> own) const;
  [[nodiscard]] std::vector<GuardedCells> free_cells(std::span<const PageTable* const> own) const;

  [[nodiscard]] std::uint32_t pages() const { return static_cast<std::uint32_t>(references_.size()); }
  // Those that wait to be scrubbed included.
  [[nodiscard]] std::uint32_t free_pages() const { return static_cast<std::uint32_t>(free_.size() + waiting_.size()); }
  [[nodiscard]] std::size_t waiting_pages() const { return waiting_.size(); }
  [[nodiscard]] std::uint64_t page_bytes() const;
  // Bytes that one sequence of `tokens` tokens takes at most, of which windowed layers keep `window_cells`.
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t tokens, std::uint32_t window_cells) const;
  // Bytes that a table's pages take; shared ones count in full.
  [[nodiscard]] std::uint64_t bytes_of(const PageTable& table) const;

 private:
  // The keys or the values of all layers of a cache, or of one layer.
  struct Area {
    std::byte* data = nullptr;
    std::size_t bytes = 0;
    std::size_t page_bytes = 0;
    std::size_t row_bytes = 0;  // of one cell of one layer
    ggml_type type = GGML_TYPE_F16;
    bool windowed = false;
    ggml_backend_buffer_t buffer = nullptr;

    [[nodiscard]] std::span<std::byte> page(std::uint32_t index) const {
      return {data + page_bytes * index, page_bytes};
    }
  };

  [[nodiscard]] bool add_area(std::span<ggml_tensor* const> tensors, bool windowed, std::uint32_t stride);
  [[nodiscard]] bool writes_shared(const PageTable& table) const;
  [[nodiscard]] std::uint32_t take();
  void copy_cells(std::uint32_t from, std::uint32_t to, std::uint32_t cells);
  void scrub_neighbours(std::vector<std::uint32_t> pages, bool windowed_only) const;

  std::vector<std::uint32_t> references_;         // by page
  std::vector<std::uint32_t> window_references_;  // by page: of these, who has not given up its windowed layers
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>>
      free_;                            // lowest first: areas stay dense
  std::vector<std::uint32_t> waiting_;  // nobody's, but not scrubbed yet
  std::vector<Area> areas_;
  std::vector<kernels::PagedLayer> layers_;
  std::array<std::uint32_t, 2> stride_{};  // rows from one page to the next: of caches without and with a window
  std::vector<std::int32_t> witness_;      // by cell
};

}  // namespace bulkhead::engines::llama
