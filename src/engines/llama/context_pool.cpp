// SPDX-License-Identifier: MIT
#include "engines/llama/context_pool.h"

#include "base/log.h"
#include "engines/llama/backend.h"
#include "engines/llama/mutant.h"
#include "measure/available_memory.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::engines::llama {
namespace {

// Rooms that open() makes at once when nothing is free: those of one context can be decoded together.
constexpr std::uint32_t kRoomsAtOnce = 4;

// libllama asks this between the nodes of a graph.
bool stop_asked(void* cancellation) {
  return static_cast<const Cancellation*>(cancellation)->requested();
}

Error too_little_memory(std::uint64_t needed, std::uint64_t available, std::uint32_t sequences,
                        std::uint32_t tokens_each) {
  return {ErrorCode::kResource,
          fmt::format("{} sequences of {} tokens need {} MiB, {} MiB are available: {} MiB too few", sequences,
                      tokens_each, needed >> 20U, available >> 20U, ((needed - available) >> 20U) + 1),
          {},
          "use a shorter context, fewer sequences or a smaller KV cache type"};
}

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

}  // namespace

bool Cancellation::requested() const {
  return !tokens_.empty() &&
         std::all_of(tokens_.begin(), tokens_.end(), [](const auto& token) { return token.stop_requested(); });
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

Result<void> ContextPool::check_tokens(std::uint32_t tokens_each) const {
  const auto& facts = model_->facts();
  if (tokens_each == 0) return Error{ErrorCode::kBadInput, "a sequence needs room for at least one token", {}, {}};
  if (tokens_each > facts.context_tokens) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens are {} more than the context of {} (the model was trained for {})", tokens_each,
                             tokens_each - facts.context_tokens, facts.context_tokens, facts.trained_context_tokens),
                 {},
                 "use less text, or a larger context (-c) where the model allows it"};
  }
  return {};
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
    // libllama takes an untyped pointer and hands it back unchanged.
    llama_set_abort_callback(handle.get(), stop_asked, const_cast<Cancellation*>(cancellation_));  // NOLINT
    PoolContext context;
    context.handle = std::move(handle);
    context.tokens_each = LoadedModel::padded(tokens_each);
    context.kv_bytes_each = footprint.kv / here;
    context.taken.assign(here, false);
    context.attention = model_->attention();
    context.cache = std::move(cache);
    context.written_cells.assign(here, 0);
    context.guard = model_->guard();
    if (context.guard != Guard::kNone) BH_CHECK(find_cells(context));
    context.own_buffers = model_->facts().grade == Grade::kBuffer;
    context.empty_state_bytes = llama_state_seq_get_size(context.handle.get(), 0);
    contexts_.push_back(std::move(context));
  }
  return {};
}

Result<void> ContextPool::reserve(std::uint32_t sequences, std::uint32_t tokens_each) {
  BH_CHECK(check_tokens(tokens_each));
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
  BH_CHECK(check_tokens(capacity));
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
