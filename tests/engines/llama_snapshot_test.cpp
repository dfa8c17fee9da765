// SPDX-License-Identifier: MIT
// What is particular to snapshots of libllama: that cells are really taken over, between contexts of any shape, and
// that those which libllama refuses are computed anew, with nothing left behind.
#include "base/bytes.h"
#include "base/json.h"
#include "engines/llama/llama_engine.h"
#include "engines/llama/sequence_image.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::Engine;
using engine::SequenceId;
using engine::Snapshot;
using engine::Token;

const std::string kStory = "The lighthouse keeper ";
const std::string kOther = "A recipe for bread nee";

class LlamaSnapshot : public ::testing::TestWithParam<Grade> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::write_tiny_model(folder_ / "tiny.gguf"));
    ModelOptions options;
    options.path = folder_ / "tiny.gguf";
    options.grade = GetParam();
    options.threads = 1;
    options.context_tokens = 2048;
    auto made = make_llama_engine(options);
    ASSERT_TRUE(made.ok()) << made.error().to_string();
    engine_ = std::move(made).value();
  }

  // The first 16, so that cells of one text are as many as those of another.
  std::vector<Token> tokens(const std::string& text) {
    auto all = engine_->tokenizer().tokenize(text).value();
    EXPECT_GE(all.size(), 16U);
    all.resize(16);
    return all;
  }

  SequenceId open_with(const std::string& text) {
    const auto id = engine_->open({.capacity_tokens = 256}).value();
    EXPECT_TRUE(engine_->prefill(id, tokens(text)).ok());
    return id;
  }

  std::vector<std::uint64_t> next_logits(SequenceId id) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = 6;
    options.ignore_end = true;
    options.hash_logits = true;
    const engine::GenerateRequest request{id, options};
    return engine_->generate({&request, 1})[0].value().logit_hashes;
  }

  static engine::SnapshotFit fit_of(const Snapshot& snapshot) {
    ByteReader reader(snapshot.bytes());
    static_cast<void>(reader.text(8));
    engine::SnapshotFit fit;
    const auto header = Json::parse(reader.text(reader.number<std::uint64_t>()));
    for (const auto& [field, value] : header["fit"].items()) fit.emplace_back(field, value.get<std::string>());
    return fit;
  }

  SequenceImage image_of(const Snapshot& snapshot) {
    const auto content = engine::unpack_snapshot(snapshot, fit_of(snapshot));
    return image_from(content.value().payload, engine_->facts().vocabulary).value();
  }

  // A snapshot that says it is of `text`, with this inside.
  Snapshot forged(const Snapshot& like, const std::string& text, const SequenceImage& image) {
    return engine::pack_snapshot(fit_of(like), tokens(text), to_bytes(image));
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(LlamaSnapshot, CellsAreTakenOverAndNotComputed) {
  const auto story = open_with(kStory);
  const auto snapshot = engine_->snapshot(story).value();
  auto image = image_of(engine_->snapshot(open_with(kOther)).value());
  ASSERT_TRUE(image.cells.has_value());
  image.logits.reset();
  const auto mixed = engine_->restore(forged(snapshot, kStory, image), {.capacity_tokens = 256});
  ASSERT_TRUE(mixed.ok()) << mixed.error().to_string();
  EXPECT_NE(next_logits(mixed.value()), next_logits(story)) << "the tokens of one, the cells of the other";
}

TEST_P(LlamaSnapshot, CellsFitContextsOfAnyShape) {
  const auto story = open_with(kStory);  // one of four in its context
  const auto snapshot = engine_->snapshot(story).value();
  ASSERT_TRUE(engine_->reserve(9, 512).ok());
  auto image = image_of(snapshot);
  image.logits.reset();
  std::vector<SequenceId> copies;
  for (int i = 0; i < 3; ++i) {
    const auto copy = engine_->restore(forged(snapshot, kOther, image), {.capacity_tokens = 512});
    ASSERT_TRUE(copy.ok()) << copy.error().to_string();
    copies.push_back(copy.value());
  }
  // Other tokens than the cells are of: if they were computed, they would go on like these.
  const auto computed = next_logits(open_with(kOther));
  for (const auto copy : copies) EXPECT_NE(next_logits(copy), computed);
}

TEST_P(LlamaSnapshot, CellsThatLibllamaRefusesAreComputedAnew) {
  const auto neighbour = open_with(kOther);
  const auto hash = engine_->state_hash(neighbour).value();
  const auto snapshot = engine_->snapshot(open_with(kStory)).value();
  for (std::size_t cut = 1; cut <= 4; ++cut) {
    auto image = image_of(snapshot);
    image.cells->full.resize(image.cells->full.size() * cut / 5);
    const auto copy = engine_->restore(forged(snapshot, kStory, image), {.capacity_tokens = 256});
    ASSERT_TRUE(copy.ok()) << copy.error().to_string();
    EXPECT_EQ(engine_->inspect(copy.value()).value().last_position,
              static_cast<std::int64_t>(tokens(kStory).size()) - 1);
    EXPECT_EQ(engine_->state_hash(neighbour).value(), hash);
    EXPECT_EQ(next_logits(copy.value()), next_logits(open_with(kStory))) << cut;
  }
}

INSTANTIATE_TEST_SUITE_P(BothGrades, LlamaSnapshot, ::testing::Values(Grade::kBuffer, Grade::kMask),
                         [](const auto& instance) { return std::string(engine::name(instance.param)); });

}  // namespace
}  // namespace bulkhead::engines::llama
