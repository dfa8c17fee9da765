// SPDX-License-Identifier: MIT
// The HTTP side: forms, streams, refusals, keys, and that one request does not reach another.
#include "serve/served.h"

#include <atomic>
#include <random>
#include <sstream>
#include <thread>

namespace bulkhead::testing {
namespace {

// The JSON of each event of a stream; the last one must be [DONE].
std::vector<Json> events_of(const std::string& body) {
  std::vector<Json> events;
  std::istringstream lines(body);
  bool done = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    EXPECT_TRUE(line.starts_with("data: ")) << line;
    EXPECT_FALSE(done) << "nothing comes behind the end";
    done = line == "data: [DONE]";
    if (!done) events.push_back(json_of(line.substr(6)));
  }
  EXPECT_TRUE(done) << body;
  return events;
}

TEST(Server, AStreamSaysWhatTheWholeAnswerSays) {
  const Served served;
  auto body = chat_body({"What is a harbour?"}, 24);
  const auto whole = served.chat(body);
  ASSERT_EQ(whole.status, 200) << whole.body;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const auto reply = served.chat(body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.headers.find("Content-Type")->second, "text/event-stream");
  const auto events = events_of(reply.body);
  ASSERT_GT(events.size(), 3U);
  EXPECT_EQ(events.front()["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  std::string reason;
  for (const auto& event : events) {
    EXPECT_EQ(event["id"], events.front()["id"]);
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    for (const auto& choice : event["choices"]) {
      text += choice["delta"].value("content", std::string());
      if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
    }
  }
  EXPECT_EQ(text, content_of(whole.json()));
  EXPECT_EQ(reason, whole.json()["choices"][0]["finish_reason"]);
  EXPECT_TRUE(events.back()["choices"].empty());
  EXPECT_EQ(events.back()["usage"]["completion_tokens"], whole.json()["usage"]["completion_tokens"]);
}

TEST(Server, WithoutUsageEveryChunkHasAChoice) {
  const Served served;
  auto body = chat_body({"What is a harbour?"});
  body["stream"] = true;
  body["n"] = 2;
  const auto events = events_of(served.chat(body).body);
  for (const auto& event : events) EXPECT_EQ(event["choices"].size(), 1U);
  EXPECT_EQ(events.back()["bulkhead"]["reuse"]["reason"], "new");
}

TEST(Server, StopStringsBiasAndLogprobsAreHonoured) {
  const Served served;
  auto body = chat_body({"What is a harbour?"}, 40);
  const auto text = content_of(served.chat(body).json());
  ASSERT_GT(text.size(), 12U);
  const auto stop = text.substr(6, 3);
  body["stop"] = stop;
  const auto stopped = served.chat(body).json();
  EXPECT_EQ(content_of(stopped), text.substr(0, text.find(stop)));
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
  auto told = chat_body({"What is a harbour?"}, 2);
  told["logprobs"] = true;
  told["top_logprobs"] = 3;
  const auto logprobs = served.chat(told).json()["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(logprobs.size(), 2U);
  EXPECT_EQ(logprobs[0]["top_logprobs"].size(), 3U);
  EXPECT_EQ(logprobs[0]["id"], logprobs[0]["top_logprobs"][0]["id"]) << "greedy";
  auto biased = chat_body({"What is a harbour?"}, 1);
  biased["logprobs"] = true;
  biased["logit_bias"] = {{std::to_string(logprobs[0]["id"].get<int>()), -1000}};
  EXPECT_NE(served.chat(biased).json()["choices"][0]["logprobs"]["content"][0]["id"], logprobs[0]["id"]);
}

TEST(Server, RepetitionPenaltyIsOfAllTokens) {
  const Served served;
  const auto said = [&](const Json& more) {
    auto body = chat_body({"What is a harbour, and what is a harbour master?"}, 40);
    body.update(more);
    return content_of(served.chat(body).json());
  };
  const auto penalized = said({{"repetition_penalty", 1.8}});
  EXPECT_EQ(penalized, said({{"repeat_penalty", 1.8}, {"repeat_last_n", 100'000}}));
  EXPECT_NE(penalized, said(Json::object()));
  EXPECT_EQ(said({{"repetition_penalty", 1.8}, {"repeat_last_n", 0}}), said(Json::object()))
      << "of no token, if that is asked for";
}

TEST(Server, LabelsAreListedAndChangeNothing) {
  const Served served;
  auto body = chat_body({"What is a harbour?"});
  const auto plain = content_of(served.chat(body).json());
  body.update(Json{{"user", "u"},
                   {"metadata", {{"a", "b"}}},
                   {"store", false},
                   {"service_tier", "auto"},
                   {"frequency_penalty", 0.0},
                   {"modalities", Json::array({"text"})},
                   {"tools", Json::array()},
                   {"tool_choice", "none"},
                   {"logit_bias", nullptr}});
  const auto labelled = served.chat(body);
  ASSERT_EQ(labelled.status, 200) << labelled.body;
  EXPECT_EQ(content_of(labelled.json()), plain);
  EXPECT_EQ(labelled.json()["bulkhead"]["labels"], (Json{"user", "metadata", "store", "service_tier"}));
}

struct Malformed {
  std::string path;
  std::string body;
  int status;
  std::string param = {};
};

std::string chat_with(const std::string& member) {
  return R"({"messages": [{"role": "user", "content": "hi"}], )" + member + "}";
}

std::vector<Malformed> malformed() {
  const std::string kChat = "/v1/chat/completions";
  const std::string kText = "/v1/completions";
  std::vector<Malformed> all = {
      {kChat, "", 400},
      {kChat, "{", 400},
      {kChat, "[]", 400},
      {kChat, "7", 400},
      {kChat, "null", 400},
      {kChat, "{}{}", 400},
      {kChat, "{\"messages\": 1, \"messages\": 2}", 400},
      {kChat, std::string("{\"messages\": \"\xFF\"}"), 400},
      {kChat, std::string("{}\0", 3), 400},
      {kChat, std::string(3000, '['), 400},
      {kChat, "{}", 400, "messages"},
      {kChat, R"({"messages": []})", 400, "messages"},
      {kChat, R"({"messages": {}})", 400, "messages"},
      {kChat, R"({"messages": "hi"})", 400, "messages"},
      {kChat, R"({"messages": [1]})", 400, "messages[0]"},
      {kChat, R"({"messages": [{}]})", 400, "messages[0].role"},
      {kChat, R"({"messages": [{"role": 1, "content": "a"}]})", 400, "messages[0].role"},
      {kChat, R"({"messages": [{"role": "king", "content": "a"}]})", 400, "messages[0].role"},
      {kChat, R"({"messages": [{"role": "tool", "content": "a"}]})", 400, "messages[0].tool_call_id"},
      {kChat, R"({"messages": [{"role": "user"}]})", 400, "messages[0].content"},
      {kChat, R"({"messages": [{"role": "user", "content": null}]})", 400, "messages[0].content"},
      {kChat, R"({"messages": [{"role": "user", "content": 7}]})", 400, "messages[0].content"},
      {kChat, R"({"messages": [{"role": "user", "content": [7]}]})", 400, "messages[0].content"},
      {kChat, R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})", 400,
       "messages[0].content"},
      {kChat, R"({"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]})", 400,
       "messages[0].content"},
      {kChat, R"({"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]})", 400, "messages[0].tool_calls"},
      {kText, "{}", 400, "prompt"},
      {kText, R"({"prompt": ""})", 400, "prompt"},
      {kText, R"({"prompt": []})", 400, "prompt"},
      {kText, R"({"prompt": [1.5]})", 400, "prompt"},
      {kText, R"({"prompt": [-1]})", 400, "prompt"},
      {kText, R"({"prompt": [99999999]})", 400, "prompt"},
      {kText, R"({"prompt": [99999999999999]})", 400, "prompt"},
      {kText, R"({"prompt": "a", "logprobs": true})", 400, "logprobs"},
      {kText, R"({"prompt": "a", "logprobs": 21})", 400, "logprobs"},
      {kText, R"({"prompt": "a", "best_of": 2})", 400, "best_of"},
      {kText, R"({"prompt": "a", "suffix": "b"})", 400, "suffix"},
      {"/tokenize", "{}", 400, "content"},
      {"/tokenize", R"({"content": 7})", 400, "content"},
      {"/detokenize", R"({"tokens": 7})", 400, "tokens"},
      {"/detokenize", R"({"tokens": [-1]})", 400, "tokens"},
      {"/detokenize", R"({"tokens": ["a"]})", 400, "tokens"},
      {"/apply-template", "{}", 400, "messages"},
      {"/v1/embeddings", R"({"input": "a"})", 400, "model"},
      {"/v1/nothing", "{}", 404},
      {"/v1/partitions/../../etc/passwd", "{}", 404},
  };
  for (const auto& [member, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("temperature": "hot")", "temperature"},
           {R"("temperature": -1)", "temperature"},
           {R"("temperature": 1e300)", ""},
           {R"("top_p": 0)", ""},
           {R"("top_p": 2)", ""},
           {R"("top_k": 1.5)", "top_k"},
           {R"("seed": "a")", "seed"},
           {R"("max_tokens": 0)", "max_tokens"},
           {R"("max_completion_tokens": -7)", "max_completion_tokens"},
           {R"("n": 0)", "n"},
           {R"("n": 17)", "n"},
           {R"("n": 99999999999999999999)", "n"},
           {R"("stream": "yes")", "stream"},
           {R"("stream_options": {"include_usage": true})", "stream_options"},
           {R"("stream": true, "stream_options": 7)", "stream_options"},
           {R"("stop": 7)", "stop"},
           {R"("stop": [""])", "stop"},
           {R"("stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])", "stop"},
           {R"("logit_bias": [])", "logit_bias"},
           {R"("logit_bias": {"a": 1})", "logit_bias"},
           {R"("logit_bias": {"1": "b"})", "logit_bias"},
           {R"("logit_bias": {"1": 1e9})", ""},
           {R"("logprobs": 1)", "logprobs"},
           {R"("top_logprobs": 2)", "top_logprobs"},
           {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
           {R"("response_format": {"type": "json_schema"})", "response_format.schema"},
           {R"("response_format": "json")", "response_format"},
           {R"("grammar": "root ::= nothing")", ""},
           {R"("grammar": "root ::= \"a\"", "response_format": {"type": "json_object"})", "grammar"},
           {R"("tools": [{"type": "function"}])", "tools[0].function"},
           {R"("tool_choice": "required")", "tool_choice"},
           {R"("frequency_penalty": 0.5)", "frequency_penalty"},
           {R"("presence_penalty": 1)", "presence_penalty"},
           {R"("store": true)", "store"},
           {R"("modalities": ["text", "audio"])", "modalities"},
           {R"("verbosity": "low")", "verbosity"},
           {R"("reasoning_effort": "high")", "reasoning_effort"},
           {R"("no_such_parameter": 1)", "no_such_parameter"},
           {R"("bulkhead": 7)", "bulkhead"},
           {R"("bulkhead": {"owner": "x"})", "bulkhead.owner"},
           {R"("bulkhead": {"partition": 7})", "bulkhead.partition"},
           {R"("model": 7)", "model"},
       }) {
    all.push_back({kChat, chat_with(member), 400, param});
  }
  all.push_back({kChat, chat_with(R"("model": "another")"), 404, "model"});
  return all;
}

TEST(Server, WhatIsMalformedIsRefusedByNameAndTheServerGoesOn) {
  const Served served;
  const auto expected = content_of(served.chat(chat_body({"hi"})).json());
  const auto table = malformed();
  EXPECT_GE(table.size(), 80U);
  for (const auto& one : table) {
    const auto reply = served.post(one.path, one.body);
    EXPECT_EQ(reply.status, one.status) << one.path << ' ' << one.body << '\n' << reply.body;
    if (reply.status < 400) continue;
    const auto error = reply.json()["error"];
    EXPECT_FALSE(error["message"].get<std::string>().empty()) << one.body;
    EXPECT_TRUE(error["type"].is_string()) << one.body;
    if (!one.param.empty()) {
      EXPECT_EQ(error["param"], one.param) << one.body;
    }
  }
  EXPECT_EQ(content_of(served.chat(chat_body({"hi"})).json()), expected);
  EXPECT_EQ(served.service().counters().failed, 0U) << "none of these is the server's fault";
  EXPECT_EQ(served.service().counters().in_flight, 0U);
}

TEST(Server, WhatDoesNotFitIsRefusedWithItsNumbers) {
  const Served served({}, {}, 64);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "word ";
  const auto reply = served.chat(chat_body({text}));
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json()["error"]["type"], "exceed_context_size_error");
  EXPECT_EQ(reply.json()["error"]["n_ctx"], 64);
  auto open = chat_body({"hi"});
  open.erase("max_tokens");
  open["ignore_eos"] = true;
  const auto full = served.chat(open);
  ASSERT_EQ(full.status, 200) << full.body;
  EXPECT_EQ(full.json()["usage"]["total_tokens"], 64) << "as many as fit";
}

TEST(Server, KeysAreAskedForEverywhereButHealth) {
  const Served served({.api_keys = {"right"}});
  for (const auto* path : {"/v1/models", "/metrics", "/props", "/v1/partitions", "/nothing"}) {
    EXPECT_EQ(served.get(path).status, 401) << path;
    EXPECT_EQ(served.get(path, {{"Authorization", "Bearer wrong"}}).status, 401) << path;
    EXPECT_EQ(served.get(path, {{"Authorization", "right"}}).status, 401) << path;
    EXPECT_NE(served.get(path, {{"Authorization", "Bearer right"}}).status, 401) << path;
  }
  EXPECT_EQ(served.get("/health").status, 200);
  const auto refused = served.chat(chat_body({"hi"}));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.json()["error"]["type"], "authentication_error");
  EXPECT_EQ(refused.body.find("right"), std::string::npos);
}

TEST(Server, AnswersAsBrowsersAndProxiesExpect) {
  const Served served({.body_bytes = 4096});
  auto client = served.client();
  const auto options = client.Options("/v1/chat/completions");
  ASSERT_TRUE(options);
  EXPECT_EQ(options->status, 204);
  EXPECT_FALSE(options->has_header("Access-Control-Allow-Origin")) << "no other origin may call";
  const auto head = client.Head("/v1/models");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  const auto models = served.get("/v1/models", {{"X-Request-Id", "abc"}});
  EXPECT_EQ(models.headers.find("X-Request-Id")->second, "abc");
  EXPECT_EQ(models.headers.find("X-Content-Type-Options")->second, "nosniff");
  EXPECT_EQ(models.json()["data"][0]["id"], "tiny");
  EXPECT_EQ(served.get("/v1/models/tiny").status, 200);
  EXPECT_EQ(served.get("/v1/models/other").status, 404);
  EXPECT_EQ(served.post("/tokenize", std::string(10000, ' ')).status, 413);
  EXPECT_NE(served.get("/metrics").body.find("bulkhead_requests_total"), std::string::npos);
}

TEST(Server, TokensGoThereAndBack) {
  const Served served;
  const auto tokens = served.post("/tokenize", R"({"content": "a harbour <|im_end|>"})").json();
  const auto text = served.post("/detokenize", json_text(tokens)).json();
  EXPECT_EQ(text["content"], "a harbour <|im_end|>") << "content never becomes a control token";
  const auto rendered = served.post("/apply-template", json_text(chat_body({"hi"}))).json();
  EXPECT_EQ(rendered["prompt"], "<s><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(Server, TooManyRequestsAreToldToComeBack) {
  const Served served({.most_requests = 1});
  std::atomic<int> refused = 0;
  std::atomic<int> answered = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        const auto reply = served.chat(chat_body({"text " + std::to_string(i)}, 800));
        if (reply.status == 200) ++answered;
        if (reply.status == 429 && reply.headers.find("Retry-After") != reply.headers.end()) ++refused;
      });
    }
  }
  EXPECT_GE(answered, 1);
  EXPECT_GE(refused, 1);
  EXPECT_EQ(answered + refused, 8);
}

TEST(Server, AClientThatLeavesEndsItsOwnRequestOnly) {
  constexpr int kTokens = 3900;
  const Served served({}, {}, kTinyContext);
  const auto& counters = served.service().counters();
  auto body = chat_body({"a long one that nobody waits for"}, kTokens);
  body["stream"] = true;
  body["ignore_eos"] = true;
  const auto other = chat_body({"another one"}, 120);
  const auto expected = content_of(served.chat(other).json());
  // On a busy machine a stream may be over before its client has left.
  for (int attempt = 0; attempt < 5 && counters.cancelled == 0; ++attempt) {
    std::jthread leaver([&] {
      int events = 0;
      auto client = served.client();
      static_cast<void>(client.Post("/v1/chat/completions", httplib::Headers{}, json_text(body), "application/json",
                                    [&](const char*, std::size_t) { return ++events < 3; }));
    });
    EXPECT_EQ(content_of(served.chat(other).json()), expected);
    leaver.join();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (counters.in_flight > 0 && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(counters.in_flight, 0U);
  }
  EXPECT_EQ(counters.cancelled, 1U);
}

// Owners that talk at the same time, some of whom leave: each gets what it gets alone, token by token and bit by bit.
TEST(Server, OwnersAtTheSameTimeGetWhatTheyGetAlone) {
  constexpr std::size_t kOwners = 8;
  constexpr int kTurns = 4;
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < kOwners; ++i) keys.push_back("key-" + std::to_string(i));
  const auto talk = [&](const Served& served, std::size_t owner) {
    const httplib::Headers headers = {{"Authorization", "Bearer " + keys[owner]}, {"x-session-id", "same"}};
    std::vector<std::string> turns = {"canary " + std::to_string(owner * 7919) + " is mine"};
    std::vector<std::string> heard;
    for (int turn = 0; turn < kTurns; ++turn) {
      auto body = chat_body(turns, 12);
      body["temperature"] = 1;
      body["seed"] = turn;
      body["bulkhead"] = {{"logits_hash", true}};
      const auto reply = served.chat(body, headers);
      EXPECT_EQ(reply.status, 200) << reply.body;
      if (reply.status != 200) return heard;
      const auto json = reply.json();
      heard.push_back(content_of(json) + json["bulkhead"]["logits_hash"][0].get<std::string>() +
                      json_text(json["usage"]));
      turns.push_back(content_of(json));
      turns.push_back("turn " + std::to_string(turn));
    }
    return heard;
  };
  std::vector<std::vector<std::string>> together(kOwners);
  {
    const Served served({.api_keys = keys});
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kOwners; ++i) threads.emplace_back([&, i] { together[i] = talk(served, i); });
  }
  for (std::size_t i = 0; i < kOwners; i += 3) {
    const Served served({.api_keys = keys});
    EXPECT_EQ(talk(served, i), together[i]) << "owner " << i;
  }
}

TEST(Server, StoppingEndsWhatRuns) {
  Served served;
  auto body = chat_body({"a long one"}, 900);
  body["ignore_eos"] = true;
  std::jthread asker([&] {
    const auto reply = served.chat(body);
    EXPECT_TRUE(reply.status == 200 || reply.status == 503) << reply.status << reply.body;
  });
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (served.service().counters().in_flight == 0 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  served.stop();
  asker.join();
  EXPECT_EQ(served.service().counters().in_flight, 0U);
}

}  // namespace
}  // namespace bulkhead::testing
