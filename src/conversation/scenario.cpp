// SPDX-License-Identifier: MIT
#include "conversation/scenario.h"

#include "base/hash.h"
#include "base/json.h"
#include "conversation/input_text.h"
#include "conversation/limits.h"
#include "conversation/names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <span>
#include <utility>

namespace bulkhead::conversation {
namespace {

constexpr std::array<std::string_view, 3> kTurnTypes = {"instruction", "context", "query"};
constexpr std::array<std::pair<std::string_view, TurnField>, 3> kTextFields = {{
    {"instruction", TurnField::kInstruction},
    {"content", TurnField::kContent},
    {"query", TurnField::kQuery},
}};

// A cluster as the file has it, with the places that errors name.
struct ClusterEntry {
  Cluster cluster;
  JsonView view;
  std::string focus_area;
  std::optional<std::set<int>> listed_turns;  // absent: the turns say where they belong
  bool declares_dependencies = false;
};

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

Result<std::string> text_of(const JsonView& view, std::size_t limit) {
  BH_TRY(auto text, view.string());
  if (text.size() > limit) return view.fail(fmt::format("the text has {} bytes; the limit is {}", text.size(), limit));
  return text;
}

Result<std::string> filled_text_of(const JsonView& view, std::size_t limit) {
  BH_TRY(auto text, text_of(view, limit));
  if (blank(text)) return view.fail("the text is empty");
  return text;
}

Result<std::string> optional_text(const JsonView& object, std::string_view key, std::size_t limit) {
  if (!object.has(key)) return std::string();
  BH_TRY(const auto view, object.at(key));
  return text_of(view, limit);
}

// Ids become names of partitions and folders.
Result<void> check_id(const JsonView& view, std::string_view id) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
  if (!plain || id.empty() || id.size() > kMaxIdBytes || id.front() == '.') {
    return view.fail(fmt::format("\"{}\" cannot be an id", id),
                     fmt::format("use 1 to {} of A-Z a-z 0-9 _ - . and no leading dot", kMaxIdBytes));
  }
  return {};
}

// The number N stands for "cluster_N".
Result<std::string> cluster_id_of(const JsonView& view) {
  if (!view.json().is_number()) return view.string();
  BH_TRY(const auto number, view.integer(0, kMaxTurnId));
  return fmt::format("cluster_{}", number);
}

Result<std::set<int>> read_turn_list(const JsonView& view) {
  std::set<int> listed;
  BH_TRY(const auto items, view.items());
  if (items.empty()) return view.fail("the cluster has no turns");
  for (const auto& item : items) {
    BH_TRY(const auto id, item.integer(0, kMaxTurnId));
    if (!listed.insert(static_cast<int>(id)).second) return item.fail(fmt::format("turn {} is listed twice", id));
  }
  return listed;
}

Result<std::vector<std::string>> read_terminology(const JsonView& view) {
  std::vector<std::string> terms;
  BH_TRY(const auto items, view.items());
  if (items.size() > kMaxTerms) return view.fail(fmt::format("{} terms; the limit is {}", items.size(), kMaxTerms));
  for (const auto& item : items) {
    BH_TRY(auto term, filled_text_of(item, kMaxWordsBytes));
    if (std::find(terms.begin(), terms.end(), term) != terms.end()) {
      return item.fail(fmt::format("the term \"{}\" is listed twice", term));
    }
    terms.push_back(std::move(term));
  }
  return terms;
}

Result<std::vector<std::string>> read_dependencies(const JsonView& view) {
  std::vector<std::string> ids;
  BH_TRY(const auto items, view.items());
  for (const auto& item : items) {
    BH_TRY(auto id, cluster_id_of(item));
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) {
      return item.fail(fmt::format("the cluster \"{}\" is listed twice", id));
    }
    ids.push_back(std::move(id));
  }
  return ids;
}

Result<std::map<std::string, std::string>> read_prompts(const JsonView& view) {
  std::map<std::string, std::string> prompts;
  BH_CHECK(view.only({"neutral", "targeted"}));
  BH_TRY(const auto fields, view.members());
  for (const auto& [set, field] : fields) {
    BH_TRY(prompts[set], filled_text_of(field, kMaxTextBytes));
  }
  return prompts;
}

std::string topic_from(std::string topic, const std::string& focus_area, const std::string& task_type) {
  if (!blank(topic)) return topic;
  if (!blank(focus_area)) return focus_area;
  std::string words = task_type;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

Result<ClusterEntry> read_cluster(const std::string& id, const JsonView& view) {
  BH_CHECK(check_id(view, id));
  BH_CHECK(view.only(
      {"task_type", "turns", "terminology", "expected_output", "focus_area", "topic", "depends_on", "prompts"}));
  ClusterEntry entry{.cluster = {}, .view = view, .focus_area = {}, .listed_turns = {}};
  Cluster& cluster = entry.cluster;
  cluster.id = id;
  BH_TRY(cluster.task_type, optional_text(view, "task_type", kMaxWordsBytes));
  BH_TRY(cluster.expected_output, optional_text(view, "expected_output", kMaxTextBytes));
  BH_TRY(auto topic, optional_text(view, "topic", kMaxWordsBytes));
  BH_TRY(const auto focus_area, optional_text(view, "focus_area", kMaxWordsBytes));
  cluster.topic = topic_from(std::move(topic), focus_area, cluster.task_type);
  if (blank(cluster.topic)) {
    return view.fail("the cluster says nothing of its topic", "give it a topic, a focus_area or a task_type");
  }
  if (view.has("turns")) {
    BH_TRY(const auto field, view.at("turns"));
    BH_TRY(entry.listed_turns, read_turn_list(field));
  }
  if (view.has("terminology")) {
    BH_TRY(const auto field, view.at("terminology"));
    BH_TRY(cluster.terminology, read_terminology(field));
  }
  if (view.has("depends_on")) {
    BH_TRY(const auto field, view.at("depends_on"));
    BH_TRY(cluster.depends_on, read_dependencies(field));
    entry.declares_dependencies = true;
  }
  if (view.has("prompts")) {
    BH_TRY(const auto field, view.at("prompts"));
    BH_TRY(cluster.prompts, read_prompts(field));
  }
  return entry;
}

Result<std::vector<ClusterEntry>> read_clusters(const JsonView& root) {
  std::vector<ClusterEntry> entries;
  BH_TRY(const auto view, root.at("semantic_clusters"));
  BH_TRY(const auto fields, view.members());
  if (fields.empty()) return view.fail("the scenario has no clusters");
  if (fields.size() > kMaxClusters) {
    return view.fail(fmt::format("{} clusters; the limit is {}", fields.size(), kMaxClusters));
  }
  for (const auto& [id, field] : fields) {
    BH_TRY(auto entry, read_cluster(id, field));
    entry.cluster.label = cluster_label(entries.size());
    entries.push_back(std::move(entry));
  }
  return entries;
}

// Exactly one of instruction, content and query holds the text; the others are absent or null.
Result<void> read_turn_text(const JsonView& view, Turn& turn) {
  bool found = false;
  for (const auto& [key, field] : kTextFields) {
    if (!view.has(key)) continue;
    BH_TRY(const auto text, view.at(key));
    if (found) return text.fail("the turn has more than one text", "keep one of instruction, content and query");
    BH_TRY(turn.text, text_of(text, kMaxTextBytes));
    if (blank(turn.text)) return text.fail(fmt::format("turn {} is empty", turn.id));
    turn.field = field;
    found = true;
  }
  if (!found) return view.fail(fmt::format("turn {} has no text", turn.id), "give it an instruction, content or query");
  return {};
}

Result<void> check_word(const JsonView& object, std::string_view key, std::span<const std::string_view> allowed) {
  BH_TRY(const auto view, object.at(key));
  BH_TRY(const auto word, view.string());
  if (std::find(allowed.begin(), allowed.end(), word) == allowed.end()) {
    return view.fail(fmt::format("unknown {} \"{}\"", key, word), fmt::format("known: {}", fmt::join(allowed, ", ")));
  }
  return {};
}

Result<Turn> read_turn(const JsonView& view) {
  BH_CHECK(view.only({"turn_id", "cluster", "role", "type", "instruction", "content", "query"}));
  Turn turn;
  BH_TRY(const auto id_view, view.at("turn_id"));
  BH_TRY(const auto id, id_view.integer(0, kMaxTurnId));
  turn.id = static_cast<int>(id);
  BH_TRY(const auto cluster_view, view.at("cluster"));
  BH_TRY(turn.cluster, cluster_id_of(cluster_view));
  BH_CHECK(check_word(view, "role", roles()));
  BH_TRY(const auto role_view, view.at("role"));
  BH_TRY(turn.role, role_view.string());
  if (view.has("type")) BH_CHECK(check_word(view, "type", kTurnTypes));
  BH_CHECK(read_turn_text(view, turn));
  return turn;
}

Result<void> check_listed(const JsonView& view, const Turn& turn, const std::vector<ClusterEntry>& entries) {
  for (const auto& entry : entries) {
    const bool own = entry.cluster.id == turn.cluster;
    const bool listed = entry.listed_turns ? entry.listed_turns->contains(turn.id) : own;
    if (listed && !own) {
      return view.fail(
          fmt::format(R"(turn {} says "{}" but is listed in "{}")", turn.id, turn.cluster, entry.cluster.id));
    }
    if (!listed && own) {
      return view.fail(fmt::format("turn {} says \"{}\" but is not listed there", turn.id, turn.cluster));
    }
  }
  return {};
}

// Reads the turns and hands each to its cluster.
Result<std::vector<Turn>> read_turns(const JsonView& root, std::vector<ClusterEntry>& entries) {
  std::vector<Turn> turns;
  std::set<int> ids;
  BH_TRY(const auto view, root.at("turns"));
  BH_TRY(const auto items, view.items());
  if (items.size() > kMaxTurns) return view.fail(fmt::format("{} turns; the limit is {}", items.size(), kMaxTurns));
  for (const auto& item : items) {
    BH_TRY(auto turn, read_turn(item));
    if (!ids.insert(turn.id).second) {
      BH_TRY(const auto id_view, item.at("turn_id"));
      return id_view.fail(fmt::format("the turn id {} is used twice", turn.id));
    }
    const auto owner = std::find_if(entries.begin(), entries.end(),
                                    [&](const ClusterEntry& entry) { return entry.cluster.id == turn.cluster; });
    BH_TRY(const auto cluster_view, item.at("cluster"));
    if (owner == entries.end()) return cluster_view.fail(fmt::format("there is no cluster \"{}\"", turn.cluster));
    BH_CHECK(check_listed(cluster_view, turn, entries));
    owner->cluster.turns.push_back(turn.id);
    turns.push_back(std::move(turn));
  }
  return turns;
}

Result<void> check_clusters_filled(const std::vector<ClusterEntry>& entries) {
  for (const auto& entry : entries) {
    if (entry.cluster.turns.empty() && !entry.listed_turns) return entry.view.fail("the cluster has no turns");
    if (!entry.listed_turns) continue;
    for (const int id : *entry.listed_turns) {
      const auto& turns = entry.cluster.turns;
      if (std::find(turns.begin(), turns.end(), id) == turns.end()) {
        return entry.view.fail(fmt::format("the cluster lists turn {}, which does not exist", id));
      }
    }
  }
  return {};
}

// The seed's layout has no depends_on: there, a synthesis receives the outputs of all clusters before it.
void infer_dependencies(std::vector<ClusterEntry>& entries) {
  if (std::any_of(entries.begin(), entries.end(), [](const auto& entry) { return entry.declares_dependencies; }))
    return;
  std::vector<std::string> before;
  for (auto& entry : entries) {
    if (entry.cluster.task_type == "synthesis") entry.cluster.depends_on = before;
    before.push_back(entry.cluster.id);
  }
}

// Depth-first search for a way back to a cluster on the current path.
class CycleSearch {
 public:
  explicit CycleSearch(const std::vector<ClusterEntry>& entries) {
    for (const auto& entry : entries) entries_[entry.cluster.id] = &entry;
  }

  Result<void> run() {
    for (const auto& [id, entry] : entries_) BH_CHECK(visit(*entry));
    return {};
  }

 private:
  Result<void> visit(const ClusterEntry& entry) {
    const auto& id = entry.cluster.id;
    if (done_.contains(id)) return {};
    path_.push_back(id);
    for (const auto& next : entry.cluster.depends_on) {
      const auto found = entries_.find(next);
      BH_TRY(const auto view, entry.view.at("depends_on"));
      if (found == entries_.end()) return view.fail(fmt::format("there is no cluster \"{}\"", next));
      if (const auto start = std::find(path_.begin(), path_.end(), next); start != path_.end()) {
        return view.fail(fmt::format("the clusters wait for each other: {} -> {}",
                                     fmt::join(std::vector<std::string>(start, path_.end()), " -> "), next),
                         "remove one of these dependencies");
      }
      BH_CHECK(visit(*found->second));
    }
    path_.pop_back();
    done_.insert(id);
    return {};
  }

  std::map<std::string, const ClusterEntry*> entries_;
  std::vector<std::string> path_;
  std::set<std::string> done_;
};

Result<void> check_total(const JsonView& root, std::size_t turns) {
  if (!root.has("total_turns")) return {};
  BH_TRY(const auto view, root.at("total_turns"));
  BH_TRY(const auto total, view.integer(0, static_cast<std::int64_t>(kMaxTurns)));
  if (static_cast<std::size_t>(total) != turns) {
    return view.fail(fmt::format("total_turns is {}, but there are {} turns", total, turns));
  }
  return {};
}

}  // namespace

const Cluster* Scenario::find_cluster(std::string_view cluster_id) const noexcept {
  const auto found =
      std::find_if(clusters.begin(), clusters.end(), [&](const auto& one) { return one.id == cluster_id; });
  return found == clusters.end() ? nullptr : &*found;
}

const Turn* Scenario::find_turn(int turn_id) const noexcept {
  // Most scenarios number their turns from 1 on; contexts ask for each turn, and outputs for each context.
  const auto place = static_cast<std::size_t>(turn_id) - 1;
  if (place < turns.size() && turns[place].id == turn_id) return &turns[place];
  const auto found = std::find_if(turns.begin(), turns.end(), [&](const auto& one) { return one.id == turn_id; });
  return found == turns.end() ? nullptr : &*found;
}

Result<Scenario> read_scenario(const JsonView& root) {
  BH_CHECK(root.only({"$schema", "id", "domain", "total_turns", "description", "semantic_clusters", "turns"}));
  Scenario scenario;
  BH_TRY(const auto id_view, root.at("id"));
  BH_TRY(scenario.id, id_view.string());
  BH_CHECK(check_id(id_view, scenario.id));
  BH_TRY(const auto schema, optional_text(root, "$schema", kMaxWordsBytes));
  BH_TRY(scenario.domain, optional_text(root, "domain", kMaxWordsBytes));
  BH_TRY(scenario.description, optional_text(root, "description", kMaxTextBytes));
  BH_TRY(auto entries, read_clusters(root));
  BH_TRY(scenario.turns, read_turns(root, entries));
  BH_CHECK(check_clusters_filled(entries));
  BH_CHECK(check_total(root, scenario.turns.size()));
  if (auto checked = CycleSearch(entries).run(); !checked.ok()) return checked.error();
  infer_dependencies(entries);
  for (auto& entry : entries) scenario.clusters.push_back(std::move(entry.cluster));
  return scenario;
}

Result<Scenario> parse_scenario(std::string text, const std::string& name) {
  if (text.size() > kMaxInputBytes) {
    return Error{ErrorCode::kBadInput,
                 fmt::format("the scenario has {} bytes; the limit is {}", text.size(), kMaxInputBytes),
                 name,
                 {}};
  }
  auto sha256 = sha256_hex(text);
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), name));
  BH_TRY(auto scenario, read_scenario(JsonView(document)));
  scenario.path = name;
  scenario.sha256 = std::move(sha256);
  return scenario;
}

Result<Scenario> load_scenario(const std::string& path) {
  BH_TRY(auto text, read_input(path));
  return parse_scenario(std::move(text), input_name(path));
}

}  // namespace bulkhead::conversation
