// SPDX-License-Identifier: MIT
// What is particular to the llama engine: rooms of its contexts, sliding windows, KV types, batches, failures.
#include "engines/llama/llama_engine.h"

#include "base/hash.h"
#include "engines/llama/backend.h"
#include "engines/llama/context_pool.h"
#include "engines/llama/loaded_model.h"
#include "engines/llama/sequence.h"
#include "engines/real_models.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

// For the memory that libllama itself reports.
#include <../src/llama-ext.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Engine;
using engine::SequenceId;
using engine::Token;

ModelOptions one_thread() {
  ModelOptions options;
  options.threads = 1;
  return options;
}

// A file of its own with a tiny model of random weights.
class TinyFile {
 public:
  explicit TinyFile(std::uint32_t window = 0) { EXPECT_TRUE(testing::write_tiny_model(path(), {.window = window})); }
  [[nodiscard]] std::string path() const { return (folder_ / "tiny.gguf").string(); }

 private:
  testing::TemporaryFolder folder_;
};

std::unique_ptr<Engine> tiny_engine(std::uint32_t window = 0, ModelOptions options = one_thread()) {
  const TinyFile file(window);
  options.path = file.path();
  auto made = make_llama_engine(options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
  return made.ok() ? std::move(made).value() : nullptr;
}

// Products and attention of ggml: such models keep their cells in rooms of libllama's contexts.
ModelOptions stock() {
  auto options = one_thread();
  options.kernels = "stock";
  return options;
}

std::vector<Token> noise(std::size_t count, std::uint32_t start = 1) {
  std::vector<Token> tokens;
  std::uint32_t state = start;
  while (tokens.size() < count) {
    state = state * 1664525U + 1013904223U;
    tokens.push_back(static_cast<Token>(270 + (state >> 16U) % 80));  // plain letters of the tiny model
  }
  return tokens;
}

GenerateOptions greedy(std::uint32_t count) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = count;
  options.ignore_end = true;
  options.hash_logits = true;
  return options;
}

engine::GenerateResult generate(Engine& engine, SequenceId id, std::uint32_t count) {
  const engine::GenerateRequest request{id, greedy(count)};
  auto results = engine.generate({&request, 1});
  EXPECT_TRUE(results[0].ok()) << (results[0].ok() ? "" : results[0].error().to_string());
  return results[0].ok() ? std::move(results[0]).value() : engine::GenerateResult{};
}

SequenceId open_with(Engine& engine, const std::vector<Token>& tokens, std::uint32_t capacity) {
  const auto id = engine.open({.capacity_tokens = capacity}).value();
  const auto done = engine.prefill(id, tokens);
  EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().to_string());
  return id;
}

// ---- sliding windows ------------------------------------------------------------------------------------------------

struct WindowCase {
  std::uint32_t held;
  std::uint32_t fork_at;
  bool full_cache = false;
  Grade grade = Grade::kBuffer;
  bool reused = false;
};

class LlamaWindow : public ::testing::TestWithParam<WindowCase> {};

// Whatever the cache still holds, a fork shows exactly what a cold prefill of the same tokens shows.
TEST_P(LlamaWindow, ForkEqualsColdPrefill) {
  const auto& param = GetParam();
  auto options = one_thread();
  options.full_window_cache = param.full_cache;
  options.grade = param.grade;
  options.flash_attention = false;       // stock flash attention moves bits with the batch shape
  options.isolation = Isolation::kFast;  // strict keeps every cell
  const auto engine = tiny_engine(testing::kTinyWindow, options);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->facts().window_tokens, testing::kTinyWindow);
  const auto tokens = noise(param.held);
  const auto source = open_with(*engine, tokens, 2048);
  const auto fork = engine->fork(source, param.fork_at, {.capacity_tokens = 2048});
  ASSERT_TRUE(fork.ok()) << fork.error().to_string();
  EXPECT_EQ(fork.value().reused_tokens > 0, param.reused);
  const auto state = engine->inspect(fork.value().sequence).value();
  EXPECT_EQ(state.tokens, param.fork_at);
  EXPECT_EQ(state.last_position, static_cast<std::int64_t>(param.fork_at - state.pending_tokens) - 1);
  EXPECT_LE(state.first_position, std::max<std::int64_t>(0, std::int64_t{param.fork_at} - testing::kTinyWindow));

  const auto cold_engine = tiny_engine(testing::kTinyWindow, options);
  const auto cold = open_with(*cold_engine, {tokens.begin(), tokens.begin() + param.fork_at}, 2048);
  const auto expected = generate(*cold_engine, cold, 24);
  const auto got = generate(*engine, fork.value().sequence, 24);
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_EQ(generate(*engine, source, 4).tokens.size(), 4U);
}

INSTANTIATE_TEST_SUITE_P(Positions, LlamaWindow,
                         ::testing::Values(WindowCase{100, 60, false, Grade::kBuffer, true},     // all still there
                                           WindowCase{1600, 1600, false, Grade::kBuffer, true},  // at the end
                                           WindowCase{1600, 1590, false, Grade::kBuffer, true},  // a little earlier
                                           WindowCase{1600, 700, false, Grade::kBuffer, false},  // the window moved on
                                           WindowCase{1600, 20, false, Grade::kBuffer, false},
                                           WindowCase{1600, 700, true, Grade::kBuffer, true},  // every cell kept
                                           WindowCase{1600, 700, false, Grade::kMask, true},
                                           WindowCase{1600, 1600, false, Grade::kMask, true}));

// A long shared prefix of a windowed model must not eat the cells its forks need (libllama frees no shared cell).
TEST(LlamaEngine, MaskedForksOfALongWindowedPrefixFindCells) {
  auto options = one_thread();
  options.grade = Grade::kMask;
  const auto engine = tiny_engine(testing::kTinyWindow, options);
  ASSERT_TRUE(engine->reserve(4, 2048).ok());
  const auto source = open_with(*engine, noise(1500), 2048);
  std::vector<engine::GenerateRequest> requests;
  for (int i = 0; i < 3; ++i) {
    const auto fork = engine->fork(source, 1500, {.capacity_tokens = 2048}).value().sequence;
    ASSERT_TRUE(engine->prefill(fork, noise(300, static_cast<std::uint32_t>(i))).ok());
    requests.push_back({fork, greedy(200)});
  }
  for (const auto& result : engine->generate(requests)) {
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(result.value().tokens.size(), 200U);
  }
}

// ---- rooms ----------------------------------------------------------------------------------------------------------

TEST(LlamaEngine, ForkIntoAnotherContextGoesOnTheSame) {
  const auto engine = tiny_engine(0, stock());
  const auto source = open_with(*engine, noise(100), 512);
  const auto expected = generate(*engine, source, 4).tokens;
  const auto size = engine->inspect(source).value().tokens;
  const auto whole = engine->fork(source, size, {.capacity_tokens = 2000});  // more than the source's context offers
  ASSERT_TRUE(whole.ok()) << whole.error().to_string();
  EXPECT_EQ(whole.value().reused_tokens, size);
  EXPECT_GT(engine->inspect(whole.value().sequence).value().kv_bytes_allocated,
            engine->inspect(source).value().kv_bytes_allocated);
  const auto earlier = engine->fork(source, 100, {.capacity_tokens = 2000}).value().sequence;
  EXPECT_EQ(generate(*engine, whole.value().sequence, 8).tokens, generate(*engine, source, 8).tokens);
  EXPECT_EQ(generate(*engine, earlier, 4).tokens, expected);
}

// libllama's state of a windowed sequence ends at the window: an earlier position in another context must not use it.
TEST(LlamaEngine, WindowedForkIntoAnotherContextGoesOnTheSame) {
  const auto engine = tiny_engine(testing::kTinyWindow, stock());
  const auto tokens = noise(200);
  const auto source = open_with(*engine, tokens, 512);
  const auto whole = engine->fork(source, 200, {.capacity_tokens = 2000}).value();
  EXPECT_EQ(whole.prefilled_tokens, 0U);
  const auto earlier = engine->fork(source, 180, {.capacity_tokens = 2000}).value();
  EXPECT_EQ(earlier.prefilled_tokens, 180U);
  const auto cold = open_with(*engine, {tokens.begin(), tokens.begin() + 180}, 2000);
  EXPECT_EQ(generate(*engine, earlier.sequence, 16).tokens, generate(*engine, cold, 16).tokens);
  EXPECT_EQ(generate(*engine, whole.sequence, 16).tokens, generate(*engine, source, 16).tokens);
}

// libllama's own bytes do not fit a context with another number of buffers; ours do (room_state.h).
TEST(LlamaEngine, ForkOutOfALoneContextTakesItsCells) {
  const auto engine = tiny_engine(0, stock());
  ASSERT_TRUE(engine->reserve(1, 512).ok());
  const auto source = open_with(*engine, noise(100), 512);
  const auto fork = engine->fork(source, 100, {.capacity_tokens = 512}).value();
  EXPECT_EQ(fork.reused_tokens, 100U);
  EXPECT_EQ(generate(*engine, fork.sequence, 8).tokens, generate(*engine, source, 8).tokens);
}

// A copy between buffers runs with the next decode only; libllama's state interface would read what lies there before.
TEST(LlamaEngine, ACopyThatStillWaitsIsNotReadHalfDone) {
  const auto engine = tiny_engine(0, stock());
  ASSERT_TRUE(engine->reserve(2, 512).ok());
  const auto source = open_with(*engine, noise(100), 512);
  const auto first = engine->fork(source, 100, {.capacity_tokens = 512}).value().sequence;
  const auto second = engine->fork(first, 100, {.capacity_tokens = 512}).value().sequence;  // in another context
  EXPECT_EQ(generate(*engine, second, 8).tokens, generate(*engine, source, 8).tokens);
}

TEST(LlamaEngine, AForkOutlivesItsSourcesRoom) {
  const auto engine = tiny_engine(0, stock());
  ASSERT_TRUE(engine->reserve(3, 512).ok());
  const auto source = open_with(*engine, noise(100), 512);
  const auto expected =
      generate(*engine, engine->fork(source, 100, {.capacity_tokens = 512}).value().sequence, 8).tokens;
  const auto copy = engine->fork(source, 100, {.capacity_tokens = 512}).value().sequence;
  ASSERT_TRUE(engine->close(source).ok());
  const auto next = open_with(*engine, noise(100, 99), 512);  // takes the source's room
  EXPECT_EQ(generate(*engine, copy, 8).tokens, expected);
  EXPECT_NE(generate(*engine, next, 8).tokens, expected);
}

TEST(LlamaEngine, RoomsAreUsedAgain) {
  const auto engine = tiny_engine(0, stock());
  ASSERT_TRUE(engine->reserve(2, 256).ok());
  std::uint64_t allocated = 0;
  for (int i = 0; i < 50; ++i) {
    const auto id = open_with(*engine, noise(50, 5), 256);
    const auto state = engine->inspect(id).value();
    if (i == 0) allocated = state.kv_bytes_allocated;
    EXPECT_EQ(state.kv_bytes_allocated, allocated);
    EXPECT_EQ(state.first_position, 0);
    EXPECT_EQ(state.last_position, 49);
    ASSERT_TRUE(engine->close(id).ok());
  }
}

TEST(LlamaEngine, ManySequencesAreSpreadOverContexts) {
  const auto engine = tiny_engine(0, stock());
  ASSERT_TRUE(engine->reserve(300, 64).ok());
  std::vector<engine::GenerateRequest> requests;
  for (std::uint32_t i = 0; i < 300; ++i) requests.push_back({open_with(*engine, noise(4, i), 64), greedy(2)});
  for (const auto& result : engine->generate(requests)) {
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result.value().tokens.size(), 2U);
  }
}

class LlamaPool : public ::testing::Test {
 protected:
  static std::shared_ptr<const LoadedModel> load() {
    start_backend();
    const TinyFile file;
    auto options = one_thread();
    options.path = file.path();
    return std::move(LoadedModel::load(options)).value();
  }

  std::shared_ptr<const LoadedModel> model_ = load();
  Cancellation cancellation_;
  ContextPool pool_{*model_, cancellation_};
};

TEST_F(LlamaPool, GivesLowIdsToDecodedAndHighIdsToForkedSequences) {
  ASSERT_TRUE(pool_.reserve(6, 256).ok());
  EXPECT_EQ(pool_.take(256, false, nullptr).value().id, 0);
  const auto forked = pool_.take(256, true, nullptr).value();
  EXPECT_EQ(forked.id, 5);
  const auto one = pool_.take(256, false, nullptr).value();
  EXPECT_EQ(one.id, 1);
  EXPECT_EQ(pool_.take(256, false, nullptr).value().id, 2);
  pool_.release(one);
  EXPECT_EQ(pool_.take(256, false, nullptr).value().id, 1) << "the lowest free one again";
  pool_.release(forked);
  EXPECT_EQ(pool_.take(256, true, nullptr).value().id, 5);
}

TEST_F(LlamaPool, TakesTheSmallestRoomThatFits) {
  ASSERT_TRUE(pool_.reserve(1, 2048).ok());
  const auto large = pool_.take(2048, false, nullptr).value();
  ASSERT_TRUE(pool_.reserve(2, 256).ok());
  pool_.release(large);
  EXPECT_EQ(pool_.take(200, false, nullptr).value().context->tokens_each, 256U);
  EXPECT_EQ(pool_.take(300, false, nullptr).value().context, large.context);
}

TEST_F(LlamaPool, FootprintIsWhatLibllamaAllocates) {
  for (const auto& [sequences, tokens] : {std::pair{1U, 256U}, {8U, 700U}, {3U, 2048U}}) {
    const auto footprint = model_->footprint(sequences, tokens).value();
    const auto context = model_->make_context(sequences, tokens).value();
    std::uint64_t kv = 0;
    std::uint64_t compute = 0;
    for (const auto& [buffer_type, bytes] : llama_get_memory_breakdown(context.get())) {
      kv += bytes.context;
      compute += bytes.compute;
    }
    EXPECT_EQ(footprint.kv, kv);
    EXPECT_EQ(footprint.kv, model_->facts().kv_bytes_per_token * sequences * LoadedModel::padded(tokens));
    EXPECT_GE(footprint.work, compute);
    EXPECT_EQ(pool_.bytes_for(sequences, tokens), footprint.total());
  }
}

// ---- batches --------------------------------------------------------------------------------------------------------

// Rooms of a context that no pool made.
class LooseCells final : public Cells {
 public:
  LooseCells(PoolContext& context, llama_seq_id id) : context_(&context), id_(id) {}

  [[nodiscard]] Decoder& decoder() override { return *context_; }
  [[nodiscard]] std::uint32_t order() const override { return static_cast<std::uint32_t>(id_); }
  [[nodiscard]] bool trim(std::uint32_t tokens) override {
    return llama_memory_seq_rm(context_->memory(), id_, static_cast<llama_pos>(tokens), -1);
  }
  [[nodiscard]] bool covers(std::uint32_t /*position*/) const override { return true; }
  [[nodiscard]] bool copy(Cells& /*source*/, std::uint32_t /*tokens*/) override { return false; }
  [[nodiscard]] std::optional<StoredCells> store() override { return std::nullopt; }
  [[nodiscard]] bool restore(const StoredCells& /*bytes*/, std::span<const Token> /*tokens*/) override { return false; }
  [[nodiscard]] std::int64_t first_position() const override {
    return llama_memory_seq_pos_min(context_->memory(), id_);
  }
  [[nodiscard]] std::int64_t last_position() const override {
    return llama_memory_seq_pos_max(context_->memory(), id_);
  }
  [[nodiscard]] std::uint64_t bytes_used() const override { return 0; }
  [[nodiscard]] std::uint64_t bytes_allocated() const override { return 0; }
  [[nodiscard]] Result<std::uint64_t> hash() override { return std::uint64_t{0}; }

 private:
  PoolContext* context_;
  llama_seq_id id_;
};

// A context of its own that counts how often the model is computed.
class CountingContext {
 public:
  explicit CountingContext(std::uint32_t sequences) {
    start_backend();
    const TinyFile file;
    model_.reset(llama_model_load_from_file(file.path().c_str(), llama_model_default_params()));
    auto params = llama_context_default_params();
    params.n_ctx = 256 * sequences;
    params.n_seq_max = sequences;
    params.n_batch = params.n_ubatch = kChunkTokens;
    params.kv_unified = false;
    params.n_threads = params.n_threads_batch = 1;
    params.cb_eval_user_data = &computations_;
    params.cb_eval = [](ggml_tensor* tensor, bool ask, void* count) {
      const bool last = std::strcmp(tensor->name, "result_output") == 0;
      if (last && !ask) ++*static_cast<int*>(count);
      return last || !ask;
    };
    context_.handle.reset(llama_init_from_model(model_.get(), params));
    context_.tokens_each = 256;
    context_.taken.assign(sequences, true);
    context_.written_cells.assign(sequences, 0);
    context_.vocabulary = static_cast<std::uint32_t>(llama_vocab_n_tokens(llama_model_get_vocab(model_.get())));
  }

  // A sequence that holds some tokens and one pending.
  Sequence sequence(llama_seq_id id) {
    Sequence made;
    made.cells = std::make_unique<LooseCells>(context_, id);
    made.capacity = 256;
    EXPECT_TRUE(append(made, noise(20, static_cast<std::uint32_t>(id))).ok());
    made.tokens.push_back(300);
    made.pending = true;
    made.logits.reset();
    return made;
  }

  std::vector<StepOutcome> step(std::vector<Sequence>& sequences) {
    std::vector<StepPart> parts;
    for (auto& sequence : sequences) parts.push_back({&sequence, {}, Want::kAll});
    computations_ = 0;
    return decode_step(parts);
  }

  [[nodiscard]] int computations() const { return computations_; }
  [[nodiscard]] llama_memory_t memory() const { return context_.memory(); }

 private:
  int computations_ = 0;
  ModelHandle model_;
  PoolContext context_;
};

TEST(LlamaBatch, EightNeighboursAreOneComputation) {
  CountingContext counting(10);
  std::vector<Sequence> sequences;
  for (const llama_seq_id id : {5, 0, 3, 7, 1, 2, 6, 4}) sequences.push_back(counting.sequence(id));
  for (const auto& outcome : counting.step(sequences)) EXPECT_FALSE(outcome.error);
  EXPECT_EQ(counting.computations(), 1);
}

// Why ids are given without gaps. If this fails, libllama has learned to join them, and the pool may forget about it.
TEST(LlamaBatch, GapsSplitTheComputation) {
  CountingContext counting(10);
  std::vector<Sequence> sequences;
  for (const llama_seq_id id : {0, 2, 4}) sequences.push_back(counting.sequence(id));
  for (const auto& outcome : counting.step(sequences)) EXPECT_FALSE(outcome.error);
  EXPECT_EQ(counting.computations(), 3);
}

TEST(LlamaBatch, OneBadSequenceDoesNotTakeTheOthersAlong) {
  CountingContext counting(4);
  CountingContext undisturbed(4);
  std::vector<Sequence> sequences;
  std::vector<Sequence> expected;
  for (const llama_seq_id id : {0, 1, 2}) {
    sequences.push_back(counting.sequence(id));
    expected.push_back(undisturbed.sequence(id));
  }
  // Its cache loses positions behind our back: libllama refuses the whole batch.
  ASSERT_TRUE(llama_memory_seq_rm(counting.memory(), 1, 10, -1));
  const auto outcomes = counting.step(sequences);
  EXPECT_TRUE(sequences[1].poisoned);
  ASSERT_TRUE(outcomes[1].error.has_value());
  EXPECT_EQ(outcomes[1].error->code, ErrorCode::kInternal);
  const auto good = undisturbed.step(expected);
  for (const std::size_t i : {0U, 2U}) {
    EXPECT_FALSE(sequences[i].poisoned);
    ASSERT_FALSE(outcomes[i].error.has_value());
    EXPECT_FALSE(sequences[i].pending);
    const auto best = [](std::span<const float> logits) {
      return std::max_element(logits.begin(), logits.end()) - logits.begin();
    };
    EXPECT_EQ(best(outcomes[i].logits[0]), best(good[i].logits[0]));
    EXPECT_EQ(sequences[i].cells->last_position(), 20);
  }
}

// ---- options --------------------------------------------------------------------------------------------------------

struct KvCase {
  std::string key;
  std::string value;
};

class LlamaKvTypes : public ::testing::TestWithParam<KvCase> {};

TEST_P(LlamaKvTypes, RunAndTellTheirSize) {
  auto options = one_thread();
  options.kv_type_k = GetParam().key;
  options.kv_type_v = GetParam().value;
  const auto engine = tiny_engine(0, options);
  ASSERT_NE(engine, nullptr);
  const auto bytes = [](const std::string& type) {
    return type == "f16" ? 64 * 2 : type == "q8_0" ? 64 / 32 * 34 : 64 / 32 * 18;
  };
  EXPECT_EQ(engine->facts().kv_bytes_per_token,
            static_cast<std::uint64_t>(testing::tiny::kLayers) *
                static_cast<std::uint64_t>(bytes(GetParam().key) + bytes(GetParam().value)));
  EXPECT_EQ(engine->facts().kv_type_k, GetParam().key);
  const auto id = open_with(*engine, noise(40), 256);
  EXPECT_EQ(engine->inspect(id).value().kv_bytes_used, 40 * engine->facts().kv_bytes_per_token);
  const auto fork = engine->fork(id, 40, {.capacity_tokens = 256}).value().sequence;
  EXPECT_EQ(generate(*engine, id, 8).tokens, generate(*engine, fork, 8).tokens);
}

INSTANTIATE_TEST_SUITE_P(All, LlamaKvTypes,
                         ::testing::Values(KvCase{"f16", "f16"}, KvCase{"q8_0", "q8_0"}, KvCase{"q4_0", "q4_0"},
                                           KvCase{"q8_0", "f16"}),
                         [](const auto& instance) { return instance.param.key + "_" + instance.param.value; });

TEST(LlamaEngine, WindowedCellsAreNotCountedTwice) {
  auto options = one_thread();
  options.isolation = Isolation::kFast;  // strict keeps every cell
  const auto engine = tiny_engine(testing::kTinyWindow, options);
  const auto per_token = engine->facts().kv_bytes_per_token;
  const auto id = open_with(*engine, noise(1600), 2048);
  const auto state = engine->inspect(id).value();
  ASSERT_GT(state.first_position, 0) << "the window has moved";
  // One of six layers keeps everything.
  const auto in_window = 1600 - static_cast<std::uint64_t>(state.first_position);
  EXPECT_EQ(state.kv_bytes_used, per_token / 6 * 1600 + per_token / 6 * 5 * in_window);
  EXPECT_LE(state.kv_bytes_used, state.kv_bytes_allocated);
}

TEST(LlamaEngine, RepeatPenaltyIsApplied) {
  const auto engine = tiny_engine();
  const auto id = open_with(*engine, noise(30), 512);
  const auto fork = engine->fork(id, 30, {.capacity_tokens = 512}).value().sequence;
  const auto plain = generate(*engine, id, 40).tokens;
  auto options = greedy(40);
  options.sampling.repeat_penalty = 100;  // the most that is allowed
  options.sampling.repeat_last_n = 1000;
  const engine::GenerateRequest request{fork, options};
  const auto penalized = engine->generate({&request, 1})[0].value().tokens;
  EXPECT_NE(plain, penalized);
  auto distinct = penalized;
  std::sort(distinct.begin(), distinct.end());
  EXPECT_EQ(std::adjacent_find(distinct.begin(), distinct.end()), distinct.end()) << "no token twice";
}

// ---- Gemma, whose real window is 512 --------------------------------------------------------------------------------

TEST(ModelLlamaWindow, ForkBehindGemmasWindowEqualsColdPrefill) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  ModelOptions options;
  options.flash_attention = false;
  options.isolation = Isolation::kFast;  // strict keeps every cell
  auto made = testing::load_llama(testing::kGemma, options);
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  Engine& engine = *made.value();
  EXPECT_EQ(engine.facts().window_tokens, 512U);
  EXPECT_EQ(engine.facts().kv_bytes_per_token, 18432U);
  std::string text;
  for (int i = 0; text.size() < 5000; ++i)
    text += "Entry " + std::to_string(i * 37 % 101) + ": the tide was " + (i % 3 == 0 ? "high" : "low") + ".\n";
  auto tokens = engine.tokenizer().tokenize(text).value();
  tokens.insert(tokens.begin(), engine.tokenizer().bos().value());
  ASSERT_GE(tokens.size(), 1100U);
  tokens.resize(1100);
  ASSERT_TRUE(engine.reserve(3, 1200).ok());
  const auto source = open_with(engine, tokens, 1200);
  ASSERT_GT(engine.inspect(source).value().first_position, 0);
  const auto fork = engine.fork(source, 300, {.capacity_tokens = 1200}).value();
  EXPECT_EQ(fork.prefilled_tokens, 300U);
  const auto expected = generate(engine, open_with(engine, {tokens.begin(), tokens.begin() + 300}, 1200), 12);
  const auto got = generate(engine, fork.sequence, 12);
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_EQ(got.logit_hashes, expected.logit_hashes) << "the same chunks give the same bits";
}

}  // namespace
}  // namespace bulkhead::engines::llama
