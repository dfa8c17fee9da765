// SPDX-License-Identifier: MIT
// Chats with tools, on the templates that come with the pinned llama.cpp: what a template writes for a call is read
// back as that call, whole and as it comes; and what schemas may say.
#include "engines/llama/tool_template.h"

#include "engine/opaque_chat.h"
#include "engines/hostile_templates.h"
#include "engines/llama/backend.h"
#include "engines/llama/grammar.h"
#include "engines/llama/json_schema.h"
#include "engines/llama/rule_names.h"
#include "json_of.h"
#include "paths.h"
#include "prompt/word_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using engine::AnswerParts;
using engine::ChatMessage;
using engine::ChatPart;
using engine::Tool;
using engine::ToolChat;
using engine::ToolChatRequest;

std::string source_of(const std::string& name) {
  std::ifstream file(testing::llama_folder() + "/models/templates/" + name + ".jinja");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

ToolTemplate template_of(const std::string& name) {
  start_backend();
  auto made = ToolTemplate::parse(source_of(name), "<s>", "</s>", 0);
  EXPECT_TRUE(made.ok()) << name << ": " << made.error().to_string();
  return std::move(made).value();
}

const std::vector<Tool> kTools = {
    {"set_lamp", "Switches a lamp.",
     R"({"type":"object","properties":{"room":{"type":"string"},"state":{"type":"string"}},"required":["room","state"]})"},
    {"read_gauge", "Reads a gauge.", R"({"type":"object","properties":{"id":{"type":"integer"}},"required":["id"]})"}};

std::string rendered(const ToolTemplate& source, const std::vector<ChatMessage>& messages, bool open) {
  const auto chat = source.render({.messages = messages, .tools = kTools, .open_assistant_turn = open});
  EXPECT_TRUE(chat.ok()) << chat.error().to_string();
  return chat.ok() ? chat->parts.front().text : "";
}

class ShippedToolTemplate : public ::testing::TestWithParam<std::string> {};

// The turn that the template writes for a call, without what it writes behind every turn.
std::string turn_of_a_call(const ToolTemplate& source, const std::vector<ChatMessage>& asked) {
  auto answered = asked;
  answered.push_back(
      {.role = "assistant", .content = {}, .calls = {{"call00001", "set_lamp", R"({"room":"hall","state":"on"})"}}});
  auto said = asked;
  said.push_back({.role = "assistant", .content = "SAIDBYIT"});
  const auto open = rendered(source, asked, true);
  auto turn = rendered(source, answered, false);
  const auto plain = rendered(source, said, false);
  EXPECT_TRUE(turn.starts_with(open)) << open << "\n---\n" << turn;
  turn.erase(0, open.size());
  const auto ending = plain.substr(plain.rfind("SAIDBYIT") + 8);
  EXPECT_TRUE(turn.ends_with(ending)) << turn;
  turn.erase(turn.size() - ending.size());
  return turn;
}

TEST_P(ShippedToolTemplate, WhatItWritesForACallIsReadAsThatCall) {
  const auto source = template_of(GetParam());
  const std::vector<ChatMessage> asked = {{"user", "Light in the hall, please."}};
  const auto turn = turn_of_a_call(source, asked);
  const auto chat = source.render({.messages = asked, .tools = kTools});
  ASSERT_TRUE(chat.ok());
  ASSERT_TRUE(chat->reader);
  const auto whole = chat->reader->read(turn, false);
  ASSERT_TRUE(whole.ok()) << turn;
  ASSERT_EQ(whole->calls.size(), 1U) << turn;
  EXPECT_EQ(whole->calls[0].name, "set_lamp");
  EXPECT_EQ(testing::json_of(whole->calls[0].arguments), testing::json_of(R"({"room":"hall","state":"on"})"));
  EXPECT_EQ(whole->content, "");
  const auto plain = chat->reader->read("It is on already.", false);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->content, "It is on already.");
  EXPECT_TRUE(plain->calls.empty());
  // As it comes: what a beginning says is a beginning of what more says.
  AnswerParts before;
  for (std::size_t length = 0; length <= turn.size(); ++length) {
    const auto part = chat->reader->read(turn.substr(0, length), true);
    if (!part.ok()) continue;
    EXPECT_TRUE(part->content.starts_with(before.content));
    ASSERT_GE(part->calls.size(), before.calls.size()) << turn.substr(0, length);
    for (std::size_t i = 0; i < before.calls.size(); ++i) {
      if (before.calls[i].name.empty()) continue;
      EXPECT_EQ(part->calls[i].name, before.calls[i].name);
      EXPECT_TRUE(part->calls[i].arguments.starts_with(before.calls[i].arguments)) << before.calls[i].arguments << "\n"
                                                                                   << part->calls[i].arguments;
    }
    before = part.value();
  }
}

TEST_P(ShippedToolTemplate, ItsRulesAreRulesAndMostBeginWithAWord) {
  const auto source = template_of(GetParam());
  const std::vector<ChatMessage> asked = {{"user", "Light in the hall, please."}};
  const auto lazy = source.render({.messages = asked, .tools = kTools});
  ASSERT_TRUE(lazy.ok());
  // Where calls begin with no word of their own (Llama 3.1: with a brace), rules hold only where a call is demanded.
  const bool begins_with_a_word = !GetParam().starts_with("meta-llama");
  EXPECT_EQ(!lazy->grammar.empty(), begins_with_a_word);
  EXPECT_EQ(!lazy->grammar_triggers.empty(), begins_with_a_word);
  if (begins_with_a_word) {
    EXPECT_TRUE(Grammar::parse(lazy->grammar).ok());
  }
  const auto must = source.render({.messages = asked, .tools = kTools, .must_call = true});
  ASSERT_TRUE(must.ok());
  ASSERT_FALSE(must->grammar.empty());
  EXPECT_TRUE(must->grammar_triggers.empty());
  EXPECT_TRUE(Grammar::parse(must->grammar).ok());
  EXPECT_THAT(must->grammar, ::testing::HasSubstr("read_gauge"));
  const auto only = source.render({.messages = asked, .tools = kTools, .only = "set_lamp"});
  ASSERT_TRUE(only.ok());
  EXPECT_THAT(only->grammar, ::testing::Not(::testing::HasSubstr("read_gauge")));
  EXPECT_EQ(only->parts.front().text, must->parts.front().text) << "all tools are told";
}

TEST(ToolTemplate, ACallWithoutTheWordsAroundItIsOneWhereItIsAllThatIsSaid) {
  const auto source = template_of("Qwen-Qwen2.5-7B-Instruct");
  const std::vector<ChatMessage> asked = {{"user", "a"}};
  const auto chat = source.render({.messages = asked, .tools = kTools});
  ASSERT_TRUE(chat.ok());
  const auto calls = [&](const std::string& text) { return chat->reader->read(text, false).value().calls; };
  const std::string call = R"({"name": "set_lamp", "arguments": {"room": "hall", "state": "on"}})";
  for (const auto& text : {call, "```json\n" + call + "\n```", "```\n" + call + "\n```", " \n" + call + "\n"}) {
    ASSERT_EQ(calls(text).size(), 1U) << text;
    EXPECT_EQ(calls(text)[0].name, "set_lamp");
    EXPECT_EQ(testing::json_of(calls(text)[0].arguments)["room"], "hall");
    EXPECT_EQ(chat->reader->read(text, false)->content, "");
    EXPECT_EQ(chat->reader->read(text.substr(0, 20), true)->content, "") << "it may become a call";
  }
  for (const auto& text :
       {"So: " + call, call + call, std::string(R"({"name": "other", "arguments": {}})"),
        std::string(R"({"name": "set_lamp"})"), std::string(R"({"name": "set_lamp", "arguments": 7})"),
        std::string("{"), std::string("``````"), std::string("```")}) {
    EXPECT_TRUE(calls(text).empty()) << text;
    EXPECT_EQ(chat->reader->read(text, false)->content, text);
  }
}

// What only a chat with these two tools runs into: reading the template says nothing of it.
TEST(HostileToolTemplates, AreStoppedWhenAChatIsRendered) {
  start_backend();
  const auto qwen = source_of("Qwen-Qwen2.5-7B-Instruct");
  const std::vector<ChatMessage> asked = {{"user", "a"}};
  std::vector<testing::HostileTemplate> all = testing::endless_templates();
  for (auto* more : {&testing::large_templates, &testing::trapping_templates}) {
    for (auto& one : more()) all.push_back(std::move(one));
  }
  for (const auto& hostile : all) {
    const auto begin = std::chrono::steady_clock::now();
    const auto source = qwen + "{% if tools and tools|length == 2 and tools[0].function.name == 'set_lamp' %}" +
                        hostile.source + "{% endif %}";
    const auto made = ToolTemplate::parse(source, "<s>", "</s>", 0);
    if (made.ok()) {
      const auto chat = made->render({.messages = asked, .tools = kTools});
      EXPECT_FALSE(chat.ok()) << hostile.name;
    } else {
      EXPECT_EQ(made.error().code, ErrorCode::kCorrupt) << hostile.name << ": " << made.error().message;
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(took.count(), 60) << hostile.name;
  }
  EXPECT_TRUE(template_of("Qwen-Qwen2.5-7B-Instruct").render({.messages = asked, .tools = kTools}).ok())
      << "a limit that was reached must not outlive its chat";
}

TEST(ToolTemplate, DeepSchemasHaveRulesThatAreTaken) {
  const auto source = template_of("Qwen-Qwen2.5-7B-Instruct");
  const std::vector<ChatMessage> asked = {{"user", "a"}};
  std::string deep = R"({"type":"string"})";
  for (int i = 0; i < 8; ++i) {
    deep = R"({"type":"object","properties":{"a_rather_long_name_of_a_property":)" + deep +
           R"(},"required":["a_rather_long_name_of_a_property"]})";
  }
  const std::vector<Tool> tools = {{"a_tool_with_a_long_name", "", deep}};
  const auto chat = source.render({.messages = asked, .tools = tools, .must_call = true});
  ASSERT_TRUE(chat.ok()) << chat.error().to_string();
  EXPECT_TRUE(Grammar::parse(chat->grammar).ok());
  EXPECT_THAT(chat->grammar, ::testing::HasSubstr("a_rather_long_name_of_a_property")) << "texts keep their names";
}

// Rules for so many would be refused where a call is drawn: without a demand they are left out.
TEST(ToolTemplate, RulesThatAreTooLargeAreLeftOutUnlessACallIsDemanded) {
  const auto source = template_of("Qwen-Qwen2.5-7B-Instruct");
  const std::vector<ChatMessage> asked = {{"user", "a"}};
  std::vector<Tool> tools;
  for (int i = 0; i < 100; ++i) {
    tools.push_back({"tool_" + std::to_string(i), "",
                     R"({"type":"object","properties":{"a":{"enum":[")" + std::string(900, 'a') + R"("]}}})"});
  }
  const auto free = source.render({.messages = asked, .tools = tools});
  ASSERT_TRUE(free.ok()) << free.error().to_string();
  EXPECT_TRUE(free->grammar.empty());
  EXPECT_TRUE(free->grammar_triggers.empty());
  EXPECT_TRUE(free->reader);
  const auto must = source.render({.messages = asked, .tools = tools, .must_call = true});
  ASSERT_FALSE(must.ok());
  EXPECT_EQ(must.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(must.error().place, "tools");
}

TEST(RuleNames, LongOnesAreShortenedWhereTheyAreNamesOnly) {
  const std::string name(50, 'n');
  const auto rules = "root ::= " + name + " \"" + name + "\" [" + name + "] (" + name + "-b)? rule-1\n" + name +
                     " ::= \"a \\\" " + name + "\"{2,5}\n" + name + "-b ::= \"b\"\nrule-1 ::= \"c\"\n";
  const auto shorter = with_short_names(rules);
  EXPECT_EQ(shorter, "root ::= rule-2 \"" + name + "\" [" + name + "] (rule-3)? rule-1\nrule-2 ::= \"a \\\" " + name +
                         "\"{2,5}\nrule-3 ::= \"b\"\nrule-1 ::= \"c\"\n");
  EXPECT_TRUE(Grammar::parse(shorter).ok());
  EXPECT_EQ(with_short_names("root ::= \"a\""), "root ::= \"a\"");
  EXPECT_EQ(with_short_names(""), "");
}

INSTANTIATE_TEST_SUITE_P(Of, ShippedToolTemplate,
                         ::testing::Values("Qwen-Qwen2.5-7B-Instruct", "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
                                           "Qwen3-Coder", "meta-llama-Llama-3.1-8B-Instruct",
                                           "ibm-granite-granite-4.0"),
                         [](const auto& chosen) {
                           std::string name;
                           for (const char c : chosen.param)
                             name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

TEST(ToolTemplate, OneThatKnowsNoToolsSaysSo) {
  start_backend();
  const auto made = ToolTemplate::parse(source_of("google-gemma-2-2b-it"), "<s>", "</s>", 0);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code, ErrorCode::kUnsupported);
}

TEST(ToolTemplate, SchemasAreCheckedBeforeAnybodyConvertsThem) {
  const auto source = template_of("Qwen-Qwen2.5-7B-Instruct");
  const std::vector<ChatMessage> asked = {{"user", "a"}};
  const auto refused = [&](const std::string& parameters) {
    const std::vector<Tool> tools = {{"a", "", parameters}};
    const auto chat = source.render({.messages = asked, .tools = tools});
    return !chat.ok() && chat.error().code == ErrorCode::kBadInput;
  };
  EXPECT_TRUE(refused("{"));
  EXPECT_TRUE(refused("[]"));
  EXPECT_TRUE(refused(R"({"type":"object","properties":{"a":{"type":"string","pattern":"(?i)a"}}})"));
  std::string deep = "{}";
  for (int i = 0; i < 60; ++i) deep = R"({"type":"object","properties":{"a":)" + deep + "}}";
  EXPECT_TRUE(refused(deep));
  EXPECT_FALSE(refused(""));
  EXPECT_FALSE(refused("{}"));
  const std::vector<Tool> many(kMostTools + 1, Tool{"a"});
  EXPECT_FALSE(source.render({.messages = asked, .tools = many}).ok());
}

Result<std::string> rules_of(const std::string& schema, bool strict = false) {
  return grammar_of_schema(testing::json_of(schema), strict);
}

TEST(JsonSchema, WhatRulesCannotHoldIsRefusedWhereItMustBeHeld) {
  const std::string unique = R"({"type":"array","items":{"type":"integer"},"uniqueItems":true})";
  EXPECT_TRUE(rules_of(unique).ok());
  ASSERT_FALSE(rules_of(unique, true).ok());
  EXPECT_EQ(rules_of(unique, true).error().place, "uniqueItems");
  // The name of a property is no keyword.
  EXPECT_TRUE(rules_of(R"({"type":"object","properties":{"not":{"type":"string"}}})", true).ok());
  EXPECT_TRUE(rules_of(R"({"enum":["a",{"pattern":"(?i)x"}]})", true).ok());
}

TEST(JsonSchema, PatternsThatBecomeRulesAndOthers) {
  const auto taken = [](const std::string& pattern) {
    return rules_of(json_text(Json{{"type", "string"}, {"pattern", pattern}})).ok();
  };
  ::testing::internal::CaptureStderr();
  for (const auto* pattern : {"^a$", "^[a-z0-9_]+$", "^(ab|c)*d?$", "^a{2,5}$", "^\\.\\$$", "^.{1,9}$", "^[^a-c]$"}) {
    EXPECT_TRUE(taken(pattern)) << pattern;
  }
  for (const auto* pattern :
       {"a",    "^a",  "a$",      "",      "^$",     "^\\d+$", "^(?i)a$", "^(?=a)$", "^a^b$", "^[\\d]$", "^(a$",
        "^a)$", "^*$", "^a{,3}$", "^a{2$", "^a{x}$", "^]$",    "^[]$",    "^[a$",    "^a\\$", "^{2}$",   "^a**$"}) {
    EXPECT_FALSE(taken(pattern)) << pattern;
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(JsonSchema, HostileOnesEndInAnError) {
  EXPECT_FALSE(grammar_of_schema(Json(7), false).ok());
  EXPECT_FALSE(rules_of(R"({"$ref":"https://example.org/a"})").ok());
  EXPECT_FALSE(rules_of(R"({"$ref":"#/$defs/none"})").ok());
  Json wide = {{"type", "object"}, {"properties", Json::object()}};
  for (int i = 0; i < 300; ++i) wide["properties"][std::to_string(i)] = true;
  EXPECT_FALSE(grammar_of_schema(wide, false).ok());
  EXPECT_FALSE(rules_of(R"({"enum":[")" + std::string(kMostSchemaBytes, 'a') + R"("]})").ok());
  EXPECT_FALSE(rules_of(R"({"properties":{")" + std::string(1000, 'a') + R"(":true}})").ok());
  // References in a circle: an error or rules, but an end.
  for (const auto* circle :
       {R"({"$ref":"#"})", R"({"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"})",
        R"({"anyOf":[{"$ref":"#"},{"type":"string"}]})", R"({"type":"object","properties":{"next":{"$ref":"#"}}})"}) {
    const auto rules = rules_of(circle);
    if (rules.ok()) static_cast<void>(Grammar::parse(rules.value()));
  }
  EXPECT_TRUE(rules_of(R"({"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}}}},
                           "$ref":"#/$defs/node"})")
                  .ok());
}

}  // namespace
}  // namespace bulkhead::engines::llama
