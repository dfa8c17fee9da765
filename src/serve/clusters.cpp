// SPDX-License-Identifier: MIT
#include "serve/clusters.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace bulkhead::serve {
namespace {

constexpr std::size_t kLongestCluster = 256;

std::string place_of(std::size_t message) {
  return fmt::format("messages[{}].cluster", message);
}

// As the message says it; "": it says none.
std::string label_of(const Json& message, BodyReader& reader, const std::string& place) {
  const auto found = message.find("cluster");
  if (found == message.end() || found->is_null()) return {};
  const auto size = found->is_string() ? found->get_ref<const std::string&>().size() : 0;
  if (size > 0 && size <= kLongestCluster) return found->get<std::string>();
  reader.fail(fmt::format("a cluster must be a text of 1 to {} bytes", kLongestCluster), place);
  return {};
}

// The cluster of each message; "": of all. Fails for one that cannot be told.
std::vector<std::string> clusters_of(std::vector<std::string> labels, const Messages& messages, BodyReader& reader) {
  std::string asked;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto& label = labels[i];
    if (messages[i].role == "system") {
      if (!label.empty()) reader.fail("a system message belongs to all clusters", place_of(i));
      continue;
    }
    const bool is_user = messages[i].role == "user";
    if (label.empty() && !is_user) label = asked;
    if (label.empty()) reader.fail("other messages have a cluster, so this one must have one too", place_of(i));
    if (is_user) asked = label;
  }
  return labels;
}

}  // namespace

void keep_asked_cluster(const Json& list, BodyReader& reader, Messages& messages, std::vector<OutputPart>& outputs,
                        std::string& cluster) {
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < list.size(); ++i) labels.push_back(label_of(list[i], reader, place_of(i)));
  const auto is_label = [](const std::string& label) { return !label.empty(); };
  if (std::ranges::none_of(labels, is_label) || reader.error() || messages.size() != labels.size()) return;
  const auto clusters = clusters_of(std::move(labels), messages, reader);
  std::size_t last_user = messages.size();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role == "user") last_user = i;
  }
  if (last_user == messages.size()) return reader.fail("no user's message says which cluster is asked", "messages");
  for (std::size_t i = last_user; i < messages.size(); ++i) {
    const bool is_other = !clusters[i].empty() && clusters[i] != clusters[last_user];
    if (is_other) reader.fail("what comes behind the last user's message must be of its cluster", place_of(i));
  }
  if (reader.error()) return;
  cluster = clusters[last_user];
  Messages kept;
  std::vector<std::optional<std::size_t>> becomes;  // none: it goes
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const bool stays = clusters[i].empty() || clusters[i] == cluster;
    becomes.push_back(stays ? std::optional(kept.size()) : std::nullopt);
    if (stays) kept.push_back(std::move(messages[i]));
  }
  std::erase_if(outputs, [&](const OutputPart& output) { return !becomes[output.message]; });
  for (auto& output : outputs) output.message = *becomes[output.message];
  messages = std::move(kept);
}

void refuse_cluster(const Json& message, BodyReader& reader, const std::string& place) {
  const auto found = message.find("cluster");
  if (found != message.end() && !found->is_null()) {
    reader.fail("only messages of chat completions have a cluster", place + ".cluster");
  }
}

}  // namespace bulkhead::serve
