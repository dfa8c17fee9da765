// SPDX-License-Identifier: MIT
#include "serve/identity.h"

#include <array>

namespace bulkhead::serve {
namespace {

constexpr std::size_t kLongestName = 256;

enum class Says { kPartition, kSession, kAgent };
enum class Where { kHeader, kField };

struct Spelling {
  Says says;
  Where where;
  std::string_view name;
  std::string_view client;  // who sends it
};

// Never `x-client-request-id`: some clients make a new one for each request.
constexpr std::array kSpellings = {
    Spelling{Says::kPartition, Where::kField, "bulkhead.partition", "ours"},
    Spelling{Says::kPartition, Where::kHeader, "x-bulkhead-partition", "ours"},
    Spelling{Says::kAgent, Where::kHeader, "x-claude-code-agent-id", "Claude Code's subagents"},
    Spelling{Says::kAgent, Where::kHeader, "thread-id", "Codex"},
    Spelling{Says::kSession, Where::kHeader, "x-claude-code-session-id", "Claude Code"},
    Spelling{Says::kSession, Where::kHeader, "session-id", "Codex"},
    Spelling{Says::kSession, Where::kHeader, "x-session-id", "Ray Serve, vLLM's router"},
    Spelling{Says::kSession, Where::kHeader, "session_id", "pi"},
    Spelling{Says::kSession, Where::kHeader, "x-session-affinity", "pi, opencode"},
    Spelling{Says::kSession, Where::kHeader, "x-opencode-session", "opencode"},
    Spelling{Says::kSession, Where::kHeader, "x-litellm-session-id", "LiteLLM, OpenHands"},
    Spelling{Says::kSession, Where::kField, "session_id", "vLLM, SGLang"},
    Spelling{Says::kSession, Where::kField, "prompt_cache_key", "OpenAI, hermes, tau"},
    Spelling{Says::kSession, Where::kField, "cache_salt", "vLLM, SGLang"},
};

std::optional<std::string> field_of(const Json& body, std::string_view name) {
  const Json* value = &body;
  while (!name.empty()) {
    const auto dot = name.find('.');
    const std::string key(name.substr(0, dot));
    if (!value->is_object() || !value->contains(key)) return std::nullopt;
    value = &(*value)[key];
    name = dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
  }
  return value->is_string() ? std::optional(value->get<std::string>()) : std::nullopt;
}

}  // namespace

Identity identify(const HeaderOf& header, const Json& body) {
  Identity identity;
  for (const auto& spelling : kSpellings) {
    auto& member = spelling.says == Says::kPartition ? identity.partition
                   : spelling.says == Says::kSession ? identity.session
                                                     : identity.agent;
    if (!member.empty()) continue;
    const auto value = spelling.where == Where::kHeader ? header(spelling.name) : field_of(body, spelling.name);
    if (!value || value->empty() || value->size() > kLongestName) continue;
    member = *value;
    if (identity.said_by.empty()) identity.said_by = spelling.name;
  }
  return identity;
}

}  // namespace bulkhead::serve
