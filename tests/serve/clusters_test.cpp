// SPDX-License-Identifier: MIT
// One conversation with many clusters: each is answered as if it were alone, and nothing of another is ever rendered.
#include "serve/served.h"

#include <fmt/format.h>

#include <map>
#include <vector>

namespace bulkhead::testing {
namespace {

Json said(const std::string& role, const Json& content, const std::string& cluster = {}) {
  Json message = {{"role", role}, {"content", content}};
  if (!cluster.empty()) message["cluster"] = cluster;
  return message;
}

Json labelled(const Json& messages) {
  return {{"messages", messages}, {"max_tokens", 6}, {"temperature", 0}, {"bulkhead", {{"logits_hash", true}}}};
}

// A conversation as its caller keeps it: all turns in the order in which they came. Those of a cluster by itself are a
// conversation without labels.
class Talk {
 public:
  Talk(const Served& served, bool labels) : served_(served), labels_(labels) {
    messages_.push_back(said("system", "Be brief."));
  }
  // The reply to a question in a cluster.
  Json ask(const std::string& cluster, const std::string& text) {
    messages_.push_back(said("user", text, labels_ ? cluster : ""));
    const auto reply = served_.chat(labelled(messages_));
    EXPECT_EQ(reply.status, 200) << reply.body;
    if (reply.status != 200) return {};
    messages_.push_back(said("assistant", content_of(reply.json())));
    return reply.json();
  }
  [[nodiscard]] const Json& messages() const { return messages_; }

 private:
  const Served& served_;
  bool labels_;
  Json messages_ = Json::array();
};

const std::vector<std::pair<std::string, std::string>> kQuestions = {
    {"budget", "What did the pump cost?"}, {"travel", "Where do we go?"},  {"budget", "And the pipes?"},
    {"budget", "All together?"},           {"travel", "By which train?"},  {"people", "Who comes along?"},
    {"travel", "When are we there?"},      {"budget", "Is that too much?"}};

TEST(Clusters, EachIsAnsweredBitForBitAsIfItWereAlone) {
  const Served served;
  Talk together(served, true);
  std::vector<Json> replies;
  std::map<std::string, std::string> partitions;
  for (const auto& [cluster, text] : kQuestions) {
    replies.push_back(together.ask(cluster, text));
    const auto& own = replies.back()["bulkhead"];
    EXPECT_EQ(own["cluster"], cluster);
    const auto partition = own["partition"].get<std::string>();
    const auto [known, is_new] = partitions.emplace(cluster, partition);
    EXPECT_EQ(known->second, partition) << cluster << " goes on in its own";
    EXPECT_EQ(own["reuse"]["reason"], is_new ? "new" : "continues") << "no other's cells";
    EXPECT_EQ(served.get("/v1/partitions/" + partition).json()["cluster"], cluster);
  }
  EXPECT_EQ(partitions.size(), 3U);
  EXPECT_NE(partitions["budget"], partitions["travel"]);
  EXPECT_NE(partitions["budget"], partitions["people"]);
  for (const auto& [cluster, partition] : partitions) {
    const Served other;
    Talk alone(other, false);
    for (std::size_t i = 0; i < kQuestions.size(); ++i) {
      if (kQuestions[i].first != cluster) continue;
      const auto reply = alone.ask(cluster, kQuestions[i].second);
      EXPECT_EQ(content_of(replies[i]), content_of(reply)) << cluster << i;
      EXPECT_EQ(replies[i]["bulkhead"]["logits_hash"], reply["bulkhead"]["logits_hash"]) << cluster << i;
      EXPECT_EQ(replies[i]["usage"], reply["usage"]) << cluster << i;
      EXPECT_FALSE(reply["bulkhead"].contains("cluster"));
    }
  }
}

TEST(Clusters, AStreamSaysItsClusterToo) {
  const Served served;
  auto body = labelled({said("user", "a", "one"), said("user", "b", "two")});
  body["stream"] = true;
  const auto text = served.chat(body).body;
  EXPECT_NE(text.find(R"("cluster":"two")"), std::string::npos) << text;
  EXPECT_EQ(text.find(R"("cluster":"one")"), std::string::npos) << text;
}

TEST(Clusters, NothingOfAnotherIsRendered) {
  const Served served;
  const Json messages = {said("system", "rules of all"),
                         said("user", "canary-budget", "budget"),
                         said("assistant", "canary-answer"),
                         said("user", "our question", "travel"),
                         said("user", "canary-late", "budget"),
                         said("assistant", "canary-said", "budget"),
                         said("assistant", "our answer", "travel"),
                         said("user", "our last one", "travel")};
  const Json own = {said("system", "rules of all"), said("user", "our question"), said("assistant", "our answer"),
                    said("user", "our last one")};
  const auto rendered = [&](const Json& chat) {
    return served.post("/apply-template", json_text(Json{{"messages", chat}})).json()["prompt"].get<std::string>();
  };
  const auto prompt = rendered(messages);
  EXPECT_EQ(prompt.find("canary"), std::string::npos) << prompt;
  EXPECT_EQ(prompt, rendered(own));
  const auto reply = served.chat(labelled(messages));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto held = served.get("/v1/partitions/" + reply.json()["bulkhead"]["partition"].get<std::string>());
  EXPECT_EQ(held.body.find("canary"), std::string::npos) << held.body;
  EXPECT_EQ(held.json()["turns"], 5) << "its own, and the answer";
}

TEST(Clusters, EqualTextsOfTwoShareNoCell) {
  const Served served;
  for (const auto* cluster : {"one", "two"}) {
    const auto reply = served.chat(labelled({said("system", "the same"), said("user", "the same", cluster)})).json();
    EXPECT_EQ(reply["bulkhead"]["reuse"]["reason"], "new") << cluster;
    EXPECT_EQ(reply["bulkhead"]["reuse"]["tokens"], 0) << cluster;
  }
  const auto reply = served.chat(labelled({said("system", "the same"), said("user", "the same")})).json();
  EXPECT_EQ(reply["bulkhead"]["reuse"]["tokens"], 0) << "nor with a chat without labels";
}

TEST(Clusters, OnlyAFinishedOutputCrosses) {
  const Served served;
  Talk talk(served, true);
  const auto answer = talk.ask("travel", "Where do we go?");
  const auto from = answer["bulkhead"]["partition"].get<std::string>();
  auto messages = talk.messages();
  const Json parts = {{{"type", "text"}, {"text", "What does this cost: "}}, {{"type", "output"}, {"partition", from}}};
  messages.push_back(said("user", parts, "budget"));
  const auto reply = served.chat(labelled(messages));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto own = reply.json()["bulkhead"];
  EXPECT_EQ(own["cluster"], "budget");
  EXPECT_NE(own["partition"], from);
  ASSERT_EQ(own["messages"].size(), 1U);
  EXPECT_EQ(own["messages"][0]["from"], from);
  const auto held = served.get("/v1/partitions/" + own["partition"].get<std::string>()).json();
  EXPECT_EQ(held["messages"][1]["content"], "What does this cost: " + content_of(answer));
  EXPECT_EQ(held["received"].size(), 1U);
  // What is left out is not looked at, and what stays is found in its new place.
  Json later = {said("user", Json::array({{{"type", "output"}, {"partition", "nobody"}}}), "people"),
                said("assistant", "x"), said("user", parts, "budget")};
  const auto again = served.chat(labelled(later));
  ASSERT_EQ(again.status, 200) << again.body;
  const auto its = served.get("/v1/partitions/" + again.json()["bulkhead"]["partition"].get<std::string>()).json();
  EXPECT_EQ(its["messages"][0]["content"], "What does this cost: " + content_of(answer));
}

}  // namespace
}  // namespace bulkhead::testing
