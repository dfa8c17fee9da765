// SPDX-License-Identifier: MIT
#include "dataset/conversation_format.h"
#include "json_of.h"

#include "paths.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bulkhead::dataset {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Dataset read(const std::string& text) {
  auto set = read_dataset(text, "in.json");
  EXPECT_TRUE(set.ok()) << text << "\n" << set.error().to_string();
  return set.ok() ? std::move(set).value() : Dataset{};
}

std::string refusal(const std::string& text) {
  const auto set = read_dataset(text, "in.json");
  if (set.ok()) return "accepted";
  EXPECT_EQ(set.error().code, ErrorCode::kBadInput);
  return set.error().to_string();
}

// "role: text" of each turn of the first conversation.
std::vector<std::string> turns(const Dataset& set) {
  std::vector<std::string> list;
  if (set.conversations.empty()) return list;
  for (const auto& turn : set.conversations.front().scenario.turns) list.push_back(turn.role + ": " + turn.text);
  return list;
}

// "what @ place, turn" of each notice.
std::vector<std::string> notices(const Dataset& set) {
  std::vector<std::string> list;
  for (const auto& one : set.notices) list.push_back(fmt::format("{} @ {}, {}", one.what, one.place, one.turn));
  return list;
}

// A list of messages around `messages`.
std::string openai(const std::string& messages) {
  return R"({"messages": [)" + messages + "]}";
}

TEST(OpenAiMessages, RolesAnywhere) {
  const auto set = read(openai(R"({"role": "developer", "content": "Be short."}, {"role": "user", "content": "Hi"},
    {"role": "system", "content": "Now French."}, {"role": "assistant", "content": "Salut"},
    {"role": "tool", "tool_call_id": "c", "content": "{}"}, {"role": "function", "name": "f", "content": "1"})"));
  EXPECT_THAT(turns(set), ElementsAre("developer: Be short.", "user: Hi", "system: Now French.", "assistant: Salut",
                                      "tool: {}", "tool: 1"));
  EXPECT_EQ(set.format, "openai");
  EXPECT_THAT(set.notices, IsEmpty());
  EXPECT_FALSE(set.conversations[0].names_topics);
  EXPECT_EQ(set.conversations[0].scenario.id, "conversation-1");
}

TEST(OpenAiMessages, LinesAListABareListAndOnePrettyObjectAreTheSame) {
  const std::string one = openai(R"({"role": "user", "content": "Hi"})");
  const auto pretty = testing::json_of(one).dump(2);
  for (const auto& text :
       {one, pretty, "[" + one + "]", one + "\n", "\n\n" + one + "\n\n", "\xEF\xBB\xBF" + one,
        "\xEF\xBB\xBF\r\n" + pretty + "\r\n", std::string(R"([{"role": "user", "content": "Hi"}])")}) {
    EXPECT_THAT(turns(read(text)), ElementsAre("user: Hi")) << text;
  }
  const auto lines = read("\xEF\xBB\xBF" + one + "\r\n\r\n \t\n" + one + "\r\n");
  ASSERT_EQ(lines.conversations.size(), 2U);
  EXPECT_EQ(lines.conversations[1].scenario.id, "conversation-2");
}

TEST(OpenAiMessages, PartsThatAreNoTextAreNamedWithTheirTurn) {
  const auto set = read(openai(R"({"role": "user", "content": "Hello"},
    {"role": "user", "content": [{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": "data:,"}},
      {"type": "input_text", "text": "And here."}, {"type": "input_audio", "input_audio": {}}, "plain"]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "user", "content": [{"type": "h\u001b[31mologram"}]}, {"role": "assistant", "content": null})"));
  EXPECT_THAT(turns(set), ElementsAre("user: Hello", "user: Look.\nAnd here.\nplain"));
  EXPECT_THAT(notices(set),
              ElementsAre("a picture is left out @ in.json:2: messages[1].content[1], 2",
                          "a sound recording is left out @ in.json:3: messages[1].content[3], 2",
                          "a picture is left out @ in.json:4: messages[2].content[0], 0",
                          "a message without text is left out @ in.json:4: messages[2], 0",
                          "a part of type h__31mologram is left out @ in.json:5: messages[3].content[0], 0",
                          "a message without text is left out @ in.json:5: messages[3], 0",
                          "a message without text is left out @ in.json:5: messages[4], 0"));
}

TEST(OpenAiMessages, CallsOfToolsAreTextOfTheTurn) {
  const auto set = read(openai(R"({"role": "assistant", "content": "I look.", "tool_calls": [
      {"id": "1", "type": "function", "function": {"name": "a", "arguments": "{\"x\": 1}"}},
      {"id": "2", "type": "function", "function": {"name": "b", "arguments": {"y": [2]}}},
      {"id": "3", "type": "function", "function": {"name": "c\"", "arguments": "no json"}}]},
    {"role": "assistant", "content": null, "function_call": {"name": "d"}},
    {"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]},
    {"role": "assistant", "content": null, "refusal": "No."},
    {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."})"));
  EXPECT_THAT(turns(set),
              ElementsAre("assistant: I look.\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n"
                          "{\"name\": \"b\", \"arguments\": {\"y\":[2]}}\n"
                          "{\"name\": \"c\\\"\", \"arguments\": \"no json\"}",
                          "assistant: {\"name\": \"d\", \"arguments\": {}}", "assistant: No.", "assistant: Yes."));
  ASSERT_EQ(set.notices.size(), 3U);
  EXPECT_EQ(set.notices[0].what, "a call of something that is no function is left out");
  EXPECT_EQ(set.notices[2],
            (Notice{"conversation-1", 4, "reasoning is left out", "in.json:8: messages[4].reasoning_content"}));
}

TEST(OpenAiMessages, TopicsOfMessagesAreClusters) {
  const auto set = read(openai(R"({"role": "user", "content": "1", "topic": "the bees"},
    {"role": "user", "content": "2", "cluster": 7}, {"role": "user", "content": "3", "topic": "the_bees"},
    {"role": "user", "content": "4", "cluster": "the bees", "topic": "x"},
    {"role": "user", "content": "5", "topic": "\u8702\u871c"}, {"role": "user", "content": "6", "topic": "\u7a91\u7089"})"));
  const auto& one = set.conversations.at(0);
  EXPECT_TRUE(one.names_topics);
  std::vector<std::string> clusters;
  for (const auto& cluster : one.scenario.clusters) {
    clusters.push_back(fmt::format("{} {} {} {}", cluster.label, cluster.id, cluster.topic, cluster.turns.size()));
  }
  EXPECT_THAT(clusters, ElementsAre("A the_bees the bees 2", "B cluster_7 7 1", "C topic_3 the_bees 1",
                                    "D topic_4 \u8702\u871c 1", "E topic_5 \u7a91\u7089 1"));
  const auto again = conversation::parse_scenario(conversation::to_json(one.scenario).dump(), "again.json");
  EXPECT_TRUE(again.ok()) << again.error().to_string();
}

TEST(OpenAiMessages, SystemBesideTheMessagesIsTheFirstTurnAndToolsAreNamed) {
  const auto set =
      read(R"({"system": "Be short.", "tools": [{}], "model": "x", "messages": [{"role": "user", "content": "Hi"}]})");
  EXPECT_THAT(turns(set), ElementsAre("system: Be short.", "user: Hi"));
  EXPECT_THAT(notices(set), ElementsAre("the description of tools is left out @ in.json:1: tools, 0"));
}

TEST(OpenAiMessages, WhatIsWrongIsNamedByFileLineAndField) {
  const std::string good = openai(R"({"role": "user", "content": "Hi"})");
  const std::pair<std::string, std::string> cases[] = {
      {openai(R"({"role": "cat", "content": "x"})"), "in.json:1: messages[0].role: unknown role \"cat\""},
      {good + "\n\n" + openai(R"({"role": 7, "content": "x"})"), "in.json:3: messages[0].role: expected a string"},
      {good + "\n{\"messages\": [}", "in.json:2: not valid JSON"},
      {good + "\n{\"n\": 1}", "in.json:2: this is no conversation in a format that is known"},
      {openai(R"({"role": "user"})"), "messages[0]: the field \"content\" is missing"},
      {openai(R"({"role": "user", "content": 5})"), "messages[0].content: expected a string, found an integer"},
      {openai(R"({"role": "user", "content": [{"text": "x"}]})"), "messages[0].content[0]: the field \"type\""},
      {openai(R"({"role": "user", "content": "x", "topic": "a"}, {"role": "user", "content": "y"})"),
       "messages[1]: this message names no topic"},
      {openai(R"({"role": "user", "content": "x", "topic": " "})"), "messages[0].topic: the topic is empty"},
      {openai(R"({"role": "user", "content": "x", "cluster": ["a"]})"), "messages[0].cluster: expected a string"},
      {openai(R"({"role": "user", "content": ")" + std::string((1U << 20U) + 1, 'x') + R"("})"),
       "messages[0]: the text has 1048577 bytes"},
      {R"({"messages": 5})", "messages: expected a list"},
      {R"({"messages": [5]})", "messages[0]: expected an object"},
      {R"({"messages": [{"role": "user", "content": " "}]})", "no conversation with text"},
      {R"({"id": [1], "messages": [{"role": "user", "content": "x"}]})", "id: expected a string"},
      {"[]", "no conversation with text"},
      {"", "no conversation with text"},
      {"\xEF\xBB\xBF", "no conversation with text"},
      {"[[]]", "[0]: this is no conversation"},
      {"5", "this is no conversation"},
      {"{\"messages\": \"\xff\"}", "not valid UTF-8"},
  };
  for (const auto& [text, wanted] : cases) EXPECT_THAT(refusal(text), HasSubstr(wanted)) << text.substr(0, 200);
  std::string many;
  for (int i = 0; i <= 10'000; ++i) many += std::string(i == 0 ? "" : ",") + R"({"role": "user", "content": "x"})";
  EXPECT_THAT(refusal(openai(many)), HasSubstr("messages[10000]: more than 10000 turns"));
}

TEST(ShareGpt, AListAndLinesNumberIdsAndEmptyUtterances) {
  const std::string one =
      R"({"id": "a/b", "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}, {"from": "human", "value": " "}]})";
  const std::string two = R"({"id": 17, "conversations": [{"from": "observation", "value": "x"}]})";
  for (const auto& text : {"[" + one + "," + two + "]", one + "\n" + two + "\n"}) {
    const auto set = read(text);
    ASSERT_EQ(set.conversations.size(), 2U);
    EXPECT_EQ(set.format, "sharegpt");
    const auto& scenario = set.conversations[0].scenario;
    EXPECT_EQ(scenario.id, "a_b");
    EXPECT_THAT(turns(set), ElementsAre("user: Hello", "assistant: Hi"));
    EXPECT_EQ(scenario.clusters.at(0).turns, (std::vector<int>{1, 2}));
    EXPECT_EQ(set.conversations[1].scenario.id, "17");
    EXPECT_EQ(set.conversations[1].scenario.turns.at(0).role, "tool");
    const auto again = conversation::parse_scenario(conversation::to_json(scenario).dump(), "again.json");
    EXPECT_TRUE(again.ok()) << again.error().to_string();
  }
  EXPECT_THAT(refusal(R"([{"conversations": [{"from": "cat", "value": "x"}]}])"),
              HasSubstr("in.json:1: [0].conversations[0].from: unknown role \"cat\""));
}

TEST(ConversationIds, AreUsedOnce) {
  const auto line = [](const std::string& id, const std::string& text) {
    return R"({"id": ")" + id + R"(", "conversations": [{"from": "human", "value": ")" + text + "\"}]}\n";
  };
  const auto set = read(line("a", "x") + line("a", "y") + line("a", "x") + line("a-2", "z") + line("a", "w") +
                        line("!", "x") + line("?", "y") + line("\\u8702", "w"));
  std::vector<std::string> ids;
  for (const auto& one : set.conversations) ids.push_back(one.scenario.id);
  EXPECT_THAT(ids, ElementsAre("a", "a-2", "a-2-2", "a-3", "conversation-6", "conversation-7", "conversation-8"));
  EXPECT_THAT(notices(set), ElementsAre("another conversation has the id a: this one is a-2 @ in.json:2, 0",
                                        "a conversation that is there twice is left out once @ in.json:3, 0",
                                        "another conversation has the id a-2: this one is a-2-2 @ in.json:4, 0",
                                        "another conversation has the id a: this one is a-3 @ in.json:5, 0"));
}

TEST(ConversationIds, UsedTwiceInOurOwnFormatsAreRefused) {
  const auto text = read_text_file(testing::source_folder() + "/scenarios/fish_farm.json").value();
  EXPECT_THAT(refusal("[" + text + "," + text + "]"), HasSubstr("is used twice"));
  EXPECT_EQ(read("[" + text + "]").conversations.size(), 1U);
}

std::string node(const std::string& id, const std::string& parent, const std::string& children,
                 const std::string& message) {
  const auto quoted = parent.empty() ? std::string("null") : "\"" + parent + "\"";
  return fmt::format(R"("{}": {{"id": "{}", "parent": {}, "children": [{}], "message": {}}})", id, id, quoted, children,
                     message);
}

std::string said(const std::string& role, const std::string& text) {
  return fmt::format(R"({{"author": {{"role": "{}"}}, "content": {{"content_type": "text", "parts": ["{}"]}}}})", role,
                     text);
}

std::string tree(const std::string& nodes, const std::string& more = "") {
  return R"([{"title": "Bees", "conversation_id": "c-1", "create_time": 1.5,)" + more + R"("mapping": {)" + nodes +
         "}}]";
}

const std::string kTwoBranches =
    node("r", "", "\"a\"", "null") + "," + node("a", "r", "\"b\",\"c\"", said("user", "Where?")) + "," +
    node("b", "a", "", said("assistant", "Gone.")) + "," + node("c", "a", "", said("assistant", "Here."));

TEST(ChatGptExport, TheCurrentBranchIsRead) {
  const auto shown = read(tree(kTwoBranches, R"("current_node": "b",)"));
  EXPECT_THAT(turns(shown), ElementsAre("user: Where?", "assistant: Gone."));
  EXPECT_THAT(notices(shown), ElementsAre("a message of another branch is left out @ in.json:1: [0].mapping.c, 0"));
  EXPECT_EQ(shown.format, "chatgpt");
  const auto& scenario = shown.conversations.at(0).scenario;
  EXPECT_EQ(scenario.id, "c-1");
  EXPECT_EQ(scenario.clusters.at(0).topic, "Bees");
  EXPECT_THAT(turns(read(tree(kTwoBranches))), ElementsAre("user: Where?", "assistant: Here.")) << "the last child";
}

TEST(ChatGptExport, WhatIsNotSaidIsLeftOut) {
  const auto content = [](const std::string& role, const std::string& json) {
    return fmt::format(R"({{"author": {{"role": "{}"}}, "content": {}}})", role, json);
  };
  const auto set = read(tree(
      node("r", "", "\"a\"", R"({"author": {"role": "system"}, "content": {"content_type": "text", "parts": ["x"]},
        "metadata": {"is_visually_hidden_from_conversation": true}})") +
      "," + node("a", "r", "\"b\"", content("user", R"({"content_type": "multimodal_text", "parts": [
        {"content_type": "image_asset_pointer", "asset_pointer": "x"}, "What is it?"]})")) +
      "," + node("b", "a", "\"c\"", content("assistant", R"({"content_type": "thoughts", "thoughts": []})")) + "," +
      node("c", "b", "\"d\"", content("assistant", R"({"content_type": "code", "language": "py", "text": "1+1"})")) +
      "," + node("d", "c", "", content("tool", R"({"content_type": "execution_output", "text": "2"})"))));
  EXPECT_THAT(turns(set), ElementsAre("user: What is it?", "assistant: 1+1", "tool: 2"));
  std::vector<std::string> left_out;
  for (const auto& one : set.notices) left_out.push_back(fmt::format("{} {}", one.turn, one.what));
  EXPECT_THAT(left_out, ElementsAre("0 a hidden message is left out", "1 a picture is left out",
                                    "0 reasoning is left out", "0 a message without text is left out"));
}

TEST(ChatGptExport, BrokenTreesAreRefused) {
  EXPECT_THAT(refusal(tree(kTwoBranches, R"("current_node": "z",)")),
              HasSubstr("current_node: there is no message \"z\""));
  EXPECT_THAT(refusal(tree(node("a", "z", "", "null"), R"("current_node": "a",)")),
              HasSubstr("mapping.a.parent: there is no message \"z\""));
  EXPECT_THAT(
      refusal(tree(node("a", "b", "\"b\"", "null") + "," + node("b", "a", "\"a\"", "null"), R"("current_node": "a",)")),
      HasSubstr("in a ring"));
  EXPECT_THAT(refusal(tree(node("a", "b", "\"b\"", "null") + "," + node("b", "a", "\"a\"", "null"))),
              HasSubstr("in a ring"));
  EXPECT_THAT(refusal(tree(node("a", "", "\"b\"", "null") + "," + node("b", "a", "\"b\"", "null"))),
              HasSubstr("in a ring"));
  EXPECT_THAT(refusal(tree(node("a", "", "", said("cat", "x")))), HasSubstr("author.role: unknown role \"cat\""));
  EXPECT_THAT(refusal(tree("")), HasSubstr("no conversation with text"));
  EXPECT_THAT(refusal(R"([{"mapping": []}])"), HasSubstr("[0].mapping: expected an object"));
}

// Many messages that are left out must not cost a look through the text before each.
TEST(Notices, BeyondTheFirstHundredHaveNoPlace) {
  std::string lines;
  for (int i = 0; i < 3'000; ++i)
    lines += openai(R"({"role": "user", "content": "x"}, {"role": "user", "content": ""})") + ",\n";
  const auto set = read("[" + lines.substr(0, lines.size() - 2) + "]");
  ASSERT_EQ(set.notices.size(), 3'000U);
  EXPECT_EQ(set.notices[99].place, "in.json:100: [99].messages[1]");
  EXPECT_EQ(set.notices[100].place, "");
}

// Every example of the page is read as it stands, in the format of its section.
TEST(ConversationFormatsPage, EveryExampleIsRead) {
  const auto page = read_text_file(testing::source_folder() + "/docs/conversation-formats.md").value();
  std::vector<std::string> formats;
  const std::string fence = "\n```json\n";
  for (auto at = page.find(fence); at != std::string::npos; at = page.find(fence, at)) {
    at += fence.size();
    const auto set = read(page.substr(at, page.find("\n```", at) - at));
    formats.push_back(fmt::format("{} {}", set.format, set.conversations.size()));
  }
  EXPECT_THAT(formats, ElementsAre("openai 1", "openai 1", "sharegpt 2", "chatgpt 1"));
  for (const auto& format : conversation_formats()) {
    EXPECT_THAT(page, HasSubstr(fmt::format("\n| `{}` | ", format.name))) << "no row for it";
  }
}

}  // namespace
}  // namespace bulkhead::dataset
