// SPDX-License-Identifier: MIT
// Many owners at the same time, who use the same names and leave in the middle: nothing of one reaches another, and
// each gets, text by text and bit by bit, what it gets alone.
//
// BULKHEAD_CROSS_OWNERS, BULKHEAD_CROSS_REQUESTS: how many (default: few); BULKHEAD_CROSS_MODEL: a GGUF file (default:
// a tiny model of noise). scripts/cross_owner.sh runs the long form.
#include "serve/served.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <iostream>
#include <iterator>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

namespace bulkhead::testing {
namespace {

enum class AsForm { kChat, kMessages, kCompletion };

// What came of one request: its text, and the hash of its logits where it ended.
struct Heard {
  std::string text = {};
  std::string hash = {};
  std::string how = {};  // for people: its partition and what was reused
};

std::string text_of_event(const Json& event) {
  if (event.value("type", "") == "content_block_delta") return event["delta"]["text"].get<std::string>();
  std::string text;
  for (const auto& choice : event.value("choices", Json::array())) {
    text += choice.contains("delta") ? choice["delta"].value("content", "") : choice.value("text", "");
  }
  return text;
}

// Of whole events; what a client has of one that is not complete yet does not count.
Heard heard_in_stream(const std::string& body) {
  Heard heard;
  std::size_t begin = 0;
  for (auto end = body.find("\n\n"); end != std::string::npos; begin = end + 2, end = body.find("\n\n", begin)) {
    const auto block = body.substr(begin, end - begin);
    const auto data = block.find("data: {");
    if (data == std::string::npos) continue;
    const auto event = json_of(block.substr(data + 6));
    heard.text += text_of_event(event);
    if (!event.contains("bulkhead")) continue;
    heard.hash = event["bulkhead"]["logits_hash"][0];
    heard.how = json_text(event["bulkhead"]);
  }
  return heard;
}

Heard heard_whole(AsForm form, const Json& reply) {
  Heard heard{.hash = reply["bulkhead"]["logits_hash"][0], .how = json_text(reply["bulkhead"])};
  if (form == AsForm::kMessages) {
    for (const auto& block : reply["content"]) heard.text += block["text"].get<std::string>();
  } else {
    const auto& choice = reply["choices"][0];
    heard.text =
        form == AsForm::kChat ? choice["message"]["content"].get<std::string>() : choice["text"].get<std::string>();
  }
  return heard;
}

std::string path_of(AsForm form) {
  return form == AsForm::kChat       ? "/v1/chat/completions"
         : form == AsForm::kMessages ? "/v1/messages"
                                     : "/v1/completions";
}

std::string canary_of(std::size_t owner) {
  return fmt::format("kestrel{:05}", (owner + 1) * 7919 % 99991);
}

// One owner with several agents, whose names are those that all other owners use. What it does depends on its number
// alone, and on what it hears.
class Talker {
 public:
  struct Record {
    std::vector<Heard> heard = {};          // of each request that was answered
    std::vector<std::string> partial = {};  // of each, what was heard of it before, when its client had left
    std::vector<std::string> bodies = {};   // all that came from the server
    std::size_t requests = 0;
  };

  Talker(const Served& served, std::size_t number, bool leaves) : served_(served), number_(number), leaves_(leaves) {
    headers_ = {{"Authorization", "Bearer key-" + std::to_string(number)}};
    knows_chats_ = served.service().facts().chat_template;
  }

  [[nodiscard]] Record talk(std::size_t requests) {
    for (std::size_t turn = 0; turn < requests && !::testing::Test::HasFailure(); ++turn) step(turn);
    return std::move(record_);
  }

 private:
  using Agent = std::vector<Json>;  // its messages so far

  void step(std::size_t turn) {
    const auto which = draw(agents_.size());
    auto& agent = agents_[which];
    if (agent.size() > 8) agent.clear();
    auto form = std::array{AsForm::kChat, AsForm::kChat, AsForm::kMessages, AsForm::kCompletion}[draw(4)];
    if (!knows_chats_) form = AsForm::kCompletion;
    const auto text = fmt::format("The code is {}. Say the code again. Turn {}, {}.", canary_of(number_), turn,
                                  draw(2) == 0 ? "please" : "now");
    agent.push_back({{"role", "user"}, {"content", text}});
    auto body = body_of(form, agent, text);
    if (which == 0) body["bulkhead"]["partition"] = "notes";
    auto headers = headers_;
    if (which > 1) headers.emplace("x-session-id", "session-" + std::to_string(which));
    const bool stream = draw(2) == 0;
    const auto leave = draw(4);
    const auto events = 1 + draw(5);
    if (leave == 0) {
      record_.partial.push_back(leaves_ ? leave_after(path_of(form), body, headers, events) : "");
    } else {
      record_.partial.emplace_back();
    }
    const auto heard = ask(form, body, headers, stream);
    record_.heard.push_back(heard);
    if (form == AsForm::kCompletion && knows_chats_) {
      agent.pop_back();
    } else {
      agent.push_back({{"role", "assistant"}, {"content", heard.text}});
    }
    if (draw(4) == 0) look_around();
  }

  // How a model that knows no chats is talked with.
  [[nodiscard]] static std::string transcript_of(const Agent& agent) {
    std::string text;
    for (const auto& message : agent) text += message["content"].get<std::string>() + "\n";
    return text;
  }

  [[nodiscard]] Json body_of(AsForm form, const Agent& agent, const std::string& text) {
    Json body = {{"max_tokens", 3 + draw(8)}, {"temperature", 1}, {"bulkhead", {{"logits_hash", true}}}};
    if (form == AsForm::kCompletion) {
      body["prompt"] = knows_chats_ ? text : transcript_of(agent);
    } else {
      body["messages"] = agent;
    }
    const auto seed = draw(1000);
    if (form == AsForm::kMessages) {
      body["temperature"] = 0;  // it has no seed
    } else {
      body["seed"] = seed;
    }
    return body;
  }

  [[nodiscard]] Heard ask(AsForm form, Json body, const httplib::Headers& headers, bool stream) {
    body["stream"] = stream;
    ++record_.requests;
    const auto reply = served_.post(path_of(form), json_text(body), headers);
    EXPECT_EQ(reply.status, 200) << reply.body;
    if (reply.status != 200) return {};
    record_.bodies.push_back(reply.body);
    return stream ? heard_in_stream(reply.body) : heard_whole(form, reply.json());
  }

  // Goes away after so many pieces of the stream, and comes again once that is noticed: what is in use is nobody's
  // history.
  [[nodiscard]] std::string leave_after(const std::string& path, Json body, const httplib::Headers& headers,
                                        std::size_t pieces) {
    body["stream"] = true;
    body["max_tokens"] = 100;
    ++record_.requests;
    std::string text;
    std::size_t came = 0;
    auto client = served_.client();
    static_cast<void>(
        client.Post(path, headers, json_text(body), "application/json", [&](const char* data, std::size_t size) {
          text.append(data, size);
          return ++came < pieces;
        }));
    client.stop();
    while (is_busy()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    record_.bodies.push_back(text);
    return heard_in_stream(text).text;
  }

  [[nodiscard]] bool is_busy() const {
    const auto slots = served_.get("/slots", headers_).json();
    return std::any_of(slots.begin(), slots.end(), [](const Json& slot) { return slot["is_processing"].get<bool>(); });
  }

  void look_around() {
    for (const auto* path : {"/v1/partitions", "/v1/partitions/notes", "/slots", "/metrics", "/props", "/v1/models"}) {
      record_.bodies.push_back(served_.get(path, headers_).body);
    }
  }

  [[nodiscard]] std::size_t draw(std::size_t below) { return random_() % below; }

  const Served& served_;
  std::size_t number_;
  bool leaves_;
  bool knows_chats_ = true;
  httplib::Headers headers_;
  std::mt19937 random_{static_cast<std::mt19937::result_type>(number_ + 1)};
  std::array<Agent, 4> agents_;
  Record record_;
};

// Canaries in what `owner` was told, by whose they are.
std::vector<std::size_t> canaries_in(const std::vector<std::string>& bodies, std::size_t owners) {
  std::vector<std::size_t> found(owners, 0);
  for (std::size_t one = 0; one < owners; ++one) {
    const auto canary = canary_of(one);
    for (const auto& body : bodies) found[one] += body.find(canary) != std::string::npos ? 1U : 0U;
  }
  return found;
}

TEST(CrossOwner, NothingOfOneReachesAnotherAndEachIsAsAlone) {
  const auto owners = std::stoul(Served::setting("BULKHEAD_CROSS_OWNERS", "8"));
  const auto requests = std::stoul(Served::setting("BULKHEAD_CROSS_REQUESTS", "96"));
  const auto model = Served::setting("BULKHEAD_CROSS_MODEL", "");
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < owners; ++i) keys.push_back("key-" + std::to_string(i));
  // None may go: what was drawn stands as it was drawn only where it is still held.
  const serve::Limits limits{.partitions = 1000};
  std::vector<Talker::Record> together(owners);
  std::uint64_t cancelled = 0;
  {
    const Served served({.api_keys = keys}, limits, 1024, model);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < owners; ++i) {
        threads.emplace_back([&, i] { together[i] = Talker(served, i, true).talk(requests / owners); });
      }
    }
    cancelled = served.service().counters().cancelled;
    EXPECT_EQ(served.service().counters().failed, 0U);
  }
  std::size_t sent = 0;
  std::size_t answers = 0;
  std::size_t left = 0;
  std::size_t own = 0;
  std::size_t crossed = 0;
  for (std::size_t i = 0; i < owners; ++i) {
    auto canaries = canaries_in(together[i].bodies, owners);
    own += std::exchange(canaries[i], 0);
    EXPECT_EQ(canaries, std::vector<std::size_t>(owners, 0)) << "owner " << i << " heard of another";
    for (const auto count : canaries) crossed += count;
    // Alone it leaves nobody: what it heard before it left is the beginning of what it is told then.
    const Served served({.api_keys = keys}, limits, 1024, model);
    const auto alone = Talker(served, i, false).talk(requests / owners);
    ASSERT_EQ(alone.heard.size(), together[i].heard.size());
    for (std::size_t turn = 0; turn < alone.heard.size(); ++turn) {
      const auto& one = alone.heard[turn];
      const auto& other = together[i].heard[turn];
      const auto where = fmt::format("owner {} turn {}\nalone {}\ntogether {}", i, turn, one.how, other.how);
      EXPECT_EQ(one.text, other.text) << where;
      EXPECT_EQ(one.hash, other.hash) << where;
      EXPECT_EQ(one.hash.size(), 16U);
      const auto& partial = together[i].partial[turn];
      const auto common = std::min(partial.size(), one.text.size());
      EXPECT_EQ(partial.substr(0, common), one.text.substr(0, common)) << where;
      left += partial.empty() ? 0U : 1U;
    }
    sent += together[i].requests;
    answers += alone.heard.size();
  }
  EXPECT_GT(left, 0U);
  std::cout << "cross_owner "
            << json_text({{"owners", owners},
                          {"requests", sent},
                          {"answers_equal_alone", answers},
                          {"left_in_the_middle", left},
                          {"generations_cancelled", cancelled},
                          {"bodies_with_own_canary", own},
                          {"bodies_with_anothers_canary", crossed}})
            << std::endl;
}

TEST(CrossOwner, ACanaryThatCrossedWouldBeSeen) {
  const std::vector<std::string> bodies = {"nothing", "the code is " + canary_of(2), canary_of(2) + canary_of(0)};
  EXPECT_EQ(canaries_in(bodies, 4), (std::vector<std::size_t>{1, 0, 2, 0}));
}

}  // namespace
}  // namespace bulkhead::testing
