// SPDX-License-Identifier: MIT
// Partitions of real engines through the vault and a new engine: what comes back goes on with the bits of one that
// never went and of one that was computed anew.
#include "vault/vault.h"

#include "conversation/traced_tokens.h"
#include "engines/builtin.h"
#include "engines/real_models.h"
#include "engines/tiny_model.h"
#include "partition/partition.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::vault {
namespace {

using conversation::Origin;
using conversation::OriginKind;
using conversation::TracedTokens;
using engine::Engine;
using partition::Partition;
using ::testing::HasSubstr;

struct Setting {
  std::string name;
  std::function<Result<std::unique_ptr<Engine>>(const std::filesystem::path& folder)> make;
  bool has_cells = true;  // of a prompt longer than the window; else they are computed anew
};

Result<std::unique_ptr<Engine>> tiny_engine(const std::filesystem::path& folder, std::uint32_t window,
                                            const std::string& kernels, const std::string& kv_type = "f16") {
  ModelOptions options;
  options.engine = "llama";
  options.path = folder / ("tiny" + std::to_string(window) + ".gguf");
  options.kernels = kernels;
  options.kv_type_k = options.kv_type_v = kv_type;
  options.threads = 1;
  options.context_tokens = 2048;
  if (!std::filesystem::exists(options.path) && !testing::write_tiny_model(options.path, {.window = window})) {
    return Error{ErrorCode::kResource, "the tiny model could not be written", options.path, {}};
  }
  return engines::builtin_engines().make(options);
}

class Restored : public ::testing::TestWithParam<Setting> {
 protected:
  std::unique_ptr<Engine> make() {
    auto made = GetParam().make(folder_.path());
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return std::move(made).value();
  }

  static TracedTokens text_of(const Engine& engine, const std::string& text, int turn) {
    TracedTokens tokens;
    tokens.append(engine.tokenizer().tokenize(text).value(), {.kind = OriginKind::kTurn, .turn = turn});
    return tokens;
  }

  // Long enough for several pages, and for a window of 32 or 512 tokens to move on.
  static std::string story(int which) {
    std::string text;
    for (int i = 0; i < 120; ++i) text += "Line " + std::to_string(which * 1000 + i) + " of the log. ";
    return text;
  }

  static constexpr std::uint32_t kCapacity = 2048;
  static engine::OpenOptions options() { return {.capacity_tokens = kCapacity}; }

  static Partition open_with(Engine& engine, const std::string& name, const std::string& text) {
    auto partition = Partition::open(engine, name, options()).value();
    auto tokens = text_of(engine, text, 1);
    if (tokens.size() > 900) tokens = tokens.slice(0, 900);
    EXPECT_TRUE(partition.prefill(tokens).ok());
    return partition;
  }

  static engine::GenerateResult generate(Engine& engine, Partition& partition) {
    GenerateOptions options;
    options.max_tokens = 8;
    options.sampling.temperature = 0;
    options.ignore_end = true;
    options.hash_logits = true;
    const std::vector<partition::GenerateRequest> requests = {{&partition, options, "A"}};
    auto results = partition::generate(engine, requests);
    EXPECT_TRUE(results.front().ok()) << results.front().error().to_string();
    return results.front().value();
  }

  // The hashes of the logits of two answers with a turn between.
  static std::vector<std::uint64_t> future(Engine& engine, Partition& partition) {
    auto hashes = generate(engine, partition).logit_hashes;
    EXPECT_TRUE(partition.prefill(text_of(engine, " And then it went on.", 2)).ok());
    const auto more = generate(engine, partition).logit_hashes;
    hashes.insert(hashes.end(), more.begin(), more.end());
    EXPECT_EQ(hashes.size(), 16U);
    return hashes;
  }

  testing::TemporaryFolder folder_;
};

TEST_P(Restored, GoesOnWithTheSameBitsInANewEngine) {
  std::vector<std::uint64_t> expected;
  HexName name = HexName::of("");
  std::size_t saved_tokens = 0;
  {
    const auto engine = make();
    auto partition = open_with(*engine, "p", story(1));
    generate(*engine, partition);
    auto vault = Vault::open({.folder = folder_ / "vault"}).value();
    auto image = partition.image();
    ASSERT_TRUE(image.ok()) << image.error().to_string();
    const auto saved = vault.save("alice", image.value());
    ASSERT_TRUE(saved.ok()) << saved.error().to_string();
    name = saved->name;
    saved_tokens = partition.ledger().tokens.size();
    expected = future(*engine, partition);
  }
  const auto engine = make();
  auto vault = Vault::open({.folder = folder_ / "vault"}).value();
  ASSERT_TRUE(verify(vault.shelf(), HexName::of("alice"), name).ok());
  const auto here = fit_of(*engine);
  ASSERT_TRUE(here.ok()) << here.error().to_string();
  // A neighbour that stays as it is.
  auto neighbour = open_with(*engine, "n", story(2));
  auto loaded = vault.load(HexName::of("alice"), name, here.value()).value();
  ASSERT_EQ(loaded.why_no_cells, "");
  auto anew_from = loaded.partition;
  auto back = Partition::restore(*engine, loaded.partition, options());
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(back->reused_tokens, saved_tokens) << back->why_not_more;
  EXPECT_EQ(back->partition.ledger().tokens.tokens, loaded.partition.ledger.tokens.tokens);
  anew_from.cells.reset();
  anew_from.name = "anew";
  auto anew = Partition::restore(*engine, anew_from, options());
  ASSERT_TRUE(anew.ok()) << anew.error().to_string();
  EXPECT_EQ(anew->reused_tokens, 0U);
  EXPECT_EQ(anew->why_not_more, "there are no cells");
  const auto restored = future(*engine, back->partition);
  if (engine->facts().batch_invariant) {
    EXPECT_EQ(future(*engine, anew->partition), restored) << "restored equals computed anew, bit for bit";
    EXPECT_EQ(restored, expected) << "and equals the one that never went";
  }
  EXPECT_EQ(engine->facts().batch_invariant, GetParam().has_cells) << "else nothing was compared";
  generate(*engine, neighbour);
}

TEST_P(Restored, ForksShareTheirPagesOnDisk) {
  const auto engine = make();
  auto vault = Vault::open({.folder = folder_ / "vault"}).value();
  auto first = open_with(*engine, "p", story(1));
  const auto tokens = static_cast<std::uint32_t>(first.ledger().tokens.size());
  auto fork = first.fork("q", tokens, options()).value();
  ASSERT_TRUE(fork.prefill(text_of(*engine, " Something else.", 2)).ok());
  const auto one = vault.save("alice", first.image().value()).value();
  const auto other = vault.save("alice", fork.image().value()).value();
  if (GetParam().has_cells) {
    EXPECT_GT(one.pieces, 10U);
    EXPECT_GT(other.shared_pieces * 2, other.pieces);
    EXPECT_LT(other.written_bytes * 2, one.written_bytes + other.written_bytes);
  }
  const auto fit = fit_of(*engine).value();
  for (const auto& name : {one.name, other.name}) {
    auto loaded = vault.load(HexName::of("alice"), name, fit).value();
    EXPECT_EQ(loaded.why_no_cells, "");
    EXPECT_TRUE(Partition::restore(*engine, loaded.partition, options()).ok());
  }
}

TEST_P(Restored, CellsOfOtherTokensAreNotTaken) {
  const auto engine = make();
  auto image = open_with(*engine, "p", story(1)).image().value();
  image.cells = open_with(*engine, "q", story(2)).image().value().cells;
  const auto back = Partition::restore(*engine, image, options());
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(back->reused_tokens, 0U);
  EXPECT_THAT(back->why_not_more, HasSubstr("other tokens"));
  EXPECT_EQ(back->partition.inspect()->token_sha256, image.ledger.token_sha256()) << "computed anew";
  EXPECT_EQ(back->partition.ledger().prefilled_tokens, 2 * image.ledger.prefilled_tokens);
}

const std::vector<Setting> kTiny = {
    {"pages", [](const auto& folder) { return tiny_engine(folder, 0, "bulkhead"); }},
    {"window", [](const auto& folder) { return tiny_engine(folder, testing::kTinyWindow, "bulkhead"); }},
    {"q8_0", [](const auto& folder) { return tiny_engine(folder, testing::kTinyWindow, "bulkhead", "q8_0"); }},
    {"rooms", [](const auto& folder) { return tiny_engine(folder, 0, "stock"); }, false}};

std::string setting_name(const ::testing::TestParamInfo<Setting>& instance) {
  return instance.param.name;
}

INSTANTIATE_TEST_SUITE_P(Tiny, Restored, ::testing::ValuesIn(kTiny), setting_name);

// Between engines that differ in what a cell is.
TEST(RestoredElsewhere, CellsOfAnotherTypeAreComputedAnewAndItIsSaid) {
  const testing::TemporaryFolder folder;
  auto vault = Vault::open({.folder = folder / "vault"}).value();
  HexName name = HexName::of("");
  {
    const auto engine = tiny_engine(folder.path(), 0, "bulkhead").value();
    auto partition = Partition::open(*engine, "p", {.capacity_tokens = 512}).value();
    TracedTokens tokens;
    tokens.append(engine->tokenizer().tokenize("The lighthouse keeper").value(), {.kind = OriginKind::kTurn});
    ASSERT_TRUE(partition.prefill(tokens).ok());
    name = vault.save("alice", partition.image().value()).value().name;
  }
  const auto engine = tiny_engine(folder.path(), 0, "bulkhead", "q8_0").value();
  const auto loaded = vault.load(HexName::of("alice"), name, fit_of(*engine).value()).value();
  EXPECT_THAT(loaded.why_no_cells, HasSubstr("kv_"));
  const auto back = Partition::restore(*engine, loaded.partition, {.capacity_tokens = 512});
  ASSERT_TRUE(back.ok()) << back.error().to_string();
  EXPECT_EQ(back->partition.inspect()->token_sha256, loaded.partition.ledger.token_sha256());
}

// Sliding windows on a real model: 15 of its 18 layers see 512 tokens.
class ModelRestored : public Restored {
 protected:
  void SetUp() override { BULKHEAD_NEED_MODEL(testing::kGemma); }
};

TEST_P(ModelRestored, AWindowThatMovedOnComesBackBitForBit) {
  std::vector<std::uint64_t> expected;
  HexName name = HexName::of("");
  {
    const auto engine = make();
    ASSERT_GT(engine->facts().window_tokens, 0U);
    ASSERT_TRUE(engine->facts().batch_invariant) << engine->facts().variance;
    auto partition = open_with(*engine, "p", story(1));
    ASSERT_GT(partition.ledger().tokens.size(), engine->facts().window_tokens + 64);
    auto vault = Vault::open({.folder = folder_ / "vault"}).value();
    name = vault.save("alice", partition.image().value()).value().name;
    expected = future(*engine, partition);
  }
  const auto engine = make();
  auto vault = Vault::open({.folder = folder_ / "vault"}).value();
  auto loaded = vault.load(HexName::of("alice"), name, fit_of(*engine).value()).value();
  ASSERT_EQ(loaded.why_no_cells, "");
  auto anew_from = loaded.partition;
  anew_from.cells.reset();
  auto back = Partition::restore(*engine, loaded.partition, options()).value();
  EXPECT_EQ(back.reused_tokens, loaded.partition.ledger.tokens.size());
  EXPECT_EQ(future(*engine, back.partition), expected);
  auto anew = Partition::restore(*engine, anew_from, options()).value();
  EXPECT_EQ(anew.reused_tokens, 0U);
  EXPECT_EQ(future(*engine, anew.partition), expected);
}

Result<std::unique_ptr<Engine>> gemma(const std::filesystem::path& /*folder*/) {
  ModelOptions options;
  options.context_tokens = 2048;
  return testing::load_llama(testing::kGemma, options);
}

INSTANTIATE_TEST_SUITE_P(Model, ModelRestored, ::testing::Values(Setting{"Gemma", gemma}), setting_name);

}  // namespace
}  // namespace bulkhead::vault
