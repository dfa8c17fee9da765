// SPDX-License-Identifier: MIT
#include "run/isolation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace bulkhead::run {
namespace {

using conversation::Cluster;
using conversation::Origin;
using conversation::OriginKind;

// The clusters whose outputs `cluster` may receive: those it names, nothing further.
std::set<std::string> allowed_labels(const Cluster& cluster, const conversation::Scenario& scenario) {
  std::set<std::string> labels;
  for (const auto& id : cluster.depends_on) {
    if (const auto* source = scenario.find_cluster(id)) labels.insert(source->label);
  }
  return labels;
}

// Whom a foreign token belongs to, with the number of such tokens, in words: the first few, and how many more there
// are. Each output of one cache sees all other clusters, and a reason for each pair would be a reason for every two
// clusters.
void add_reasons(const Evidence& evidence, const std::map<std::string, std::uint32_t>& counts, std::string_view of,
                 std::string_view end, std::vector<std::string>& reasons) {
  constexpr std::size_t kNamed = 8;
  std::size_t named = 0;
  std::uint64_t rest = 0;
  for (const auto& [what, count] : counts) {
    if (named++ < kNamed) {
      reasons.push_back(
          fmt::format("output {}: its cache holds {} tokens of {}{}{}", evidence.output, count, of, what, end));
    } else {
      rest += count;
    }
  }
  if (named <= kNamed) return;
  reasons.push_back(fmt::format("output {}: its cache holds {} tokens of {}{} more{}", evidence.output, rest, of,
                                named - kNamed, end));
}

void check_origins(const Evidence& evidence, const Cluster& cluster, const conversation::Scenario& scenario,
                   std::vector<std::string>& reasons) {
  const auto labels = allowed_labels(cluster, scenario);
  std::map<int, const std::string*> owners;  // turn id -> cluster id
  for (const auto& turn : scenario.turns) owners.emplace(turn.id, &turn.cluster);
  const auto& tokens = evidence.ledger->tokens;
  std::vector<std::uint32_t> counts(tokens.origins.size(), 0);
  for (const auto origin : tokens.origin_of) ++counts[origin];
  std::map<std::string, std::uint32_t> foreign_turn_tokens;  // cluster id -> tokens
  std::map<std::string, std::uint32_t> foreign_labels;       // what, label -> tokens
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const Origin& origin = tokens.origins[i];
    if (counts[i] == 0) continue;
    if (origin.kind == OriginKind::kTurn) {
      const auto found = owners.find(origin.turn);
      const std::string owner = found == owners.end() ? fmt::format("unknown turn {}", origin.turn) : *found->second;
      if (owner != cluster.id) foreign_turn_tokens[owner] += counts[i];
    } else if (origin.kind == OriginKind::kMessage && !labels.contains(origin.label)) {
      foreign_labels[fmt::format("message {}", origin.label)] += counts[i];
    } else if ((origin.kind == OriginKind::kPrompt || origin.kind == OriginKind::kGenerated) &&
               origin.label != evidence.output) {
      foreign_labels[fmt::format("{} of output {}", name(origin.kind), origin.label)] += counts[i];
    }
  }
  add_reasons(evidence, foreign_turn_tokens, "turns of ", "", reasons);
  add_reasons(evidence, foreign_labels, "", ", which it must not receive", reasons);
}

void check_messages(const Evidence& evidence, const SentMessages& sent, std::vector<std::string>& reasons) {
  for (const auto& receipt : evidence.ledger->messages) {
    const auto found = sent.find(receipt.label);
    if (found == sent.end()) {
      reasons.push_back(fmt::format("output {}: received message {} that nobody sent", evidence.output, receipt.label));
    } else if (found->second != receipt.sha256) {
      reasons.push_back(
          fmt::format("output {}: message {} differs from what was sent", evidence.output, receipt.label));
    }
    if (receipt.tokens == 0) {
      reasons.push_back(
          fmt::format("output {}: message {} was received but is not in the cache", evidence.output, receipt.label));
    }
  }
}

void check_ledger(const Evidence& evidence, std::vector<std::string>& reasons) {
  const auto& held = evidence.ledger->tokens;
  const auto& expected = evidence.expected;
  const std::size_t common = std::min(held.size(), expected.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (held.tokens[i] == expected.tokens[i] && held.origin(i) == expected.origin(i)) continue;
    reasons.push_back(fmt::format("output {}: token {} of its cache is {} from {}, planned was {} from {}",
                                  evidence.output, i, held.tokens[i], name(held.origin(i).kind), expected.tokens[i],
                                  name(expected.origin(i).kind)));
    return;
  }
  if (held.size() < expected.size()) {
    reasons.push_back(fmt::format("output {}: its cache lost {} of {} planned tokens", evidence.output,
                                  expected.size() - held.size(), expected.size()));
    return;
  }
  for (std::size_t i = expected.size(); i < held.size(); ++i) {
    if (held.origin(i).kind == OriginKind::kGenerated) continue;
    reasons.push_back(fmt::format("output {}: token {} of its cache, from {}, was not planned", evidence.output, i,
                                  name(held.origin(i).kind)));
    return;
  }
}

void check_engine(const Evidence& evidence, std::vector<std::string>& reasons) {
  const auto& state = evidence.state;
  const auto held = evidence.ledger->tokens.size();
  if (state.tokens != held) {
    reasons.push_back(
        fmt::format("output {}: the engine holds {} tokens, the ledger {}", evidence.output, state.tokens, held));
  } else if (state.token_sha256 != evidence.ledger->token_sha256()) {
    reasons.push_back(fmt::format("output {}: the engine holds other tokens than the ledger", evidence.output));
  }
  const auto cached = static_cast<std::int64_t>(state.tokens) - static_cast<std::int64_t>(state.pending_tokens);
  if (state.last_position != cached - 1) {
    reasons.push_back(fmt::format("output {}: the newest position in the cache is {}, not {}", evidence.output,
                                  state.last_position, cached - 1));
  }
  // A sliding window may have dropped positions older than the window, never younger ones.
  const auto oldest_needed =
      evidence.window_tokens == 0 ? 0 : std::max<std::int64_t>(0, cached - evidence.window_tokens);
  if (cached > 0 && (state.first_position < 0 || state.first_position > oldest_needed)) {
    reasons.push_back(fmt::format("output {}: the oldest position in the cache is {}, {} is needed", evidence.output,
                                  state.first_position, oldest_needed));
  }
}

}  // namespace

std::vector<std::string> objections(const Evidence& evidence, const conversation::Scenario& scenario,
                                    const SentMessages& sent) {
  std::vector<std::string> reasons;
  const auto* cluster = scenario.find_cluster(evidence.cluster);
  if (cluster == nullptr) return {fmt::format("output {}: unknown cluster {}", evidence.output, evidence.cluster)};
  check_origins(evidence, *cluster, scenario, reasons);
  check_messages(evidence, sent, reasons);
  check_ledger(evidence, reasons);
  check_engine(evidence, reasons);
  return reasons;
}

}  // namespace bulkhead::run
