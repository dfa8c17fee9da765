// SPDX-License-Identifier: MIT
#include "serve/wanted.h"

#include "base/hash.h"
#include "engine/opaque_chat.h"
#include "prompt/chat_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <span>
#include <utility>

namespace bulkhead::serve {

using conversation::OriginKind;
using conversation::TracedTokens;
using engine::ChatPart;

namespace {

// Part of a message's content that lies in one part of the rendering.
struct Placed {
  std::size_t part = 0;
  std::size_t begin = 0;
  std::size_t size = 0;  // 0: it was trimmed away
};

// White space at the ends is the template's to keep or to trim (engine/opaque_chat.h).
struct Core {
  std::size_t begin = 0;
  std::string_view text = {};

  static Core of(std::string_view content) {
    constexpr std::string_view kBlank = " \t\r\n\v\f";
    const auto begin = content.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return {};
    return {begin, content.substr(begin, content.find_last_not_of(kBlank) + 1 - begin)};
  }
};

// Finds the contents of a chat in its parts: each comes out once, whole, and in order.
class Finder {
 public:
  explicit Finder(const std::vector<ChatPart>& parts) : parts_(parts) {}

  [[nodiscard]] Result<Placed> next(std::string_view core) {
    for (; part_ < parts_.size(); ++part_, at_ = 0) {
      const auto& part = parts_[part_];
      const auto found = part.from_template ? std::string::npos : part.text.find(core, at_);
      if (found == std::string::npos) continue;
      at_ = found + core.size();
      return Placed{part_, found, core.size()};
    }
    return Error{ErrorCode::kUnsupported, "the chat template does not keep what a message says together", {}, {}};
  }

 private:
  const std::vector<ChatPart>& parts_;
  std::size_t part_ = 0;
  std::size_t at_ = 0;
};

// Where each crossing lies.
Result<std::vector<Placed>> places_of(const Wanted& wanted) {
  std::vector<Placed> places;
  Finder finder(wanted.parts);
  auto crossing = wanted.crossings.begin();
  for (std::size_t i = 0; i < wanted.messages.size() && crossing != wanted.crossings.end(); ++i) {
    const auto core = Core::of(wanted.messages[i].content);
    Placed whole;
    if (!core.text.empty()) {
      BH_TRY(whole, finder.next(core.text));
    }
    for (; crossing != wanted.crossings.end() && crossing->message == i; ++crossing) {
      const auto from = std::clamp(crossing->begin, core.begin, core.begin + core.text.size());
      const auto to = std::clamp(crossing->begin + crossing->output.text().size(), from, core.begin + core.text.size());
      places.push_back({whole.part, whole.begin + (from - core.begin), to - from});
    }
  }
  return places;
}

// Makes each crossing a part of its own.
void split_parts(Wanted& wanted, const std::vector<Placed>& places) {
  std::vector<ChatPart> split;
  std::size_t rendered = 0;
  std::size_t next = 0;
  for (std::size_t part = 0; part < wanted.parts.size(); ++part) {
    const auto& whole = wanted.parts[part];
    std::size_t done = 0;
    const auto add_up_to = [&](std::size_t end) {
      if (end > done) split.push_back({whole.text.substr(done, end - done), whole.from_template});
      rendered += end - done;
      done = end;
    };
    for (; next < places.size() && (places[next].size == 0 || places[next].part == part); ++next) {
      if (places[next].size == 0) continue;
      add_up_to(places[next].begin);
      wanted.crossings[next].rendered_at = rendered;
      wanted.crossings[next].part = split.size();
      add_up_to(places[next].begin + places[next].size);
    }
    add_up_to(whole.text.size());
  }
  wanted.parts = std::move(split);
}

// What one part becomes behind its first bytes.
Result<TracedTokens> tokens_of_part(const Wanted& wanted, std::size_t part, std::size_t skip_bytes,
                                    const engine::Tokenizer& tokenizer) {
  BH_TRY(auto tokens, prompt::tokens_of(std::span(&wanted.parts[part], 1), skip_bytes, tokenizer));
  const auto crossing = std::find_if(wanted.crossings.begin(), wanted.crossings.end(),
                                     [&](const Crossing& one) { return one.part == part; });
  if (crossing == wanted.crossings.end()) return tokens;
  TracedTokens received;
  received.append(tokens.tokens, {.kind = OriginKind::kMessage, .label = crossing->output.label()});
  return received;
}

// Whether the template must know of tools to render it.
bool has_tools(const Wanted& wanted) {
  const auto speaks_of_them = [](const engine::ChatMessage& message) {
    return message.role == "tool" || !message.calls.empty();
  };
  return !wanted.tools.tools.empty() || std::ranges::any_of(wanted.messages, speaks_of_them);
}

engine::ToolChatRequest chat_of(std::span<const engine::ChatMessage> messages, const ToolUse& use, bool open) {
  return {.messages = messages,
          .tools = use.tools,
          .must_call = use.must_call,
          .only = use.only,
          .several_calls = use.several_calls,
          .open_assistant_turn = open};
}

// What stands behind the last content is what the template writes behind every turn.
std::optional<prompt::ChatBeginning> beginning_of(const engine::Tokenizer& tokenizer,
                                                  std::span<const engine::ChatMessage> messages, const ToolUse& use) {
  std::vector<engine::ChatMessage> plain(messages.begin(), messages.end());
  plain.back() = {.role = "assistant", .content = "a"};
  const auto said = engine::render_opaque_tools(tokenizer, chat_of(plain, use, false));
  const auto called = engine::render_opaque_tools(tokenizer, chat_of(messages, use, false));
  if (!said.ok() || !called.ok()) return std::nullopt;
  const auto content =
      std::find_if(said->parts.rbegin(), said->parts.rend(), [](const ChatPart& part) { return !part.from_template; });
  const auto ending = prompt::text_of(std::span(content.base(), said->parts.end()));
  prompt::ChatBeginning beginning{.rendered = prompt::text_of(called->parts)};
  if (!beginning.rendered.ends_with(ending)) return std::nullopt;
  beginning.said = beginning.rendered.size() - ending.size();
  return beginning;
}

// An answer that the client has begun: the turn is opened, and what it says stands in it already.
Result<engine::ToolChat> begun_answer(Wanted& wanted, const engine::Tokenizer& tokenizer) {
  if (has_tools(wanted)) {
    return Error{ErrorCode::kUnsupported, "an answer cannot be begun by the client where there are tools", "messages",
                 "end with another message"};
  }
  engine::ToolChat chat;
  const auto asked = std::span(wanted.messages).first(wanted.messages.size() - 1);
  BH_TRY(chat.parts, engine::render_opaque(tokenizer, asked, true));
  wanted.answer_at = prompt::text_of(chat.parts).size();
  if (!wanted.messages.back().content.empty()) chat.parts.push_back({wanted.messages.back().content, false});
  return chat;
}

Result<engine::ToolChat> chat_parts(Wanted& wanted, bool open_answer, const engine::Tokenizer& tokenizer) {
  if (open_answer && wanted.messages.back().role == "assistant") return begun_answer(wanted, tokenizer);
  engine::ToolChat chat;
  if (!has_tools(wanted)) {
    BH_TRY(chat.parts, engine::render_opaque(tokenizer, wanted.messages, open_answer));
    return chat;
  }
  BH_TRY(chat, engine::render_opaque_tools(tokenizer, chat_of(wanted.messages, wanted.tools, open_answer)));
  if (wanted.tools.tools.empty()) chat.grammar.clear();
  // Several partitions may hold the same beginning, and rendering with tools takes its time.
  using Known = std::map<std::size_t, std::optional<prompt::ChatBeginning>>;
  wanted.beginning = [&tokenizer, messages = wanted.messages, use = wanted.tools,
                      known = std::make_shared<Known>()](std::size_t count) {
    const auto [place, is_new] = known->try_emplace(count);
    if (is_new)
      place->second = beginning_of(tokenizer, std::span(messages).first(std::min(count, messages.size())), use);
    return place->second;
  };
  return chat;
}

}  // namespace

Result<TracedTokens> tokens_behind(const Wanted& wanted, std::size_t skip_bytes, const engine::Tokenizer& tokenizer) {
  if (wanted.crossings.empty()) return prompt::tokens_of(wanted.parts, skip_bytes, tokenizer);
  TracedTokens all;
  for (std::size_t part = 0; part < wanted.parts.size(); ++part) {
    const auto skipped = std::min(skip_bytes, wanted.parts[part].text.size());
    skip_bytes -= skipped;
    BH_TRY(const auto tokens, tokens_of_part(wanted, part, skipped, tokenizer));
    all.append(tokens);
  }
  return all;
}

Result<engine::ToolChat> render(Wanted& wanted, bool open_answer, const engine::Tokenizer& tokenizer) {
  BH_TRY(auto chat, chat_parts(wanted, open_answer, tokenizer));
  wanted.parts = std::move(chat.parts);
  if (!wanted.crossings.empty()) {
    BH_TRY(const auto places, places_of(wanted));
    split_parts(wanted, places);
  }
  wanted.rendered = prompt::text_of(wanted.parts);
  for (std::size_t part = 0; part < wanted.parts.size(); ++part) {
    BH_TRY(const auto tokens, tokens_of_part(wanted, part, 0, tokenizer));
    for (auto& crossing : wanted.crossings) {
      if (crossing.part != part) continue;
      crossing.token_at = wanted.tokens.size();
      crossing.tokens = static_cast<std::uint32_t>(tokens.size());
    }
    wanted.tokens.append(tokens);
  }
  return chat;
}

std::string output_label(std::string_view from, std::uint64_t turn, std::string_view text) {
  return fmt::format("{}#{}:{}", from, turn, sha256_hex(text).substr(0, 16));
}

std::uint64_t turn_of_label(std::string_view label) {
  std::uint64_t turn = 0;
  const auto from = label.find('#');
  if (from != std::string_view::npos) std::from_chars(label.data() + from + 1, label.data() + label.size(), turn);
  return turn;
}

}  // namespace bulkhead::serve
