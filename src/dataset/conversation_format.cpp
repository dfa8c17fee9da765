// SPDX-License-Identifier: MIT
#include "dataset/conversation_format.h"

#include "dataset/bench_conversation.h"
#include "dataset/chatgpt_export.h"
#include "dataset/message_list.h"

#include <algorithm>
#include <array>

namespace bulkhead::dataset {
namespace {

bool is_bench(const JsonView& value) {
  return value.has("scenario");
}

bool is_scenario(const JsonView& value) {
  return value.has("semantic_clusters") || value.has("turns");
}

Result<Conversation> read_bench(const JsonView& value, std::size_t /*number*/, Notices& /*notices*/) {
  return read_bench_conversation(value);
}

Result<Conversation> read_scenario(const JsonView& value, std::size_t /*number*/, Notices& /*notices*/) {
  Conversation conversation;
  BH_TRY(conversation.scenario, conversation::read_scenario(value));
  return conversation;
}

constexpr std::array kFormats = {
    ConversationFormat{"bulkhead-bench", "data set with questions", true, &is_bench, &read_bench},
    ConversationFormat{"scenario", "scenario", true, &is_scenario, &read_scenario},
    ConversationFormat{"chatgpt", "ChatGPT export", false, &is_chatgpt_export, &read_chatgpt_export},
    ConversationFormat{"openai", "OpenAI messages", false, &is_openai, &read_openai},
    ConversationFormat{"sharegpt", "ShareGPT", false, &is_sharegpt, &read_sharegpt},
};

}  // namespace

std::span<const ConversationFormat> conversation_formats() noexcept {
  return kFormats;
}

const ConversationFormat* format_of(const JsonView& value) noexcept {
  const auto* found = std::find_if(kFormats.begin(), kFormats.end(), [&](const auto& one) { return one.fits(value); });
  return found == kFormats.end() ? nullptr : found;
}

}  // namespace bulkhead::dataset
