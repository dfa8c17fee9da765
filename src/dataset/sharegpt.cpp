// SPDX-License-Identifier: MIT
#include "dataset/dataset.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace bulkhead::dataset {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kRoles = {{
    {"system", "system"},
    {"human", "user"},
    {"user", "user"},
    {"gpt", "assistant"},
    {"chatgpt", "assistant"},
    {"bard", "assistant"},
    {"bing", "assistant"},
    {"assistant", "assistant"},
}};

Result<std::string> role_of(const JsonView& view) {
  BH_TRY(const auto from, view.string());
  for (const auto& [theirs, ours] : kRoles) {
    if (from == theirs) return std::string(ours);
  }
  return view.fail(fmt::format("unknown speaker \"{}\"", from),
                   "known: system, human, user, gpt, chatgpt, bard, bing, assistant");
}

// ShareGPT ids hold any character; ours name folders.
std::string plain_id(std::string_view id, std::size_t number) {
  std::string plain;
  for (const char c : id.substr(0, 80)) {
    const bool keeps = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    plain += keeps ? c : '_';
  }
  return plain.empty() ? fmt::format("conversation-{}", number) : plain;
}

Result<Conversation> read_conversation(const JsonView& view, std::size_t number) {
  Conversation conversation;
  auto& scenario = conversation.scenario;
  BH_TRY(const auto id, view.string_or("id", {}));
  scenario.id = plain_id(id, number);
  conversation::Cluster all{.id = "all", .label = "A", .topic = "conversation"};
  BH_TRY(const auto list, view.at("conversations"));
  BH_TRY(const auto items, list.items());
  for (const auto& item : items) {
    BH_TRY(const auto from, item.at("from"));
    BH_TRY(auto role, role_of(from));
    BH_TRY(const auto value, item.at("value"));
    BH_TRY(auto text, value.string());
    if (text.find_first_not_of(" \t\r\n\v\f") == std::string::npos) continue;
    const int turn = static_cast<int>(scenario.turns.size()) + 1;
    all.turns.push_back(turn);
    scenario.turns.push_back({.id = turn, .cluster = all.id, .role = std::move(role), .text = std::move(text)});
  }
  if (scenario.turns.empty()) return list.fail("the conversation has no utterance");
  scenario.clusters.push_back(std::move(all));
  return conversation;
}

Result<void> add(Dataset& dataset, const JsonView& view) {
  BH_TRY(auto conversation, read_conversation(view, dataset.conversations.size() + 1));
  dataset.conversations.push_back(std::move(conversation));
  return {};
}

Result<void> read_lines(Dataset& dataset, const std::string& text) {
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    ++number;
    const auto line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    BH_TRY(const auto document, JsonDocument::parse(line, fmt::format("{} line {}", dataset.name, number)));
    BH_CHECK(add(dataset, JsonView(document)));
  }
  return {};
}

}  // namespace

Result<Dataset> read_sharegpt(const std::string& text, const std::string& name) {
  Dataset dataset{.name = name, .sha256 = sha256_hex(text), .conversations = {}};
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && text[begin] == '[') {
    BH_TRY(const auto document, JsonDocument::parse(text, name));
    BH_TRY(const auto items, JsonView(document).items());
    for (const auto& item : items) BH_CHECK(add(dataset, item));
  } else {
    BH_CHECK(read_lines(dataset, text));
  }
  if (dataset.conversations.empty()) return Error{ErrorCode::kBadInput, "the file holds no conversation", name, {}};
  return dataset;
}

}  // namespace bulkhead::dataset
