// SPDX-License-Identifier: MIT
// Cells in rooms: libllama contexts by size, whose sequence ids are the rooms. For models that cannot be paged.
#pragma once

#include "engines/llama/cache_map.h"
#include "engines/llama/cells.h"
#include "engines/llama/compute_threads.h"
#include "engines/llama/loaded_model.h"

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

namespace bulkhead::engines::llama {

// One libllama context. Its sequence ids are the rooms.
struct PoolContext final : Decoder {
  ContextHandle handle;
  std::uint32_t tokens_each = 0;  // capacity of each room
  std::uint32_t vocabulary = 0;
  std::uint64_t kv_bytes_each = 0;
  std::vector<bool> taken;  // [n_sequences]
  kernels::AttentionChoice attention = kernels::AttentionChoice::kStock;
  std::unique_ptr<CacheMap> cache;           // where the cells lie; null where that is not known
  std::vector<std::uint32_t> written_cells;  // [n_sequences] cells that held something since the room was last cleared
  Guard guard = Guard::kNone;
  bool own_buffers = true;  // one buffer (libllama: stream) per sequence; false: one for all
  // A copy between buffers was ordered and runs with the next decode. Until then the state of a sequence must not be
  // read or written through libllama's state interface, which knows nothing of it.
  bool copy_waits = false;
  std::size_t empty_state_bytes = 0;  // what libllama says of a sequence that holds nothing

  // libllama joins only ascending ids into one computation.
  [[nodiscard]] Decoded decode(std::span<const BatchToken> batch, std::string& reason) override;
  [[nodiscard]] std::span<const float> row(std::size_t index) const override;
  [[nodiscard]] std::size_t most_sequences() const override { return taken.size(); }
  [[nodiscard]] bool mixes() const override { return false; }

  [[nodiscard]] llama_memory_t memory() const { return llama_get_memory(handle.get()); }
  [[nodiscard]] std::uint32_t free_rooms() const;
  // Not asked by positions: libllama's own question for the newest overlooks cells that it cannot take out.
  [[nodiscard]] bool is_empty(llama_seq_id room) const;
};

// A room: sequence `id` of `context`.
struct Place {
  PoolContext* context = nullptr;
  llama_seq_id id = -1;
};

class ContextPool final : public CellStore {
 public:
  // Both must outlive the pool, and the pool all that it opens. `cancellation` stops a running decode of any of its
  // contexts.
  ContextPool(const LoadedModel& model, Cancellation& cancellation)
      : model_(&model), cancellation_(&cancellation), threads_(model.facts().threads) {}

  // More than 256 sequences are spread over several contexts.
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override;
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override;
  [[nodiscard]] std::uint64_t bytes_taken() const override;
  [[nodiscard]] Result<std::unique_ptr<Cells>> open(std::uint32_t capacity, bool only_forked,
                                                    const Cells* beside) override;
  [[nodiscard]] bool can_grow(std::span<const Growth> /*growths*/) const override { return true; }
  [[nodiscard]] bool are_cells_of(const StoredCells& bytes, std::uint32_t tokens) const override;

  [[nodiscard]] const LoadedModel& model() const { return *model_; }
  [[nodiscard]] Cancellation& cancellation() const { return *cancellation_; }

  // The smallest free room with enough capacity, in `preferred` if that has one; makes a small context when none is
  // free. libllama decodes sequences in one go only where their ids follow one another without a gap: so ids are given
  // from the low end, and to sequences that will not be decoded (`only_forked`) from the high end.
  [[nodiscard]] Result<Place> take(std::uint32_t capacity, bool only_forked, PoolContext* preferred);
  // What was in its cells is overwritten with zeros, where their place is known (LoadedModel::cells_in_order) and no
  // copy still needs them. A room that libllama cannot empty stays taken for good.
  static void release(const Place& place);

 private:
  // Of all the contexts that so many sequences take.
  [[nodiscard]] Result<Footprint> footprint(std::uint32_t sequences, std::uint32_t tokens_each) const;
  [[nodiscard]] Result<void> check_memory(std::uint32_t sequences, std::uint32_t tokens_each) const;
  [[nodiscard]] Result<void> add(std::uint32_t sequences, std::uint32_t tokens_each);
  [[nodiscard]] PoolContext* smallest_fit(std::uint32_t capacity);

  const LoadedModel* model_;
  Cancellation* cancellation_;
  ComputeThreads threads_;           // of all contexts: they are used one at a time
  std::list<PoolContext> contexts_;  // a list: places point into it
};

}  // namespace bulkhead::engines::llama
