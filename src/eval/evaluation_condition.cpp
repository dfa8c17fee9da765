// SPDX-License-Identifier: MIT
#include "eval/evaluation_condition.h"

#include "base/hash.h"
#include "eval/filler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

namespace bulkhead::eval {
namespace {

using conversation::Scenario;
using dataset::Conversation;

std::vector<EvaluationContext> of_run(const Conversation& conversation, std::string_view condition) {
  std::vector<EvaluationContext> contexts;
  const auto found = plan::find_condition(condition);
  for (auto& spec : found.value()->contexts(conversation.scenario)) contexts.push_back({std::move(spec), {}, {}});
  return contexts;
}

std::vector<EvaluationContext> sequential(const Conversation& conversation, std::uint64_t /*seed*/) {
  return of_run(conversation, "sequential");
}

std::vector<EvaluationContext> prompted(const Conversation& conversation, std::uint64_t /*seed*/) {
  return of_run(conversation, "prompted");
}

std::vector<EvaluationContext> turn_based(const Conversation& conversation, std::uint64_t /*seed*/) {
  return of_run(conversation, "turn_based");
}

std::vector<EvaluationContext> semantic(const Conversation& conversation, std::uint64_t /*seed*/) {
  return of_run(conversation, "semantic");
}

// The bytes of `sequential`, sorted by topic: what order alone can do.
std::vector<EvaluationContext> regrouped(const Conversation& conversation, std::uint64_t /*seed*/) {
  auto contexts = of_run(conversation, "sequential");
  auto& turns = contexts.front().spec.content.turns;
  turns.clear();
  for (const auto& cluster : conversation.scenario.clusters) {
    turns.insert(turns.end(), cluster.turns.begin(), cluster.turns.end());
  }
  return contexts;
}

// `semantic` with filler where the others' turns stood: what length alone does.
std::vector<EvaluationContext> with_filler(const Conversation& conversation, std::uint64_t seed) {
  auto contexts = of_run(conversation, "semantic");
  Filler filler(static_cast<std::size_t>(seed));
  for (auto& context : contexts) {
    const auto own = context.spec.content.turns;
    context.spec.content.turns.clear();
    for (const auto& turn : conversation.scenario.turns) {
      context.spec.content.turns.push_back(turn.id);
      if (std::find(own.begin(), own.end(), turn.id) == own.end()) {
        context.fillers[turn.id] = filler.text(turn.text.size());
      }
    }
  }
  return contexts;
}

// `semantic` with every cluster's number of turns, drawn from all: what small contexts alone do. Equal seeds draw
// equally on every machine.
std::vector<EvaluationContext> random_clusters(const Conversation& conversation, std::uint64_t seed) {
  auto contexts = of_run(conversation, "semantic");
  std::vector<int> turns;
  for (const auto& turn : conversation.scenario.turns) turns.push_back(turn.id);
  const auto& id = conversation.scenario.id;
  std::mt19937_64 random(seed ^ xxh3_64(std::as_bytes(std::span(id.data(), id.size()))));
  for (std::size_t i = turns.size(); i > 1; --i) std::swap(turns[i - 1], turns[random() % i]);
  for (auto& context : contexts) {
    auto& own = context.spec.content.turns;
    const auto count = static_cast<std::ptrdiff_t>(own.size());
    std::vector<int> drawn(turns.end() - count, turns.end());
    turns.resize(turns.size() - own.size());
    own.clear();
    for (const auto& turn : conversation.scenario.turns) {
      if (std::find(drawn.begin(), drawn.end(), turn.id) != drawn.end()) own.push_back(turn.id);
    }
  }
  return contexts;
}

std::vector<EvaluationContext> no_messages(const Conversation& conversation, std::uint64_t /*seed*/) {
  auto contexts = of_run(conversation, "semantic");
  for (auto& context : contexts) context.spec.content.messages_from.clear();
  return contexts;
}

// `semantic` with a message from every other cluster: one cache for each topic, and a summary of all the rest.
std::vector<EvaluationContext> summaries(const Conversation& conversation, std::uint64_t /*seed*/) {
  auto contexts = of_run(conversation, "semantic");
  for (auto& context : contexts) {
    auto& from = context.spec.content.messages_from;
    from.clear();
    for (const auto& cluster : conversation.scenario.clusters) {
      if (cluster.id != context.spec.clusters.front()) from.push_back(cluster.label);
    }
  }
  return contexts;
}

// `semantic` with the sender's turns where its output would stand.
std::vector<EvaluationContext> full_texts(const Conversation& conversation, std::uint64_t /*seed*/) {
  auto contexts = of_run(conversation, "semantic");
  for (auto& context : contexts) {
    for (const auto& cluster : conversation.scenario.clusters) {
      std::string& text = context.messages[cluster.label];
      for (const int id : cluster.turns) {
        text += (text.empty() ? "" : "\n\n") + conversation.scenario.find_turn(id)->text;
      }
    }
  }
  return contexts;
}

// `semantic` cut as finely as it goes: a cache for each turn. What is asked of a topic is asked in the cache of its
// last turn, which gets the topic's messages; in the caches of other turns nothing is asked, so they are not made.
std::vector<EvaluationContext> turn_clusters(const Conversation& conversation, std::uint64_t /*seed*/) {
  auto contexts = of_run(conversation, "semantic");
  for (auto& context : contexts) {
    auto& turns = context.spec.content.turns;
    turns.erase(turns.begin(), turns.end() - 1);
  }
  return contexts;
}

// A sentence with its point. A point within a number or a name has no space behind it.
std::vector<std::string_view> sentences_of(std::string_view text) {
  std::vector<std::string_view> sentences;
  while (!text.empty()) {
    const auto end = text.find(". ");
    sentences.push_back(text.substr(0, end == std::string_view::npos ? end : end + 1));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 2);
  }
  return sentences;
}

// The values of `sender` that questions asked in `receiver` rest on.
std::vector<std::string_view> needed_values(const Conversation& conversation, std::string_view sender,
                                            std::string_view receiver) {
  std::vector<std::string_view> values;
  for (const auto& question : conversation.questions) {
    const auto& sources = question.sources;
    if (question.cluster != receiver || !dataset::needs_messages(question.kind)) continue;
    if (std::find(sources.begin(), sources.end(), sender) == sources.end()) continue;
    const auto* fact = dataset::current_fact(conversation, sender, question.entity, question.slot);
    if (fact != nullptr) values.push_back(fact->value);
  }
  return values;
}

// `semantic` with each message cut down to its first sentence, which names the topic, and those with a value that a
// question rests on: how much of a message is ballast that intrudes.
std::vector<EvaluationContext> short_messages(const Conversation& conversation, std::uint64_t /*seed*/) {
  auto contexts = of_run(conversation, "semantic");
  for (auto& context : contexts) {
    for (const auto& cluster : conversation.scenario.clusters) {
      const auto values = needed_values(conversation, cluster.id, context.spec.clusters.front());
      std::string& text = context.messages[cluster.label];
      for (const auto sentence : sentences_of(cluster.expected_output)) {
        const bool needed = text.empty() || std::any_of(values.begin(), values.end(), [&](std::string_view value) {
                              return sentence.find(value) != std::string_view::npos;
                            });
        if (needed) text += fmt::format("{}{}", text.empty() ? "" : " ", sentence);
      }
    }
  }
  return contexts;
}

constexpr std::array<EvaluationCondition, 12> kTable = {{
    {"sequential", "Sequential", "nothing", "what separate caches change", sequential},
    {"prompted", "Prompted", "words", "whether an instruction does the same", prompted},
    {"turn_based", "Turn-based", "markers", "whether markers do the same", turn_based},
    {"semantic", "Semantic", "own caches", "the reference", semantic},
    {"regrouped", "Regrouped", "order", "whether sorting the turns by topic does the same", regrouped},
    {"filler", "Length-matched filler", "own caches", "how much of it is shorter contexts", with_filler},
    {"random_clusters", "Random clusters", "own caches", "whether the right clusters matter", random_clusters},
    {"turn_clusters", "A cluster for each turn", "own caches", "what is lost when clusters are too small",
     turn_clusters},
    {"no_messages", "Semantic without messages", "own caches", "what messages carry", no_messages},
    {"summaries", "Summaries of all others", "own caches", "what it costs to know a little of everything", summaries},
    {"short_messages", "Messages of what is needed", "own caches", "how much of a message is ballast", short_messages},
    {"full_texts", "Full texts as messages", "own caches", "what an output leaves out of its turns", full_texts},
}};

}  // namespace

std::span<const EvaluationCondition> evaluation_conditions() noexcept {
  return kTable;
}

Result<const EvaluationCondition*> find_evaluation_condition(std::string_view name) {
  const auto* found = std::find_if(kTable.begin(), kTable.end(), [&](const auto& one) { return one.name == name; });
  if (found != kTable.end()) return found;
  std::vector<std::string_view> known;
  for (const auto& one : kTable) known.push_back(one.name);
  return Error{ErrorCode::kUsage, fmt::format("there is no condition \"{}\"", name), "--conditions",
               fmt::format("known: {}", fmt::join(known, ", "))};
}

std::vector<prompt::Block> blocks_of(const EvaluationContext& context, const Conversation& conversation,
                                     const prompt::Format& format) {
  Scenario shown = conversation.scenario;
  std::map<std::string, std::string> messages;
  for (const auto& cluster : shown.clusters) {
    const auto other = context.messages.find(cluster.label);
    messages[cluster.label] = other == context.messages.end() ? cluster.expected_output : other->second;
  }
  for (auto& turn : shown.turns) {
    if (const auto filler = context.fillers.find(turn.id); filler != context.fillers.end()) turn.text = filler->second;
  }
  return prompt::context_blocks(format, shown, context.spec.content, messages);
}

std::vector<Segment> segments_of(const EvaluationContext& context, const Conversation& conversation,
                                 const prompt::Format& format) {
  const auto& scenario = conversation.scenario;
  const auto cluster_of = [&](const conversation::Origin& origin) {
    if (origin.kind == conversation::OriginKind::kTurn && !context.fillers.contains(origin.turn)) {
      return scenario.find_turn(origin.turn)->cluster;
    }
    for (const auto& cluster : scenario.clusters) {
      if (origin.kind == conversation::OriginKind::kMessage && cluster.label == origin.label) return cluster.id;
    }
    return std::string();
  };
  std::vector<Segment> segments;
  for (const auto& block : blocks_of(context, conversation, format)) {
    std::string marker;
    for (const auto& piece : block.pieces) {
      if (piece.origin.kind == conversation::OriginKind::kMarker) {
        marker = piece.text;
      } else {
        segments.push_back({cluster_of(piece.origin), std::exchange(marker, {}) + piece.text});
      }
    }
  }
  return segments;
}

}  // namespace bulkhead::eval
