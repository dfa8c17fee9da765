// SPDX-License-Identifier: MIT
// The table of identities: what clients send, and whom we take them for.
#include "serve/identity.h"

#include "json_of.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace bulkhead::serve {
namespace {

struct Sent {
  std::string client;
  std::map<std::string, std::string> headers;
  std::string body;
  std::string partition;
  std::string session;
  std::string agent;
};

Identity identity_of(const Sent& sent) {
  return identify(
      [&](std::string_view name) -> std::optional<std::string> {
        const auto found = sent.headers.find(std::string(name));
        return found == sent.headers.end() ? std::nullopt : std::optional(found->second);
      },
      testing::json_of(sent.body));
}

const std::vector<Sent> kSent = {
    {"SDKs of OpenAI and Anthropic", {}, R"({"user": "u"})", "", "", ""},
    {"a request id is no identity", {{"x-client-request-id", "r"}, {"x-request-id", "r"}}, "{}", "", "", ""},
    {"Claude Code", {{"x-claude-code-session-id", "s"}}, "{}", "", "s", ""},
    {"its subagent",
     {{"x-claude-code-session-id", "s"}, {"x-claude-code-agent-id", "a"}, {"x-claude-code-parent-agent-id", "p"}},
     "{}",
     "",
     "s",
     "a"},
    {"Codex", {{"session-id", "s"}, {"thread-id", "t"}}, R"({"prompt_cache_key": "k"})", "", "s", "t"},
    {"pi", {{"session_id", "s"}, {"x-session-affinity", "f"}}, "{}", "", "s", ""},
    {"opencode", {{"x-session-affinity", "f"}, {"x-parent-session-id", "p"}}, "{}", "", "f", ""},
    {"LiteLLM", {{"x-litellm-session-id", "l"}}, "{}", "", "l", ""},
    {"vLLM's clients", {}, R"({"session_id": "s", "cache_salt": "c"})", "", "s", ""},
    {"a salt alone", {}, R"({"cache_salt": "c"})", "", "c", ""},
    {"hermes", {}, R"({"prompt_cache_key": "k"})", "", "k", ""},
    {"a router", {{"x-session-id", "h"}}, R"({"session_id": "s"})", "", "h", ""},
    {"our field", {}, R"({"bulkhead": {"partition": "p"}})", "p", "", ""},
    {"our header", {{"x-bulkhead-partition", "p"}}, "{}", "p", "", ""},
    {"our field goes before our header",
     {{"x-bulkhead-partition", "h"}},
     R"({"bulkhead": {"partition": "p"}})",
     "p",
     "",
     ""},
    {"names that are none", {{"x-session-id", ""}}, R"({"session_id": 7, "cache_salt": null})", "", "", ""},
    {"a name that is too long", {{"x-session-id", std::string(257, 's')}}, "{}", "", "", ""},
    {"a field of a text", {}, R"({"bulkhead": "partition"})", "", "", ""},
};

TEST(Identity, IsWhatTheTableSays) {
  for (const auto& sent : kSent) {
    const auto identity = identity_of(sent);
    EXPECT_EQ(identity.partition, sent.partition) << sent.client;
    EXPECT_EQ(identity.session, sent.session) << sent.client;
    EXPECT_EQ(identity.agent, sent.agent) << sent.client;
    EXPECT_EQ(identity.said_by.empty(), sent.partition.empty() && sent.session.empty() && sent.agent.empty());
  }
}

TEST(Identity, AgentsOfOneSessionHaveScopesOfTheirOwn) {
  const Identity main{.session = "s"};
  const Identity agent{.session = "s", .agent = "a"};
  EXPECT_NE(main.scope(), agent.scope());
  EXPECT_NE((Identity{.session = "sa"}.scope()), agent.scope()) << "no name can be spelled as two";
  EXPECT_NE((Identity{.session = "x\ny", .agent = "z"}.scope()), (Identity{.session = "x", .agent = "y\nz"}.scope()));
}

TEST(Identity, ClustersOfOneConversationHaveScopesOfTheirOwn) {
  EXPECT_NE((Identity{.cluster = "a"}.scope()), (Identity{.cluster = "b"}.scope()));
  EXPECT_NE((Identity{.cluster = "a"}.scope()), Identity().scope());
  EXPECT_NE((Identity{.agent = "a"}.scope()), (Identity{.cluster = "a"}.scope()));
  EXPECT_NE((Identity{.agent = "ab"}.scope()), (Identity{.agent = "a", .cluster = "b"}.scope()));
  EXPECT_NE((Identity{.session = "a"}.scope()), (Identity{.cluster = "a"}.scope()));
}

}  // namespace
}  // namespace bulkhead::serve
