// SPDX-License-Identifier: MIT
#include "engines/llama/room_cells.h"

#include "base/hash.h"
#include "engines/llama/mutant.h"
#include "engines/llama/room_state.h"

#include <algorithm>

namespace bulkhead::engines::llama {

RoomCells::~RoomCells() {
  static_cast<void>(finish_copies());
  ContextPool::release(place_);
}

bool RoomCells::trim(std::uint32_t tokens) {
  if (mutant(Mutant::kHalfWritten)) return true;
  return llama_memory_seq_rm(place_.context->memory(), place_.id, static_cast<llama_pos>(tokens), -1);
}

void RoomCells::clear() const {
  llama_memory_seq_rm(place_.context->memory(), place_.id, -1, -1);
}

bool RoomCells::covers(std::uint32_t position) const {
  const auto window = pool_->model().facts().window_tokens;
  const std::int64_t oldest_needed = window == 0 || position <= window ? 0 : position - window;
  return first_position() >= 0 && first_position() <= oldest_needed;
}

std::int64_t RoomCells::first_position() const {
  return llama_memory_seq_pos_min(place_.context->memory(), place_.id);
}

std::int64_t RoomCells::last_position() const {
  return llama_memory_seq_pos_max(place_.context->memory(), place_.id);
}

bool RoomCells::finish_copies() {
  PoolContext& context = *place_.context;
  if (!context.copy_waits) return true;
  const std::stop_source stopped;
  stopped.request_stop();
  const CancelScope scope(pool_->cancellation(), {stopped.get_token()});
  const auto end = static_cast<std::uint32_t>(last_position() + 1);
  const BatchToken token{0, end, this, false};
  std::string reason;
  static_cast<void>(context.decode(std::span(&token, 1), reason));
  return trim(end) && !context.copy_waits;
}

bool RoomCells::copy_all(RoomCells& source) {
  PoolContext& from = *source.place_.context;
  if (&from == place_.context) {
    llama_memory_seq_cp(from.memory(), source.place_.id, place_.id, -1, -1);
    from.copy_waits = from.own_buffers;
    auto& written = from.written_cells[order()];
    written = std::max(written, from.written_cells[source.order()]);
    // A guard would keep the next computation from reading the source.
    return from.guard == Guard::kNone || finish_copies();
  }
  const auto cells = source.store();
  // Which tokens they are of does not matter to libllama.
  const std::vector<engine::Token> tokens(static_cast<std::size_t>(source.last_position() + 1));
  return cells && restore(*cells, tokens);
}

// Asked again of the copy whether it covers what is needed: libllama's state leaves out what is behind the window of
// the source's end.
bool RoomCells::copy(Cells& source, std::uint32_t tokens) {
  auto& from = dynamic_cast<RoomCells&>(source);  // of the same store, hence of the same kind
  const bool whole = from.last_position() + 1 == std::int64_t{tokens};
  const auto cut = [&] {
    return whole || mutant(Mutant::kShallowTrim) ||
           llama_memory_seq_rm(place_.context->memory(), place_.id, static_cast<llama_pos>(tokens), -1);
  };
  if (copy_all(from) && cut()) return true;
  clear();
  return false;
}

std::optional<StoredCells> RoomCells::store() {
  const auto& model = pool_->model();
  if (llama_model_is_recurrent(model.model()) || llama_model_is_hybrid(model.model())) return std::nullopt;
  // libllama leaves out what the window has left behind, and what remains then lies in other cells than before. Our
  // attention adds up by blocks of cells, so last bits would move; computing anew gives the very same ones.
  const auto window = model.facts().window_tokens;
  if (model.facts().batch_invariant && window > 0 && last_position() + 1 > std::int64_t{window}) return std::nullopt;
  if (!finish_copies()) return std::nullopt;
  auto bytes = read_state(place_);
  if (mutant(Mutant::kSharedStaging) && bytes) swap_last_bytes(*bytes);
  return bytes;
}

bool RoomCells::restore(const StoredCells& bytes, std::span<const engine::Token> tokens) {
  if (!finish_copies()) return false;
  auto& written = place_.context->written_cells[order()];
  const auto count = static_cast<std::uint32_t>(tokens.size());
  written = std::max(written, count);  // whether they stay or not
  if (!write_state(place_, bytes)) return false;
  if (last_position() + 1 == std::int64_t{count} && covers(count)) return true;
  clear();
  return false;
}

std::uint64_t RoomCells::bytes_used() const {
  return pool_->model().kv_bytes(static_cast<std::uint32_t>(last_position() + 1), first_position());
}

Result<std::uint64_t> RoomCells::hash() {
  auto* context = place_.context->handle.get();
  if (place_.context->copy_waits) {
    return Error{ErrorCode::kUnsupported, "a copy of cells waits for the next computation", {}, {}};
  }
  std::vector<std::uint8_t> state(llama_state_seq_get_size(context, place_.id));
  const auto written = llama_state_seq_get_data(context, state.data(), state.size(), place_.id);
  return xxh3_64(std::as_bytes(std::span(state).first(written)));
}

}  // namespace bulkhead::engines::llama
