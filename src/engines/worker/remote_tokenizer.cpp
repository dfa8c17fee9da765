// SPDX-License-Identifier: MIT
#include "engines/worker/remote_tokenizer.h"

#include "base/bytes.h"
#include "engines/worker/answer_form.h"

#include <cstdint>
#include <utility>

namespace bulkhead::engines::worker {

using engine::ChatPart;
using engine::Token;

Result<std::unique_ptr<RemoteTokenizer>> RemoteTokenizer::fetch(std::shared_ptr<WorkerLink> worker, MakeWorker make) {
  std::unique_ptr<RemoteTokenizer> made(new RemoteTokenizer(std::move(worker), std::move(make)));
  BH_TRY(const auto frame, made->ask({{"do", "vocabulary"}}, {}));
  BH_CHECK(read_form([&]() -> Result<void> {
    if (const auto& bos = frame.head.at("bos"); !bos.is_null()) made->bos_ = bos.get<Token>();
    return {};
  }));
  ByteReader reader(frame.tail);
  while (reader.left() > 0 && !reader.failed()) {
    Word word;
    word.piece = reader.text(reader.number<std::uint32_t>());
    word.spelling = reader.text(reader.number<std::uint32_t>());
    word.ends = reader.number<std::uint8_t>() != 0;
    made->words_.push_back(std::move(word));
  }
  if (reader.failed()) return other_form("the vocabulary is cut");
  return made;
}

Result<Frame> RemoteTokenizer::ask(const Json& head, std::string_view tail) const {
  std::shared_ptr<WorkerLink> worker;
  {
    const std::lock_guard lock(mutex_);
    if (!worker_->alive()) {
      BH_TRY(worker_, make_());
    }
    worker = worker_;
  }
  return worker->call(head, std::as_bytes(std::span(tail)));
}

Result<std::vector<Token>> RemoteTokenizer::tokens_of(std::string_view text, bool as_template) const {
  BH_TRY(const auto frame, ask({{"do", "tokenize"}, {"template", as_template}}, text));
  return read_form([&]() -> Result<std::vector<Token>> { return frame.head.at("tokens").get<std::vector<Token>>(); });
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
  BH_TRY(const auto frame,
         ask({{"do", "render_chat"}, {"messages", list}, {"open_assistant_turn", open_assistant_turn}}, contents));
  return read_form([&]() -> Result<std::vector<ChatPart>> {
    ByteReader reader(frame.tail);
    std::vector<ChatPart> parts;
    for (const auto& part : frame.head.at("parts")) {
      parts.push_back(
          {std::string(reader.text(part.at("bytes").get<std::size_t>())), part.at("from_template").get<bool>()});
    }
    if (reader.failed()) return other_form("the chat is cut");
    return parts;
  });
}

}  // namespace bulkhead::engines::worker
