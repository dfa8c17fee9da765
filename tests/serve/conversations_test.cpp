// SPDX-License-Identifier: MIT
// Which partition a request goes on with, over HTTP, on a real engine.
#include "serve/served.h"

#include <future>
#include <optional>
#include <set>
#include <stop_token>
#include <thread>
#include <utility>

namespace bulkhead::testing {
namespace {

using serve::Answer;
using serve::Conversations;

Json own(const Served::Reply& reply) {
  return reply.json()["bulkhead"];
}

std::uint64_t cached(const Served::Reply& reply) {
  return reply.json()["usage"]["prompt_tokens_details"]["cached_tokens"].get<std::uint64_t>();
}

std::uint64_t prompt_tokens(const Served::Reply& reply) {
  return reply.json()["usage"]["prompt_tokens"].get<std::uint64_t>();
}

Json with_hash(Json body) {
  body["bulkhead"]["logits_hash"] = true;
  return body;
}

TEST(Conversations, AGrownChatContinuesWhatWasDrawn) {
  const Served served;
  const auto first = served.chat(chat_body({"What is a harbour?"}));
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(cached(first), 0U);
  EXPECT_EQ(own(first)["reuse"]["reason"], "new");
  const auto second = served.chat(chat_body({"What is a harbour?", content_of(first.json()), "And a port?"}));
  EXPECT_EQ(own(second)["partition"], own(first)["partition"]);
  EXPECT_EQ(own(second)["reuse"]["reason"], "continues");
  EXPECT_EQ(cached(second), first.json()["usage"]["total_tokens"].get<std::uint64_t>());
}

TEST(Conversations, AnAnswerThatTheClientHasBegunIsGoneOnWith) {
  const Served served;
  const auto whole = content_of(served.chat(chat_body({"What is a harbour?"}, 12)).json());
  // Cut where a token ends: the tokens of the rest are then the same.
  const auto begun = content_of(served.chat(chat_body({"What is a harbour?"}, 5)).json());
  ASSERT_TRUE(whole.starts_with(begun));
  const Served fresh;
  const auto reply = fresh.chat(chat_body({"What is a harbour?", begun}, 7));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto rest = content_of(reply.json());
  EXPECT_FALSE(rest.starts_with(begun));
  // The next turn is a longer chat with the whole answer as one.
  const auto next = fresh.chat(chat_body({"What is a harbour?", begun + rest, "And a port?"}, 4));
  EXPECT_EQ(own(next)["reuse"]["reason"], "continues");
  EXPECT_EQ(cached(next), reply.json()["usage"]["total_tokens"].get<std::uint64_t>());
}

TEST(Conversations, AnAnswerAskedForAgainIsForkedAndTheSameBits) {
  const Served served;
  const auto body = with_hash(chat_body({"What is a harbour?"}));
  const auto first = served.chat(body);
  const auto again = served.chat(body);
  EXPECT_EQ(own(again)["reuse"]["reason"], "forked");
  EXPECT_NE(own(again)["partition"], own(first)["partition"]);
  EXPECT_EQ(cached(again), prompt_tokens(first));
  EXPECT_EQ(own(again)["logits_hash"], own(first)["logits_hash"]);
  EXPECT_EQ(content_of(again.json()), content_of(first.json()));
}

// Drawn tokens are often not those that their text would be read as. Asked for again, or cut and asked again, the turns
// before stand as they were drawn.
TEST(Conversations, WhatWasDrawnStandsAlsoWhereTheLastTurnIsAskedForAgain) {
  for (const bool is_named : {false, true}) {
    const Served served;
    const auto body_of = [&](const std::vector<std::string>& turns) {
      auto body = with_hash(chat_body(turns, 12));
      if (is_named) body["bulkhead"]["partition"] = "notes";
      return body;
    };
    auto first = body_of({"What is a harbour?"});
    first["temperature"] = 2;
    std::string answer;
    const auto& tokenizer = served.service().engine().tokenizer();
    for (int seed = 0; answer.empty(); ++seed) {
      first["seed"] = seed;
      const auto reply = served.chat(first).json();
      const auto drawn = reply["usage"]["completion_tokens"].get<std::size_t>();
      if (tokenizer.tokenize(content_of(reply))->size() != drawn) answer = content_of(reply);
    }
    const auto once = served.chat(body_of({"What is a harbour?", answer, "And a port?"}));
    const auto again = served.chat(body_of({"What is a harbour?", answer, "And a port?"}));
    EXPECT_EQ(own(again)["logits_hash"], own(once)["logits_hash"]);
    EXPECT_EQ(own(again)["reuse"]["reason"], is_named ? "cut" : "forked");
    EXPECT_EQ(cached(again), prompt_tokens(once)) << "all of it was there";
    EXPECT_EQ(prompt_tokens(again), prompt_tokens(once));
  }
}

TEST(Conversations, AnEditedChatSharesItsBeginningAndNothingElse) {
  const Served served;
  const auto first = served.chat(chat_body({"one two three", "an answer", "four five six"}));
  const auto edited = served.chat(with_hash(chat_body({"one two three", "an answer", "seven eight"})));
  EXPECT_EQ(own(edited)["reuse"]["reason"], "forked");
  EXPECT_GT(cached(edited), 10U);
  EXPECT_LT(cached(edited), prompt_tokens(first));
  EXPECT_EQ(own(edited)["reuse"]["first_difference"], cached(edited));
  const Served fresh;
  const auto alone = fresh.chat(with_hash(chat_body({"one two three", "an answer", "seven eight"})));
  EXPECT_EQ(own(alone)["logits_hash"], own(edited)["logits_hash"]) << "as computed from the start";
}

TEST(Conversations, WordsThatAreMerelySimilarAreNotTheSame) {
  const Served served;
  const auto first = served.chat(chat_body({"What is a harbour?"}));
  const auto answer = content_of(first.json());
  const auto other = served.chat(chat_body({"What is a harbour?", answer + " ", "And a port?"}));
  EXPECT_NE(own(other)["partition"], own(first)["partition"]);
  EXPECT_NE(own(other)["reuse"]["reason"], "continues");
}

TEST(Conversations, OneOfSeveralWithTheSameHistoryIsForked) {
  const Served served;
  const auto body = chat_body({"What is a harbour?"});
  const auto answer = content_of(served.chat(body).json());
  EXPECT_EQ(content_of(served.chat(body).json()), answer);
  const auto next = served.chat(chat_body({"What is a harbour?", answer, "And a port?"}));
  EXPECT_EQ(own(next)["reuse"]["reason"], "forked");
  EXPECT_EQ(served.get("/v1/partitions").json()["data"].size(), 3U);
}

TEST(Conversations, AgentsOfOneSessionNeverShare) {
  const Served served;
  const auto body = with_hash(chat_body({"the same long system text for all agents of this session"}));
  std::set<std::string> partitions;
  std::set<std::string> hashes;
  for (const auto* agent : {"", "a", "b"}) {
    httplib::Headers headers = {{"x-claude-code-session-id", "s"}};
    if (*agent != '\0') headers.emplace("x-claude-code-agent-id", agent);
    const auto reply = served.chat(body, headers);
    EXPECT_EQ(cached(reply), 0U) << agent;
    partitions.insert(own(reply)["partition"].get<std::string>());
    hashes.insert(own(reply)["logits_hash"][0].get<std::string>());
  }
  EXPECT_EQ(partitions.size(), 3U);
  EXPECT_EQ(hashes.size(), 1U) << "and none of them can tell";
}

TEST(Conversations, OwnersNeverShareWhateverNamesTheySend) {
  const Served served({.api_keys = {"key-one", "key-two"}});
  const auto body = with_hash(chat_body({"a text that both of them send"}));
  const httplib::Headers one = {{"Authorization", "Bearer key-one"}, {"x-session-id", "s"}};
  const httplib::Headers two = {{"X-Api-Key", "key-two"}, {"x-session-id", "s"}};
  const auto first = served.chat(body, one);
  const auto second = served.chat(body, two);
  ASSERT_EQ(first.status, 200);
  ASSERT_EQ(second.status, 200);
  EXPECT_EQ(cached(second), 0U);
  EXPECT_EQ(own(first)["logits_hash"], own(second)["logits_hash"]);
  const auto id = own(first)["partition"].get<std::string>();
  EXPECT_EQ(served.get("/v1/partitions/" + id, one).status, 200);
  EXPECT_EQ(served.get("/v1/partitions/" + id, two).status, 404);
  EXPECT_EQ(served.remove("/v1/partitions/" + id, two).status, 404);
  EXPECT_EQ(served.get("/v1/partitions", two).json()["data"].size(), 1U);
  EXPECT_EQ(served.remove("/v1/partitions/" + id, one).status, 200);
  EXPECT_EQ(served.get("/v1/partitions/" + id, one).status, 404);
}

Json named(const std::vector<std::string>& turns, int tokens = 8) {
  auto body = chat_body(turns, tokens);
  body["bulkhead"] = {{"partition", "notes"}, {"logits_hash", true}};
  return body;
}

TEST(Conversations, ANamedPartitionHoldsWhatTheRequestSaysAndNothingElse) {
  const Served served;
  const auto first = served.chat(named({"one two three"}));
  const auto answer = content_of(first.json());
  const auto second = served.chat(named({"one two three", answer, "four"}));
  EXPECT_EQ(own(second)["reuse"]["reason"], "continues");
  const auto edited = served.chat(named({"one two seven"}));
  EXPECT_EQ(own(edited)["partition"], own(first)["partition"]);
  EXPECT_EQ(own(edited)["reuse"]["reason"], "cut");
  EXPECT_GT(cached(edited), 0U);
  const auto back = served.chat(named({"one two three", answer, "four"}));
  EXPECT_EQ(own(back)["logits_hash"], own(second)["logits_hash"]) << "no trace of what was cut";
  const auto shown = served.get("/v1/partitions/notes").json();
  EXPECT_EQ(shown["name"], "notes");
  EXPECT_EQ(shown["turns"], 4);
  EXPECT_EQ(served.get("/v1/partitions").json()["data"].size(), 1U);
}

TEST(Conversations, RequestsToOnePartitionComeOneAfterTheOther) {
  const Served served;
  std::vector<int> statuses(6, 0);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      threads.emplace_back([&, i] { statuses[i] = served.chat(named({"text " + std::to_string(i)})).status; });
    }
  }
  EXPECT_EQ(statuses, std::vector<int>(6, 200));
  EXPECT_EQ(served.get("/v1/partitions").json()["data"].size(), 1U);
}

TEST(Conversations, ChoicesAreChildrenThatCanBeContinued) {
  const Served served;
  auto body = chat_body({"What is a harbour?"});
  body["n"] = 3;
  body["temperature"] = 1.5;
  body["seed"] = 7;
  const auto reply = served.chat(body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto choices = reply.json()["choices"];
  ASSERT_EQ(choices.size(), 3U);
  EXPECT_EQ(own(reply)["partitions"].size(), 3U);
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const auto answer = choices[i]["message"]["content"].get<std::string>();
    const auto next = served.chat(chat_body({"What is a harbour?", answer, "And a port?"}));
    EXPECT_EQ(own(next)["partition"], own(reply)["partitions"][i]) << answer;
    EXPECT_EQ(own(next)["reuse"]["reason"], "continues");
  }
}

TEST(Conversations, TheOldestUnnamedOneGoesFirst) {
  const Served served({}, {.partitions = 3});
  ASSERT_EQ(served.chat(named({"kept"})).status, 200);
  std::vector<std::string> ids;
  for (int i = 0; i < 4; ++i) {
    ids.push_back(own(served.chat(chat_body({std::to_string(i) + " different words each time"})))["partition"]);
  }
  std::set<std::string> left;
  const auto all = served.get("/v1/partitions").json();
  for (const auto& one : all["data"]) left.insert(one["id"].get<std::string>());
  EXPECT_EQ(left.size(), 3U);
  EXPECT_TRUE(left.contains(ids[2]) && left.contains(ids[3]));
  EXPECT_EQ(served.get("/v1/partitions/notes").status, 200);
}

TEST(Conversations, WhereAllAreNamedTheNextIsRefusedAndNoOtherOwner) {
  const Served served({.api_keys = {"one", "two"}}, {.partitions = 1});
  const httplib::Headers one = {{"Authorization", "Bearer one"}};
  ASSERT_EQ(served.chat(named({"kept"}), one).status, 200);
  const auto refused = served.chat(chat_body({"one more"}), one);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.headers.find("Retry-After")->second, "1");
  EXPECT_EQ(served.chat(chat_body({"one more"}), {{"Authorization", "Bearer two"}}).status, 200);
}

// A generation that ends inside a character: the cache keeps nothing of it that the answer does not say.
TEST(Conversations, HalfACharacterIsNoHistory) {
  const Served served;
  const auto& tokenizer = served.service().engine().tokenizer();
  engine::Token half = 0;
  while (tokenizer.piece(half) != "\xC3") ++half;
  const auto prompt = tokenizer.tokenize("one two three").value();
  Json body = {{"prompt", prompt}, {"max_tokens", 1}, {"temperature", 0}, {"bulkhead", {{"logits_hash", true}}}};
  body["logit_bias"] = {{std::to_string(half), 1000}};
  const auto drawn = served.post("/v1/completions", json_text(body));
  ASSERT_EQ(drawn.status, 200) << drawn.body;
  const auto held = served.get("/v1/partitions/" + own(drawn)["partition"].get<std::string>()).json();
  EXPECT_EQ(held["tokens"], prompt.size());
  // A client that works with tokens sends back what was drawn, the half character too.
  body.erase("logit_bias");
  for (const auto more : {half, prompt.front()}) body["prompt"].push_back(more);
  const auto next = served.post("/v1/completions", json_text(body));
  EXPECT_EQ(prompt_tokens(next), prompt.size() + 2);
  EXPECT_EQ(cached(next), prompt.size()) << "what is said to be cached was there";
  const Served fresh;
  EXPECT_EQ(own(next)["logits_hash"], own(fresh.post("/v1/completions", json_text(body)))["logits_hash"]);
}

TEST(Conversations, ACompletionContinuesItsTokens) {
  const Served served;
  const auto first =
      served.post("/v1/completions", R"({"prompt": "one two three", "max_tokens": 4, "temperature": 0})");
  ASSERT_EQ(first.status, 200) << first.body;
  const auto again =
      served.post("/v1/completions", R"({"prompt": "one two three four five", "max_tokens": 4, "temperature": 0})");
  EXPECT_EQ(own(again)["reuse"]["reason"], "forked");
  EXPECT_GT(cached(again), 2U);
}

// One request that has taken its partition and computes, another that begins alike.
struct Together {
  explicit Together(const Served& served) : service(served.service()) {
    for (int i = 0; i < 100; ++i) beginning += "word ";
  }

  // `owner`, `session`: of the second one.
  [[nodiscard]] std::future<Answer<Conversations::Lease>> second(const std::string& owner, const std::string& session) {
    return std::async(std::launch::async, [this, owner, session] {
      return service.take(owner, {.session = session}, wanted(beginning + "two"), stop.get_token());
    });
  }
  [[nodiscard]] serve::Wanted wanted(const std::string& prompt) const {
    serve::GenerationRequest request{.prompt = prompt};
    return service.wanted("", request).value();
  }
  // Hashes of the logits of a few tokens behind this.
  [[nodiscard]] std::vector<std::uint64_t> hashes(Conversations::Lease lease, const serve::Wanted& all) const {
    EXPECT_FALSE(service.prefill(lease, all, {}));
    serve::GenerationRequest request{.max_tokens = 4};
    request.options.hash_logits = true;
    return service.generate(std::move(lease), request, {}, {}).value().choices.at(0).result.logit_hashes;
  }

  serve::Service& service;
  std::stop_source stop;
  std::string beginning;
};

bool is_there(std::future<Answer<Conversations::Lease>>& lease) {
  return lease.wait_for(std::chrono::milliseconds(200)) == std::future_status::ready;
}

TEST(Conversations, WhoBeginsAsOneThatIsBeingComputedWaitsAndIsForked) {
  const Served served;
  Together both(served);
  const auto all = both.wanted(both.beginning + "one");
  auto first = both.service.take("", {}, all, {});
  auto waiting = both.second("", "");
  ASSERT_FALSE(is_there(waiting));
  const auto its = both.hashes(std::move(first.value()), all);
  auto second = waiting.get();
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second.value().reuse().reason, "forked");
  EXPECT_LT(second.value().tail().size(), 10U);
  const auto rest = both.wanted(both.beginning + "two");
  const auto forked = both.hashes(std::move(second.value()), rest);
  const Served fresh;
  Together alone(fresh);
  auto lone = alone.service.take("", {}, rest, {});
  EXPECT_EQ(alone.hashes(std::move(lone.value()), rest), forked) << "the bits of one alone";
  auto other = alone.service.take("other", {}, all, {});
  EXPECT_EQ(alone.hashes(std::move(other.value()), all), its);
}

TEST(Conversations, WhoWaitsComputesAllOfItWhereTheOtherOneFails) {
  const Served served;
  Together both(served);
  std::optional first = both.service.take("", {}, both.wanted(both.beginning + "one"), {});
  auto waiting = both.second("", "");
  ASSERT_FALSE(is_there(waiting));
  first.reset();
  auto second = waiting.get();
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second.value().reuse().reason, "new");
  EXPECT_EQ(second.value().tail().size(), both.wanted(both.beginning + "two").tokens.size());
}

TEST(Conversations, WhoWaitsAndGoesAwayIsForgotten) {
  const Served served;
  Together both(served);
  const auto all = both.wanted(both.beginning + "one");
  auto first = both.service.take("", {}, all, {});
  auto waiting = both.second("", "");
  ASSERT_FALSE(is_there(waiting));
  both.stop.request_stop();
  EXPECT_FALSE(waiting.get().ok());
  EXPECT_FALSE(both.service.prefill(first.value(), all, {}));
  EXPECT_EQ(both.service.conversations().list("").size(), 1U);
}

// There a fork may have to be computed anew.
TEST(Conversations, NobodyWaitsWhereTheModelHasASlidingWindow) {
  const Served served({}, {}, 1024, {}, {.window = 64});
  Together both(served);
  const auto first = both.service.take("", {}, both.wanted(both.beginning + "one"), {});
  auto at_once = both.second("", "");
  EXPECT_TRUE(is_there(at_once));
  both.stop.request_stop();
  const auto second = at_once.get();
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second.value().reuse().reason, "new");
}

TEST(Conversations, NobodyWaitsForAnotherOwnerOrSession) {
  const Served served;
  Together both(served);
  const auto first = both.service.take("", {}, both.wanted(both.beginning + "one"), {});
  for (const auto& [owner, session] : {std::pair("other", ""), std::pair("", "s")}) {
    auto at_once = both.second(owner, session);
    EXPECT_TRUE(is_there(at_once)) << owner << session;
    both.stop.request_stop();
    EXPECT_TRUE(at_once.get().ok());
    both.stop = std::stop_source();
  }
}

}  // namespace
}  // namespace bulkhead::testing
