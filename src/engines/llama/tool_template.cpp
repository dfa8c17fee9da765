// SPDX-License-Identifier: MIT
#include "engines/llama/tool_template.h"

#include "base/json.h"
#include "engine/generation.h"
#include "engines/llama/assertions.h"
#include "engines/llama/grammar.h"
#include "engines/llama/json_schema.h"
#include "engines/llama/rule_names.h"
#include "engines/llama/template_limits.h"

#include <chat.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <sstream>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

using engine::AnswerParts;
using engine::ToolCall;
using engine::ToolChat;
using engine::ToolChatRequest;

// Looking for how a template writes calls renders some dozens of small chats.
constexpr std::uint64_t kChatsOfAnalysis = 64;

// Small models often write a call as it would stand between the words that begin and end one, and leave these out, or
// put it into a fence. What is such an object and nothing else is that call.
std::optional<ToolCall> bare_call(std::string_view text, const std::vector<std::string>& names) {
  constexpr std::string_view kBlank = " \t\r\n";
  constexpr std::string_view kFence = "```";
  const auto trim = [&](std::string_view one) {
    const auto begin = std::min(one.find_first_not_of(kBlank), one.size());
    return one.substr(begin, one.find_last_not_of(kBlank) + 1 - begin);
  };
  text = trim(text);
  if (text.starts_with(kFence) && text.ends_with(kFence) && text.size() > 2 * kFence.size()) {
    text = text.substr(kFence.size(), text.size() - 2 * kFence.size());
    if (text.starts_with("json")) text.remove_prefix(4);
    text = trim(text);
  }
  if (!text.starts_with('{') || !text.ends_with('}')) return std::nullopt;
  const auto json = parse_json(text);
  if (!json.ok() || json->size() != 2 || !json->contains("name") || !json->contains("arguments")) return std::nullopt;
  const auto& name = json.value()["name"];
  const auto& arguments = json.value()["arguments"];
  if (!name.is_string() || !arguments.is_object() || std::ranges::find(names, name.get<std::string>()) == names.end()) {
    return std::nullopt;
  }
  return ToolCall{.name = name.get<std::string>(), .arguments = json_text(arguments)};
}

// Whether a text may become a bare call.
bool begins_like_a_call(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos || text[begin] == '{' || text.substr(begin).starts_with("```") ||
         std::string_view("```").starts_with(text.substr(begin));
}

class PegReader final : public engine::AnswerReader {
 public:
  // `names`: of the tools that may be called.
  PegReader(const common_chat_params& params, std::vector<std::string> names)
      : syntax_(params), names_(std::move(names)) {
    syntax_.parser.load(params.parser);
    syntax_.reasoning_format = COMMON_REASONING_FORMAT_NONE;
  }

  [[nodiscard]] Result<AnswerParts> read(std::string_view text, bool more_may_come) const override {
    const AssertionScope assertions;
    try {
      const auto message = common_chat_parse(std::string(text), more_may_come, syntax_);
      AnswerParts parts{.content = message.content};
      for (const auto& call : message.tool_calls) parts.calls.push_back({call.id, call.name, call.arguments});
      if (!parts.calls.empty() || names_.empty() || !begins_like_a_call(parts.content)) return parts;
      if (more_may_come) return AnswerParts();  // it will be told when it is known what it is
      auto bare = bare_call(parts.content, names_);
      return bare ? AnswerParts{.calls = {*std::move(bare)}} : parts;
    } catch (const std::exception&) {
      return Error{ErrorCode::kBadInput, "the answer is no answer in the form of this template", {}, {}};
    }
  }

 private:
  common_chat_parser_params syntax_;
  std::vector<std::string> names_;
};

common_chat_msg message_of(const engine::ChatMessage& message) {
  common_chat_msg made;
  made.role = message.role;
  made.content = message.content;
  made.tool_call_id = message.call_id;
  for (const auto& call : message.calls) made.tool_calls.push_back({call.name, call.arguments, call.id});
  return made;
}

Result<common_chat_templates_inputs> inputs_of(const ToolChatRequest& request) {
  common_chat_templates_inputs inputs;
  for (const auto& message : request.messages) inputs.messages.push_back(message_of(message));
  if (request.tools.size() > kMostTools) {
    return Error{ErrorCode::kBadInput,
                 fmt::format("{} tools, at most {} are taken", request.tools.size(), kMostTools),
                 "tools",
                 {}};
  }
  for (const auto& tool : request.tools) {
    const std::string parameters = tool.parameters.empty() ? "{}" : tool.parameters;
    BH_TRY(const auto schema, parse_json(parameters, "parameters of " + tool.name));
    if (const auto checked = check_schema(schema, false); !checked.ok()) {
      auto error = checked.error();
      error.place = "tool " + tool.name + (error.place.empty() ? "" : ": " + error.place);
      return error;
    }
    inputs.tools.push_back({tool.name, tool.description, json_text(schema)});
  }
  inputs.parallel_tool_calls = request.several_calls;
  inputs.add_generation_prompt = request.open_assistant_turn;
  return inputs;
}

// llama.cpp's root lets an answer be nothing, or blanks without end: `(tool-call? space)+`. Where calls have a rule of
// their own an answer is one of them, or some.
std::string with_own_root(const std::string& rules, bool several) {
  std::istringstream lines(rules);
  std::string changed;
  bool has_calls = false;
  for (std::string line; std::getline(lines, line);) {
    has_calls = has_calls || line.starts_with("tool-call ::= ");
    if (line.starts_with("root ::= ")) line = several ? "root ::= tool-call (space tool-call)*" : "root ::= tool-call";
    changed += line + '\n';
  }
  return has_calls ? changed : rules;
}

Error too_large() {
  return {ErrorCode::kBadInput, "the rules for calls of all these tools are too large", {}, {}};
}

// Rules that our parser takes. Where none are demanded and they are too large, the answer is free.
Result<void> check_rules(bool must, ToolChat& chat) {
  if (chat.grammar.empty()) return {};
  chat.grammar = with_short_names(chat.grammar);
  const bool fits = chat.grammar.size() <= engine::kMostGrammarBytes;
  const auto parsed = fits ? Grammar::parse(chat.grammar) : Result<Grammar>(too_large());
  if (parsed.ok()) return {};
  if (must) return Error{ErrorCode::kBadInput, parsed.error().message, "tools", "give fewer tools, or simpler ones"};
  chat.grammar.clear();
  chat.grammar_triggers.clear();
  return {};
}

// Rules that hold from a word on begin with that word: held from the first token on, they demand a call at once. The
// rules that come for a demanded call allow any text before it, in which small models lose themselves.
void take_rules(const common_chat_params& params, const ToolChatRequest& request, ToolChat& chat) {
  if (!params.grammar_lazy) {
    chat.grammar = params.grammar;
    chat.grammar_prefix = params.grammar.empty() ? "" : params.generation_prompt;
    return;
  }
  std::vector<std::string> words;
  for (const auto& trigger : params.grammar_triggers) {
    if (trigger.type != COMMON_GRAMMAR_TRIGGER_TYPE_WORD) return;  // in ways that no word shows
    words.push_back(trigger.value);
  }
  if (words.empty()) return;
  chat.grammar = with_own_root(params.grammar, request.several_calls);
  const bool at_once = request.must_call || !request.only.empty();
  if (!at_once) chat.grammar_triggers = std::move(words);
}

}  // namespace

struct ToolTemplate::Templates {
  common_chat_templates_ptr made;
  std::chrono::system_clock::time_point now;
};

ToolTemplate::ToolTemplate(std::unique_ptr<Templates> templates) : templates_(std::move(templates)) {}
ToolTemplate::ToolTemplate(ToolTemplate&&) noexcept = default;
ToolTemplate& ToolTemplate::operator=(ToolTemplate&&) noexcept = default;
ToolTemplate::~ToolTemplate() = default;

Result<ToolTemplate> ToolTemplate::parse(const std::string& source, const std::string& bos, const std::string& eos,
                                         std::int64_t now) {
  const jinja::budget_scope budget(template_limits(1));
  const AssertionScope assertions;
  try {
    auto templates = std::make_unique<Templates>();
    templates->made = common_chat_templates_init(nullptr, source, bos, eos);
    templates->now = std::chrono::system_clock::time_point(std::chrono::seconds(now));
    const auto abilities = common_chat_templates_get_caps(templates->made.get());
    if (!budget.exceeded().empty()) return broken_template(budget.exceeded());
    if (!abilities.at("supports_tools") || !abilities.at("supports_tool_calls")) {
      return Error{ErrorCode::kUnsupported, "the model's chat template knows no tools", "tools", "leave them out"};
    }
    return ToolTemplate(std::move(templates));
  } catch (const std::exception& failure) {
    if (!budget.exceeded().empty()) return broken_template(budget.exceeded());
    return broken_template(what_template_says(failure.what()));
  }
}

Result<ToolChat> ToolTemplate::render(const ToolChatRequest& request) const {
  BH_TRY(auto inputs, inputs_of(request));
  inputs.now = templates_->now;
  const jinja::budget_scope budget(template_limits(request.messages.size() + kChatsOfAnalysis));
  const AssertionScope assertions;
  try {
    auto params = common_chat_templates_apply(templates_->made.get(), inputs);
    if (!budget.exceeded().empty()) return broken_template(budget.exceeded());
    ToolChat chat;
    chat.parts.push_back({params.prompt, true});
    if (!request.open_assistant_turn) return chat;
    const auto apply = [&](common_chat_tool_choice choice) {
      inputs.tool_choice = choice;
      params = common_chat_templates_apply(templates_->made.get(), inputs);
    };
    const bool must = request.must_call || !request.only.empty();
    if (!request.only.empty()) {  // all tools are told, and one may be called
      std::erase_if(inputs.tools, [&](const common_chat_tool& tool) { return tool.name != request.only; });
      apply(COMMON_CHAT_TOOL_CHOICE_AUTO);
    }
    take_rules(params, request, chat);
    if (must && chat.grammar.empty()) {
      apply(COMMON_CHAT_TOOL_CHOICE_REQUIRED);
      take_rules(params, request, chat);
    }
    if (must && chat.grammar.empty()) {
      return Error{ErrorCode::kUnsupported, "how the model's chat template writes calls is not known", "tools",
                   "leave the choice to the model"};
    }
    BH_CHECK(check_rules(must, chat));
    chat.stop = params.additional_stops;
    std::vector<std::string> names;
    for (const auto& tool : inputs.tools) names.push_back(tool.name);
    chat.reader = std::make_shared<const PegReader>(params, std::move(names));
    return chat;
  } catch (const std::exception& failure) {
    if (!budget.exceeded().empty()) return broken_template(budget.exceeded());
    return Error{ErrorCode::kUnsupported,
                 fmt::format("the model's chat template refuses: {}", what_template_says(failure.what())),
                 "tools",
                 {}};
  }
}

}  // namespace bulkhead::engines::llama
