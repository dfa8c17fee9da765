// SPDX-License-Identifier: MIT
// HTTP as browsers, proxies and watchers expect it: ids, origins, pings, deadlines, limits of headers.
#include "serve/served.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

namespace bulkhead::testing {
namespace {

// What the server sends for these bytes, up to the end of an error or of the connection.
std::string answer_to(int port, const std::string& bytes) {
  const int connection = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const timeval patience{.tv_sec = 20, .tv_usec = 0};
  ::setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  EXPECT_EQ(::connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  for (std::size_t sent = 0; sent < bytes.size();) {
    const auto some = ::send(connection, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (some <= 0) break;
    sent += static_cast<std::size_t>(some);
  }
  std::string answer;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::recv(connection, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(got));
    if (answer.ends_with("}}")) break;
  }
  ::close(connection);
  return answer;
}

TEST(Http, EveryAnswerHasAnId) {
  const Served served;
  const auto named = served.get("/v1/models", {{"X-Request-Id", "abc"}});
  EXPECT_EQ(named.headers.find("X-Request-Id")->second, "abc");
  std::vector<std::string> made;
  for (const auto& reply : {served.get("/v1/models"), served.get("/nothing"), served.post("/v1/messages", "{"),
                            served.get("/v1/models", {{"X-Request-Id", std::string(300, 'a')}})}) {
    const auto id = reply.headers.find("X-Request-Id");
    ASSERT_NE(id, reply.headers.end());
    EXPECT_EQ(std::find(made.begin(), made.end(), id->second), made.end());
    made.push_back(id->second);
    EXPECT_LT(id->second.size(), 64U);
  }
}

TEST(Http, NoOtherOriginIsServed) {
  const Served served;
  const auto host = "127.0.0.1:" + std::to_string(served.port());
  const auto body = json_text(chat_body({"hi"}));
  for (const auto& origin : {std::string("http://evil.example"), std::string("null"),
                             "http://" + host + ".evil.example", std::string("http://127.0.0.1:1"), std::string("x")}) {
    const auto reply = served.post("/v1/chat/completions", body, {{"Origin", origin}});
    EXPECT_EQ(reply.status, 403) << origin;
    EXPECT_EQ(reply.headers.find("Access-Control-Allow-Origin"), reply.headers.end());
  }
  EXPECT_EQ(served.get("/v1/partitions").json()["data"].size(), 0U) << "nothing was done for them";
  EXPECT_EQ(served.post("/v1/chat/completions", body, {{"Origin", "http://" + host}}).status, 200);
  auto client = served.client();
  const auto preflight = client.Options("/v1/chat/completions",
                                        {{"Origin", "http://evil.example"}, {"Access-Control-Request-Method", "POST"}});
  ASSERT_TRUE(preflight);
  EXPECT_EQ(preflight->status, 204);
  for (const auto& [name, value] : preflight->headers) EXPECT_FALSE(name.starts_with("Access-Control")) << name;
}

TEST(Http, AnswersCarryWhatKeepsThemOutOfPages) {
  const Served served;
  for (const auto& reply : {served.get("/v1/models"), served.get("/nothing"), served.chat(chat_body({"hi"}))}) {
    for (const auto& [name, value] : {std::pair{"X-Content-Type-Options", "nosniff"},
                                      {"Cache-Control", "no-store"},
                                      {"Referrer-Policy", "no-referrer"},
                                      {"X-Frame-Options", "DENY"},
                                      {"Cross-Origin-Resource-Policy", "same-origin"},
                                      {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"}}) {
      ASSERT_EQ(reply.headers.count(name), 1U) << name;
      EXPECT_EQ(reply.headers.find(name)->second, value);
    }
  }
}

TEST(Http, HeadIsGetWithoutABody) {
  const Served served;
  auto client = served.client();
  for (const auto* path : {"/health", "/v1/models", "/v1/models/none", "/v1/partitions", "/metrics", "/slots"}) {
    const auto head = client.Head(path);
    const auto get = served.get(path);
    ASSERT_TRUE(head) << path;
    EXPECT_EQ(head->status, get.status) << path;
    EXPECT_TRUE(head->body.empty());
    EXPECT_EQ(head->get_header_value("Content-Length"), std::to_string(get.body.size())) << path;
  }
}

TEST(Http, APathSaysWhichMethodsItTakes) {
  const Served served({.api_keys = {"one"}});
  auto client = served.client();
  const httplib::Headers key = {{"Authorization", "Bearer one"}};
  for (const auto& [path, methods] : {std::pair{"/v1/partitions/x", "GET, HEAD, DELETE, OPTIONS"},
                                      {"/v1/partitions", "GET, HEAD, POST, OPTIONS"},
                                      {"/v1/chat/completions", "POST, OPTIONS"},
                                      {"/page.js", "GET, HEAD, OPTIONS"},
                                      {"/no/such/path", "GET, HEAD, POST, DELETE, OPTIONS"}}) {
    const auto options = client.Options(path);
    ASSERT_TRUE(options);
    EXPECT_EQ(options->get_header_value("Allow"), methods) << path;
  }
  const auto head = client.Head("/v1/messages", key);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 405);
  EXPECT_EQ(head->get_header_value("Allow"), "POST, OPTIONS");
  EXPECT_TRUE(head->body.empty());
  EXPECT_EQ(served.get("/v1/messages").status, 401) << "what a path takes is told to those who have a key";
  EXPECT_EQ(served.get("/v1/partitions/x/y", key).status, 404);
  EXPECT_EQ(served.get("/v1/partitions/x/fork/y", key).status, 404);
  EXPECT_EQ(served.post("/v1/message", "{}", key).status, 404);
}

TEST(Http, SlotsAreTheAskersPartitionsWithoutTheirText) {
  const Served served({.api_keys = {"one", "two"}});
  const httplib::Headers one = {{"Authorization", "Bearer one"}};
  ASSERT_EQ(served.chat(chat_body({"a canary that nobody may read"}), one).status, 200);
  const auto slots = served.get("/slots", one);
  ASSERT_EQ(slots.json().size(), 1U);
  EXPECT_EQ(slots.json()[0]["is_processing"], false);
  EXPECT_GT(slots.json()[0]["n_tokens"], 0);
  EXPECT_EQ(slots.body.find("canary"), std::string::npos);
  EXPECT_EQ(served.get("/slots", {{"Authorization", "Bearer two"}}).body, "[]");
}

TEST(Http, AModelHasSeveralNames) {
  const Served served({.model_name = "first", .aliases = {"second", "third"}});
  for (const auto* name : {"first", "second", "third", "default", ""}) {
    auto body = chat_body({"hi"});
    body["model"] = name;
    const auto reply = served.chat(body);
    EXPECT_EQ(reply.status, 200) << name;
    EXPECT_EQ(reply.json()["model"], "first");
  }
  EXPECT_EQ(served.get("/v1/models/third").json()["id"], "first");
  EXPECT_EQ(served.get("/v1/models").json()["data"][0]["aliases"], (Json{"second", "third"}));
  EXPECT_EQ(served.get("/v1/models/fourth").status, 404);
}

TEST(Http, WhatIsNoProperHttpIsRefusedAndTheServerGoesOn) {
  const Served served;
  const std::string body = R"({"content": "a"})";
  const auto length = "Content-Length: " + std::to_string(body.size()) + "\r\n";
  const std::string host = "Host: x\r\nConnection: close\r\n";
  std::string many;
  for (int i = 0; i < 400; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  for (const auto& [bytes, status] : std::vector<std::pair<std::string, std::string>>{
           {"GET /health HTTP/1.1\r\n" + host + "X-Long: " + std::string(100'000, 'a') + "\r\n\r\n", "400"},
           {"GET /health HTTP/1.1\r\n" + host + many + "\r\n", "400"},
           {"GET /" + std::string(40'000, 'a') + " HTTP/1.1\r\n" + host + "\r\n", ""},
           {"GARBAGE\r\n" + host + "\r\n", "400"},
           {"GET /health HTTP/9.9\r\n" + host + "\r\n", "400"},
           {"BREW /health HTTP/1.1\r\n" + host + "\r\n", "400"},
           {"POST /tokenize HTTP/1.1\r\n" + host + "Content-Length: -5\r\n\r\n", "400"},
           {"POST /tokenize HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", "4"},
           {"POST /tokenize HTTP/1.1\r\n" + host + length + "Transfer-Encoding: chunked\r\n\r\n" + body, "400"},
           {"POST /tokenize HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400"}}) {
    const auto answer = answer_to(served.port(), bytes);
    const bool right = status.empty() ? answer.empty() : answer.starts_with("HTTP/1.1 " + status);
    EXPECT_TRUE(right) << bytes.substr(0, 60) << "\n" << answer.substr(0, 200);
  }
  EXPECT_EQ(served.post("/tokenize", body).status, 200);
  EXPECT_EQ(served.service().counters().in_flight, 0U);
}

// So many answers are computed at the same time that a further one must wait.
class Busy : public ::testing::Test {
 protected:
  Busy() {
    for (int i = 0; i < 4; ++i) {
      busy_.emplace_back([this, i] {
        auto body = chat_body({"one of many " + std::to_string(i)}, 3900);
        body["n"] = 16;
        body["stream"] = true;
        body["ignore_eos"] = true;
        auto client = served.client();
        static_cast<void>(client.Post("/v1/chat/completions", httplib::Headers{}, json_text(body), "application/json",
                                      [&](const char*, std::size_t) { return !enough_.load(); }));
      });
    }
    while (served.service().desk_status().running < 64) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ~Busy() override { quiet(); }
  void quiet() {
    enough_ = true;
    busy_.clear();
  }

  Served served{{.ping = std::chrono::seconds(0)}, {.partitions = 200}, kTinyContext};

 private:
  std::atomic<bool> enough_ = false;
  std::vector<std::jthread> busy_;
};

TEST_F(Busy, AStreamThatWaitsHasItsHeadAndPings) {
  auto body = chat_body({"the one that waits"}, 4);
  const auto streamed = [&](const std::function<bool(const std::string&)>& more) {
    body["stream"] = true;
    auto client = served.client();
    std::string text;
    static_cast<void>(client.Post("/v1/chat/completions", httplib::Headers{}, json_text(body), "application/json",
                                  [&](const char* data, std::size_t size) {
                                    text.append(data, size);
                                    return more(text);
                                  }));
    return text;
  };
  const auto text = streamed([&](const std::string& so_far) {
    if (so_far.find("data: ") == std::string::npos) quiet();  // a ping came while it waited
    return true;
  });
  EXPECT_TRUE(text.starts_with(": ping\n\n")) << text.substr(0, 80);
  EXPECT_TRUE(text.ends_with("data: [DONE]\n\n")) << text;
}

TEST_F(Busy, AClientThatLeavesWhileItWaitsIsForgotten) {
  const auto& counters = served.service().counters();
  ASSERT_EQ(counters.in_flight, 4U);
  for (const bool stream : {true, false}) {
    auto body = chat_body({"the one that leaves"}, 4);
    body["stream"] = stream;
    auto client = served.client();
    client.set_read_timeout(std::chrono::milliseconds(300));
    int pieces = 0;
    static_cast<void>(client.Post("/v1/chat/completions", httplib::Headers{}, json_text(body), "application/json",
                                  [&](const char*, std::size_t) { return ++pieces < 2; }));
    client.stop();
    while (counters.in_flight > 4) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(served.service().desk_status().waiting, 0U);
    EXPECT_EQ(counters.failed, 0U) << "nobody's fault";
  }
  EXPECT_EQ(counters.completion_tokens, 0U) << "it left before anybody's answer ended";
}

TEST_F(Busy, StoppedWhatWaitsIsToldSoAndWhatRunsEnds) {
  Served::Reply waited;
  std::jthread waits([&] { waited = served.chat(chat_body({"the one that waits"}, 4)); });
  while (served.service().desk_status().waiting == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  served.stop();
  waits.join();
  EXPECT_EQ(waited.status, 503) << waited.body;
  EXPECT_EQ(waited.json()["error"]["type"], "unavailable_error");
  EXPECT_EQ(served.service().counters().in_flight, 0U);
  EXPECT_EQ(served.service().counters().cancelled, 64U) << "four answers of sixteen choices";
}

TEST(Http, AnAnswerEndsAtTheDeadlineAsItIsThen) {
  const Served served({.deadline = std::chrono::seconds(1)}, {.partitions = 100}, kTinyContext);
  auto body = chat_body({"a very long one"}, 3900);
  body["n"] = 16;
  body["ignore_eos"] = true;
  const auto whole = served.chat(body);
  ASSERT_EQ(whole.status, 200) << whole.body;
  EXPECT_EQ(whole.json()["choices"][0]["finish_reason"], "length");
  EXPECT_LT(whole.json()["usage"]["completion_tokens"], 16 * 3900);
  EXPECT_GT(whole.json()["usage"]["completion_tokens"], 0);
}

}  // namespace
}  // namespace bulkhead::testing
