// SPDX-License-Identifier: MIT
#include "serve/answer_stream.h"

#include <utility>

namespace bulkhead::serve {
namespace {

// What `whole` says behind `said`; nothing where it begins in another way.
std::string more_of(const std::string& whole, const std::string& said) {
  return whole.starts_with(said) ? whole.substr(said.size()) : std::string();
}

}  // namespace

AnswerStream::AnswerStream(const std::vector<std::string>& stops, std::shared_ptr<const engine::AnswerReader> reader,
                           std::function<std::string()> new_id)
    : plain_(stops), reader_(std::move(reader)), new_id_(std::move(new_id)) {}

Delta AnswerStream::append(std::string_view piece) {
  auto fresh = plain_.append(piece);
  if (reader_ == nullptr) {
    said_.content += fresh;
    return {.text = std::move(fresh)};
  }
  if (fresh.empty()) return {};
  text_ += fresh;
  const auto parts = reader_->read(text_, true);
  return parts.ok() ? advance(parts.value()) : Delta();
}

Delta AnswerStream::finish(std::string_view text) {
  text_ += plain_.finish(text);
  if (reader_ == nullptr) {
    Delta rest{.text = std::move(text_)};
    said_.content += rest.text;
    return rest;
  }
  auto parts = reader_->read(text, false);
  if (!parts.ok()) parts = reader_->read(text, true);  // its end may be missing
  // What is no answer in the model's own form is a text, unless calls of it were told already.
  if (!parts.ok()) return said_.calls.empty() ? advance({.content = std::string(text)}) : Delta();
  return advance(parts.value());
}

Delta AnswerStream::advance(const engine::AnswerParts& parts) {
  Delta delta{.text = more_of(parts.content, said_.content)};
  said_.content += delta.text;
  for (std::uint32_t i = 0; i < parts.calls.size(); ++i) {
    const auto& call = parts.calls[i];
    if (call.name.empty()) break;  // it is not told yet
    CallDelta told{.index = i};
    if (i == said_.calls.size()) {
      said_.calls.push_back({.id = call.id.empty() ? new_id_() : call.id, .name = call.name, .arguments = {}});
      told = {.index = i, .begins = true, .id = said_.calls[i].id, .name = call.name};
    }
    told.arguments = more_of(call.arguments, said_.calls[i].arguments);
    said_.calls[i].arguments += told.arguments;
    if (told.begins || !told.arguments.empty()) delta.calls.push_back(std::move(told));
  }
  return delta;
}

}  // namespace bulkhead::serve
