// SPDX-License-Identifier: MIT
// Pages: that a pool keeps its books under any order of calls, and that what is computed over pages is, bit for bit,
// what libllama's own cache gives for each sequence alone.
#include "base/hash.h"
#include "engines/llama/context_pool.h"
#include "engines/llama/llama_engine.h"
#include "engines/llama/loaded_model.h"
#include "engines/llama/mutant.h"
#include "engines/llama/page_pool.h"
#include "engines/llama/paged_cells.h"
#include "engines/llama/sequence.h"
#include "engines/real_models.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

// ---- the pool -------------------------------------------------------------------------------------------------------

constexpr int kWindow = 100;

// A pool of two layers without and one with a window, whose cells are written and read through the layers' tensors.
class Cache {
 public:
  explicit Cache(std::uint32_t pages, bool equal_layers = true, int wider = 1)
      : context_(ggml_init({.mem_size = 1U << 16U, .mem_buffer = nullptr, .no_alloc = true}), &ggml_free),
        pool_(pages) {
    const auto tensor = [&](int row) { return ggml_new_tensor_3d(context_.get(), GGML_TYPE_F16, row * wider, 256, 1); };
    keys_ = {tensor(32), tensor(equal_layers ? 32 : 64), tensor(16)};
    values_ = {tensor(48), tensor(48), tensor(16)};
    const bool adopted = pool_.adopt(std::span(keys_).first(2), std::span(values_).first(2), 0) &&
                         pool_.adopt(std::span(keys_).last(1), std::span(values_).last(1), kWindow);
    EXPECT_TRUE(adopted);
  }

  // The next cell of a sequence, in all layers and in the witness. False: no page is left.
  bool write(PageTable& table, Token token) {
    const auto position = table.tokens;
    if (!pool_.make_writable(table, position + 1)) return false;
    const auto page = table.pages[position / kPageCells];
    for (std::size_t layer = 0; layer < keys_.size(); ++layer) {
      for (auto* tensor : {keys_[layer], values_[layer]}) {
        std::memset(row(*tensor, page, position, layer == 2), token, tensor->nb[1]);
      }
    }
    pool_.note_token(page, position % kPageCells, token);
    ++table.tokens;
    return true;
  }

  // Whether a cell holds in all layers what was written for `token`; of the windowed one only where that is still
  // there.
  [[nodiscard]] bool holds(const PageTable& table, std::uint32_t position, Token token) const {
    const auto page = table.pages[position / kPageCells];
    for (std::size_t layer = 0; layer < keys_.size(); ++layer) {
      if (layer == 2 && position / kPageCells < table.behind_window) continue;
      for (auto* tensor : {keys_[layer], values_[layer]}) {
        const auto* bytes = row(*tensor, page, position, layer == 2);
        if (!std::all_of(bytes, bytes + tensor->nb[1], [&](char byte) { return byte == static_cast<char>(token); }))
          return false;
      }
    }
    return true;
  }

  PagePool& pool() { return pool_; }

 private:
  [[nodiscard]] char* row(const ggml_tensor& tensor, std::uint32_t page, std::uint32_t position, bool windowed) const {
    const auto index = pool_.row_of(page, position % kPageCells, windowed);
    EXPECT_LT(index, tensor.ne[1]);
    return static_cast<char*>(tensor.data) + index * tensor.nb[1];
  }

  std::unique_ptr<ggml_context, decltype(&ggml_free)> context_;
  PagePool pool_;
  std::vector<ggml_tensor*> keys_, values_;
};

TEST(PagePool, TakesAPageAtATimeAndGivesItBackClean) {
  Cache cache(4);
  PageTable table;
  for (Token token = 1; token <= 65; ++token) ASSERT_TRUE(cache.write(table, token));
  EXPECT_EQ(table.pages, (std::vector<std::uint32_t>{0, 1})) << "the lowest first";
  EXPECT_EQ(cache.pool().free_pages(), 2U);
  EXPECT_EQ(cache.pool().bytes_of(table), 2 * cache.pool().page_bytes());
  EXPECT_FALSE(cache.pool().are_scrubbed(table.pages));
  const auto pages = table.pages;
  cache.pool().trim(table, 64);
  EXPECT_EQ(table.pages.size(), 1U);
  EXPECT_TRUE(cache.pool().are_scrubbed(std::span(pages).last(1)));
  cache.pool().trim(table, 0);
  EXPECT_TRUE(cache.pool().are_scrubbed(pages)) << "nobody's page is zero";
  EXPECT_EQ(cache.pool().free_pages(), 4U);
}

// Layers as wide as those of a model with 7 billion parameters: 40 pages are more than what is scrubbed at once.
TEST(PagePool, ManyPagesAreScrubbedPieceByPiece) {
  constexpr std::uint32_t kPages = 40;
  Cache cache(kPages, true, 128);
  auto& pool = cache.pool();
  ASSERT_LT(pool.pages_at_once(), kPages / 2);
  PageTable table;
  for (std::uint32_t i = 0; i < kPages * kPageCells; ++i) ASSERT_TRUE(cache.write(table, 7));
  const auto pages = table.pages;
  pool.trim(table, 0);
  EXPECT_EQ(pool.waiting_pages(), kPages - pool.pages_at_once());
  EXPECT_EQ(pool.free_pages(), kPages) << "may all be counted on";
  EXPECT_FALSE(pool.are_scrubbed(pages));
  const auto foreign = pool.foreign_cells({});
  EXPECT_EQ(foreign.size() % pool.waiting_pages(), 0U);
  EXPECT_FALSE(foreign.empty()) << "a guard locks what waits";
  PageTable next;
  for (std::uint32_t i = 0; i < kPages * kPageCells; i += kPageCells) {
    const auto before = next.pages.size();
    ASSERT_TRUE(pool.make_writable(next, i + 1));
    ASSERT_TRUE(pool.are_scrubbed(std::span(next.pages).subspan(before))) << "nobody gets what waits";
    next.tokens = i + 1;
  }
  EXPECT_FALSE(pool.make_writable(next, kPages * kPageCells + 1));
  pool.trim(next, 0);
  pool.scrub_waiting(pool.waiting_pages());
  EXPECT_EQ(pool.waiting_pages(), 0U);
  EXPECT_TRUE(pool.are_scrubbed(pages));
}

TEST(PagePool, AForkSharesUntilOneOfBothWrites) {
  Cache cache(8);
  PageTable source;
  for (Token token = 1; token <= 70; ++token) ASSERT_TRUE(cache.write(source, token));
  auto fork = cache.pool().fork(source, 68);
  EXPECT_EQ(cache.pool().free_pages(), 6U) << "a fork takes nothing";
  EXPECT_EQ(cache.pool().missing_pages(fork, 69), 1U);
  ASSERT_TRUE(cache.write(fork, 99));
  EXPECT_EQ(cache.pool().free_pages(), 5U);
  EXPECT_EQ(fork.pages[0], source.pages[0]);
  EXPECT_NE(fork.pages[1], source.pages[1]);
  EXPECT_TRUE(cache.holds(source, 68, 69)) << "the source keeps its cell";
  EXPECT_TRUE(cache.holds(fork, 68, 99));
  EXPECT_TRUE(cache.holds(fork, 67, 68)) << "what lies below was copied";
  cache.pool().trim(source, 0);
  EXPECT_TRUE(cache.holds(fork, 3, 4)) << "a page lives as long as one of its owners";
  cache.pool().trim(fork, 0);
  EXPECT_EQ(cache.pool().free_pages(), 8U);
}

TEST(PagePool, RefusesWhatDoesNotFitAndChangesNothing) {
  Cache cache(2);
  PageTable one;
  PageTable other;
  ASSERT_TRUE(cache.pool().make_writable(one, 64));
  EXPECT_FALSE(cache.pool().make_writable(other, 65));
  EXPECT_TRUE(other.pages.empty());
  EXPECT_EQ(cache.pool().free_pages(), 1U);
}

TEST(PagePool, GivesBackWhatAWindowHasLeft) {
  Cache cache(8);
  PageTable table;
  for (Token token = 1; token <= 300; ++token) ASSERT_TRUE(cache.write(table, token % 100));
  const auto before = cache.pool().bytes_of(table);
  cache.pool().drop_behind_window(table, 8);
  EXPECT_EQ(table.behind_window, 3U) << "cells 0 to 191: the oldest seen after 8 are trimmed is 192";
  EXPECT_LT(cache.pool().bytes_of(table), before);
  for (std::uint32_t position = 0; position < 300; ++position)
    ASSERT_TRUE(cache.holds(table, position, static_cast<Token>((position + 1) % 100))) << position;
  auto fork = cache.pool().fork(table, 300);
  EXPECT_EQ(fork.behind_window, 3U) << "a fork does not see them either";
  for (Token token = 0; token < 100; ++token) ASSERT_TRUE(cache.write(table, 1));
  cache.pool().drop_behind_window(table, 8);
  EXPECT_EQ(table.behind_window, 4U) << "whoever else owns them";
  for (std::uint32_t position = 192; position < 300; ++position)
    ASSERT_TRUE(cache.holds(fork, position, static_cast<Token>((position + 1) % 100))) << "the fork still has them";
}

TEST(PagePool, BytesFillATableLikeTheirs) {
  for (const bool equal_layers : {true, false}) {
    Cache cache(12, equal_layers);
    PageTable source;
    for (Token token = 1; token <= 200; ++token) ASSERT_TRUE(cache.write(source, token % 90));
    cache.pool().drop_behind_window(source, 0);
    const auto bytes = cache.pool().read(source);
    EXPECT_EQ(bytes.size(), cache.pool().stored_bytes(200, source.behind_window));
    PageTable made;
    ASSERT_TRUE(cache.pool().make_writable(made, 200));
    made.tokens = 200;
    made.behind_window = source.behind_window;
    ASSERT_TRUE(cache.pool().write(made, bytes));
    EXPECT_EQ(cache.pool().read(made), bytes);
    for (std::uint32_t position = 0; position < 200; ++position)
      ASSERT_TRUE(cache.holds(made, position, static_cast<Token>((position + 1) % 90))) << position;
    EXPECT_FALSE(cache.pool().write(made, std::span(bytes).first(bytes.size() - 1)));
  }
}

// Any order of calls on some tables, beside plain lists of tokens.
RC_GTEST_PROP(PagePool, KeepsItsBooksInAnyOrder, ()) {
  constexpr std::uint32_t kPages = 24;
  Cache cache(kPages);
  std::vector<PageTable> tables(4);
  std::vector<std::vector<Token>> texts(4);
  const auto steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) {
    const auto which = *rc::gen::inRange<std::size_t>(0, tables.size());
    auto& table = tables[which];
    auto& text = texts[which];
    switch (*rc::gen::inRange(0, 4)) {
      case 0: {
        for (auto more = *rc::gen::inRange(1, 150); more > 0; --more) {
          const auto token = static_cast<Token>((step * 7 + more) % 100 + 1);
          if (!cache.write(table, token)) break;
          text.push_back(token);
        }
        break;
      }
      case 1: {
        const auto at = *rc::gen::inRange<std::size_t>(0, text.size() + 1);
        const auto other = (which + 1) % tables.size();
        cache.pool().trim(tables[other], 0);
        tables[other] = cache.pool().fork(table, static_cast<std::uint32_t>(at));
        texts[other].assign(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      }
      case 2: {
        const auto at = *rc::gen::inRange<std::size_t>(0, text.size() + 1);
        cache.pool().trim(table, static_cast<std::uint32_t>(at));
        text.resize(at);
        break;
      }
      default: cache.pool().drop_behind_window(table, 4);
    }
    for (std::size_t i = 0; i < tables.size(); ++i) {
      RC_ASSERT(tables[i].tokens == texts[i].size());
      RC_ASSERT(cache.pool().tokens_of(tables[i]) == texts[i]);
      for (std::uint32_t position = 0; position < tables[i].tokens; ++position)
        RC_ASSERT(cache.holds(tables[i], position, texts[i][position]));
    }
  }
  for (auto& table : tables) cache.pool().trim(table, 0);
  RC_ASSERT(cache.pool().free_pages() == kPages);
  std::vector<std::uint32_t> all(kPages);
  std::iota(all.begin(), all.end(), 0U);
  RC_ASSERT(cache.pool().are_scrubbed(all));
}

// ---- what is computed over pages ------------------------------------------------------------------------------------

std::uint64_t hash_of(std::span<const float> logits) {
  return xxh3_64(std::as_bytes(logits));
}

// The logits after each of some tokens: in chunks and steps of any length, with others of any length beside them.
class PagedBits {
 public:
  PagedBits(const LoadedModel& model, unsigned seed)
      : model_(&model),
        random_(seed),
        pages_(std::move(make_paged_store(model, cancellation_)).value()),
        rooms_(model, cancellation_) {}

  // Rows that differ of `sequences` texts between 1 and `most` tokens.
  int differing(std::uint32_t sequences, std::uint32_t most) {
    std::vector<std::vector<Token>> texts;
    std::vector<std::vector<std::uint64_t>> expected;
    for (std::uint32_t i = 0; i < sequences; ++i) {
      texts.push_back(text(1 + random_() % most));
      expected.push_back(alone(texts.back()));
    }
    std::vector<std::unique_ptr<Cells>> cells;
    for (std::uint32_t i = 0; i < sequences; ++i)
      cells.push_back(std::move(pages_->open(most, false, nullptr)).value());
    std::vector<std::uint32_t> done(sequences, 0);
    int differ = 0;
    for (;;) {
      const auto [batch, rows] = some_batch(texts, done, cells);
      if (batch.empty()) return differ;
      std::string reason;
      EXPECT_EQ(cells[0]->decoder().decode(batch, reason), Decoded::kDone) << reason;
      for (std::size_t i = 0; i < batch.size(); ++i) {
        const auto [of, position] = rows[i];
        if (batch[i].want_logits && hash_of(cells[0]->decoder().row(i)) != expected[of][position]) ++differ;
      }
    }
  }

 private:
  std::vector<Token> text(std::size_t length) {
    std::vector<Token> tokens;
    while (tokens.size() < length)
      tokens.push_back(static_cast<Token>(random_() % (model_->facts().vocabulary - 300) + 256));
    return tokens;
  }

  // In libllama's own cache, token by token behind a prefill: the last few of it are compared.
  std::vector<std::uint64_t> alone(const std::vector<Token>& text) {
    Sequence sequence;
    sequence.cells = std::move(rooms_.open(static_cast<std::uint32_t>(text.size()), false, nullptr)).value();
    sequence.capacity = static_cast<std::uint32_t>(text.size());
    std::vector<std::uint64_t> hashes(text.size());
    const auto first = text.size() - std::min<std::size_t>(text.size(), kCompared);
    if (first > 0) {
      EXPECT_TRUE(append(sequence, std::span(text).first(first)).ok());
    }
    for (auto i = first; i < text.size(); ++i) {
      EXPECT_TRUE(append(sequence, std::span(text).subspan(i, 1)).ok());
      hashes[i] = hash_of(*sequence.logits);
    }
    return hashes;
  }

  using Rows = std::vector<std::pair<std::size_t, std::uint32_t>>;  // sequence and position of each row
  std::pair<std::vector<BatchToken>, Rows> some_batch(const std::vector<std::vector<Token>>& texts,
                                                      std::vector<std::uint32_t>& done,
                                                      const std::vector<std::unique_ptr<Cells>>& cells) {
    std::vector<BatchToken> batch;
    Rows rows;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto length = static_cast<std::uint32_t>(texts[i].size());
      const auto left = length - done[i];
      const auto room = kChunkTokens - static_cast<std::uint32_t>(batch.size());
      if (left == 0 || room == 0 || random_() % 4 == 0) continue;
      const auto some = std::min({left, room, static_cast<std::uint32_t>(1 + random_() % 3 * (random_() % 90))});
      for (const auto end = done[i] + some; done[i] < end; ++done[i]) {
        const bool compared = done[i] + kCompared >= length;
        batch.push_back({texts[i][done[i]], done[i], cells[i].get(), compared});
        rows.emplace_back(i, done[i]);
      }
    }
    const bool all_done = std::ranges::equal(texts, done, {}, &std::vector<Token>::size);
    if (batch.empty() && !all_done) return some_batch(texts, done, cells);
    return {batch, rows};
  }

  static constexpr std::uint32_t kCompared = 6;
  const LoadedModel* model_;
  std::mt19937 random_;
  Cancellation cancellation_;
  std::unique_ptr<CellStore> pages_;
  ContextPool rooms_;
};

std::shared_ptr<const LoadedModel> tiny_model(std::uint32_t window, const std::string& cell_type = "f16") {
  const testing::TemporaryFolder folder;
  ModelOptions options;
  options.path = (folder / "tiny.gguf").string();
  options.threads = 2;
  options.kv_type_k = options.kv_type_v = cell_type;
  EXPECT_TRUE(testing::write_tiny_model(options.path, {.window = window}));
  return std::move(LoadedModel::load(options)).value();
}

TEST(PagedCells, AnyBatchGivesTheBitsOfEachAlone) {
  for (const std::uint32_t window : {0U, testing::kTinyWindow}) {
    for (const auto* type : {"f16", "q8_0"}) {
      const auto model = tiny_model(window, type);
      ASSERT_TRUE(model->paged()) << window << " " << type;
      for (unsigned seed = 0; seed < 2; ++seed) EXPECT_EQ(PagedBits(*model, seed).differing(7, 300), 0) << window;
    }
  }
}

class ModelInvarianceOfPages : public ::testing::TestWithParam<std::string> {};

TEST_P(ModelInvarianceOfPages, AnyBatchGivesTheBitsOfEachAlone) {
  BULKHEAD_NEED_MODEL(GetParam());
  ModelOptions options;
  options.path = testing::model_file(GetParam()).string();
  const auto model = LoadedModel::load(options).value();
  ASSERT_TRUE(model->paged());
  EXPECT_EQ(PagedBits(*model, 5).differing(8, 900), 0);
}

INSTANTIATE_TEST_SUITE_P(ModelsOf, ModelInvarianceOfPages, ::testing::Values(testing::kGemma, testing::kQwen));

// ---- engines --------------------------------------------------------------------------------------------------------

class PagedEngine : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::write_tiny_model(folder_ / "tiny.gguf"));
    ModelOptions options;
    options.path = folder_ / "tiny.gguf";
    options.threads = 1;
    engine_ = std::move(make_llama_engine(options)).value();
  }

  engine::SequenceId open_with(std::uint32_t tokens) {
    const auto id = engine_->open({.capacity_tokens = 1024}).value();
    const std::vector<Token> text(tokens, 300);
    EXPECT_TRUE(engine_->prefill(id, text).ok());
    return id;
  }
  [[nodiscard]] std::uint64_t held(engine::SequenceId id) const {
    return engine_->inspect(id).value().kv_bytes_allocated;
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<engine::Engine> engine_;
};

TEST_F(PagedEngine, TakesWhatIsHeldNotWhatMayBeHeld) {
  const auto page = engine_->facts().kv_bytes_per_token * kPageCells;
  EXPECT_EQ(held(engine_->open({.capacity_tokens = 1024}).value()), 0U);
  EXPECT_EQ(held(open_with(1)), page);
  EXPECT_EQ(held(open_with(64)), page);
  EXPECT_EQ(held(open_with(65)), 2 * page);
}

TEST_F(PagedEngine, AForkAtAnyTokenComputesNothing) {
  const auto source = open_with(200);
  for (const std::uint32_t at : {1U, 63U, 64U, 65U, 199U, 200U}) {
    const auto fork = engine_->fork(source, at, {.capacity_tokens = 1024}).value();
    EXPECT_EQ(fork.reused_tokens, at);
    EXPECT_EQ(fork.prefilled_tokens, 0U);
  }
}

// The witness is what was written down when cells were assigned, not what the engine believes.
TEST_F(PagedEngine, InspectHashesTheTokensOfItsCells) {
  const auto id = open_with(100);
  EXPECT_EQ(engine_->inspect(id).value().token_sha256, sha256_of_tokens(std::vector<Token>(100, 300)));
}

// A fork at a token that the window has left computes anew; with the whole window kept it need not.
TEST(PagedWindow, AForkThatTheWindowHasLeftIsComputedAnew) {
  for (const bool whole : {false, true}) {
    const testing::TemporaryFolder folder;
    ModelOptions options;
    options.path = (folder / "tiny.gguf").string();
    options.threads = 1;
    options.full_window_cache = whole;
    ASSERT_TRUE(testing::write_tiny_model(options.path, {.window = testing::kTinyWindow}));
    const auto engine = std::move(make_llama_engine(options)).value();
    std::vector<Token> text;
    for (Token i = 0; i < 300; ++i) text.push_back(270 + i % 80);
    const auto source = engine->open({.capacity_tokens = 512}).value();
    ASSERT_TRUE(engine->prefill(source, text).ok());
    EXPECT_EQ(engine->inspect(source).value().first_position > 0, !whole);
    const auto late = engine->fork(source, 295, {.capacity_tokens = 512}).value();
    EXPECT_EQ(late.prefilled_tokens, 0U);
    const auto early = engine->fork(source, 100, {.capacity_tokens = 512}).value();
    EXPECT_EQ(early.prefilled_tokens, whole ? 0U : 100U);
    GenerateOptions options_of_both;
    options_of_both.sampling.temperature = 0;
    options_of_both.max_tokens = 8;
    options_of_both.hash_logits = true;
    options_of_both.ignore_end = true;
    const auto cold = engine->open({.capacity_tokens = 512}).value();
    ASSERT_TRUE(engine->prefill(cold, std::span(text).first(100)).ok());
    const std::vector<engine::GenerateRequest> requests = {{early.sequence, options_of_both}, {cold, options_of_both}};
    const auto results = engine->generate(requests);
    EXPECT_EQ(results[0].value().logit_hashes, results[1].value().logit_hashes);
  }
}

#if defined(BULKHEAD_MUTANTS)

class PagedMutants : public ::testing::Test {
 protected:
  void TearDown() override { active_mutant = Mutant::kNone; }
};

TEST_F(PagedMutants, AWindowGivenUpTooEarlyMovesBits) {
  const auto model = tiny_model(testing::kTinyWindow);
  EXPECT_EQ(PagedBits(*model, 3).differing(4, 300), 0);
  active_mutant = Mutant::kWindowTooEarly;
  EXPECT_GT(PagedBits(*model, 3).differing(4, 300), 0);
}

TEST_F(PagedMutants, AGuardSeesAPageThatWasNotScrubbed) {
  const testing::TemporaryFolder folder;
  ModelOptions options;
  options.path = (folder / "tiny.gguf").string();
  options.threads = 1;
  options.guard = Guard::kPoison;
  ASSERT_TRUE(testing::write_tiny_model(options.path));
  for (const auto mutant : {Mutant::kNone, Mutant::kUnscrubbedPage}) {
    active_mutant = mutant;
    const auto engine = std::move(make_llama_engine(options)).value();
    const std::vector<Token> text(100, 300);
    const auto first = engine->open({.capacity_tokens = 128}).value();
    ASSERT_TRUE(engine->prefill(first, text).ok());
    ASSERT_TRUE(engine->close(first).ok());
    const auto next = engine->open({.capacity_tokens = 128}).value();
    const auto prefilled = engine->prefill(next, text);
    EXPECT_EQ(prefilled.ok(), mutant == Mutant::kNone);
    if (!prefilled.ok()) {
      EXPECT_NE(prefilled.error().message.find("interference"), std::string::npos);
    }
  }
}

#endif

}  // namespace
}  // namespace bulkhead::engines::llama
