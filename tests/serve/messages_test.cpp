// SPDX-License-Identifier: MIT
// Anthropic's messages: the same conversations in another form.
#include "serve/served.h"

#include <map>
#include <sstream>

namespace bulkhead::testing {
namespace {

Json message_body(int tokens = 12) {
  return {{"model", "tiny"},
          {"system", "be brief"},
          {"messages", Json::array({{{"role", "user"}, {"content", "What is a harbour?"}}})},
          {"max_tokens", tokens},
          {"temperature", 0}};
}

Served::Reply ask(const Served& served, const Json& body) {
  return served.post("/v1/messages", json_text(body));
}

// (name, data) of each event, which must be equal to the type that the data names.
std::vector<Json> events_of_messages(const std::string& body) {
  std::vector<Json> events;
  std::istringstream lines(body);
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("event: ")) name = line.substr(7);
    if (!line.starts_with("data: ")) continue;
    events.push_back(json_of(line.substr(6)));
    EXPECT_EQ(events.back()["type"], name);
  }
  return events;
}

TEST(Messages, AreChatsInAnotherForm) {
  const Served served;
  const auto reply = ask(served, message_body());
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto message = reply.json();
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["content"][0]["type"], "text");
  EXPECT_EQ(message["stop_reason"], "max_tokens");
  EXPECT_EQ(message["usage"]["output_tokens"], 12);
  const auto counted = served.post("/v1/messages/count_tokens", json_text(message_body())).json();
  EXPECT_EQ(counted["input_tokens"], message["usage"]["input_tokens"]);
  // The same chat in OpenAI's form is the same history.
  auto chat = Json{{"messages", message_body()["messages"]}, {"max_tokens", 4}, {"temperature", 0}};
  chat["messages"].insert(chat["messages"].begin(), Json{{"role", "system"}, {"content", "be brief"}});
  chat["messages"].push_back({{"role", "assistant"}, {"content", message["content"][0]["text"]}});
  chat["messages"].push_back({{"role", "user"}, {"content", "And a port?"}});
  EXPECT_EQ(served.chat(chat).json()["bulkhead"]["partition"], message["bulkhead"]["partition"]);
}

TEST(Messages, CountWhatWasInTheCacheApartWhereCachingIsAskedFor) {
  const Served served;
  auto body = message_body();
  body["system"] = Json::array({{{"type", "text"}, {"text", "be brief"}, {"cache_control", {{"type", "ephemeral"}}}}});
  const auto first = ask(served, body).json();
  body["messages"].push_back({{"role", "assistant"}, {"content", first["content"]}});
  body["messages"].push_back(
      {{"role", "user"}, {"content", Json::array({{{"type", "text"}, {"text", "And a port?"}}})}});
  const auto second = ask(served, body).json();
  EXPECT_EQ(second["bulkhead"]["reuse"]["reason"], "continues");
  const auto usage = first["usage"];
  EXPECT_EQ(second["usage"]["cache_read_input_tokens"].get<int>(), usage["input_tokens"].get<int>() +
                                                                       usage["cache_read_input_tokens"].get<int>() +
                                                                       usage["output_tokens"].get<int>());
  const auto plain = ask(served, message_body()).json()["usage"];
  EXPECT_FALSE(plain.contains("cache_read_input_tokens"));
  EXPECT_EQ(plain["input_tokens"].get<int>(),
            usage["input_tokens"].get<int>() + usage["cache_read_input_tokens"].get<int>());
}

TEST(Messages, AStreamSaysWhatTheWholeMessageSays) {
  const Served served;
  auto body = message_body(24);
  const auto whole = ask(served, body).json();
  body["stream"] = true;
  const auto events = events_of_messages(ask(served, body).body);
  std::string text;
  std::map<std::string, int> counts;
  for (const auto& event : events) {
    ++counts[event["type"].get<std::string>()];
    if (event["type"] == "content_block_delta") text += event["delta"]["text"].get<std::string>();
    if (event["type"] == "message_delta") {
      EXPECT_EQ(event["delta"]["stop_reason"], whole["stop_reason"]);
      EXPECT_EQ(event["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
    }
  }
  EXPECT_EQ(text, whole["content"][0]["text"]);
  EXPECT_EQ(events.front()["type"], "message_start");
  EXPECT_EQ(events.back()["type"], "message_stop");
  for (const auto* once :
       {"message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"})
    EXPECT_EQ(counts[once], 1) << once;
}

TEST(Messages, NameTheStopSequence) {
  const Served served;
  auto body = message_body(40);
  const auto text = ask(served, body).json()["content"][0]["text"].get<std::string>();
  ASSERT_GT(text.size(), 12U);
  const auto stop = text.substr(6, 3);
  body["stop_sequences"] = {"never said by anybody", stop};
  const auto stopped = ask(served, body).json();
  EXPECT_EQ(stopped["stop_reason"], "stop_sequence");
  EXPECT_EQ(stopped["stop_sequence"], stop);
  EXPECT_EQ(stopped["content"][0]["text"], text.substr(0, text.find(stop)));
}

TEST(Messages, ErrorsAreInTheirForm) {
  const Served served({.api_keys = {"right"}});
  const httplib::Headers key = {{"X-Api-Key", "right"}};
  const auto refused = [&](Json change, const std::string& param) {
    auto body = message_body();
    body.update(change);
    const auto reply = served.post("/v1/messages", json_text(body), key);
    EXPECT_EQ(reply.status, 400) << reply.body;
    EXPECT_EQ(reply.json()["type"], "error");
    EXPECT_EQ(reply.json()["error"]["type"], "invalid_request_error");
    EXPECT_EQ(reply.json()["error"].value("param", ""), param) << reply.body;
  };
  refused({{"max_tokens", nullptr}}, "max_tokens");
  refused({{"messages", Json::array()}}, "messages");
  refused({{"messages", Json::array({{{"role", "system"}, {"content", "a"}}})}}, "messages[0].role");
  refused({{"thinking", {{"type", "enabled"}, {"budget_tokens", 9}}}}, "thinking");
  refused({{"tools", Json::array({{{"name", "a"}}})}}, "tools");
  refused({{"system", 7}}, "system");
  refused({{"seed", 7}}, "seed");
  EXPECT_EQ(served.post("/v1/messages", "{", key).json()["type"], "error");
  const auto unauthorized = served.post("/v1/messages", json_text(message_body()));
  EXPECT_EQ(unauthorized.status, 401);
  EXPECT_EQ(unauthorized.json()["error"]["type"], "authentication_error");
  EXPECT_EQ(served.get("/v1/messages", key).json()["type"], "error");
}

}  // namespace
}  // namespace bulkhead::testing
