// SPDX-License-Identifier: MIT
#include "engines/llama/room_state.h"

#include "base/bytes.h"
#include "engines/llama/backend.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace bulkhead::engines::llama {
namespace {

// A magic number and the sequence's id.
constexpr std::size_t kHeadBytes = sizeof(std::uint32_t) + sizeof(llama_seq_id);
constexpr std::size_t kCountBytes = sizeof(std::uint32_t);

std::vector<std::byte> state_bytes(const Place& place, llama_state_seq_flags flags) {
  auto* context = place.context->handle.get();
  std::vector<std::uint8_t> bytes(llama_state_seq_get_size_ext(context, place.id, flags));
  bytes.resize(llama_state_seq_get_data_ext(context, bytes.data(), bytes.size(), place.id, flags));
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

std::uint32_t buffers_of(const PoolContext& context) {
  return context.own_buffers ? static_cast<std::uint32_t>(context.taken.size()) : 1;
}

// A cache is written as the number of its buffers, then buffer by buffer, a count of 0 for those without this
// sequence. Gives what stands there for its own buffer.
std::optional<std::vector<std::byte>> own_buffer(std::span<const std::byte> cache, const Place& place) {
  const auto buffers = buffers_of(*place.context);
  const auto before = place.context->own_buffers ? static_cast<std::uint32_t>(place.id) : 0;
  ByteReader reader(cache);
  if (reader.number<std::uint32_t>() != buffers || reader.left() < buffers * kCountBytes) return std::nullopt;
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  const auto first = reader.bytes(before * kCountBytes);
  const auto own = reader.bytes(reader.left() - (buffers - 1 - before) * kCountBytes);
  const auto last = reader.bytes(reader.left());
  if (!std::all_of(first.begin(), first.end(), is_zero) || !std::all_of(last.begin(), last.end(), is_zero))
    return std::nullopt;
  return std::vector<std::byte>(own.begin(), own.end());
}

void write_cache(ByteWriter& writer, std::span<const std::byte> own, std::uint32_t buffers) {
  writer.number(buffers);
  writer.bytes(own);  // libllama reads them into the buffer of the sequence, wherever they stand
  for (std::uint32_t i = 1; i < buffers; ++i) writer.number(std::uint32_t{0});
}

// Two more coordinates and the token, for models that see more than one direction.
constexpr std::size_t kPlaceBytes = 3 * sizeof(std::int32_t);

// The newest positions of `tokens`, as many as there are cells, each once.
bool positions_fit(ByteReader& reader, std::uint32_t cells, std::uint32_t tokens, bool cells_have_places) {
  const auto oldest = tokens - cells;
  std::vector<bool> found(cells, false);
  for (std::uint32_t i = 0; i < cells && !reader.failed(); ++i) {
    const auto position = reader.number<std::uint32_t>();
    const auto sequences = reader.number<std::uint32_t>();
    if (cells_have_places) static_cast<void>(reader.bytes(kPlaceBytes));
    static_cast<void>(reader.number<llama_seq_id>());  // libllama puts in the one that it reads for
    if (sequences != 1 || position < oldest || position >= tokens || found[position - oldest]) return false;
    found[position - oldest] = true;
  }
  return !reader.failed();
}

// `cells` rows of as many bytes as stand before them.
void skip_rows(ByteReader& reader, std::uint32_t cells) {
  const auto bytes = reader.number<std::uint64_t>();
  static_cast<void>(reader.bytes(bytes > reader.left() ? bytes : bytes * cells));
}

// The same by columns: bytes of a value, and values of a cell.
void skip_columns(ByteReader& reader, std::uint32_t cells) {
  const std::uint64_t bytes = reader.number<std::uint32_t>();
  const std::uint64_t values = reader.number<std::uint32_t>();
  const auto each = bytes * values;
  static_cast<void>(reader.bytes(each > reader.left() ? each : each * cells));
}

// Keys, then values, layer by layer, and nothing behind them. Types and sizes are compared by libllama.
bool layers_fit(ByteReader& reader, std::uint32_t cells) {
  const bool by_columns = reader.number<std::uint32_t>() != 0;
  const auto layers = reader.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < layers && !reader.failed(); ++i) {
    static_cast<void>(reader.number<std::int32_t>());
    skip_rows(reader, cells);
  }
  for (std::uint32_t i = 0; i < layers && !reader.failed() && reader.left() > 0; ++i) {
    static_cast<void>(reader.number<std::int32_t>());
    by_columns ? skip_columns(reader, cells) : skip_rows(reader, cells);
  }
  return !reader.failed() && reader.left() == 0;
}

struct Blocks {
  std::span<const std::byte> full;
  std::span<const std::byte> window;  // empty where the model has none
};

std::optional<Blocks> blocks_of(const StoredCells& bytes) {
  ByteReader reader(bytes);
  Blocks blocks;
  blocks.full = reader.bytes(reader.number<std::uint64_t>());
  blocks.window = reader.bytes(reader.number<std::uint64_t>());
  if (reader.failed() || reader.left() != 0) return std::nullopt;
  return blocks;
}

}  // namespace

bool is_state_of(const StoredCells& bytes, std::uint32_t tokens, bool cells_have_places) {
  const auto blocks = blocks_of(bytes);
  const auto fits = [&](std::span<const std::byte> block, bool all) {
    ByteReader reader(block);
    const auto count = reader.number<std::uint32_t>();
    return count > 0 && (all ? count == tokens : count <= tokens) &&
           positions_fit(reader, count, tokens, cells_have_places) && layers_fit(reader, count);
  };
  return blocks && fits(blocks->full, true) && (blocks->window.empty() || fits(blocks->window, false));
}

std::optional<StoredCells> read_state(const Place& place) {
  const auto all = state_bytes(place, LLAMA_STATE_SEQ_FLAGS_NONE);
  // The window's cache alone; of a model without one, everything.
  const auto partial = state_bytes(place, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY);
  if (all.size() < kHeadBytes || partial.size() < kHeadBytes || partial.size() > all.size()) return std::nullopt;
  const auto caches = std::span(all).subspan(kHeadBytes);
  const auto window_bytes = partial.size() == all.size() ? 0 : partial.size() - kHeadBytes;
  auto full = own_buffer(caches.first(caches.size() - window_bytes), place);
  if (!full) return std::nullopt;
  auto window =
      window_bytes == 0 ? std::optional(std::vector<std::byte>()) : own_buffer(caches.last(window_bytes), place);
  if (!window) return std::nullopt;
  ByteWriter writer;
  for (const auto& block : {*full, *window}) {
    writer.number(std::uint64_t{block.size()});
    writer.bytes(block);
  }
  return std::move(writer).take();
}

bool write_state(const Place& place, const StoredCells& stored) {
  const auto blocks = blocks_of(stored);
  if (!blocks) return false;
  const auto buffers = buffers_of(*place.context);
  // The head is libllama's own: taken from what it writes for this place now.
  const auto head = state_bytes(place, LLAMA_STATE_SEQ_FLAGS_NONE);
  if (head.size() < kHeadBytes) return false;
  ByteWriter writer;
  writer.bytes(std::span(head).first(kHeadBytes));
  write_cache(writer, blocks->full, buffers);
  if (!blocks->window.empty()) write_cache(writer, blocks->window, buffers);
  const auto bytes = writer.written();
  const LoggedErrors errors;
  const auto read = llama_state_seq_set_data(
      place.context->handle.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(), place.id);
  if (read == bytes.size()) return true;
  llama_memory_seq_rm(place.context->memory(), place.id, -1, -1);
  return false;
}

}  // namespace bulkhead::engines::llama
