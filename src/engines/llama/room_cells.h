// SPDX-License-Identifier: MIT
// The cells of one sequence in a room of a libllama context.
#pragma once

#include "engines/llama/context_pool.h"

#include <cstdint>
#include <optional>

namespace bulkhead::engines::llama {

class RoomCells final : public Cells {
 public:
  // Takes over a room that ContextPool::take() gave, and releases it. `pool` must outlive it.
  RoomCells(ContextPool& pool, const Place& place) : pool_(&pool), place_(place) {}
  // Others may still be copies of what is about to be cleared: those are carried out first.
  ~RoomCells() override;

  [[nodiscard]] const Place& place() const { return place_; }

  [[nodiscard]] Decoder& decoder() override { return *place_.context; }
  [[nodiscard]] std::uint32_t order() const override { return static_cast<std::uint32_t>(place_.id); }
  [[nodiscard]] bool trim(std::uint32_t tokens) override;
  [[nodiscard]] bool covers(std::uint32_t position) const override;
  [[nodiscard]] bool copy(Cells& source, std::uint32_t tokens) override;
  [[nodiscard]] std::optional<StoredCells> store() override;
  [[nodiscard]] bool restore(const StoredCells& bytes, std::span<const engine::Token> tokens) override;
  [[nodiscard]] std::int64_t first_position() const override;
  [[nodiscard]] std::int64_t last_position() const override;
  [[nodiscard]] std::uint64_t bytes_used() const override;
  [[nodiscard]] std::uint64_t bytes_allocated() const override { return place_.context->kv_bytes_each; }
  [[nodiscard]] Result<std::uint64_t> hash() override;

 private:
  // Has libllama carry out the copies that wait in this context, so that states can be read and written. It does so at
  // the head of a decode only: one behind the last cell is begun, and stopped or refused before it matters. False: it
  // did not get that far; the cells are as before in any case.
  [[nodiscard]] bool finish_copies();
  [[nodiscard]] bool copy_all(RoomCells& source);
  void clear() const;

  ContextPool* pool_;
  Place place_;
};

}  // namespace bulkhead::engines::llama
