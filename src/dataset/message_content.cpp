// SPDX-License-Identifier: MIT
#include "dataset/message_content.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace bulkhead::dataset {
namespace {

// Types of OpenAI's chat and responses, of ChatGPT's exports and of the vision data sets.
constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kPartWords = {{
    {"image_url", "a picture"},
    {"input_image", "a picture"},
    {"image", "a picture"},
    {"image_file", "a picture"},
    {"image_asset_pointer", "a picture"},
    {"input_audio", "a sound recording"},
    {"audio", "a sound recording"},
    {"audio_url", "a sound recording"},
    {"audio_asset_pointer", "a sound recording"},
    {"video", "a video"},
    {"video_url", "a video"},
    {"real_time_user_audio_video_asset_pointer", "a video"},
    {"file", "a file"},
    {"input_file", "a file"},
    {"document", "a file"},
}};
// The type of a part, and the field that holds its text.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kTextParts = {{
    {"text", "text"},
    {"input_text", "text"},
    {"output_text", "text"},
    {"refusal", "refusal"},
    {"audio_transcription", "text"},
}};

void add_line(std::string& text, std::string_view line) {
  if (line.empty()) return;
  if (!text.empty()) text += '\n';
  text += line;
}

// The field `key`: a text, or {"value": text}.
Result<std::string> text_field(const JsonView& part, std::string_view key) {
  BH_TRY(const auto view, part.at(key));
  if (!view.json().is_object()) return view.string();
  BH_TRY(const auto value, view.at("value"));
  return value.string();
}

Result<std::string> part_text(const JsonView& part, ConversationBuilder& builder) {
  if (part.json().is_string()) return part.string();
  const auto* const type_key = part.has("content_type") ? "content_type" : "type";
  BH_TRY(const auto type_view, part.at(type_key));
  BH_TRY(const auto type, type_view.string());
  const auto* found =
      std::find_if(kTextParts.begin(), kTextParts.end(), [&](const auto& one) { return one.first == type; });
  if (found != kTextParts.end()) return text_field(part, found->second);
  builder.leave_out(part, part_words(type));
  return std::string();
}

// Arguments come as JSON in a text, or as the value itself. What is no JSON is written as a text.
Result<std::string> arguments_text(const JsonView& function) {
  if (!function.has("arguments")) return std::string("{}");
  BH_TRY(const auto view, function.at("arguments"));
  if (!view.json().is_string()) return json_text(view.json());
  BH_TRY(auto text, view.string());
  if (parse_json(text).ok()) return text;
  return json_text(view.json());
}

Result<std::string> call_text(const JsonView& function) {
  BH_TRY(const auto name_view, function.at("name"));
  BH_TRY([[maybe_unused]] const auto name, name_view.string());
  BH_TRY(const auto arguments, arguments_text(function));
  return fmt::format(R"({{"name": {}, "arguments": {}}})", json_text(name_view.json()), arguments);
}

}  // namespace

std::string part_words(std::string_view type) {
  const auto* found =
      std::find_if(kPartWords.begin(), kPartWords.end(), [&](const auto& one) { return one.first == type; });
  return found == kPartWords.end() ? fmt::format("a part of type {}", plain_id(type)) : std::string(found->second);
}

Result<std::string> content_text(const JsonView& content, ConversationBuilder& builder) {
  if (content.json().is_null()) return std::string();
  if (!content.json().is_array()) return content.string();
  std::string text;
  BH_TRY(const auto parts, content.items());
  for (const auto& part : parts) {
    BH_TRY(const auto more, part_text(part, builder));
    add_line(text, more);
  }
  return text;
}

Result<std::string> tool_calls_text(const JsonView& message, ConversationBuilder& builder) {
  std::string text;
  if (message.has("tool_calls")) {
    BH_TRY(const auto list, message.at("tool_calls"));
    BH_TRY(const auto calls, list.items());
    for (const auto& call : calls) {
      if (!call.has("function")) {
        builder.leave_out(call, "a call of something that is no function");
        continue;
      }
      BH_TRY(const auto function, call.at("function"));
      BH_TRY(const auto line, call_text(function));
      add_line(text, line);
    }
  }
  if (message.has("function_call")) {
    BH_TRY(const auto function, message.at("function_call"));
    BH_TRY(const auto line, call_text(function));
    add_line(text, line);
  }
  return text;
}

}  // namespace bulkhead::dataset
