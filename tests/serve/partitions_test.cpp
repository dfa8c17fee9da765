// SPDX-License-Identifier: MIT
// Partitions as their owner names them: declare, fork, cut, send from one to another, and what another owner sees of
// it.
#include "base/hash.h"
#include "serve/served.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

namespace bulkhead::testing {
namespace {

using conversation::OriginKind;

Json own_of(const Served::Reply& reply) {
  return reply.json()["bulkhead"];
}

// A chat in the partition `name`, with hashes of its logits.
Json chat_in(const std::string& name, const std::vector<std::string>& turns, int tokens = 8) {
  auto body = chat_body(turns, tokens);
  body["bulkhead"] = {{"logits_hash", true}};
  if (!name.empty()) body["bulkhead"]["partition"] = name;
  return body;
}

Json history_of(const std::string& name, const std::vector<std::string>& turns) {
  return {{"name", name}, {"messages", chat_body(turns)["messages"]}};
}

Json output_part(const std::string& partition, std::optional<int> turn = {}) {
  Json part = {{"type", "output"}, {"partition", partition}};
  if (turn) part["turn"] = *turn;
  return part;
}

Json text_part(const std::string& text) {
  return {{"type", "text"}, {"text", text}};
}

// A chat in `name` whose only turn is these parts.
Json parts_in(const std::string& name, Json parts) {
  auto body = chat_in(name, {""});
  body["messages"][0]["content"] = std::move(parts);
  return body;
}

class Partitions : public ::testing::Test {
 protected:
  Served::Reply declare(const Json& body) { return served.post("/v1/partitions", json_text(body)); }
  Served::Reply act(const std::string& path, const Json& body) {
    return served.post("/v1/partitions/" + path, json_text(body));
  }
  Json shown(const std::string& name) { return served.get("/v1/partitions/" + name).json(); }
  std::size_t count() { return served.get("/v1/partitions").json()["data"].size(); }
  // Tokens of `name` by the kind of their origin, as its ledger has them.
  std::uint32_t tokens_from(const std::string& name, OriginKind kind) {
    const auto lease = served.service().conversations().hold_idle("", name);
    return lease.ok() ? lease->partition().ledger().count_by_origin()[kind] : 0;
  }

  Served served;
};

TEST_F(Partitions, ADeclaredOneHoldsItsHistoryAndNoAnswer) {
  const auto made = declare(history_of("alice", {"one two three", "an answer", "four"}));
  ASSERT_EQ(made.status, 201) << made.body;
  const auto partition = made.json();
  EXPECT_EQ(partition["name"], "alice");
  EXPECT_EQ(partition["turns"], 3);
  EXPECT_EQ(partition["busy"], false);
  EXPECT_EQ(partition["forked_from"], nullptr);
  EXPECT_EQ(partition["messages"], chat_body({"one two three", "an answer", "four"})["messages"]);
  EXPECT_EQ(partition["received"], Json::array());
  EXPECT_EQ(partition["ledger"]["prefilled_tokens"], partition["tokens"]);
  EXPECT_EQ(partition["ledger"]["generated_tokens"], 0);
  EXPECT_EQ(shown("alice"), partition);
  const auto answer = served.chat(chat_in("alice", {"one two three", "an answer", "four"}));
  EXPECT_EQ(own_of(answer)["partition"], partition["id"]);
  EXPECT_EQ(own_of(answer)["reuse"]["reason"], "continues");
  EXPECT_EQ(own_of(answer)["reuse"]["tokens"], partition["tokens"]);
  const Served fresh;
  EXPECT_EQ(own_of(fresh.chat(chat_in("", {"one two three", "an answer", "four"})))["logits_hash"],
            own_of(answer)["logits_hash"]);
}

TEST_F(Partitions, AnEmptyOneAndOneThatEndsWithAnAnswerGoOnToo) {
  ASSERT_EQ(declare({{"name", "empty"}}).status, 201);
  EXPECT_EQ(shown("empty")["tokens"], 0);
  ASSERT_EQ(declare(history_of("told", {"one", "two"})).status, 201);
  for (const auto* name : {"empty", "told"}) {
    const auto before = shown(name)["tokens"];
    const auto answer = served.chat(chat_in(name, {"one", "two", "three"}));
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(own_of(answer)["reuse"]["tokens"], before) << name;
  }
  EXPECT_EQ(count(), 2U);
}

TEST_F(Partitions, NamesAreUniqueAndNoIds) {
  ASSERT_EQ(declare({{"name", "alice"}}).status, 201);
  const auto again = declare({{"name", "alice"}});
  EXPECT_EQ(again.status, 409) << again.body;
  EXPECT_EQ(again.json()["error"]["type"], "conflict");
  for (const auto& body : {Json::object(), Json{{"name", ""}}, Json{{"name", 7}}, Json{{"name", "p-7"}},
                           Json{{"name", std::string(257, 'a')}}, Json{{"name", "b"}, {"messages", Json::array()}},
                           Json{{"name", "b"}, {"messages", "hi"}}, Json{{"name", "b"}, {"pin", true}}}) {
    EXPECT_EQ(declare(body).status, 400) << body;
  }
  EXPECT_EQ(count(), 1U) << "what is refused leaves nothing";
  EXPECT_EQ(served.chat(chat_in("p-99", {"hi"})).status, 404) << "an id that nobody has is no new name";
}

TEST_F(Partitions, ForksAreTheSameAndGoOnApart) {
  const auto first = served.chat(chat_in("alice", {"What is a harbour?"}));
  const auto answer = content_of(first.json());
  const auto forked = act("alice/fork", {{"names", {"bob", "carol"}}});
  ASSERT_EQ(forked.status, 201) << forked.body;
  const auto data = forked.json()["data"];
  ASSERT_EQ(data.size(), 2U);
  const auto alice = shown("alice");
  for (const auto& child : data) {
    EXPECT_EQ(child["ledger"]["token_sha256"], alice["ledger"]["token_sha256"]);
    EXPECT_EQ(child["ledger"]["reused_tokens"], alice["tokens"]);
    EXPECT_EQ(child["ledger"]["prefilled_tokens"], 0);
    EXPECT_EQ(child["messages"], alice["messages"]);
    EXPECT_EQ(child["forked_from"], alice["id"]);
    EXPECT_EQ(child["busy"], false);
  }
  std::set<std::string> hashes;
  for (const auto* name : {"bob", "carol", "alice"}) {
    const auto next = served.chat(chat_in(name, {"What is a harbour?", answer, "And a port?"}));
    EXPECT_EQ(own_of(next)["reuse"]["reason"], "continues") << name;
    EXPECT_EQ(own_of(next)["reuse"]["tokens"], alice["tokens"]) << name;
    hashes.insert(own_of(next)["logits_hash"][0].get<std::string>());
  }
  EXPECT_EQ(hashes.size(), 1U);
  EXPECT_EQ(count(), 3U);
}

TEST_F(Partitions, UnnamedForksAreKnownByTheirIds) {
  ASSERT_EQ(declare(history_of("alice", {"one two three"})).status, 201);
  const auto forked = act("alice/fork", {{"n", 3}});
  ASSERT_EQ(forked.status, 201) << forked.body;
  const auto children = forked.json()["data"];
  for (const auto& child : children) {
    EXPECT_EQ(child["name"], nullptr);
    const auto id = child["id"].get<std::string>();
    EXPECT_EQ(own_of(served.chat(chat_in(id, {"one two three"})))["partition"], id);
  }
  EXPECT_EQ(count(), 4U);
}

// [u1, a1, u2, a2] cut or forked behind a1 goes on as a chat that never had more: with the tokens that were drawn.
TEST_F(Partitions, CutAndForkedAtATurnTheyGoOnAsIfNothingHadCome) {
  const auto first = content_of(served.chat(chat_in("alice", {"one two"})).json());
  ASSERT_EQ(served.chat(chat_in("alice", {"one two", first, "three"})).status, 200);
  const auto whole = shown("alice");
  ASSERT_EQ(whole["turns"], 4);
  const Served fresh;
  ASSERT_EQ(content_of(fresh.chat(chat_in("", {"one two"})).json()), first);
  const auto expected = own_of(fresh.chat(chat_in("", {"one two", first, "five"})))["logits_hash"];
  const auto forked = act("alice/fork", {{"names", {"bob", "carol"}}, {"turns", 2}});
  ASSERT_EQ(forked.status, 201) << forked.body;
  const auto children = forked.json()["data"];
  for (const auto& child : children) {
    EXPECT_EQ(child["turns"], 2);
    EXPECT_LT(child["tokens"], whole["tokens"]);
  }
  EXPECT_EQ(shown("alice"), whole) << "the source is as it was";
  const auto cut = act("alice/truncate", {{"turns", 2}});
  ASSERT_EQ(cut.status, 200) << cut.body;
  EXPECT_EQ(cut.json()["ledger"]["token_sha256"], shown("bob")["ledger"]["token_sha256"]);
  EXPECT_EQ(cut.json()["messages"].size(), 2U);
  for (const auto* name : {"bob", "carol", "alice"}) {
    const auto tokens = shown(name)["tokens"];
    const auto next = served.chat(chat_in(name, {"one two", first, "five"}));
    EXPECT_EQ(own_of(next)["reuse"]["tokens"], tokens) << name;
    EXPECT_EQ(own_of(next)["logits_hash"], expected) << name;
  }
}

TEST_F(Partitions, CutToTokensTheyHoldTheseAndTheMessagesThatEndThere) {
  const auto first = served.chat(chat_in("alice", {"one two"}));
  const auto after_first = shown("alice");
  ASSERT_EQ(served.chat(chat_in("alice", {"one two", content_of(first.json()), "three"})).status, 200);
  const auto at_answer = act("alice/truncate", {{"tokens", after_first["tokens"]}});
  ASSERT_EQ(at_answer.status, 200) << at_answer.body;
  EXPECT_EQ(at_answer.json()["ledger"]["token_sha256"], after_first["ledger"]["token_sha256"]);
  EXPECT_EQ(at_answer.json()["messages"], after_first["messages"]);
  const auto between = act("alice/truncate", {{"tokens", 5}});
  EXPECT_EQ(between.json()["tokens"], 5);
  EXPECT_EQ(between.json()["messages"], Json::array());
  EXPECT_EQ(own_of(served.chat(chat_in("alice", {"one two"})))["logits_hash"], own_of(first)["logits_hash"]);
  EXPECT_EQ(act("alice/truncate", {{"tokens", 100000}}).status, 400);
  EXPECT_EQ(act("alice/truncate", {{"turns", 3}}).status, 400);
  for (const auto& body : {Json::object(), Json{{"turns", 1}, {"tokens", 1}}, Json{{"turns", -1}}, Json{{"turns", "1"}},
                           Json{{"tokens", 1.5}}, Json{{"keep", 1}}}) {
    EXPECT_EQ(act("alice/truncate", body).status, 400) << body;
  }
  const auto none = act("alice/truncate", {{"turns", 0}});
  EXPECT_EQ(none.json()["tokens"], 0) << none.body;
  EXPECT_EQ(count(), 1U) << "a name stays";
}

TEST(PartitionLimits, ForksAreAllOrNone) {
  const Served served({}, {.partitions = 5});
  const auto act = [&](const Json& body) { return served.post("/v1/partitions/alice/fork", json_text(body)); };
  ASSERT_EQ(served.post("/v1/partitions", R"({"name": "alice"})").status, 201);
  ASSERT_EQ(served.post("/v1/partitions", R"({"name": "taken"})").status, 201);
  const auto expect_none = [&](const Json& body, int status) {
    const auto reply = act(body);
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_EQ(served.get("/v1/partitions").json()["data"].size(), 2U) << body;
  };
  expect_none({{"names", {"a", "taken"}}}, 409);
  expect_none({{"names", {"a", "a"}}}, 409);
  expect_none({{"names", {"a", "p-1"}}}, 400);
  expect_none({{"n", 4}}, 429);
  expect_none({{"n", 2}, {"turns", 1}}, 400);
  for (const auto& body : {Json::object(), Json{{"n", 0}}, Json{{"n", 65}}, Json{{"n", "2"}}, Json{{"names", "a"}},
                           Json{{"names", Json::array()}}, Json{{"names", {1}}}, Json{{"names", {""}}},
                           Json{{"n", 1}, {"names", {"a"}}}, Json{{"n", 1}, {"count", 2}}}) {
    expect_none(body, 400);
  }
  ASSERT_EQ(served.chat(chat_body({"one that nobody named"})).status, 200);
  EXPECT_EQ(act({{"names", {"a", "b", "c"}}}).status, 201) << "that one goes for them";
}

TEST_F(Partitions, OneInUseIsNeitherCutNorRemoved) {
  ASSERT_EQ(declare(history_of("alice", {"one two three"})).status, 201);
  {
    const auto lease = served.service().conversations().hold_idle("", "alice");
    ASSERT_TRUE(lease.ok());
    EXPECT_EQ(act("alice/truncate", {{"turns", 0}}).status, 409);
    EXPECT_EQ(served.remove("/v1/partitions/alice").status, 409);
    EXPECT_EQ(shown("alice")["busy"], true);
    EXPECT_EQ(shown("alice")["turns"], 1);
  }
  EXPECT_EQ(act("alice/truncate", {{"turns", 0}}).status, 200);
  EXPECT_EQ(served.remove("/v1/partitions/alice").status, 200);
  EXPECT_EQ(served.remove("/v1/partitions/alice").status, 404);
}

// Also one that comes in the moment in which it is given back waits behind those who waited.
TEST_F(Partitions, RequestsThatNameOneComeInOrderOfArrival) {
  ASSERT_EQ(declare({{"name", "alice"}}).status, 201);
  auto& conversations = served.service().conversations();
  std::vector<int> order;
  std::mutex mutex;
  std::vector<std::jthread> threads;
  {
    const auto first = conversations.hold_idle("", "alice");
    ASSERT_TRUE(first.ok());
    for (int i = 0; i < 5; ++i) {
      threads.emplace_back([&, i] {
        const auto lease = conversations.hold("", "alice", {});
        const std::lock_guard lock(mutex);
        order.push_back(i);
      });
      while (conversations.find("", "alice")->shown.waiting < static_cast<std::uint64_t>(i) + 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    EXPECT_EQ(served.remove("/v1/partitions/alice").status, 409);
  }
  {
    const auto last = conversations.hold("", "alice", {});
    const std::lock_guard lock(mutex);
    order.push_back(5);
  }
  threads.clear();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST_F(Partitions, AnAnswerIsSentWithItsProvenance) {
  const auto said = content_of(served.chat(chat_in("alice", {"What is a harbour?"})).json());
  ASSERT_FALSE(said.empty());
  const auto alice = shown("alice")["id"];
  const auto body = parts_in("bob", {text_part("Shorten this: "), output_part("alice", 1), text_part(" Now.")});
  const auto reply = served.chat(body);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json sent = {{"from", alice}, {"turn", 1}, {"sha256", sha256_hex(said)}};
  EXPECT_EQ(own_of(reply)["messages"], Json::array({sent}));
  const auto bob = shown("bob");
  EXPECT_EQ(bob["messages"][0]["content"], "Shorten this: " + said + " Now.");
  const auto tokens = served.service().engine().tokenizer().tokenize(said)->size();
  EXPECT_EQ(bob["received"],
            Json::array({{{"from", alice}, {"turn", 1}, {"sha256", sha256_hex(said)}, {"tokens", tokens}}}));
  EXPECT_EQ(bob["ledger"]["messages_received"], 1);
  EXPECT_EQ(tokens_from("bob", OriginKind::kMessage), tokens);
  EXPECT_EQ(shown("alice")["ledger"]["messages_received"], 0) << "nothing goes back";

  // The turn comes again as the client knows it: as its part, or as the text that it became.
  auto next = body;
  next["messages"].push_back({{"role", "assistant"}, {"content", content_of(reply.json())}});
  next["messages"].push_back({{"role", "user"}, {"content", "Again."}});
  const auto continued = served.chat(next);
  EXPECT_EQ(own_of(continued)["reuse"]["tokens"], bob["tokens"]);
  EXPECT_EQ(own_of(continued)["messages"], Json::array({sent}));
  next["messages"][0]["content"] = "Shorten this: " + said + " Now.";
  next["messages"].push_back({{"role", "assistant"}, {"content", content_of(continued.json())}});
  next["messages"].push_back({{"role", "user"}, {"content", "And again."}});
  EXPECT_EQ(own_of(served.chat(next))["reuse"]["reason"], "continues");
  EXPECT_EQ(shown("bob")["received"].size(), 1U) << "it was received once";
}

TEST_F(Partitions, WithoutATurnTheLastAnswerIsSent) {
  const auto first = content_of(served.chat(chat_in("alice", {"one"})).json());
  const auto second = content_of(served.chat(chat_in("alice", {"one", first, "two"})).json());
  const auto reply = served.chat(parts_in("bob", {output_part("alice"), text_part(", "), output_part("alice", 1)}));
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(shown("bob")["messages"][0]["content"], second + ", " + first);
  EXPECT_EQ(own_of(reply)["messages"][0]["turn"], 3);
  EXPECT_EQ(shown("bob")["received"].size(), 2U);
  EXPECT_EQ(shown("bob")["received"][1]["turn"], 1);
  // Cut behind her first answer, she has no other.
  ASSERT_EQ(act("alice/truncate", {{"turns", 2}}).status, 200);
  EXPECT_EQ(served.chat(parts_in("carol", {output_part("alice", 3)})).status, 400);
  ASSERT_EQ(served.chat(parts_in("carol", {output_part("alice")})).status, 200);
  EXPECT_EQ(shown("carol")["messages"][0]["content"], first);
}

TEST_F(Partitions, AForkKeepsWhatItReceivedAndWhatItSaid) {
  ASSERT_EQ(served.chat(chat_in("alice", {"one"})).status, 200);
  const auto said = content_of(served.chat(parts_in("bob", {text_part("Of "), output_part("alice")})).json());
  ASSERT_EQ(act("bob/fork", {{"names", {"carol"}}}).status, 201);
  EXPECT_EQ(shown("carol")["received"], shown("bob")["received"]);
  ASSERT_EQ(act("bob/fork", {{"names", {"dora"}}, {"turns", 1}}).status, 201);
  EXPECT_EQ(shown("dora")["received"], shown("bob")["received"]) << "it came before the cut";
  EXPECT_EQ(tokens_from("dora", OriginKind::kMessage), tokens_from("bob", OriginKind::kMessage));
  ASSERT_EQ(served.chat(parts_in("eve", {output_part("carol")})).status, 200);
  EXPECT_EQ(shown("eve")["messages"][0]["content"], said);
  EXPECT_EQ(shown("eve")["received"][0]["from"], shown("bob")["id"]) << "who wrote it";
  EXPECT_EQ(served.chat(parts_in("fay", {output_part("dora")})).status, 400) << "she never said anything";
}

TEST_F(Partitions, AnEditReceivesAMessageAgainOnlyWhereItIsComputedAgain) {
  ASSERT_EQ(served.chat(chat_in("alice", {"one"})).status, 200);
  const auto tokens = [&] { return shown("bob")["received"]; };
  ASSERT_EQ(served.chat(parts_in("bob", {text_part("Of "), output_part("alice"), text_part(" a")})).status, 200);
  const auto first = tokens();
  const auto behind = served.chat(parts_in("bob", {text_part("Of "), output_part("alice"), text_part(" b")}));
  EXPECT_EQ(own_of(behind)["reuse"]["reason"], "cut");
  EXPECT_EQ(tokens(), first) << "it lies before the cut";
  const auto before = served.chat(parts_in("bob", {text_part("Or "), output_part("alice"), text_part(" b")}));
  EXPECT_EQ(own_of(before)["reuse"]["reason"], "cut");
  EXPECT_EQ(tokens(), first) << "the old one went, the new one came";
  // The same words as the client's own are no message: they are computed again, as such.
  const auto said = shown("alice")["messages"][1]["content"].get<std::string>();
  ASSERT_EQ(served.chat(chat_in("bob", {"Or " + said + " b"})).status, 200);
  EXPECT_EQ(tokens(), Json::array());
  EXPECT_EQ(tokens_from("bob", OriginKind::kMessage), 0U);
}

TEST_F(Partitions, OnlyFinishedAnswersAreSent) {
  const auto said = content_of(served.chat(chat_in("alice", {"one", "told, not said", "two"})).json());
  ASSERT_EQ(shown("alice")["turns"], 4);
  ASSERT_EQ(declare(history_of("told", {"one", "two"})).status, 201);
  ASSERT_EQ(
      served.post("/v1/completions", R"({"prompt": "a", "max_tokens": 2, "bulkhead": {"partition": "raw"}})").status,
      200);
  const auto before = count();
  for (const auto& part :
       {output_part("alice", 0), output_part("alice", 1), output_part("alice", 2), output_part("alice", 4),
        output_part("alice", 99), output_part("told"), output_part("told", 1), output_part("raw"),
        output_part("raw", 0), output_part("nobody"), output_part("p-77"), output_part("")}) {
    const auto reply = served.chat(parts_in("bob", {part}));
    EXPECT_EQ(reply.status, 400) << part;
    EXPECT_EQ(reply.json()["error"]["param"], "messages[0].content") << reply.body;
  }
  for (const auto& part : {Json{{"type", "output"}}, Json{{"type", "output"}, {"partition", 7}},
                           Json{{"type", "output"}, {"partition", "alice"}, {"turn", -1}},
                           Json{{"type", "output"}, {"partition", "alice"}, {"turn", "3"}},
                           Json{{"type", "output"}, {"partition", "alice"}, {"owner", "x"}}}) {
    EXPECT_EQ(served.chat(parts_in("bob", {part})).status, 400) << part;
  }
  auto as_system = parts_in("bob", {output_part("alice", 3)});
  as_system["messages"].insert(as_system["messages"].begin(),
                               Json{{"role", "system"}, {"content", Json::array({output_part("alice", 3)})}});
  EXPECT_EQ(served.chat(as_system).status, 400) << "a message is something that somebody says";
  EXPECT_EQ(count(), before);
  EXPECT_EQ(served.chat(parts_in("bob", {output_part("alice", 3)})).status, 200);
  EXPECT_EQ(shown("bob")["messages"][0]["content"], said);
}

// A client that leaves in the middle of an answer has cut it short: it is history, and no message.
TEST(PartitionMessages, AnAnswerCutShortIsNotSent) {
  const Served served({}, {}, kTinyContext);
  auto body = chat_in("alice", {"a long one"}, 3900);
  body["stream"] = true;
  body["ignore_eos"] = true;
  const auto shown = [&] { return served.get("/v1/partitions/alice").json(); };
  // On a busy machine a stream may be over before its client has left.
  for (int attempt = 0; attempt < 5 && served.service().counters().cancelled == 0; ++attempt) {
    auto client = served.client();
    int events = 0;
    static_cast<void>(client.Post("/v1/chat/completions", httplib::Headers{}, json_text(body), "application/json",
                                  [&](const char*, std::size_t) { return ++events < 3; }));
    while (shown()["busy"].get<bool>()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_EQ(served.service().counters().cancelled, 1U);
  ASSERT_EQ(shown()["turns"], 2);
  EXPECT_EQ(served.chat(parts_in("bob", {output_part("alice")})).status, 400);
  EXPECT_EQ(served.chat(parts_in("bob", {output_part("alice", 1)})).status, 400);
}

TEST_F(Partitions, WhiteSpaceThatATemplateTrimsIsNoToken) {
  ASSERT_EQ(served.chat(chat_in("alice", {"one"})).status, 200);
  const auto reply = served.chat(parts_in("bob", {text_part("  "), output_part("alice"), text_part(" \n")}));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto received = shown("bob")["received"];
  ASSERT_EQ(received.size(), 1U);
  EXPECT_EQ(tokens_from("bob", OriginKind::kMessage), received[0]["tokens"]);
}

// So many of an owner's partitions are parked, with all the bytes that are; the others are in the cache.
void expect_parked(const Served& served, const Json& reply, std::uint64_t count) {
  std::uint64_t parked = 0;
  std::uint64_t bytes = 0;
  for (const auto& shown : reply.is_array() ? reply : reply["data"]) {
    const bool is_parked = shown["cells"] == "parked";
    EXPECT_EQ(shown["cells"], is_parked ? "parked" : "cache");
    EXPECT_EQ(shown["parked"], is_parked);
    EXPECT_EQ(shown["kv_bytes"] == 0, is_parked);
    EXPECT_EQ(shown["parked_bytes"] == 0, !is_parked);
    parked += is_parked ? 1U : 0U;
    bytes += shown["parked_bytes"].get<std::uint64_t>();
  }
  EXPECT_EQ(parked, count);
  EXPECT_EQ(bytes, served.service().desk_status().parked_bytes);
}

// One whose budget is spent parks its own: another's stay where they are, and what comes back is what went.
TEST(PartitionOwners, ABudgetIsOnesOwn) {
  const Served served({.api_keys = {"key-one", "key-two"}, .owner_bytes = std::uint64_t{1} << 20U});
  const httplib::Headers one = {{"Authorization", "Bearer key-one"}};
  const httplib::Headers two = {{"Authorization", "Bearer key-two"}};
  std::string text;
  for (int i = 0; i < 60; ++i) text += "word " + std::to_string(i) + ' ';
  ASSERT_EQ(served.chat(chat_in("a", {text}), two).status, 200);
  const auto first = served.chat(chat_in("a", {text}), one);
  ASSERT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(served.service().desk_status().parks, 0U);
  std::vector<std::string> names = {"b", "c", "d", "e"};
  for (const auto& name : names) ASSERT_EQ(served.chat(chat_in(name, {name + text}), one).status, 200);
  const auto parks = served.service().desk_status().parks;
  EXPECT_GT(parks, 0U);
  EXPECT_EQ(served.service().desk_status().parked, parks);
  for (const auto* path : {"/v1/partitions", "/slots"}) {
    expect_parked(served, served.get(path, one).json(), parks);
    EXPECT_EQ(served.get(path, two).body.find("parked\":true"), std::string::npos) << "hers are not";
  }
  ASSERT_EQ(served.get("/v1/partitions/a", one).json()["cells"], "parked");
  const auto next = chat_in("a", {text, content_of(first.json()), "more"});
  const auto unparks = served.service().desk_status().unparks;
  const auto back = served.chat(next, one);
  EXPECT_GT(served.service().desk_status().unparks, unparks);
  const auto shown = served.get("/v1/partitions/a", one).json();
  EXPECT_EQ(shown["cells"], "cache") << "it came back";
  EXPECT_EQ(shown["kv_bytes"], shown["tokens"].get<std::uint64_t>() * served.service().facts().kv_bytes_per_token);
  const auto empty = served.post("/v1/partitions", R"({"name": "empty"})", one).json();
  EXPECT_EQ(empty["cells"], "none");
  EXPECT_EQ(empty["kv_bytes"], 0);
  EXPECT_EQ(own_of(back)["reuse"]["tokens"], first.json()["usage"]["total_tokens"]);
  const auto before = served.service().desk_status().unparks;
  const auto others = served.chat(next, two);
  EXPECT_EQ(served.service().desk_status().unparks, before) << "hers was never parked";
  EXPECT_EQ(own_of(others)["logits_hash"], own_of(back)["logits_hash"]);
}

// What another owner has looks in every way like what nobody has.
TEST(PartitionOwners, AnothersIsLikeOneThatIsNotThere) {
  const std::vector<std::string> keys = {"key-one", "key-two"};
  const Served with({.api_keys = keys});
  const Served without({.api_keys = keys});
  const httplib::Headers one = {{"Authorization", "Bearer key-one"}};
  const httplib::Headers two = {{"Authorization", "Bearer key-two"}};
  ASSERT_EQ(with.chat(chat_in("alice", {"a secret"}), one).status, 200);
  const auto id = with.get("/v1/partitions/alice", one).json()["id"].get<std::string>();
  ASSERT_EQ(id, "p-1");
  for (const auto& name : {std::string("alice"), id}) {
    const auto path = "/v1/partitions/" + name;
    const auto same = [&](const auto& ask) {
      const Served::Reply here = ask(with);
      const Served::Reply there = ask(without);
      EXPECT_EQ(here.status, there.status);
      EXPECT_EQ(here.body, there.body);
      EXPECT_EQ(here.headers.size(), there.headers.size());
      return here.status;
    };
    EXPECT_EQ(same([&](const Served& it) { return it.get(path, two); }), 404);
    EXPECT_EQ(same([&](const Served& it) { return it.remove(path, two); }), 404);
    EXPECT_EQ(same([&](const Served& it) { return it.post(path + "/fork", R"({"n": 1})", two); }), 404);
    EXPECT_EQ(same([&](const Served& it) { return it.post(path + "/truncate", R"({"turns": 0})", two); }), 404);
    for (const auto& part : {output_part(name), output_part(name, 1)}) {
      EXPECT_EQ(same([&](const Served& it) { return it.chat(parts_in("", {part}), two); }), 400);
    }
  }
  EXPECT_EQ(with.chat(chat_in(id, {"hi"}), two).status, 404);
  EXPECT_EQ(with.get("/v1/partitions", two).json()["data"].size(), 0U);
  EXPECT_EQ(with.post("/v1/partitions", R"({"name": "alice"})", two).status, 201) << "names are each owner's own";
  EXPECT_EQ(with.get("/v1/partitions/alice", one).json()["turns"], 2) << "and nothing of it reached hers";
}

}  // namespace
}  // namespace bulkhead::testing
