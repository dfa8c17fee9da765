// SPDX-License-Identifier: MIT
#include "conversation_generator.h"

#include "value_pool.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace bulkhead::bench_dataset {
namespace {

using dataset::Conversation;
using dataset::Distractor;
using dataset::Fact;
using dataset::Question;
using dataset::QuestionKind;

constexpr int kConversationsPerDomain = 15;
constexpr std::size_t kEntities = 3;
constexpr std::size_t kMostPersonKeys = 2;
constexpr std::size_t kQuestionsPerCluster = 3;  // own and updated
constexpr int kHard = 3;

// What every cluster says something of: a slot of an entity.
struct Key {
  std::string entity;
  const Slot* slot = nullptr;

  [[nodiscard]] std::string subject() const { return fill(slot->subject, {{"entity", entity}}); }
};

// One sentence to be said in a cluster: a statement or, with `old`, a correction.
struct Saying {
  std::size_t key = 0;
  Value value;
  std::string old;
};

struct ClusterDraft {
  const Topic* topic = nullptr;
  std::string id;
  std::string canary;
  std::vector<std::vector<Saying>> sayings;  // by turn of the cluster
  std::size_t canary_turn = 0;
  std::vector<std::string> terms;  // shuffled; taken in turns
  std::vector<std::string> remarks;
  std::size_t next_term = 0;
  std::size_t next_remark = 0;
  std::vector<std::optional<Value>> current;  // by key: the value that holds at the end
};

// More facts where there are more turns to hold them.
std::size_t facts_of(std::size_t turns_of_cluster) {
  constexpr std::array<std::size_t, 8> kFacts = {0, 0, 3, 4, 5, 5, 6, 6};
  return turns_of_cluster < kFacts.size() ? kFacts.at(turns_of_cluster) : 7;
}

class ConversationMaker {
 public:
  ConversationMaker(const Domain& domain, const Grammar& grammar, const Shape& shape, std::uint64_t seed)
      : domain_(domain), grammar_(grammar), shape_(shape), draw_(seed), pool_(grammar, draw_) {}

  Conversation make() {
    choose_order();
    choose_clusters();
    choose_keys();
    place_statements();
    place_corrections();
    write_turns();
    describe_clusters();
    ask_own();
    ask_absent();
    ask_across();
    return std::move(made_);
  }

 private:
  // Which cluster each turn belongs to. Runs of one cluster, whose lengths the difficulty sets; the first turn of every
  // cluster comes early, so that no cluster begins only when the others are over.
  void choose_order() {
    const auto clusters = static_cast<std::size_t>(shape_.clusters);
    std::vector<std::size_t> left(clusters);
    for (std::size_t i = 0; i < static_cast<std::size_t>(shape_.turns); ++i) ++left[i % clusters];
    counts_ = left;
    std::vector<std::size_t> round;
    while (order_.size() < static_cast<std::size_t>(shape_.turns)) {
      if (round.empty()) {
        for (std::size_t c = 0; c < clusters; ++c) {
          if (left[c] > 0) round.push_back(c);
        }
        draw_.shuffle(round);
        if (round.size() > 1 && !order_.empty() && round.back() == order_.back())
          std::swap(round.back(), round.front());
      }
      const auto cluster = round.back();
      round.pop_back();
      const auto run = std::min(left[cluster], run_length(counts_[cluster]));
      order_.insert(order_.end(), run, cluster);
      left[cluster] -= run;
    }
  }

  std::size_t run_length(std::size_t turns_of_cluster) {
    if (shape_.difficulty == 1) return std::max<std::size_t>(2, (turns_of_cluster + 1) / 2);
    if (shape_.difficulty == 2) return 1 + draw_.below(3);
    return 1;
  }

  void choose_clusters() {
    auto topics = domain_.topics;
    draw_.shuffle(topics);
    for (std::size_t c = 0; c < counts_.size(); ++c) {
      const auto found = std::find_if(domain_.topics.begin(), domain_.topics.end(),
                                      [&](const Topic& one) { return one.name == topics[c].name; });
      ClusterDraft draft;
      draft.topic = &*found;
      draft.id = fmt::format("c{}", c + 1);
      draft.canary = canary();
      draft.sayings.resize(counts_[c]);
      draft.canary_turn = draw_.below(counts_[c]);
      draft.terms = found->terms;
      draw_.shuffle(draft.terms);
      draft.remarks = grammar_.remarks;
      draw_.shuffle(draft.remarks);
      clusters_.push_back(std::move(draft));
    }
  }

  std::string canary() {
    std::string text;
    for (const char kind : std::string_view("AAA-00000-AA")) {
      if (kind == 'A')
        text += static_cast<char>('A' + draw_.below(26));
      else if (kind == '0')
        text += static_cast<char>('0' + draw_.below(10));
      else
        text += kind;
    }
    return text;
  }

  // The first key is an amount: sums and comparisons are about it. The last one is stated in half of the clusters only.
  void choose_keys() {
    auto entities = domain_.entities;
    draw_.shuffle(entities);
    entities.resize(kEntities);
    std::vector<Key> all;
    for (const auto& entity : entities) {
      for (const auto& slot : domain_.slots) all.push_back({entity, &slot});
    }
    draw_.shuffle(all);
    const auto amount = std::find_if(all.begin(), all.end(), [](const Key& key) {
      return key.slot->kind == SlotKind::kAmount && key.slot->unit != "percent";
    });
    std::iter_swap(all.begin(), amount);
    const auto wanted = facts_of(*std::min_element(counts_.begin(), counts_.end())) + 1;
    std::size_t people = 0;
    for (const auto& key : all) {
      if (keys_.size() == wanted) break;
      if (key.slot->kind == SlotKind::kPerson && ++people > kMostPersonKeys) continue;
      keys_.push_back(key);
    }
    std::vector<std::size_t> which(clusters_.size());
    for (std::size_t c = 0; c < which.size(); ++c) which[c] = c;
    draw_.shuffle(which);
    which.resize((which.size() + 1) / 2);
    stating_last_ = which;
  }

  [[nodiscard]] bool states(std::size_t cluster, std::size_t key) const {
    if (key + 1 < keys_.size()) return true;
    return std::find(stating_last_.begin(), stating_last_.end(), cluster) != stating_last_.end();
  }

  Value take_value(std::size_t key) {
    const bool close = shape_.difficulty == kHard;
    auto value = pool_.take(*keys_[key].slot, close ? base_of_key_[key] : 0);
    if (base_of_key_[key] == 0) base_of_key_[key] = value.amount;
    return value;
  }

  void place_statements() {
    base_of_key_.assign(keys_.size(), 0);
    for (std::size_t c = 0; c < clusters_.size(); ++c) {
      auto& draft = clusters_[c];
      draft.current.resize(keys_.size());
      std::vector<std::size_t> said;
      for (std::size_t key = 0; key < keys_.size(); ++key) {
        if (states(c, key)) said.push_back(key);
      }
      draw_.shuffle(said);
      // The last turns stay free for corrections, where there are turns enough.
      const auto turns = std::max<std::size_t>(1, draft.sayings.size() * 3 / 4);
      for (std::size_t i = 0; i < said.size(); ++i) {
        auto value = take_value(said[i]);
        draft.current[said[i]] = value;
        draft.sayings[i * turns / said.size()].push_back({said[i], std::move(value), {}});
      }
    }
  }

  void place_corrections() {
    std::vector<std::size_t> which(clusters_.size());
    for (std::size_t c = 0; c < which.size(); ++c) which[c] = c;
    draw_.shuffle(which);
    if (shape_.difficulty == 1) which.resize(1);
    if (shape_.difficulty == 2) which.resize((which.size() + 1) / 2);
    if (shape_.difficulty == kHard) which.push_back(which.front());  // corrected twice, maybe the same fact
    for (const auto c : which) correct(clusters_[c]);
  }

  // In a later turn than all that was said of the key before.
  void correct(ClusterDraft& draft) {
    std::vector<std::pair<std::size_t, std::size_t>> possible;  // key, first free turn
    for (std::size_t key = 0; key < keys_.size(); ++key) {
      std::size_t after = 0;
      for (std::size_t turn = 0; turn < draft.sayings.size(); ++turn) {
        for (const auto& saying : draft.sayings[turn]) {
          if (saying.key == key) after = turn + 1;
        }
      }
      if (after > 0 && after < draft.sayings.size()) possible.emplace_back(key, after);
    }
    if (possible.empty()) return;
    const auto [key, after] = draw_.pick(possible);
    const auto turn = after + draw_.below(draft.sayings.size() - after);
    auto value = take_value(key);
    const auto old = draft.current[key]->text;
    draft.current[key] = value;
    draft.sayings[turn].push_back({key, std::move(value), old});
  }

  void write_turns() {
    made_.scenario.id = shape_.id;
    made_.scenario.domain = domain_.name;
    made_.difficulty = shape_.difficulty;
    std::vector<std::size_t> next(clusters_.size());
    for (std::size_t t = 0; t < order_.size(); ++t) {
      const auto c = order_[t];
      const bool changes = t == 0 || order_[t - 1] != c;
      write_turn(clusters_[c], next[c]++, static_cast<int>(t) + 1, changes);
    }
  }

  static std::string next_term(ClusterDraft& draft) { return draft.terms[draft.next_term++ % draft.terms.size()]; }

  std::string remark(ClusterDraft& draft) {
    const auto& pattern = draft.remarks[draft.next_remark++ % draft.remarks.size()];
    return fill(pattern, {{"term", next_term(draft)}});
  }

  void write_turn(ClusterDraft& draft, std::size_t index, int id, bool changes) {
    std::vector<std::string> sentences;
    const bool canary = draft.canary_turn == index;
    const bool tells = canary || !draft.sayings[index].empty();
    const bool named = index == 0 || shape_.difficulty == 1 || (shape_.difficulty == 2 && changes);
    const auto& previous = made_.scenario.turns;
    const bool replies = !tells && !changes && previous.back().role == "user";
    if (named) {
      const auto& patterns = index == 0 ? grammar_.openers : grammar_.namings;
      sentences.push_back(fill(draw_.pick(patterns), {{"topic", draft.topic->name}}));
    }
    if (tells && index > 0 && shape_.difficulty == kHard) {
      const auto& pattern = draw_.pick(grammar_.reminders);
      sentences.push_back(fill(pattern, {{"term", next_term(draft)}}));
    } else if (replies) {
      const auto& pattern = draw_.pick(grammar_.replies);
      sentences.push_back(fill(pattern, {{"term", next_term(draft)}}));
    } else if (!tells || index == 0 || draw_.below(2) == 0) {
      sentences.push_back(remark(draft));
    }
    for (const auto& saying : draft.sayings[index]) sentences.push_back(say(draft, saying, id));
    if (canary) sentences.push_back(fill(grammar_.canary, {{"canary", draft.canary}}));
    conversation::Turn turn{.id = id, .cluster = draft.id, .role = replies ? "assistant" : "user"};
    turn.text = fmt::format("{}", fmt::join(sentences, " "));
    made_.scenario.turns.push_back(std::move(turn));
  }

  std::string say(const ClusterDraft& draft, const Saying& saying, int turn) {
    const auto& key = keys_[saying.key];
    const auto& phrases = grammar_.phrases.at(key.slot->kind);
    made_.facts.push_back(Fact{draft.id, turn, key.entity, key.slot->id, saying.value.text});
    const auto& patterns = saying.old.empty() ? phrases.statements : phrases.corrections;
    return fill(draw_.pick(patterns), {{"subject", key.subject()}, {"value", saying.value.text}, {"old", saying.old}});
  }

  [[nodiscard]] std::string reference(const ClusterDraft& draft) const {
    std::string text = fill(grammar_.reference_opening, {{"topic", draft.topic->name}});
    for (std::size_t key = 0; key < keys_.size(); ++key) {
      if (!draft.current[key]) continue;
      const auto& pattern = grammar_.phrases.at(keys_[key].slot->kind).reference;
      text += ' ' + fill(pattern, {{"subject", keys_[key].subject()}, {"value", draft.current[key]->text}});
    }
    return text;
  }

  // Terminology: the terms that were used. The last cluster receives the outputs of the first two.
  void describe_clusters() {
    for (std::size_t c = 0; c < clusters_.size(); ++c) {
      const auto& draft = clusters_[c];
      conversation::Cluster cluster{.id = draft.id, .topic = draft.topic->name};
      cluster.label = std::string(1, static_cast<char>('A' + c));
      for (const auto& turn : made_.scenario.turns) {
        if (turn.cluster == draft.id) cluster.turns.push_back(turn.id);
      }
      for (const auto& term : draft.topic->terms) {
        if (said_in(draft.id, term)) cluster.terminology.push_back(term);
      }
      if (c + 1 == clusters_.size()) cluster.depends_on = {clusters_[0].id, clusters_[1].id};
      cluster.expected_output = reference(draft);
      made_.scenario.clusters.push_back(std::move(cluster));
      made_.canaries.push_back(draft.canary);
    }
  }

  [[nodiscard]] bool said_in(std::string_view cluster, std::string_view words) const {
    const auto& turns = made_.scenario.turns;
    return std::any_of(turns.begin(), turns.end(), [&](const conversation::Turn& turn) {
      return turn.cluster == cluster && turn.text.find(words) != std::string::npos;
    });
  }

  // Every value that any cluster states for the key, but for the answer.
  [[nodiscard]] std::vector<Distractor> colliding(const Key& key, const std::string& answer) const {
    std::vector<Distractor> wrong;
    for (const auto& fact : made_.facts) {
      if (fact.entity == key.entity && fact.slot == key.slot->id && fact.value != answer) {
        wrong.push_back({fact.cluster, fact.value});
      }
    }
    return wrong;
  }

  void add(Question question) {
    question.id = fmt::format("q{}", made_.questions.size() + 1);
    made_.questions.push_back(std::move(question));
  }

  // A question about the key in `about`'s work, asked in `asked`'s context.
  [[nodiscard]] Question question_about(const Key& key, const ClusterDraft& about, const ClusterDraft& asked,
                                        QuestionKind kind) const {
    const auto& phrases = grammar_.phrases.at(key.slot->kind);
    const std::map<std::string, std::string> words = {{"topic", about.topic->name}, {"subject", key.subject()}};
    Question question{.cluster = asked.id, .kind = kind, .entity = key.entity, .slot = key.slot->id};
    question.text = fill(phrases.question, words);
    question.lead = kind == QuestionKind::kAbsent ? std::string() : fill(phrases.lead, words);
    return question;
  }

  void ask_own() {
    for (const auto& draft : clusters_) {
      std::vector<std::size_t> updated;
      std::vector<std::size_t> own;
      for (std::size_t key = 0; key < keys_.size(); ++key) {
        if (!draft.current[key]) continue;
        const auto times = std::count_if(made_.facts.begin(), made_.facts.end(), [&](const Fact& fact) {
          return fact.cluster == draft.id && fact.entity == keys_[key].entity && fact.slot == keys_[key].slot->id;
        });
        (times > 1 ? updated : own).push_back(key);
      }
      draw_.shuffle(own);
      const auto first_own = updated.size();
      updated.insert(updated.end(), own.begin(), own.end());
      for (std::size_t i = 0; i < std::min(updated.size(), kQuestionsPerCluster); ++i) {
        const auto& key = keys_[updated[i]];
        auto question = question_about(key, draft, draft, i < first_own ? QuestionKind::kUpdated : QuestionKind::kOwn);
        question.answer = draft.current[updated[i]]->text;
        question.distractors = colliding(key, question.answer);
        question.sources = {draft.id};
        add(std::move(question));
      }
    }
  }

  void ask_absent() {
    const auto& key = keys_.back();
    for (std::size_t c = 0; c < clusters_.size(); ++c) {
      if (states(c, keys_.size() - 1)) continue;
      auto question = question_about(key, clusters_[c], clusters_[c], QuestionKind::kAbsent);
      question.answer = grammar_.absent_answer;
      question.distractors = colliding(key, question.answer);
      add(std::move(question));
    }
  }

  // Asked in the last cluster, about the first two, whose outputs it receives.
  void ask_across() {
    const auto& asked = clusters_.back();
    const auto& first = clusters_[0];
    const auto& second = clusters_[1];
    const auto& key = keys_.front();
    auto relay = question_about(key, first, asked, QuestionKind::kRelay);
    relay.answer = first.current[0]->text;
    relay.distractors = colliding(key, relay.answer);
    relay.sources = {first.id};
    add(std::move(relay));

    const std::map<std::string, std::string> words = {
        {"subject", key.subject()}, {"first", first.topic->name}, {"second", second.topic->name}};
    Question compare{.cluster = asked.id, .kind = QuestionKind::kCompare, .entity = key.entity, .slot = key.slot->id};
    compare.text = fill(grammar_.compare_question, words);
    compare.lead = fill(grammar_.compare_lead, words);
    const bool first_higher = first.current[0]->amount > second.current[0]->amount;
    const auto& higher = first_higher ? first : second;
    const auto& lower = first_higher ? second : first;
    compare.answer = higher.topic->name;
    compare.distractors = {{lower.id, lower.topic->name}};
    compare.sources = {first.id, second.id};
    add(std::move(compare));
    ask_sum(words);
  }

  void ask_sum(const std::map<std::string, std::string>& words) {
    const auto& asked = clusters_.back();
    const auto& key = keys_.front();
    const int a = clusters_[0].current[0]->amount;
    const int b = clusters_[1].current[0]->amount;
    const int own = asked.current[0]->amount;
    const auto text = [&](int number) { return with_thousands(number) + " " + key.slot->unit; };
    Question sum{.cluster = asked.id, .kind = QuestionKind::kSum, .entity = key.entity, .slot = key.slot->id};
    sum.text = fill(grammar_.sum_question, words);
    sum.lead = fill(grammar_.sum_lead, words);
    sum.answer = text(a + b);
    sum.sources = {clusters_[0].id, clusters_[1].id};
    const std::vector<std::pair<std::string, int>> wrong = {{clusters_[0].id, a},
                                                            {clusters_[1].id, b},
                                                            {asked.id, own},
                                                            {clusters_[0].id, a + own},
                                                            {clusters_[1].id, b + own}};
    for (const auto& [cluster, number] : wrong) {
      if (number != a + b) sum.distractors.push_back({cluster, text(number)});
    }
    add(std::move(sum));
  }

  const Domain& domain_;
  const Grammar& grammar_;
  const Shape& shape_;
  Draw draw_;
  ValuePool pool_;
  std::vector<std::size_t> counts_;  // turns of each cluster
  std::vector<std::size_t> order_;   // cluster of each turn
  std::vector<ClusterDraft> clusters_;
  std::vector<Key> keys_;
  std::vector<std::size_t> stating_last_;  // clusters that state the last key
  std::vector<int> base_of_key_;           // the first amount drawn for it
  Conversation made_;
};

}  // namespace

std::vector<Shape> shapes_of_domain(const std::string& domain, int number) {
  constexpr std::array<int, 5> kTurns = {15, 15, 30, 15, 60};
  std::vector<Shape> shapes;
  for (int i = 0; i < kConversationsPerDomain; ++i) {
    Shape shape;
    shape.id = fmt::format("{}-{:02}", domain, i + 1);
    shape.difficulty = i % 3 + 1;
    shape.turns = kTurns.at(static_cast<std::size_t>(i) % kTurns.size());
    // Over the domains every size meets every number of clusters.
    shape.clusters = 3 + (2 * i + number) % 5;
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

Conversation make_conversation(const Domain& domain, const Grammar& grammar, const Shape& shape, std::uint64_t seed) {
  return ConversationMaker(domain, grammar, shape, seed).make();
}

std::vector<Conversation> make_conversations(const SourceTables& tables, std::uint64_t seed) {
  std::vector<Conversation> all;
  int number = 0;
  for (const auto& domain : tables.domains) {
    for (const auto& shape : shapes_of_domain(domain.name, number++)) {
      all.push_back(make_conversation(domain, tables.grammar, shape, seed + all.size()));
    }
  }
  return all;
}

}  // namespace bulkhead::bench_dataset
