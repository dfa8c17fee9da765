// SPDX-License-Identifier: MIT
#include "dataset/conversation_builder.h"

#include "conversation/limits.h"
#include "conversation/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::dataset {
namespace {

constexpr std::size_t kMaxPlaces = 100;  // each costs a look through the text before it
constexpr std::size_t kMaxPlainIdBytes = 80;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

Result<std::string> words_of(const JsonView& view) {
  BH_TRY(auto words, view.string());
  if (words.size() <= conversation::kMaxWordsBytes) return words;
  return view.fail(fmt::format("the text has {} bytes; the limit is {}", words.size(), conversation::kMaxWordsBytes));
}

// A text, or a number as text.
Result<std::string> name_of(const JsonView& view) {
  if (view.json().is_number_integer()) return json_text(view.json());
  return words_of(view);
}

Result<std::string> id_of(const JsonView& object) {
  for (const auto* const key : {"id", "conversation_id", "custom_id"}) {
    if (!object.has(key)) continue;
    BH_TRY(const auto view, object.at(key));
    BH_TRY(const auto name, name_of(view));
    return plain_id(name);
  }
  return std::string();
}

}  // namespace

std::string place_on_line(const std::string& place, const std::string& name, std::size_t number) {
  const auto first = name + ":1";
  const bool on_first = place.starts_with(first) && (place.size() == first.size() || place[first.size()] == ':');
  return on_first ? fmt::format("{}:{}{}", name, number, place.substr(first.size())) : place;
}

void Notices::add(const JsonView& where, const std::string& conversation, int turn, std::string what) {
  auto place = list_.size() < kMaxPlaces ? where.fail({}).place : std::string();
  if (line_ > 1) place = place_on_line(place, name_, line_);
  list_.push_back({conversation, turn, std::move(what), std::move(place)});
}

std::string plain_id(std::string_view text) {
  std::string plain;
  for (const char c : text.substr(0, kMaxPlainIdBytes)) plain += is_alphanumeric(c) || c == '-' ? c : '_';
  return std::any_of(plain.begin(), plain.end(), is_alphanumeric) ? plain : std::string();
}

Result<ConversationBuilder> ConversationBuilder::open(const JsonView& object, std::size_t number, Notices& notices) {
  ConversationBuilder builder(notices);
  BH_TRY(builder.scenario_.id, id_of(object));
  if (builder.scenario_.id.empty()) builder.scenario_.id = fmt::format("conversation-{}", number);
  if (!object.has("title")) return builder;
  BH_TRY(const auto view, object.at("title"));
  BH_TRY(auto title, words_of(view));
  if (!blank(title)) builder.topic_ = std::move(title);
  return builder;
}

void ConversationBuilder::leave_out(const JsonView& where, std::string_view what) {
  left_out_.push_back({where, fmt::format("{} is left out", what)});
}

void ConversationBuilder::leave_out_of_all(const JsonView& where, std::string_view what) {
  notices_->add(where, scenario_.id, 0, fmt::format("{} is left out", what));
}

void ConversationBuilder::tell(int turn) {
  for (auto& one : left_out_) notices_->add(one.where, scenario_.id, turn, std::move(one.what));
  left_out_.clear();
}

Result<std::string> ConversationBuilder::cluster_named(const JsonView& view, const std::string& name,
                                                       std::string topic) {
  auto& clusters = scenario_.clusters;
  if (const auto known = cluster_of_name_.find(name); known != cluster_of_name_.end()) {
    return clusters[known->second].id;
  }
  if (clusters.size() == conversation::kMaxClusters) {
    return view.fail(fmt::format("more than {} topics, the limit", conversation::kMaxClusters));
  }
  const auto used = [&](const std::string& id) {
    return std::any_of(clusters.begin(), clusters.end(), [&](const auto& one) { return one.id == id; });
  };
  auto id = plain_id(name);
  for (std::size_t number = clusters.size() + 1; id.empty() || used(id); ++number) id = fmt::format("topic_{}", number);
  cluster_of_name_[name] = clusters.size();
  clusters.push_back({.id = id, .label = conversation::cluster_label(clusters.size()), .topic = std::move(topic)});
  return id;
}

// Empty when the message names no topic. The number N stands for "cluster_N", as in a scenario.
Result<std::string> ConversationBuilder::cluster_of(const JsonView& message) {
  std::string name;
  std::string topic;
  std::optional<JsonView> named;
  if (message.has("cluster")) {
    BH_TRY(named, message.at("cluster"));
    BH_TRY(topic, name_of(*named));
    name = named->json().is_number() ? fmt::format("cluster_{}", topic) : topic;
  }
  if (message.has("topic")) {
    BH_TRY(const auto view, message.at("topic"));
    BH_TRY(topic, words_of(view));
    if (blank(topic)) return view.fail("the topic is empty");
    if (!named) name = topic;
    if (!named) named = view;
  }
  if (!named) return std::string();
  if (blank(name)) return named->fail("the cluster has no name");
  return cluster_named(*named, name, std::move(topic));
}

Result<void> ConversationBuilder::add(const JsonView& message, std::string_view role, std::string text) {
  if (blank(text)) {
    leave_out(message, "a message without text");
    tell(0);
    return {};
  }
  if (text.size() > conversation::kMaxTextBytes) {
    return message.fail(
        fmt::format("the text has {} bytes; the limit is {}", text.size(), conversation::kMaxTextBytes));
  }
  if (scenario_.turns.size() == conversation::kMaxTurns) {
    return message.fail(fmt::format("more than {} turns, the limit", conversation::kMaxTurns));
  }
  BH_TRY(auto cluster, cluster_of(message));
  if (cluster.empty() && !first_without_topic_) first_without_topic_ = message;
  const int turn = static_cast<int>(scenario_.turns.size()) + 1;
  tell(turn);
  scenario_.turns.push_back(
      {.id = turn, .cluster = std::move(cluster), .role = std::string(role), .text = std::move(text)});
  return {};
}

Result<Conversation> ConversationBuilder::finish() {
  tell(0);
  if (!scenario_.clusters.empty() && first_without_topic_) {
    return first_without_topic_->fail("this message names no topic, but others do",
                                      "give every message a \"cluster\" or a \"topic\", or none");
  }
  Conversation conversation;
  conversation.names_topics = !scenario_.clusters.empty();
  if (!conversation.names_topics) {
    scenario_.clusters.push_back({.id = "all", .label = conversation::cluster_label(0), .topic = std::move(topic_)});
    for (auto& turn : scenario_.turns) turn.cluster = "all";
  }
  for (const auto& turn : scenario_.turns) {
    const auto owner = std::find_if(scenario_.clusters.begin(), scenario_.clusters.end(),
                                    [&](const auto& one) { return one.id == turn.cluster; });
    owner->turns.push_back(turn.id);
  }
  conversation.scenario = std::exchange(scenario_, {});
  return conversation;
}

}  // namespace bulkhead::dataset
