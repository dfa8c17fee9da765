// SPDX-License-Identifier: MIT
#include "engines/llama/context_pool.h"

#include "base/log.h"
#include "engines/llama/cache_guard.h"
#include "engines/llama/context_batch.h"
#include "engines/llama/mutant.h"
#include "engines/llama/room_cells.h"
#include "engines/llama/room_state.h"
#include "measure/available_memory.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::engines::llama {
namespace {

// Rooms that open() makes at once when nothing is free: those of one context can be decoded together.
constexpr std::uint32_t kRoomsAtOnce = 4;

// The first computation tells where the cells lie; a guard must know before the first of a partition's own.
Result<void> find_cells(PoolContext& context) {
  llama_token token = 0;
  const kernels::AttentionScope attention(context.attention);
  const auto code = llama_decode(context.handle.get(), llama_batch_get_one(&token, 1));
  llama_memory_clear(context.memory(), true);
  if (code != 0 || context.cache == nullptr || context.cache->tensors().empty()) {
    return Error{ErrorCode::kUnsupported, "where this model's cells lie cannot be found out", "--guard", {}};
  }
  return {};
}

// Notes which cells will be written, and keeps all others out of reach if that was asked for.
std::unique_ptr<CacheGuard> guarded(PoolContext& context, std::span<const BatchToken> batch) {
  std::vector<std::uint32_t> own;
  std::vector<std::uint32_t> free_from;
  for (const auto& token : batch) {
    const auto id = token.cells->order();
    auto& written = context.written_cells[id];
    written = std::max(written, token.position + 1);
    if (std::find(own.begin(), own.end(), id) != own.end()) continue;
    own.push_back(id);
    free_from.push_back(token.position);
  }
  // What carries out a waiting copy computes nothing, and must read the source.
  if (context.guard == Guard::kNone || context.copy_waits) return nullptr;
  return std::make_unique<CacheGuard>(context.guard, context.cache->foreign_cells(own),
                                      context.cache->free_cells(own, free_from));
}

}  // namespace

Decoded PoolContext::decode(std::span<const BatchToken> batch, std::string& reason) {
  ContextBatch rows;
  for (BatchToken token : batch) {
    auto id = token.cells->order();
    if (mutant(Mutant::kWrongSequence) && batch.size() > 1) id = (id + 1) % static_cast<std::uint32_t>(taken.size());
    if (mutant(Mutant::kOffByOnePosition) && token.position < batch.size() && batch.size() > 1 &&
        std::ranges::count(taken, true) > 1)
      ++token.position;
    rows.add(token, static_cast<llama_seq_id>(id));
  }
  const auto kept_out = guarded(*this, batch);
  const auto decoded = rows.decode(*handle, attention, reason);
  // Copies are carried out at the head of a decode, so only what failed before may have left them.
  if (decoded != Decoded::kFailed) copy_waits = false;
  return decoded;
}

std::span<const float> PoolContext::row(std::size_t index) const {
  return logits_of(*handle, index, vocabulary);
}

std::uint32_t PoolContext::free_rooms() const {
  return static_cast<std::uint32_t>(std::count(taken.begin(), taken.end(), false));
}

bool PoolContext::is_empty(llama_seq_id room) const {
  return llama_state_seq_get_size(handle.get(), room) == empty_state_bytes;
}

Result<Footprint> ContextPool::footprint(std::uint32_t sequences, std::uint32_t tokens_each) const {
  Footprint sum;
  const auto add_times = [&](std::uint32_t sequences_here, std::uint64_t times) -> Result<void> {
    BH_TRY(const auto one, model_->footprint(sequences_here, tokens_each));
    sum.kv += one.kv * times;
    sum.work += one.work * times;
    sum.on_host += one.on_host * times;
    for (const auto& [device, bytes] : one.on_device) sum.on_device[device] += bytes * times;
    return {};
  };
  if (sequences >= kMostSequences) BH_CHECK(add_times(kMostSequences, sequences / kMostSequences));
  if (sequences % kMostSequences != 0) BH_CHECK(add_times(sequences % kMostSequences, 1));
  return sum;
}

std::uint64_t ContextPool::bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const {
  const auto bytes = footprint(sequences, std::max(tokens_each, 1U));
  return bytes.ok() ? bytes.value().total() : 0;
}

Result<void> ContextPool::check_memory(std::uint32_t sequences, std::uint32_t tokens_each) const {
  BH_TRY(const auto needed, footprint(sequences, tokens_each));
  if (const auto available = measure::available_memory(); needed.on_host > available) {
    return too_little_memory(needed.on_host, available, sequences, tokens_each);
  }
  for (const auto& [device, bytes] : needed.on_device) {
    std::size_t available = 0;
    std::size_t all = 0;
    ggml_backend_dev_memory(device, &available, &all);
    if (bytes > available) return too_little_memory(bytes, available, sequences, tokens_each);
  }
  return {};
}

Result<void> ContextPool::add(std::uint32_t sequences, std::uint32_t tokens_each) {
  BH_CHECK(check_memory(sequences, tokens_each));
  for (std::uint32_t left = sequences; left > 0; left -= std::min(left, kMostSequences)) {
    const auto here = std::min(left, kMostSequences);
    BH_TRY(const auto footprint, model_->footprint(here, tokens_each));
    auto cache = model_->cells_in_order() ? std::make_unique<CacheMap>() : nullptr;
    BH_TRY(auto handle, model_->make_context(here, tokens_each, cache.get()));
    threads_.attach(handle.get());
    set_cancellation(*handle, *cancellation_);
    auto& context = contexts_.emplace_back();
    context.handle = std::move(handle);
    context.vocabulary = model_->facts().vocabulary;
    context.tokens_each = LoadedModel::padded(tokens_each);
    context.kv_bytes_each = footprint.kv / here;
    context.taken.assign(here, false);
    context.attention = model_->attention();
    context.cache = std::move(cache);
    context.written_cells.assign(here, 0);
    context.guard = model_->guard();
    context.own_buffers = model_->facts().grade == Grade::kBuffer;
    if (context.guard != Guard::kNone) {
      if (auto found = find_cells(context); !found.ok()) {
        contexts_.pop_back();
        return found.error();
      }
    }
    context.empty_state_bytes = llama_state_seq_get_size(context.handle.get(), 0);
  }
  return {};
}

std::uint64_t ContextPool::bytes_taken() const {
  std::uint64_t bytes = 0;
  for (const auto& context : contexts_) {
    const auto taken = std::count(context.taken.begin(), context.taken.end(), true);
    bytes += static_cast<std::uint64_t>(taken) * context.kv_bytes_each;
  }
  return bytes;
}

Result<void> ContextPool::reserve(std::uint32_t sequences, std::uint32_t tokens_each) {
  BH_CHECK(model_->check_capacity(tokens_each));
  if (sequences == 0) return {};
  for (const auto& context : contexts_) {
    if (context.tokens_each >= tokens_each && context.free_rooms() >= sequences) return {};
  }
  // What nobody uses makes way first.
  std::erase_if(contexts_, [](const PoolContext& context) { return context.free_rooms() == context.taken.size(); });
  return add(sequences, tokens_each);
}

PoolContext* ContextPool::smallest_fit(std::uint32_t capacity) {
  PoolContext* best = nullptr;
  for (auto& context : contexts_) {
    if (context.tokens_each < capacity || context.free_rooms() == 0) continue;
    if (best == nullptr || context.tokens_each < best->tokens_each) best = &context;
  }
  return best;
}

Result<Place> ContextPool::take(std::uint32_t capacity, bool only_forked, PoolContext* preferred) {
  BH_CHECK(model_->check_capacity(capacity));
  PoolContext* context = preferred;
  if (context == nullptr || context->tokens_each < capacity || context->free_rooms() == 0)
    context = smallest_fit(capacity);
  if (context == nullptr) {
    auto added = add(kRoomsAtOnce, capacity);
    if (!added.ok()) added = add(1, capacity);
    BH_CHECK(added);
    context = &contexts_.back();
  }
  auto& taken = context->taken;
  const auto low = std::find(taken.begin(), taken.end(), false) - taken.begin();
  const auto high = taken.rend() - std::find(taken.rbegin(), taken.rend(), false) - 1;
  const auto id = only_forked ? high : low;
  taken[static_cast<std::size_t>(id)] = true;
  return Place{context, static_cast<llama_seq_id>(id)};
}

Result<std::unique_ptr<Cells>> ContextPool::open(std::uint32_t capacity, bool only_forked, const Cells* beside) {
  auto* preferred = beside == nullptr ? nullptr : dynamic_cast<const RoomCells&>(*beside).place().context;
  BH_TRY(const auto place, take(capacity, only_forked, preferred));
  return std::unique_ptr<Cells>(std::make_unique<RoomCells>(*this, place));
}

bool ContextPool::are_cells_of(const StoredCells& bytes, std::uint32_t tokens) const {
  return is_state_of(bytes, tokens, model_->cells_have_places());
}

void ContextPool::release(const Place& place) {
  auto* const memory = place.context->memory();
  if (mutant(Mutant::kCloseClearsNeighbour)) {
    const auto next = (place.id + 1) % static_cast<llama_seq_id>(place.context->taken.size());
    llama_memory_seq_rm(memory, next, std::max(0, llama_memory_seq_pos_max(memory, next)), -1);
  }
  if (!mutant(Mutant::kStaleRoom)) {
    llama_memory_seq_rm(memory, place.id, -1, -1);
    if (!place.context->is_empty(place.id)) return log::get().error("a room could not be emptied and is given up");
  }
  place.context->taken[static_cast<std::size_t>(place.id)] = false;
  auto& written = place.context->written_cells[static_cast<std::size_t>(place.id)];
  // A copy of it that could not be carried out yet needs the cells: they are cleared with their next owner's.
  if (place.context->cache == nullptr || place.context->copy_waits) return;
  place.context->cache->clear(static_cast<std::uint32_t>(place.id), written);
  written = 0;
}

}  // namespace bulkhead::engines::llama
