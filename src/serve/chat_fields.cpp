// SPDX-License-Identifier: MIT
#include "serve/chat_fields.h"

#include "serve/clusters.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

namespace bulkhead::serve {
namespace {

constexpr std::size_t kLongestToolName = 64;

// The member as a text; "" where there is none.
std::string text_member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool has_one_of(const std::string& word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// A list of objects under `name`; nullptr: there is none, and it failed.
const Json* objects(BodyReader& reader, std::string_view name, std::size_t least) {
  const auto* list = reader.take(name);
  if (list == nullptr || !list->is_array() || list->size() < least || list->size() > kMostMessages) {
    reader.fail(fmt::format("'{}' must be a list of {} to {} objects", name, least, kMostMessages), name);
    return nullptr;
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    if ((*list)[i].is_object()) continue;
    reader.fail("this must be an object", fmt::format("{}[{}]", name, i));
    return nullptr;
  }
  return list;
}

// Arguments of a call as a client sends them back: JSON text of an object. Written anew, so that spaces make no
// difference.
std::string arguments_of(const Json& value, BodyReader& reader, const std::string& place) {
  if (value.is_object()) return json_text(value);
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const auto parsed = parse_json(text.empty() ? "{}" : text, place);
    if (parsed.ok() && parsed->is_object()) return json_text(parsed.value());
  }
  reader.fail("arguments must be the JSON text of an object", place);
  return {};
}

engine::ToolCall call_of(const Json& call, BodyReader& reader, const std::string& place) {
  const auto function = call.is_object() ? call.find("function") : call.end();
  if (!call.is_object() || function == call.end() || !function->is_object() || text_member(*function, "name").empty()) {
    reader.fail("a call must have the type \"function\" and a function with a name", place);
    return {};
  }
  const auto arguments = function->find("arguments");
  return {.id = text_member(call, "id"),
          .name = text_member(*function, "name"),
          .arguments = arguments_of(arguments == function->end() ? Json("") : *arguments, reader,
                                    place + ".function.arguments")};
}

// Blocks and earlier responses add to what was counted.
void check_count(const Messages& messages, BodyReader& reader, std::string_view field) {
  if (messages.size() > kMostMessages) reader.fail(fmt::format("more than {} messages in all", kMostMessages), field);
}

void check_last(const Messages& messages, BodyReader& reader, std::string_view field) {
  if (messages.empty() || messages.back().role != "assistant") return;
  reader.fail("the last message must not be the assistant's: continuing an answer is not supported", field);
}

engine::ChatMessage openai_message(const Json& message, BodyReader& reader, const std::string& place,
                                   std::size_t number, std::vector<OutputPart>& outputs) {
  const auto role = text_member(message, "role");
  if (!has_one_of(role, {"system", "developer", "user", "assistant", "tool"})) {
    reader.fail("a role must be one of system, developer, user, assistant, tool", place + ".role");
    return {};
  }
  engine::ChatMessage made{.role = role == "developer" ? "system" : role, .content = {}};
  if (const auto calls = message.find("tool_calls"); calls != message.end() && !calls->is_null()) {
    const bool right = calls->is_array() && (calls->empty() || role == "assistant");
    if (!right) reader.fail("only an assistant's message has 'tool_calls', a list", place + ".tool_calls");
    for (std::size_t i = 0; right && i < calls->size(); ++i) {
      made.calls.push_back(call_of((*calls)[i], reader, fmt::format("{}.tool_calls[{}]", place, i)));
    }
  }
  if (role == "tool") {
    made.call_id = text_member(message, "tool_call_id");
    if (made.call_id.empty()) reader.fail("a tool's message must have a 'tool_call_id'", place + ".tool_call_id");
  }
  const auto content = message.find("content");
  const bool is_there = content != message.end() && !content->is_null();
  if (!is_there && role != "assistant") reader.fail("a message must have a content", place + ".content");
  if (is_there) {
    auto* own = role == "user" ? &outputs : nullptr;
    made.content = text_of_content(*content, reader, place + ".content", own, number);
  }
  return made;
}

void add_tool(engine::Tool tool, ToolUse& into, BodyReader& reader, const std::string& place) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.";
  const bool right = !tool.name.empty() && tool.name.size() <= kLongestToolName &&
                     tool.name.find_first_not_of(kLetters) == std::string::npos;
  if (!right) return reader.fail("a tool's name must have 1 to 64 letters, digits, '_', '-' or '.'", place + ".name");
  const auto same = [&](const engine::Tool& other) { return other.name == tool.name; };
  if (std::ranges::any_of(into.tools, same)) return reader.fail("two tools have one name", place + ".name");
  into.tools.push_back(std::move(tool));
}

// `name`, `description` and the schema of one tool; `object` is one.
engine::Tool tool_of(const Json& object, const char* schema, BodyReader& reader, const std::string& place) {
  engine::Tool tool{.name = text_member(object, "name"), .description = text_member(object, "description")};
  const auto parameters = object.find(schema);
  if (parameters == object.end() || parameters->is_null()) return tool;
  if (!parameters->is_object()) reader.fail("a JSON schema must be an object", place + '.' + schema);
  tool.parameters = json_text(*parameters);
  return tool;
}

// The one that must be called, which must be there.
void choose_only(const std::string& name, ToolUse& into, BodyReader& reader) {
  const auto same = [&](const engine::Tool& tool) { return tool.name == name; };
  if (std::ranges::none_of(into.tools, same)) return reader.fail("there is no tool of this name", "tool_choice");
  into.only = name;
}

// none, auto, required, or an object that names one tool.
void read_tool_choice(BodyReader& reader, ToolUse& into) {
  const auto* choice = reader.take("tool_choice");
  if (choice == nullptr) return;
  if (*choice == "none") return into.tools.clear();
  if (*choice == "auto") return;
  if (*choice == "required") {
    if (into.tools.empty()) reader.fail("there are no tools", "tool_choice");
    into.must_call = true;
    return;
  }
  const bool is_function = choice->is_object() && text_member(*choice, "type") == "function";
  if (!is_function) return reader.fail("'tool_choice' must be none, auto, required or a function", "tool_choice");
  const auto inner = choice->find("function");
  const auto& named = inner != choice->end() && inner->is_object() ? *inner : *choice;
  choose_only(text_member(named, "name"), into, reader);
}

}  // namespace

Json call_json(const engine::ToolCall& call) {
  return {{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

void read_openai_messages(BodyReader& reader, Messages& into, std::vector<OutputPart>& outputs, std::string* cluster) {
  const auto* list = objects(reader, "messages", 1);
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto place = fmt::format("messages[{}]", i);
    if (cluster == nullptr) refuse_cluster((*list)[i], reader, place);
    into.push_back(openai_message((*list)[i], reader, place, i, outputs));
  }
  if (cluster != nullptr) keep_asked_cluster(*list, reader, into, outputs, *cluster);
}

namespace {

// Functions, as chats (`nested`: in a member "function") and responses write them.
void read_functions(BodyReader& reader, bool nested, ToolUse& into) {
  const auto* list = reader.take("tools");
  if (list != nullptr) list = objects(reader, "tools", 0);
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    auto place = fmt::format("tools[{}]", i);
    const auto& tool = (*list)[i];
    if (text_member(tool, "type") != "function") {
      return reader.fail("only tools of type \"function\" are supported", place + ".type");
    }
    const auto inner = nested ? tool.find("function") : tool.end();
    if (nested) place += ".function";
    if (nested && (inner == tool.end() || !inner->is_object())) return reader.fail("this must be an object", place);
    add_tool(tool_of(nested ? *inner : tool, "parameters", reader, place), into, reader, place);
  }
  read_tool_choice(reader, into);
  reader.boolean("parallel_tool_calls", into.several_calls);
}

}  // namespace

void read_openai_tools(BodyReader& reader, ToolUse& into) {
  read_functions(reader, true, into);
}

namespace {

// Blocks of one message of Anthropic's: results of tools are messages of their own, before what else is said.
void add_anthropic_message(const Json& message, Messages& into, std::vector<OutputPart>& outputs, BodyReader& reader,
                           const std::string& place) {
  const auto role = text_member(message, "role");
  refuse_cluster(message, reader, place);
  if (!has_one_of(role, {"user", "assistant"})) {
    return reader.fail("a role must be one of user, assistant", place + ".role");
  }
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    return reader.fail("a message must have a content", place + ".content");
  }
  engine::ChatMessage made{.role = role, .content = {}};
  if (!content->is_array()) {
    made.content = text_of_content(*content, reader, place + ".content");
    into.push_back(std::move(made));
    return;
  }
  std::vector<OutputPart> own;
  for (std::size_t i = 0; i < content->size(); ++i) {
    const auto& block = (*content)[i];
    const auto here = fmt::format("{}.content[{}]", place, i);
    const auto type = block.is_object() ? text_member(block, "type") : std::string();
    if (type == "tool_use" && role == "assistant" && block.contains("input")) {
      made.calls.push_back({.id = text_member(block, "id"),
                            .name = text_member(block, "name"),
                            .arguments = arguments_of(block["input"], reader, here + ".input")});
    } else if (type == "tool_result" && role == "user") {
      const auto result = block.find("content");
      into.push_back({.role = "tool",
                      .content = result == block.end() ? "" : text_of_content(*result, reader, here + ".content"),
                      .call_id = text_member(block, "tool_use_id")});
    } else {
      const auto had = own.size();
      const auto at = made.content.size();
      made.content += text_of_content(Json::array({block}), reader, here, role == "user" ? &own : nullptr);
      if (own.size() > had) own.back().at = at;
    }
  }
  const bool only_results =
      made.content.empty() && own.empty() && made.calls.empty() && !into.empty() && into.back().role == "tool";
  if (only_results) return;
  for (auto& output : own) {
    output.message = into.size();
    outputs.push_back(std::move(output));
  }
  into.push_back(std::move(made));
}

}  // namespace

void read_anthropic_messages(BodyReader& reader, Messages& into, std::vector<OutputPart>& outputs) {
  if (const auto* system = reader.take("system"); system != nullptr) {
    into.push_back({.role = "system", .content = text_of_content(*system, reader, "system")});
  }
  const auto* list = objects(reader, "messages", 1);
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    add_anthropic_message((*list)[i], into, outputs, reader, fmt::format("messages[{}]", i));
  }
  check_count(into, reader, "messages");
}

void read_anthropic_tools(BodyReader& reader, ToolUse& into) {
  const auto* list = reader.take("tools");
  if (list != nullptr) list = objects(reader, "tools", 0);
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    const auto place = fmt::format("tools[{}]", i);
    const auto& tool = (*list)[i];
    if (tool.contains("type") && !tool["type"].is_null() && tool["type"] != "custom") {
      return reader.fail("only tools of type \"custom\" are supported", place + ".type");
    }
    add_tool(tool_of(tool, "input_schema", reader, place), into, reader, place);
  }
  const auto* choice = reader.take("tool_choice");
  if (choice == nullptr) return;
  if (!choice->is_object()) return reader.fail("'tool_choice' must be an object", "tool_choice");
  const auto alone = choice->find("disable_parallel_tool_use");
  into.several_calls = alone == choice->end() || *alone != true;
  const auto type = text_member(*choice, "type");
  if (type == "none") return into.tools.clear();
  if (type == "tool") return choose_only(text_member(*choice, "name"), into, reader);
  if (type != "any" && type != "auto") reader.fail("no such type", "tool_choice.type");
  if (type == "any" && into.tools.empty()) reader.fail("there are no tools", "tool_choice");
  into.must_call = type == "any";
}

namespace {

// Calls of one answer are one message, as the model wrote them.
void add_call(engine::ToolCall call, Messages& into) {
  if (into.empty() || into.back().role != "assistant") into.push_back({.role = "assistant", .content = {}});
  into.back().calls.push_back(std::move(call));
}

void add_response_item(const Json& item, Messages& into, BodyReader& reader, const std::string& place) {
  const auto type = text_member(item, "type");
  if (type == "function_call") {
    const auto arguments = item.find("arguments");
    return add_call(
        {.id = text_member(item, "call_id"),
         .name = text_member(item, "name"),
         .arguments = arguments_of(arguments == item.end() ? Json("") : *arguments, reader, place + ".arguments")},
        into);
  }
  if (type == "function_call_output") {
    const auto output = item.find("output");
    if (output == item.end()) return reader.fail("an output must be there", place + ".output");
    into.push_back({.role = "tool",
                    .content = text_of_content(*output, reader, place + ".output"),
                    .call_id = text_member(item, "call_id")});
    return;
  }
  if (!type.empty() && type != "message") {
    return reader.fail(fmt::format("items of type \"{}\" are not supported here", type), place + ".type");
  }
  refuse_cluster(item, reader, place);
  const auto role = text_member(item, "role");
  const auto content = item.find("content");
  if (!has_one_of(role, {"system", "developer", "user", "assistant"}) || content == item.end()) {
    return reader.fail("a message must have a role and a content", place);
  }
  into.push_back({.role = role == "developer" ? "system" : role,
                  .content = text_of_content(*content, reader, place + ".content")});
}

}  // namespace

void read_responses_input(BodyReader& reader, const Messages& earlier, Messages& into) {
  std::string instructions;
  reader.string("instructions", instructions);
  if (!instructions.empty()) into.push_back({.role = "system", .content = instructions});
  into.insert(into.end(), earlier.begin(), earlier.end());
  const auto* input = reader.take("input");
  if (input != nullptr && input->is_string()) {
    into.push_back({.role = "user", .content = input->get<std::string>()});
    return;
  }
  if (input != nullptr) input = objects(reader, "input", 1);
  if (input == nullptr) return reader.fail("'input' must be a text or a list of items", "input");
  for (std::size_t i = 0; i < input->size(); ++i) {
    add_response_item((*input)[i], into, reader, fmt::format("input[{}]", i));
  }
  check_count(into, reader, "input");
  check_last(into, reader, "input");
}

void read_responses_tools(BodyReader& reader, ToolUse& into) {
  read_functions(reader, false, into);
}

}  // namespace bulkhead::serve
