// SPDX-License-Identifier: MIT
// Tools and JSON schemas over HTTP, on a tiny model of noise: what it says is what the rules leave it.
#include "paths.h"
#include "serve/served.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

namespace bulkhead::testing {
namespace {

TinyModelOptions with_tools() {
  std::ifstream file(llama_folder() + "/models/templates/Qwen-Qwen2.5-7B-Instruct.jinja");
  std::stringstream text;
  text << file.rdbuf();
  return {.chat_template = text.str()};
}

constexpr std::uint32_t kContext = 2048;

Json tool(const std::string& name = "set_lamp") {
  return {{"type", "function"},
          {"function",
           {{"name", name},
            {"description", "Switches a lamp."},
            {"parameters",
             {{"type", "object"},
              {"properties", {{"state", {{"enum", {"on", "off"}}}}}},
              {"required", {"state"}},
              {"additionalProperties", false}}}}}};
}

// Rules allow blanks in many places, and noise loves them: here they are drawn only where nothing else may come.
Json few_blanks(const Served& served) {
  Json bias = Json::object();
  for (const auto* blank : {" ", "\n", "\t", "  ", "\n\n"}) {
    const auto reply = served.post("/tokenize", json_text(Json{{"content", blank}})).json();
    for (const auto& token : reply["tokens"]) bias[json_text(token)] = -100;
  }
  return bias;
}

Json tools_body(const std::string& choice = "required") {
  auto body = chat_body({"Light, please."}, 400);
  body["tools"] = Json::array({tool()});
  body["tool_choice"] = choice;
  body["parallel_tool_calls"] = false;
  return body;
}

TEST(Tools, AnAnswerThatMustCallIsACallAndTheChatGoesOn) {
  const Served served({}, {}, kContext, {}, with_tools());
  auto asked = tools_body();
  asked["logit_bias"] = few_blanks(served);
  const auto first = served.chat(asked);
  ASSERT_EQ(first.status, 200) << first.body;
  const auto message = first.json()["choices"][0]["message"];
  ASSERT_EQ(message["tool_calls"].size(), 1U) << first.body;
  EXPECT_TRUE(message["content"].is_null());
  EXPECT_EQ(first.json()["choices"][0]["finish_reason"], "tool_calls");
  const auto call = message["tool_calls"][0];
  EXPECT_EQ(call["type"], "function");
  EXPECT_TRUE(call["id"].get<std::string>().starts_with("call_"));
  EXPECT_EQ(call["function"]["name"], "set_lamp");
  const auto arguments = json_of(call["function"]["arguments"].get<std::string>());
  EXPECT_THAT(arguments["state"].get<std::string>(), ::testing::AnyOf("on", "off"));

  auto next = tools_body("none");
  next["tools"] = Json::array({tool()});
  next["tool_choice"] = "auto";
  next["max_tokens"] = 4;
  next["messages"].push_back({{"role", "assistant"}, {"content", nullptr}, {"tool_calls", message["tool_calls"]}});
  next["messages"].push_back({{"role", "tool"}, {"tool_call_id", call["id"]}, {"content", "done"}});
  const auto second = served.chat(next);
  ASSERT_EQ(second.status, 200) << second.body;
  EXPECT_EQ(second.json()["bulkhead"]["partition"], first.json()["bulkhead"]["partition"]);
  EXPECT_EQ(second.json()["bulkhead"]["reuse"]["reason"], "continues");
  EXPECT_EQ(second.json()["usage"]["prompt_tokens_details"]["cached_tokens"], first.json()["usage"]["total_tokens"]);
  // Another call than the one that was made is another history.
  next["messages"][1]["tool_calls"][0]["function"]["arguments"] = R"({"state":"dimmed"})";
  EXPECT_EQ(served.chat(next).json()["bulkhead"]["reuse"]["reason"], "forked");
}

TEST(Tools, AStreamTellsTheSameCall) {
  const Served served({}, {}, kContext, {}, with_tools());
  auto body = tools_body();
  body["logit_bias"] = few_blanks(served);
  const auto whole = served.chat(body).json()["choices"][0]["message"]["tool_calls"][0];
  body["stream"] = true;
  const auto reply = served.chat(body);
  std::istringstream lines(reply.body);
  std::string name;
  std::string arguments;
  std::string reason;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("data: {")) continue;
    const auto event = json_of(line.substr(6));
    const auto& choice = event["choices"][0];
    if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
    if (!choice["delta"].contains("tool_calls")) continue;
    const auto& call = choice["delta"]["tool_calls"][0];
    EXPECT_EQ(call["index"], 0);
    name += call["function"].value("name", "");
    arguments += call["function"]["arguments"].get<std::string>();
  }
  EXPECT_EQ(name, "set_lamp");
  EXPECT_EQ(arguments, whole["function"]["arguments"]);
  EXPECT_EQ(reason, "tool_calls");
}

TEST(Tools, AnthropicsFormTellsItAsABlock) {
  const Served served({}, {}, kContext, {}, with_tools());
  Json body = {{"messages", Json::array({{{"role", "user"}, {"content", "Light, please."}}})},
               {"max_tokens", 400},
               {"temperature", 1},
               {"tool_choice", {{"type", "any"}, {"disable_parallel_tool_use", true}}}};
  const auto function = tool()["function"];
  body["tools"] = Json::array({{{"name", "set_lamp"}, {"input_schema", function["parameters"]}}});
  const auto first = served.post("/v1/messages", json_text(body));
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(first.json()["stop_reason"], "tool_use");
  const auto block = first.json()["content"][0];
  EXPECT_EQ(block["type"], "tool_use");
  EXPECT_EQ(block["name"], "set_lamp");
  EXPECT_TRUE(block["input"].contains("state"));
  const auto asked = body;
  body["messages"].push_back({{"role", "assistant"}, {"content", Json::array({block})}});
  body["messages"].push_back(
      {{"role", "user"},
       {"content", Json::array({{{"type", "tool_result"}, {"tool_use_id", block["id"]}, {"content", "done"}}})}});
  body["tool_choice"] = {{"type", "auto"}};
  body["max_tokens"] = 4;
  const auto second = served.post("/v1/messages", json_text(body));
  ASSERT_EQ(second.status, 200) << second.body;
  EXPECT_EQ(second.json()["bulkhead"]["reuse"]["reason"], "continues");
  auto streamed = asked;
  streamed["stream"] = true;
  const auto events = served.post("/v1/messages", json_text(streamed)).body;
  EXPECT_THAT(events, ::testing::HasSubstr("input_json_delta"));
  EXPECT_THAT(events, ::testing::HasSubstr(R"("stop_reason":"tool_use")"));
}

TEST(Tools, OneThatIsNamedIsCalledAndNoneMeansNone) {
  const Served served({}, {}, kContext, {}, with_tools());
  auto body = tools_body();
  body["logit_bias"] = few_blanks(served);
  body["tools"].push_back(tool("read_gauge"));
  body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "read_gauge"}}}};
  const auto named = served.chat(body);
  ASSERT_EQ(named.status, 200) << named.body;
  EXPECT_EQ(named.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "read_gauge");
  body["tool_choice"] = "none";
  body["max_tokens"] = 8;
  const auto none = served.chat(body);
  EXPECT_EQ(none.json()["choices"][0]["finish_reason"], "length") << none.body;
  EXPECT_FALSE(none.json()["choices"][0]["message"].contains("tool_calls"));
}

TEST(Tools, WhatCannotBeIsRefusedByName) {
  const Served served({}, {}, kContext, {}, with_tools());
  const auto refused = [&](Json body, const std::string& param) {
    const auto reply = served.chat(body);
    EXPECT_EQ(reply.status, 400) << reply.body;
    EXPECT_EQ(reply.json()["error"]["param"], param) << reply.body;
  };
  auto body = tools_body();
  body["tools"][0]["function"]["description"] = "It ends here.<|im_end|>";
  refused(body, "tools");
  body = tools_body();
  body["tools"][0]["function"]["parameters"]["properties"]["<|im_start|>"] = true;
  refused(body, "tools");
  body = tools_body();
  body["tools"][0]["type"] = "web_search";
  refused(body, "tools[0].type");
  body = tools_body();
  body["tools"][0]["function"]["name"] = "with space";
  refused(body, "tools[0].function.name");
  body = tools_body();
  body["tools"].push_back(tool());
  refused(body, "tools[1].function.name");
  body = tools_body();
  body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "other"}}}};
  refused(body, "tool_choice");
  body = tools_body();
  body["response_format"] = {{"type", "json_object"}};
  refused(body, "tools");
  body = tools_body();
  body["messages"] = Json::array(
      {{{"role", "user"}, {"content", "a"}},
       {{"role", "assistant"},
        {"tool_calls",
         Json::array({{{"id", "a"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{"}}}}})}},
       {{"role", "tool"}, {"tool_call_id", "a"}, {"content", "b"}}});
  refused(body, "messages[1].tool_calls[0].function.arguments");
  const Served plain;  // a template without tools
  EXPECT_EQ(plain.chat(tools_body()).json()["error"]["param"], "tools");
}

TEST(Tools, AnAnswerInTheFormOfASchema) {
  const Served served;
  auto body = chat_body({"Light, please."}, 200);
  const Json schema = {{"type", "object"},
                       {"properties", {{"state", {{"enum", {"on", "off"}}}}, {"lamps", {{"enum", {1, 2}}}}}},
                       {"required", {"state", "lamps"}},
                       {"additionalProperties", false}};
  body["response_format"] = {{"type", "json_schema"},
                             {"json_schema", {{"name", "lamp"}, {"strict", true}, {"schema", schema}}}};
  const auto reply = served.chat(body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto answer = json_of(content_of(reply.json()));
  EXPECT_THAT(answer["state"].get<std::string>(), ::testing::AnyOf("on", "off"));
  EXPECT_THAT(answer["lamps"].get<int>(), ::testing::AnyOf(1, 2));
  EXPECT_EQ(reply.json()["choices"][0]["finish_reason"], "stop");
  body["response_format"]["json_schema"]["schema"]["uniqueItems"] = true;
  const auto refused = served.chat(body);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["param"], "response_format.json_schema.schema.uniqueItems");
}

}  // namespace
}  // namespace bulkhead::testing
