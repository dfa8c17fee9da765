// SPDX-License-Identifier: MIT
#include "engines/llama/paged_cells.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "engines/llama/cache_guard.h"
#include "engines/llama/compute_threads.h"
#include "engines/llama/context_batch.h"
#include "engines/llama/mutant.h"
#include "engines/llama/page_pool.h"
#include "engines/llama/paged_memory.h"
#include "engines/llama/prompt_lookup.h"
#include "measure/available_memory.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

namespace bulkhead::engines::llama {
namespace {

class PagedStore;

// Addresses that may be set aside: not all that the process may have, which needs some for what it computes.
std::uint64_t available_addresses() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return ~std::uint64_t{0};
  return std::uint64_t{limit.rlim_cur} / 4;
}

// As many as memory could hold, were there nothing else; at least one sequence as long as the context allows.
std::uint32_t pages_that_fit(const LoadedModel& model) {
  const auto page_bytes = std::max<std::uint64_t>(model.facts().kv_bytes_per_token * kPageCells, 1);
  constexpr std::uint64_t kMost = std::uint64_t{1} << 20U;
  const auto fit = std::min({measure::available_memory() / page_bytes, available_addresses() / page_bytes, kMost});
  return std::max(static_cast<std::uint32_t>(fit), pages_for(model.facts().context_tokens));
}

class PagedCells final : public Cells {
 public:
  PagedCells(PagedStore& store, std::uint32_t order) : store_(&store), order_(order) {}
  ~PagedCells() override;

  [[nodiscard]] Decoder& decoder() override;
  [[nodiscard]] std::uint32_t order() const override { return order_; }
  [[nodiscard]] bool trim(std::uint32_t tokens) override;
  [[nodiscard]] bool covers(std::uint32_t position) const override;
  [[nodiscard]] bool copy(Cells& source, std::uint32_t tokens) override;
  [[nodiscard]] std::optional<StoredCells> store() override;
  [[nodiscard]] std::vector<std::uint64_t> stored_pieces() const override;
  [[nodiscard]] bool restore(const StoredCells& bytes, std::span<const engine::Token> tokens) override;
  [[nodiscard]] std::int64_t first_position() const override {
    return table_.tokens == 0 ? -1 : std::int64_t{table_.behind_window} * kPageCells;
  }
  [[nodiscard]] std::int64_t last_position() const override { return std::int64_t{table_.tokens} - 1; }
  [[nodiscard]] std::uint64_t bytes_used() const override;
  [[nodiscard]] std::uint64_t bytes_allocated() const override;
  [[nodiscard]] std::optional<std::vector<engine::Token>> witness() const override;
  [[nodiscard]] Result<std::uint64_t> hash() override;

  [[nodiscard]] PageTable& table() { return table_; }
  [[nodiscard]] const PageTable& table() const { return table_; }

 private:
  PagedStore* store_;
  std::uint32_t order_;
  PageTable table_;
};

class PagedStore final : public CellStore, public Decoder {
 public:
  PagedStore(const LoadedModel& model, const Cancellation& cancellation, std::uint32_t pages)
      : model_(&model),
        cancellation_(&cancellation),
        pool_(pages),
        bound_(kMostInStep, nullptr),
        threads_(model.facts().threads) {}
  [[nodiscard]] Result<void> make_context();

  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override {
    return sequences * pool_.bytes_for(tokens_each, kept_cells()) + work_bytes_;
  }
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override;
  [[nodiscard]] std::uint64_t bytes_taken() const override {
    return std::uint64_t{pool_.pages() - pool_.free_pages()} * pool_.page_bytes();
  }
  [[nodiscard]] Result<std::unique_ptr<Cells>> open(std::uint32_t capacity, bool only_forked,
                                                    const Cells* beside) override;
  [[nodiscard]] bool can_grow(std::span<const Growth> growths) const override;
  [[nodiscard]] bool are_cells_of(const StoredCells& bytes, std::uint32_t tokens) const override;
  void clear_what_is_left() override { pool_.scrub_waiting(pool_.waiting_pages()); }

  [[nodiscard]] Decoded decode(std::span<const BatchToken> batch, std::string& reason) override;
  [[nodiscard]] std::span<const float> row(std::size_t index) const override;
  [[nodiscard]] std::size_t most_sequences() const override { return kMostInStep; }
  [[nodiscard]] bool mixes() const override { return true; }

  [[nodiscard]] PagePool& pool() { return pool_; }
  [[nodiscard]] const LoadedModel& model() const { return *model_; }
  void closed(PagedCells& cells);

 private:
  [[nodiscard]] std::unique_ptr<CacheGuard> guarded(std::span<PageTable* const> tables) const;
  void spoil(BatchToken& token, std::size_t rows) const;
  // Cells of windowed layers that one sequence holds at most.
  [[nodiscard]] std::uint32_t kept_cells() const;

  const LoadedModel* model_;
  const Cancellation* cancellation_;
  PagePool pool_;
  BoundTables bound_;
  ComputeThreads threads_;
  ContextHandle context_;
  std::uint64_t work_bytes_ = 0;
  std::vector<Cells*> open_;
  std::uint32_t opened_ = 0;
  PageTable stale_;  // for a mutant
};

// What stored cells begin with.
constexpr std::uint32_t kPagedForm = 0x50616765;

Decoder& PagedCells::decoder() {
  return *store_;
}

PagedCells::~PagedCells() {
  auto& pool = store_->pool();
  store_->closed(*this);
  pool.trim(table_, 0);
}

bool PagedCells::trim(std::uint32_t tokens) {
  if (!mutant(Mutant::kHalfWritten)) store_->pool().trim(table_, tokens);
  return true;
}

bool PagedCells::covers(std::uint32_t position) const {
  const auto window = store_->model().facts().window_tokens;
  const auto oldest_needed = position < window ? 0 : position - window + 1;
  return table_.behind_window * kPageCells <= oldest_needed;
}

bool PagedCells::copy(Cells& source, std::uint32_t tokens) {
  auto& from = dynamic_cast<PagedCells&>(source);  // of the same store, hence of the same kind
  table_ = store_->pool().fork(from.table_, mutant(Mutant::kShallowTrim) ? from.table_.tokens : tokens);
  return true;
}

std::optional<StoredCells> PagedCells::store() {
  ByteWriter writer;
  writer.number(kPagedForm);
  writer.number(table_.behind_window);
  writer.bytes(store_->pool().read(table_));
  auto bytes = std::move(writer).take();
  if (mutant(Mutant::kSharedStaging)) swap_last_bytes(bytes);
  return bytes;
}

std::vector<std::uint64_t> PagedCells::stored_pieces() const {
  return store_->pool().stored_pieces(table_);
}

bool PagedCells::restore(const StoredCells& bytes, std::span<const engine::Token> tokens) {
  auto& pool = store_->pool();
  const auto count = static_cast<std::uint32_t>(tokens.size());
  ByteReader reader(bytes);
  const auto form = reader.number<std::uint32_t>();
  const auto behind = reader.number<std::uint32_t>();
  if (reader.failed() || form != kPagedForm || behind > count / kPageCells) return false;
  if (reader.left() != pool.stored_bytes(count, behind) || !pool.make_writable(table_, count)) return false;
  table_.tokens = count;
  pool.give_up_window(table_, behind);
  static_cast<void>(pool.write(table_, reader.bytes(reader.left())));
  for (std::uint32_t i = 0; i < count; ++i) pool.note_token(table_.pages[i / kPageCells], i % kPageCells, tokens[i]);
  return true;
}

std::uint64_t PagedCells::bytes_used() const {
  return store_->pool().stored_bytes(table_.tokens, table_.behind_window);
}

std::uint64_t PagedCells::bytes_allocated() const {
  return store_->pool().bytes_of(table_);
}

std::optional<std::vector<engine::Token>> PagedCells::witness() const {
  return store_->pool().tokens_of(table_);
}

Result<std::uint64_t> PagedCells::hash() {
  return xxh3_64(store_->pool().read(table_));
}

Result<void> PagedStore::make_context() {
  BH_TRY(context_, model_->make_paged_context(pool_, bound_));
  threads_.attach(context_.get());
  set_cancellation(*context_, *cancellation_);
  work_bytes_ = model_->work_bytes_of(*context_, kMostInStep);
  return {};
}

Result<void> PagedStore::reserve(std::uint32_t sequences, std::uint32_t tokens_each) {
  BH_CHECK(model_->check_capacity(tokens_each));
  const auto bytes = sequences * pool_.bytes_for(tokens_each, kept_cells());
  const auto left = std::min<std::uint64_t>(pool_.free_pages() * pool_.page_bytes(), measure::available_memory());
  if (bytes > left) return too_little_memory(bytes, left, sequences, tokens_each);
  return {};
}

Result<std::unique_ptr<Cells>> PagedStore::open(std::uint32_t capacity, bool /*only_forked*/, const Cells* /*beside*/) {
  BH_CHECK(model_->check_capacity(capacity));
  auto cells = std::make_unique<PagedCells>(*this, opened_++);
  open_.push_back(cells.get());
  if (mutant(Mutant::kStaleRoom)) cells->table() = std::exchange(stale_, {});
  return std::unique_ptr<Cells>(std::move(cells));
}

void PagedStore::closed(PagedCells& cells) {
  if (mutant(Mutant::kStaleRoom)) {
    pool_.trim(stale_, 0);
    stale_ = std::exchange(cells.table(), {});
  }
  const auto here = std::find(open_.begin(), open_.end(), &cells);
  if (mutant(Mutant::kCloseClearsNeighbour) && open_.size() > 1) {
    auto& next = dynamic_cast<PagedCells&>(here + 1 == open_.end() ? *open_.front() : **(here + 1)).table();
    next.tokens -= std::min(next.tokens, 1U);
  }
  open_.erase(here);
}

bool PagedStore::can_grow(std::span<const Growth> growths) const {
  std::uint64_t pages = 0;
  for (const auto& growth : growths) {
    pages += pool_.missing_pages(dynamic_cast<const PagedCells&>(*growth.cells).table(), growth.tokens);
  }
  return pages <= pool_.free_pages();
}

bool PagedStore::are_cells_of(const StoredCells& bytes, std::uint32_t tokens) const {
  ByteReader reader(bytes);
  const auto form = reader.number<std::uint32_t>();
  const auto behind = reader.number<std::uint32_t>();
  if (reader.failed() || form != kPagedForm || tokens == 0) return false;
  const auto window = model_->facts().window_tokens;
  // Pages that the next token sees must be there.
  const auto dropped_at_most = window == 0 || tokens < window ? 0 : (tokens - window + 1) / kPageCells;
  return behind <= dropped_at_most && reader.left() == pool_.stored_bytes(tokens, behind);
}

Decoded PagedStore::decode(std::span<const BatchToken> batch, std::string& reason) {
  ContextBatch rows;
  std::vector<PageTable*> tables;
  std::vector<std::uint32_t> ends;  // of what each holds afterwards
  for (BatchToken token : batch) {
    spoil(token, batch.size());
    auto* table = &dynamic_cast<PagedCells&>(*token.cells).table();
    if (tables.empty() || tables.back() != table) {
      tables.push_back(table);
      ends.push_back(0);
    }
    ends.back() = token.position + 1;
    rows.add(token, static_cast<llama_seq_id>(tables.size() - 1));
  }
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const auto before = tables[i]->pages.size();
    if (!pool_.make_writable(*tables[i], ends[i])) {
      reason = fmt::format("all {} pages of {} cells are taken", pool_.pages(), kPageCells);
      return Decoded::kNoRoom;
    }
    if (model_->guard() != Guard::kNone && !pool_.are_scrubbed(std::span(tables[i]->pages).subspan(before))) {
      reason = "interference: a new page holds what another sequence left";
      return Decoded::kFailed;
    }
  }
  pool_.scrub_waiting(pool_.pages_at_once());
  std::fill(bound_.begin(), bound_.end(), nullptr);
  std::copy(tables.begin(), tables.end(), bound_.begin());
  Decoded decoded{};
  {
    const auto guard = guarded(tables);
    decoded = rows.decode(*context_, kernels::AttentionChoice::kBulkhead, reason);
  }
  if (decoded != Decoded::kDone && !mutant(Mutant::kHalfWritten)) return decoded;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    tables[i]->tokens = ends[i];
    if (!model_->keeps_whole_window()) pool_.drop_behind_window(*tables[i], kCheapColumns);
  }
  return decoded;
}

std::unique_ptr<CacheGuard> PagedStore::guarded(std::span<PageTable* const> tables) const {
  if (model_->guard() == Guard::kNone) return nullptr;
  const std::vector<const PageTable*> own(tables.begin(), tables.end());
  return std::make_unique<CacheGuard>(model_->guard(), pool_.foreign_cells(own), pool_.free_cells(own));
}

std::uint32_t PagedStore::kept_cells() const {
  const auto& facts = model_->facts();
  return model_->keeps_whole_window() ? facts.context_tokens : facts.window_tokens + kCheapColumns + kChunkTokens;
}

// Defects M1 and M2; see mutant.h.
void PagedStore::spoil(BatchToken& token, std::size_t rows) const {
  if (open_.size() < 2) return;
  if (mutant(Mutant::kOffByOnePosition) && token.position < rows && rows > 1) ++token.position;
  if (mutant(Mutant::kWrongSequence) && rows > 1) {
    const auto here = std::find(open_.begin(), open_.end(), token.cells);
    token.cells = here + 1 == open_.end() ? open_.front() : *(here + 1);
  }
}

std::span<const float> PagedStore::row(std::size_t index) const {
  return logits_of(*context_, index, model_->facts().vocabulary);
}

}  // namespace

Result<std::unique_ptr<CellStore>> make_paged_store(const LoadedModel& model, const Cancellation& cancellation) {
  // Where the system promises no more addresses than it has memory for (vm.overcommit_memory = 2), fewer may do.
  const auto fewest = pages_for(model.facts().context_tokens);
  for (auto pages = pages_that_fit(model);; pages = std::max(pages / 2, fewest)) {
    auto store = std::make_unique<PagedStore>(model, cancellation, pages);
    const auto made = store->make_context();
    if (made.ok()) return std::unique_ptr<CellStore>(std::move(store));
    if (made.error().code != ErrorCode::kUnsupported) return made.error();
    if (pages == fewest) {
      return Error{ErrorCode::kResource,
                   fmt::format("no address space for the cells of {} tokens", model.facts().context_tokens),
                   {},
                   "use a shorter context (-c), or allow more memory (ulimit -v)"};
    }
  }
}

}  // namespace bulkhead::engines::llama
