// SPDX-License-Identifier: MIT
#include "eval/output.h"

#include "measure/bleu.h"
#include "measure/chrf.h"
#include "measure/exact_answer.h"
#include "measure/repetition.h"
#include "measure/rouge.h"
#include "measure/terms.h"
#include "measure/words.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>
#include <vector>

namespace bulkhead::eval {
namespace {

using conversation::Cluster;
using dataset::Conversation;

bool is_foreign(const Cluster& own, const std::string& cluster) {
  return cluster != own.id && std::find(own.depends_on.begin(), own.depends_on.end(), cluster) == own.depends_on.end();
}

void count_terms(const Conversation& conversation, const Cluster& own, Output& output) {
  std::vector<measure::ClusterTerms> foreign;
  for (const auto& cluster : conversation.scenario.clusters) {
    if (is_foreign(own, cluster.id)) foreign.push_back({cluster.id, cluster.terminology});
  }
  const auto counts = measure::count_terms(output.text, own.terminology, foreign);
  output.own_terms = counts.obstacle.empty() ? std::optional(counts.own) : std::nullopt;
  output.foreign_terms = counts.obstacle.empty() ? std::optional(counts.foreign) : std::nullopt;
}

// A value that an allowed cluster states too, in whatever spelling, is not foreign: its occurrence could be either's.
void count_facts(const Conversation& conversation, const Cluster& own, Output& output) {
  std::vector<std::string> values;
  std::vector<const dataset::Fact*> stated;
  for (const auto& fact : conversation.facts) {
    values.push_back(fact.value);
    stated.push_back(&fact);
  }
  std::set<std::pair<std::size_t, std::size_t>> allowed;
  std::set<std::string> own_values;
  const auto hits = measure::find_answers(output.text, values);
  for (const auto& hit : hits) {
    const auto& fact = *stated[hit.answer];
    if (!is_foreign(own, fact.cluster)) allowed.emplace(hit.begin, hit.end);
    if (fact.cluster == own.id) own_values.insert(fact.value);
  }
  std::set<std::string> foreign_values;
  for (const auto& hit : hits) {
    if (!allowed.contains({hit.begin, hit.end})) foreign_values.insert(stated[hit.answer]->value);
  }
  output.own_facts = own_values.size();
  output.foreign_facts = foreign_values.size();
}

void count_canaries(const Conversation& conversation, const Cluster& own, Output& output) {
  const auto& clusters = conversation.scenario.clusters;
  for (std::size_t i = 0; i < conversation.canaries.size() && i < clusters.size(); ++i) {
    const bool leaked = clusters[i].id != own.id && output.text.find(conversation.canaries[i]) != std::string::npos;
    output.canaries += leaked ? 1U : 0U;
  }
}

struct CountField {
  const char* name;
  std::uint64_t Output::*member;
};
constexpr std::array<CountField, 4> kCounts = {{{"words", &Output::words},
                                                {"own_facts", &Output::own_facts},
                                                {"foreign_facts", &Output::foreign_facts},
                                                {"canaries", &Output::canaries}}};
struct TermField {
  const char* name;
  std::optional<std::uint64_t> Output::*member;
};
constexpr std::array<TermField, 2> kTerms = {
    {{"own_terms", &Output::own_terms}, {"foreign_terms", &Output::foreign_terms}}};
struct ScoreField {
  const char* name;
  double Output::*member;
};
constexpr std::array<ScoreField, 4> kScores = {{{"bleu", &Output::bleu},
                                                {"chrf", &Output::chrf},
                                                {"rouge_l", &Output::rouge_l},
                                                {"repetition", &Output::repetition}}};

Result<Output> read_output(const std::string& text) {
  BH_TRY(const auto document, JsonDocument::parse(text, "output"));
  const JsonView root(document);
  Output output;
  BH_TRY(const auto text_view, root.at("text"));
  BH_TRY(output.text, text_view.string());
  BH_TRY(const auto tokens_view, root.at("tokens"));
  BH_TRY(const auto tokens, tokens_view.integer(0, std::numeric_limits<std::int32_t>::max()));
  output.tokens = static_cast<std::uint32_t>(tokens);
  BH_TRY(const auto ended_view, root.at("ended"));
  BH_TRY(output.ended, ended_view.boolean());
  for (const auto& field : kCounts) {
    BH_TRY(const auto view, root.at(field.name));
    BH_TRY(const auto number, view.integer(0, std::numeric_limits<std::int32_t>::max()));
    output.*field.member = static_cast<std::uint64_t>(number);
  }
  for (const auto& field : kTerms) {
    BH_TRY(const auto view, root.at(field.name));
    output.*field.member = std::nullopt;
    if (view.json().is_null()) continue;
    BH_TRY(const auto number, view.integer(0, std::numeric_limits<std::int32_t>::max()));
    output.*field.member = static_cast<std::uint64_t>(number);
  }
  for (const auto& field : kScores) {
    BH_TRY(const auto view, root.at(field.name));
    BH_TRY(output.*field.member, view.number());
  }
  if (root.has("similarity")) {
    BH_TRY(const auto view, root.at("similarity"));
    BH_TRY(output.similarity, view.number());
  }
  return output;
}

}  // namespace

Output measure_output(const Conversation& conversation, std::string_view cluster, std::string text) {
  const auto& own = *conversation.scenario.find_cluster(std::string(cluster));
  Output output;
  output.text = std::move(text);
  const measure::Segment segment{output.text, {own.expected_output}};
  output.bleu = measure::sentence_bleu(segment).score;
  output.chrf = measure::sentence_chrf(segment);
  output.rouge_l = measure::rouge(output.text, own.expected_output).rouge_l.f1;
  output.words = measure::words_as_written(output.text).size();
  output.repetition = 1 - measure::distinct_ngrams(output.text, 2).value_or(1.0);
  count_terms(conversation, own, output);
  count_facts(conversation, own, output);
  count_canaries(conversation, own, output);
  return output;
}

Json to_json(const Output& output) {
  Json json = {{"text", output.text}, {"tokens", output.tokens}, {"ended", output.ended}};
  for (const auto& field : kCounts) json[field.name] = output.*field.member;
  for (const auto& field : kTerms) {
    json[field.name] = output.*field.member ? Json(*(output.*field.member)) : Json(nullptr);
  }
  for (const auto& field : kScores) json[field.name] = output.*field.member;
  if (output.similarity) json["similarity"] = *output.similarity;
  return json;
}

Result<Output> output_from_json(const std::string& text) {
  auto output = read_output(text);
  if (!output.ok()) {
    auto error = output.error();
    error.code = ErrorCode::kCorrupt;
    return error;
  }
  return output;
}

}  // namespace bulkhead::eval
