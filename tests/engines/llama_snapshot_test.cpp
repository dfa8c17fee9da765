// SPDX-License-Identifier: MIT
// What is particular to snapshots of libllama: that cells are really taken over, between contexts of any shape, and
// that those which libllama refuses are computed anew, with nothing left behind.
#include "base/bytes.h"
#include "base/hash.h"
#include "base/json.h"
#include "engines/llama/llama_engine.h"
#include "engines/llama/loaded_model.h"
#include "engines/llama/room_cells.h"
#include "engines/llama/room_state.h"
#include "engines/llama/sequence_image.h"
#include "engines/tiny_model.h"
#include "json_of.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
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

// Where cells lie: in pages, in rooms with a buffer each, in rooms of one buffer.
enum class Where { kPages, kRooms, kOneBuffer };

class LlamaSnapshot : public ::testing::TestWithParam<Where> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::write_tiny_model(folder_ / "tiny.gguf"));
    ModelOptions options;
    options.path = folder_ / "tiny.gguf";
    options.grade = GetParam() == Where::kOneBuffer ? Grade::kMask : Grade::kBuffer;
    if (GetParam() != Where::kPages) options.kernels = "stock";
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
    const auto header = testing::json_of(reader.text(reader.number<std::uint64_t>()));
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

// Where the fields of libllama's cells begin: their number, then position, sequences and sequence of each.
constexpr std::size_t kCellsBegin = 4;
constexpr std::size_t kCellBytes = 12;

class LlamaRoomSnapshot : public LlamaSnapshot {};

// What rooms store of the layers without a window, in front of all else (engines/llama/room_state.h), changed.
void change_cells(SequenceImage& image, const std::function<void(std::vector<std::byte>&)>& change) {
  ByteReader reader(*image.cells);
  const auto block = [&] {
    const auto bytes = reader.bytes(reader.number<std::uint64_t>());
    return std::vector(bytes.begin(), bytes.end());
  };
  auto full = block();
  const auto window = block();
  change(full);
  ByteWriter writer;
  for (const auto& part : {full, window}) {
    writer.number(std::uint64_t{part.size()});
    writer.bytes(part);
  }
  image.cells = std::move(writer).take();
}

void put(std::vector<std::byte>& bytes, std::size_t at, std::uint32_t value) {
  ASSERT_LE(at + sizeof(value), bytes.size());
  std::memcpy(&bytes[at], &value, sizeof(value));
}

TEST_P(LlamaRoomSnapshot, CellsThatLibllamaRefusesAreComputedAnew) {
  const auto neighbour = open_with(kOther);
  const auto hash = engine_->state_hash(neighbour).value();
  const auto snapshot = engine_->snapshot(open_with(kStory)).value();
  const auto type_of_keys = kCellsBegin + tokens(kStory).size() * kCellBytes + 8;
  for (const std::uint32_t type : {0U, 8U, 1'000'000U}) {
    auto image = image_of(snapshot);
    change_cells(image, [&](auto& cells) { put(cells, type_of_keys, type); });
    const auto copy = engine_->restore(forged(snapshot, kStory, image), {.capacity_tokens = 256});
    ASSERT_TRUE(copy.ok()) << copy.error().to_string();
    EXPECT_EQ(engine_->inspect(copy.value()).value().last_position,
              static_cast<std::int64_t>(tokens(kStory).size()) - 1);
    EXPECT_EQ(engine_->state_hash(neighbour).value(), hash);
    EXPECT_EQ(next_logits(copy.value()), next_logits(open_with(kStory))) << type;
  }
}

// libllama believes what it reads, and cannot take out a cell at the largest position: the room was lost with it.
TEST_P(LlamaRoomSnapshot, CellsThatNoSequenceHasAreRefusedAndLeaveTheRoomEmpty) {
  const auto neighbour = open_with(kOther);
  const auto hash = engine_->state_hash(neighbour).value();
  const auto story = open_with(kStory);
  const auto snapshot = engine_->snapshot(story).value();
  const auto expected = next_logits(story);
  const auto length = static_cast<std::uint32_t>(tokens(kStory).size());
  const std::vector<std::function<void(std::vector<std::byte>&)>> spoilers = {
      [](auto& cells) { put(cells, kCellsBegin, std::numeric_limits<std::int32_t>::max()); },
      [](auto& cells) {
        put(cells, kCellsBegin, std::numeric_limits<std::uint32_t>::max());
      },  // -1: libllama's "empty"
      [](auto& cells) { put(cells, kCellsBegin, 0x80000000U); },
      [&](auto& cells) { put(cells, kCellsBegin, length); },
      [](auto& cells) { put(cells, kCellsBegin, 1); },  // twice
      [](auto& cells) { put(cells, kCellsBegin + 4, 0); },
      [](auto& cells) { put(cells, kCellsBegin + 4, 2); },
      [&](auto& cells) { put(cells, 0, length - 1); },
      [](auto& cells) { put(cells, 0, 0); },
      [](auto& cells) { put(cells, 0, std::numeric_limits<std::uint32_t>::max()); },
      [](auto& cells) { cells.resize(cells.size() / 2); },
      [](auto& cells) { cells.resize(3); },
      [](auto& cells) { cells.resize(cells.size() + 4); },
      [](auto& cells) { cells.insert(cells.end(), cells.begin(), cells.end()); }};  // as if of the next buffer, too
  for (std::size_t i = 0; i < spoilers.size(); ++i) {
    auto image = image_of(snapshot);
    change_cells(image, spoilers[i]);
    const auto refused = engine_->restore(forged(snapshot, kStory, image), {.capacity_tokens = 256});
    ASSERT_FALSE(refused.ok()) << i;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt) << refused.error().to_string();
    const auto next = open_with(kStory);
    EXPECT_EQ(next_logits(next), expected) << i << ": its room goes to the next";
    ASSERT_TRUE(engine_->close(next).ok());
    EXPECT_EQ(engine_->state_hash(neighbour).value(), hash);
  }
}

// The cells of another length, of a form that is not known, or that claim a window has left them.
TEST_P(LlamaSnapshot, CellsOfAnotherLengthAreRefused) {
  const auto neighbour = open_with(kOther);
  const auto hash = engine_->state_hash(neighbour).value();
  const auto snapshot = engine_->snapshot(open_with(kStory)).value();
  const std::vector<std::function<void(std::vector<std::byte>&)>> spoilers = {
      [](auto& cells) { cells.resize(cells.size() - 1); },
      [](auto& cells) { cells.resize(cells.size() + 1); },
      [](auto& cells) { cells.clear(); },
      [](auto& cells) { put(cells, 0, 0xffffffffU); },
      [](auto& cells) { put(cells, 4, 1); },
      [](auto& cells) { put(cells, 4, 0xffffffffU); }};
  for (std::size_t i = 0; i < spoilers.size(); ++i) {
    auto image = image_of(snapshot);
    spoilers[i](*image.cells);
    const auto refused = engine_->restore(forged(snapshot, kStory, image), {.capacity_tokens = 256});
    ASSERT_FALSE(refused.ok()) << i;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt) << i << ": " << refused.error().to_string();
    EXPECT_EQ(engine_->state_hash(neighbour).value(), hash);
  }
}

TEST_P(LlamaSnapshot, AnImageThatContradictsItselfIsRefused) {
  const auto snapshot = engine_->snapshot(open_with(kStory)).value();
  auto image = image_of(snapshot);
  ASSERT_TRUE(image.logits);
  image.pending = true;  // logits that follow a token which was not computed yet
  EXPECT_EQ(engine_->restore(forged(snapshot, kStory, image), {.capacity_tokens = 256}).error().code,
            ErrorCode::kCorrupt);
  image = image_of(snapshot);
  const auto empty = engine::pack_snapshot(fit_of(snapshot), {}, to_bytes(image));
  EXPECT_EQ(engine_->restore(empty, {.capacity_tokens = 256}).error().code, ErrorCode::kCorrupt) << "cells of nothing";
}

// What was written into cells and given up must not be read as a neighbour's: NaN times a weight of 0 is NaN.
TEST_P(LlamaRoomSnapshot, CellsOfARefusedRestoreAreNobodysNumbers) {
  const auto story = open_with(kStory);
  const auto snapshot = engine_->snapshot(story).value();
  const auto expected = next_logits(story);
  auto image = image_of(snapshot);
  const auto first_row = kCellsBegin + tokens(kStory).size() * kCellBytes + 8 + 12;
  change_cells(image, [&](auto& cells) {
    std::fill(cells.begin() + static_cast<std::ptrdiff_t>(first_row), cells.end(), std::byte{0xff});
  });
  const auto copy = engine_->restore(forged(snapshot, kStory, image), {.capacity_tokens = 256});
  if (copy.ok()) static_cast<void>(engine_->close(copy.value()));
  const auto next = open_with(kStory);
  EXPECT_EQ(next_logits(next), expected);
}

// ---- any bytes ------------------------------------------------------------------------------------------------------

class Mutator {
 public:
  // `body`: a snapshot without its digest, of `tokens` tokens.
  Mutator(std::vector<std::byte> body, std::size_t tokens, std::uint32_t vocabulary)
      : body_(std::move(body)), tokens_(tokens), vocabulary_(vocabulary) {
    std::uint64_t header = 0;
    std::memcpy(&header, &body_[8], sizeof(header));
    first_token_ = 16 + header;
    payload_ = first_token_ + 4 * tokens_;
  }

  Snapshot next() {
    auto bytes = body_;
    switch (random_() % 5) {
      case 0: flip(bytes); break;
      case 1: overwrite(bytes); break;
      case 2: bytes.resize(payload_ + random_() % (bytes.size() - payload_)); break;
      case 3: bytes.resize(bytes.size() + 1 + random_() % 100); break;
      case 4: spoil_token(bytes); break;
    }
    const auto digest = xxh3_128(bytes);
    bytes.insert(bytes.end(), digest.begin(), digest.end());
    return Snapshot(std::move(bytes));
  }

 private:
  // Most of the payload is numbers that may be anything: the fields are where it hurts.
  std::size_t anywhere(const std::vector<std::byte>& bytes) {
    const auto cells =
        payload_ + 8 + (4 * std::size_t{vocabulary_} + payload_ + 400 < bytes.size() ? 4 * vocabulary_ : 0);
    switch (random_() % 3) {
      case 0: return payload_ + random_() % 120;
      case 1: return cells + random_() % 300;
      default: return payload_ + random_() % (bytes.size() - payload_ - 8);
    }
  }
  void flip(std::vector<std::byte>& bytes) {
    for (auto flips = 1 + random_() % 4; flips > 0; --flips)
      bytes[anywhere(bytes)] ^= static_cast<std::byte>(1U << (random_() % 8));
  }
  void overwrite(std::vector<std::byte>& bytes) {
    const std::vector<std::uint32_t> values = {
        0, 1, 2, 3, 7, 64, 0x7fffffffU, 0x80000000U, 0xffffffffU, static_cast<std::uint32_t>(bytes.size())};
    put(bytes, anywhere(bytes) / 4 * 4 + payload_ % 4, values[random_() % values.size()]);
  }
  void spoil_token(std::vector<std::byte>& bytes) {
    const std::vector<std::uint32_t> values = {0xffffffffU, 0, vocabulary_ - 1, vocabulary_, 0x7fffffffU};
    put(bytes, first_token_ + 4 * (random_() % tokens_), values[random_() % values.size()]);
  }

  std::vector<std::byte> body_;
  std::size_t tokens_;
  std::uint32_t vocabulary_;
  std::size_t first_token_ = 0;
  std::size_t payload_ = 0;
  std::mt19937 random_{23};
};

int mutations() {
  const char* asked = std::getenv("BULKHEAD_SNAPSHOTS");
  return asked == nullptr ? 60 : std::atoi(asked);
}

TEST_P(LlamaSnapshot, NoBytesSpoilTheEngine) {
  const auto story = open_with(kStory);
  const auto with_logits = engine_->snapshot(story).value();
  const auto expected = next_logits(story);
  const auto pending = engine_->snapshot(story).value();
  const auto neighbour = open_with(kOther);
  const auto hash = engine_->state_hash(neighbour).value();
  int restored = 0;
  int refused = 0;
  for (const auto* snapshot : {&with_logits, &pending}) {
    auto body = snapshot->bytes();
    body.resize(body.size() - 16);
    const auto count = tokens(kStory).size() + (snapshot == &pending ? 6U : 0U);
    Mutator mutator(std::move(body), count, engine_->facts().vocabulary);
    for (int i = 0; i < mutations(); ++i) {
      const auto made = engine_->restore(mutator.next(), {.capacity_tokens = 256});
      if (made.ok()) {
        ++restored;
        // Numbers in cells and logits may be anything: it may go on, or fail for itself.
        GenerateOptions options;
        options.max_tokens = 2;
        const engine::GenerateRequest request{made.value(), options};
        static_cast<void>(engine_->generate({&request, 1}));
        static_cast<void>(engine_->inspect(made.value()));
        ASSERT_TRUE(engine_->close(made.value()).ok());
      } else {
        ++refused;
        EXPECT_NE(made.error().code, ErrorCode::kInternal) << i << ": " << made.error().to_string();
      }
      const auto next = open_with(kStory);
      ASSERT_EQ(next_logits(next), expected) << i << ": what comes next shows what it always showed";
      ASSERT_TRUE(engine_->close(next).ok());
      ASSERT_EQ(engine_->state_hash(neighbour).value(), hash) << i;
    }
  }
  RecordProperty("restored", restored);
  RecordProperty("refused", refused);
  EXPECT_GT(refused, mutations() / 2);
  EXPECT_GT(restored, mutations() / 10);
}

// A room that libllama cannot empty is given to nobody.
TEST(LlamaRoom, ARoomThatCannotBeEmptiedIsGivenUp) {
  const testing::TemporaryFolder folder;
  ModelOptions options;
  options.path = folder / "tiny.gguf";
  options.threads = 1;
  ASSERT_TRUE(testing::write_tiny_model(options.path));
  const auto model = LoadedModel::load(options).value();
  Cancellation cancellation;
  ContextPool pool(*model, cancellation);
  ASSERT_TRUE(pool.reserve(2, 256).ok());
  llama_seq_id spoiled = -1;
  {
    Sequence sequence;
    sequence.cells = std::move(pool.open(256, false, nullptr)).value();
    const auto place = static_cast<const RoomCells&>(*sequence.cells).place();
    spoiled = place.id;
    const std::vector<Token> text = {300, 301};
    ASSERT_TRUE(append(sequence, text).ok());
    auto cells = read_state(place).value();
    // Behind the number of bytes of this block.
    put(cells, sizeof(std::uint64_t) + kCellsBegin + kCellBytes, std::numeric_limits<std::int32_t>::max());
    ASSERT_TRUE(write_state(place, cells)) << "libllama takes it";
  }
  const auto next = pool.take(256, false, nullptr).value();
  EXPECT_NE(next.id, spoiled);
  ContextPool::release(next);
  EXPECT_EQ(pool.take(256, false, nullptr).value().id, next.id) << "a room that can be is used again";
}

std::string place_name(const ::testing::TestParamInfo<Where>& instance) {
  return instance.param == Where::kPages ? "pages" : instance.param == Where::kRooms ? "rooms" : "one_buffer";
}

INSTANTIATE_TEST_SUITE_P(Everywhere, LlamaSnapshot, ::testing::Values(Where::kPages, Where::kRooms, Where::kOneBuffer),
                         place_name);
INSTANTIATE_TEST_SUITE_P(Rooms, LlamaRoomSnapshot, ::testing::Values(Where::kRooms, Where::kOneBuffer), place_name);

}  // namespace
}  // namespace bulkhead::engines::llama
