// SPDX-License-Identifier: MIT
#include "engines/worker/remote_tokenizer.h"

#include "base/bytes.h"
#include "base/utf8.h"
#include "engine/json_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace bulkhead::engines::worker {

using engine::ChatPart;
using engine::Token;

namespace {

// Room for the two texts of a token; the longest are runs of spaces and of code.
constexpr std::uint64_t kBytesPerWord = 256;
constexpr std::uint64_t kMostVocabularyBytes = std::uint64_t{1} << 28U;
// A tokenizer may write a character in another way before it splits it, and put something in front.
constexpr std::size_t kTokensPerByte = 16;
constexpr std::size_t kTokensInFront = 16;
constexpr std::uint64_t kDigitsPerToken = 12;
// What a template writes around a message, and how often it repeats one.
constexpr std::uint64_t kTemplateBytes = std::uint64_t{1} << 20U;
constexpr std::uint64_t kTemplateCopies = 16;
constexpr std::uint64_t kPartBytes = 4096;  // of JSON, for the pieces of one message

}  // namespace

Result<std::unique_ptr<RemoteTokenizer>> RemoteTokenizer::fetch(std::uint32_t size, std::shared_ptr<WorkerLink> worker,
                                                                MakeWorker make, std::string clock) {
  std::unique_ptr<RemoteTokenizer> made(new RemoteTokenizer(std::move(worker), std::move(make), std::move(clock)));
  BH_TRY(const auto link, made->worker());
  const Expected expected{.tail_bytes = std::min(size * kBytesPerWord, kMostVocabularyBytes)};
  BH_TRY(const auto answer, link->call({{"do", "vocabulary"}}, {}, expected));
  BH_CHECK(read_answer(*link, answer, [&](const JsonView& ok) { return made->read_vocabulary(size, answer, ok); }));
  return made;
}

Result<void> RemoteTokenizer::read_vocabulary(std::uint32_t size, const Frame& answer, const JsonView& ok) {
  if (ok.has("bos")) {
    BH_TRY(bos_, engine::number<Token>(ok, "bos", 0, std::int64_t{size} - 1));
  }
  ByteReader reader(answer.tail);
  words_.reserve(size);
  for (std::uint32_t i = 0; i < size && !reader.failed(); ++i) {
    Word word;
    word.piece = reader.text(reader.number<std::uint32_t>());
    word.spelling = to_valid_utf8(reader.text(reader.number<std::uint32_t>()));
    word.ends = reader.number<std::uint8_t>() != 0;
    words_.push_back(std::move(word));
  }
  if (reader.failed()) return ok.fail(fmt::format("the vocabulary has less than {} tokens", size));
  if (reader.left() != 0) return ok.fail(fmt::format("the vocabulary has more than {} tokens", size));
  return {};
}

Result<std::shared_ptr<WorkerLink>> RemoteTokenizer::worker() const {
  const std::lock_guard lock(mutex_);
  if (!worker_->alive()) {
    BH_TRY(worker_, make_());
  }
  return worker_;
}

Result<std::vector<Token>> RemoteTokenizer::tokens_of(std::string_view text, bool as_template) const {
  BH_TRY(const auto link, worker());
  const auto most = text.size() * kTokensPerByte + kTokensInFront;
  Expected expected;
  expected.json_bytes += most * kDigitsPerToken;
  BH_TRY(const auto answer,
         link->call({{"do", "tokenize"}, {"template", as_template}}, std::as_bytes(std::span(text)), expected));
  return read_answer(*link, answer, [&](const JsonView& ok) {
    return engine::numbers<Token>(ok, "tokens", 0, static_cast<std::int64_t>(words_.size()) - 1, most);
  });
}

Result<std::vector<Token>> RemoteTokenizer::tokenize(std::string_view text) const {
  return tokens_of(text, false);
}

Result<std::vector<Token>> RemoteTokenizer::tokenize_template(std::string_view text) const {
  return tokens_of(text, true);
}

const RemoteTokenizer::Word* RemoteTokenizer::word(Token token) const {
  const auto index = static_cast<std::size_t>(token);
  return token >= 0 && index < words_.size() ? &words_[index] : nullptr;
}

std::string RemoteTokenizer::piece(Token token) const {
  const auto* found = word(token);
  return found == nullptr ? std::string() : found->piece;
}

std::string RemoteTokenizer::spelling(Token token) const {
  const auto* found = word(token);
  return found == nullptr ? std::string() : found->spelling;
}

bool RemoteTokenizer::ends_generation(Token token) const {
  const auto* found = word(token);
  return found != nullptr && found->ends;
}

Result<std::vector<ChatPart>> RemoteTokenizer::render_chat(std::span<const engine::ChatMessage> messages,
                                                           bool open_assistant_turn) const {
  Json list = Json::array();
  std::string contents;
  for (const auto& message : messages) {
    list.push_back({{"role", message.role}, {"bytes", message.content.size()}});
    contents += message.content;
  }
  BH_TRY(const auto link, worker());
  Expected expected{.tail_bytes = contents.size() * kTemplateCopies + (messages.size() + 1) * kTemplateBytes};
  expected.json_bytes += messages.size() * kPartBytes;
  BH_TRY(
      const auto answer,
      link->call(
          {{"do", "render_chat"}, {"messages", list}, {"open_assistant_turn", open_assistant_turn}, {"clock", clock_}},
          std::as_bytes(std::span(contents)), expected));
  return read_answer(*link, answer, [&](const JsonView& ok) -> Result<std::vector<ChatPart>> {
    BH_TRY(const auto told, ok.at("parts"));
    BH_TRY(const auto items, told.items());
    ByteReader reader(answer.tail);
    std::vector<ChatPart> parts;
    for (const auto& item : items) {
      BH_TRY(const auto bytes, engine::number<std::size_t>(item, "bytes"));
      BH_TRY(const auto from_template, engine::flag(item, "from_template"));
      parts.push_back({std::string(reader.text(bytes)), from_template});
    }
    if (reader.failed() || reader.left() != 0) return ok.fail("the parts of the chat are not its text");
    return parts;
  });
}

}  // namespace bulkhead::engines::worker
