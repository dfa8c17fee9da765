// SPDX-License-Identifier: MIT
// OpenAI's responses: items and events, responses that go on with earlier ones, and how long those are kept.
#include "serve/response_store.h"
#include "serve/served.h"

#include <gmock/gmock.h>

#include <sstream>

namespace bulkhead::testing {
namespace {

using serve::ResponseStore;
using serve::StoredResponse;

Json response_body(const std::string& input, int tokens = 8) {
  return {{"input", input}, {"max_output_tokens", tokens}, {"temperature", 0}};
}

Served::Reply respond(const Served& served, const Json& body, const httplib::Headers& headers = {}) {
  return served.post("/v1/responses", json_text(body), headers);
}

std::string text_of(const Json& response) {
  return response["output"][0]["content"][0]["text"].get<std::string>();
}

// Types and data of all events; their numbers must be in order.
std::vector<Json> response_events(const std::string& body) {
  std::vector<Json> events;
  std::istringstream lines(body);
  std::string type;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("event: ")) type = line.substr(7);
    if (!line.starts_with("data: {")) continue;
    events.push_back(json_of(line.substr(6)));
    EXPECT_EQ(events.back()["type"], type);
    EXPECT_EQ(events.back()["sequence_number"], events.size() - 1);
  }
  EXPECT_TRUE(body.ends_with("data: [DONE]\n\n"));
  return events;
}

TEST(Responses, SayWhatAChatSays) {
  const Served served;
  const auto chat = served.chat(chat_body({"What is a harbour?"}));
  const auto reply = respond(served, response_body("What is a harbour?"));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto json = reply.json();
  EXPECT_EQ(json["object"], "response");
  EXPECT_EQ(json["status"], "incomplete");
  EXPECT_EQ(json["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(json["output"][0]["type"], "message");
  EXPECT_EQ(text_of(json), content_of(chat.json()));
  EXPECT_EQ(json["usage"]["output_tokens"], chat.json()["usage"]["completion_tokens"]);
  EXPECT_EQ(json["usage"]["input_tokens_details"]["cached_tokens"], json["usage"]["input_tokens"])
      << "the chat has left it in the cache";
}

TEST(Responses, AStreamTellsItemsOneByOne) {
  const Served served;
  auto body = response_body("What is a harbour?", 24);
  const auto whole = respond(served, body).json();
  body["stream"] = true;
  const auto events = response_events(respond(served, body).body);
  ASSERT_GT(events.size(), 8U);
  EXPECT_EQ(events[0]["type"], "response.created");
  EXPECT_EQ(events[1]["type"], "response.in_progress");
  EXPECT_EQ(events[2]["type"], "response.output_item.added");
  EXPECT_EQ(events[3]["type"], "response.content_part.added");
  std::string text;
  for (const auto& event : events) {
    if (event["type"] != "response.output_text.delta") continue;
    text += event["delta"].get<std::string>();
    EXPECT_EQ(event["item_id"], events[2]["item"]["id"]);
  }
  EXPECT_EQ(text, text_of(whole));
  const auto& end = events.back();
  EXPECT_EQ(end["type"], "response.incomplete");
  EXPECT_EQ(text_of(end["response"]), text);
  EXPECT_EQ(events[events.size() - 2]["type"], "response.output_item.done");
  EXPECT_EQ(events[events.size() - 2]["item"], end["response"]["output"][0]);
}

TEST(Responses, GoOnWithEarlierOnesOfTheSameOwner) {
  const Served served({.api_keys = {"one", "two"}});
  const httplib::Headers one = {{"Authorization", "Bearer one"}};
  const httplib::Headers two = {{"Authorization", "Bearer two"}};
  auto body = response_body("What is a harbour?");
  body["instructions"] = "Be brief.";
  const auto first = respond(served, body, one).json();
  const auto id = first["id"].get<std::string>();
  auto next = response_body("And a port?");
  next["previous_response_id"] = id;
  next["instructions"] = "Be brief.";
  const auto second = respond(served, next, one);
  ASSERT_EQ(second.status, 200) << second.body;
  EXPECT_EQ(second.json()["bulkhead"]["reuse"]["reason"], "continues");
  EXPECT_EQ(second.json()["usage"]["input_tokens_details"]["cached_tokens"], first["usage"]["total_tokens"]);
  // Instructions are each response's own: without them the chat begins otherwise.
  next.erase("instructions");
  const auto without = respond(served, next, one).json();
  EXPECT_LT(without["usage"]["input_tokens"], second.json()["usage"]["input_tokens"]);

  EXPECT_EQ(respond(served, next, two).status, 400);
  EXPECT_EQ(served.get("/v1/responses/" + id, two).status, 404);
  EXPECT_EQ(served.remove("/v1/responses/" + id, two).status, 404);
  EXPECT_EQ(served.get("/v1/responses/" + id, one).json(), first);
  EXPECT_EQ(served.remove("/v1/responses/" + id, one).json()["deleted"], true);
  EXPECT_EQ(served.get("/v1/responses/" + id, one).status, 404);
  EXPECT_EQ(respond(served, next, one).json()["error"]["param"], "previous_response_id");
}

TEST(Responses, WhatIsNotToBeStoredIsNot) {
  const Served served;
  auto body = response_body("What is a harbour?");
  body["store"] = false;
  const auto reply = respond(served, body).json();
  EXPECT_EQ(reply["store"], false);
  EXPECT_EQ(served.get("/v1/responses/" + reply["id"].get<std::string>()).status, 404);
}

TEST(Responses, ItemsOfEveryKindAreReadAndOthersRefusedByName) {
  const Served served;
  auto body = response_body("");
  body["input"] =
      Json::array({{{"role", "user"}, {"content", "What is a harbour?"}},
                   {{"type", "message"},
                    {"role", "assistant"},
                    {"content", Json::array({{{"type", "output_text"}, {"text", "A place."}}})}},
                   {{"role", "user"}, {"content", Json::array({{{"type", "input_text"}, {"text", "And?"}}})}}});
  EXPECT_EQ(respond(served, body).status, 200);
  const auto refused = [&](Json change, const std::string& param) {
    auto wrong = response_body("a");
    wrong.update(change);
    const auto reply = respond(served, wrong);
    EXPECT_EQ(reply.status, 400) << reply.body;
    EXPECT_EQ(reply.json()["error"]["param"], param) << reply.body;
  };
  refused({{"input", 7}}, "input");
  refused({{"input", Json::array()}}, "input");
  refused({{"input", Json::array({{{"type", "reasoning"}, {"summary", Json::array()}}})}}, "input[0].type");
  refused({{"input", Json::array({{{"role", "user"}, {"content", Json::array({{{"type", "input_image"}}})}}})}},
          "input[0].content");
  refused({{"reasoning", {{"effort", "high"}}}}, "reasoning");
  refused({{"truncation", "auto"}}, "truncation");
  refused({{"background", true}}, "background");
  refused({{"tools", Json::array({{{"type", "web_search"}}})}}, "tools[0].type");
  refused({{"text", {{"format", {{"type", "grammar"}}}}}}, "text.format");
  refused({{"previous_response_id", "resp_0"}}, "previous_response_id");
  refused({{"conversation", "conv_1"}}, "conversation");
}

TEST(Responses, TextIsInTheFormOfASchema) {
  const Served served;
  auto body = response_body("Light, please.", 100);
  body["text"]["format"] = {{"type", "json_schema"},
                            {"name", "lamp"},
                            {"strict", true},
                            {"schema",
                             {{"type", "object"},
                              {"properties", {{"state", {{"enum", {"on", "off"}}}}}},
                              {"required", {"state"}},
                              {"additionalProperties", false}}}};
  const auto reply = respond(served, body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.json()["status"], "completed");
  EXPECT_THAT(json_of(text_of(reply.json()))["state"].get<std::string>(), ::testing::AnyOf("on", "off"));
}

StoredResponse stored(const std::string& id, std::size_t bytes = 10) {
  return {.id = id, .messages = {{"user", std::string(bytes, 'a')}}, .shown = {{"id", id}}};
}

TEST(ResponseStore, KeepsEachOwnersOwnWithinBudgetAndLife) {
  using namespace std::chrono_literals;
  ResponseStore store({.bytes = 4000, .responses = 3, .life = 10s});
  const auto now = ResponseStore::Clock::now();
  store.put("a", stored("1"), now);
  EXPECT_TRUE(store.find("a", "1", now));
  EXPECT_FALSE(store.find("b", "1", now));
  for (const auto* id : {"2", "3", "4"}) store.put("a", stored(id), now + 5s);
  EXPECT_FALSE(store.find("a", "1", now + 5s)) << "three are kept";
  EXPECT_TRUE(store.find("a", "2", now + 5s));
  store.put("a", stored("5", 3000), now + 6s);
  EXPECT_TRUE(store.find("a", "5", now + 6s));
  store.put("a", stored("6", 3000), now + 6s);
  EXPECT_FALSE(store.find("a", "5", now + 6s)) << "bytes are counted";
  store.put("a", stored("7", 5000), now + 6s);
  EXPECT_FALSE(store.find("a", "7", now + 6s)) << "it is larger than all that may be kept";
  EXPECT_TRUE(store.find("a", "6", now + 6s)) << "and nothing goes for it";
  EXPECT_FALSE(store.find("a", "6", now + 16s)) << "its time is over";
}

}  // namespace
}  // namespace bulkhead::testing
