// SPDX-License-Identifier: MIT
#include "dataset/chatgpt_export.h"

#include "dataset/message_content.h"
#include "dataset/message_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

namespace bulkhead::dataset {
namespace {

using Nodes = std::map<std::string, JsonView, std::less<>>;

// The type of a content, and the field that holds its text.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kTextFields = {{
    {"text", "parts"},
    {"multimodal_text", "parts"},
    {"code", "text"},
    {"execution_output", "text"},
    {"tether_quote", "text"},
    {"tether_browsing_display", "result"},
}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kUnsaid = {{
    {"thoughts", "reasoning"},
    {"reasoning_recap", "reasoning"},
    {"user_editable_context", "what the user told of themselves"},
    {"model_editable_context", "what ChatGPT remembered"},
}};

Result<std::string> content_text_of(const JsonView& message, ConversationBuilder& builder) {
  BH_TRY(const auto content, message.at("content"));
  BH_TRY(const auto type_view, content.at("content_type"));
  BH_TRY(const auto type, type_view.string());
  const auto is_type = [&](const auto& one) { return one.first == type; };
  if (const auto* found = std::find_if(kTextFields.begin(), kTextFields.end(), is_type); found != kTextFields.end()) {
    BH_TRY(const auto text, content.at(found->second));
    return content_text(text, builder);
  }
  const auto* unsaid = std::find_if(kUnsaid.begin(), kUnsaid.end(), is_type);
  builder.leave_out(content, unsaid == kUnsaid.end() ? part_words(type) : std::string(unsaid->second));
  return std::string();
}

Result<void> add_message(const JsonView& message, ConversationBuilder& builder) {
  BH_TRY(const auto author, message.at("author"));
  BH_TRY(const auto role_view, author.at("role"));
  BH_TRY(const auto word, role_view.string());
  const auto role = role_of(word);
  if (!role) return role_view.fail(fmt::format("unknown role \"{}\"", word), "known: system, user, assistant, tool");
  if (message.has("metadata")) {
    BH_TRY(const auto metadata, message.at("metadata"));
    BH_TRY(const auto hidden, metadata.boolean_or("is_visually_hidden_from_conversation", false));
    if (hidden) {
      builder.leave_out_of_all(message, "a hidden message");
      return {};
    }
  }
  BH_TRY(auto text, content_text_of(message, builder));
  return builder.add(message, *role, std::move(text));
}

Result<Nodes> nodes_of(const JsonView& value) {
  Nodes nodes;
  BH_TRY(const auto mapping, value.at("mapping"));
  BH_TRY(const auto members, mapping.members());
  for (const auto& [id, node] : members) nodes.emplace(id, node);
  return nodes;
}

// The node that the text field `view` names.
Result<JsonView> node_named(const Nodes& nodes, const JsonView& view) {
  BH_TRY(const auto id, view.string());
  const auto found = nodes.find(id);
  if (found == nodes.end()) return view.fail(fmt::format("there is no message \"{}\"", id));
  return found->second;
}

Error ring(const JsonView& node) {
  return node.fail("the messages go round in a ring", "export the conversation again");
}

// From the leaf to its root, by parents.
Result<std::vector<JsonView>> branch_to(const Nodes& nodes, const JsonView& leaf) {
  std::vector<JsonView> branch = {leaf};
  while (branch.back().has("parent")) {
    BH_TRY(const auto parent, branch.back().at("parent"));
    BH_TRY(const auto node, node_named(nodes, parent));
    if (branch.size() == nodes.size()) return ring(leaf);
    branch.push_back(node);
  }
  std::reverse(branch.begin(), branch.end());
  return branch;
}

// From the root, always to the last child: the newest.
Result<std::vector<JsonView>> newest_branch(const Nodes& nodes, const JsonView& mapping) {
  std::vector<JsonView> branch;
  BH_TRY(const auto members, mapping.members());
  for (const auto& [id, node] : members) {
    if (branch.empty() && !node.has("parent")) branch.push_back(node);
  }
  if (branch.empty()) return nodes.empty() ? Result<std::vector<JsonView>>(branch) : ring(mapping);
  while (branch.back().has("children")) {
    BH_TRY(const auto list, branch.back().at("children"));
    BH_TRY(const auto children, list.items());
    if (children.empty()) break;
    BH_TRY(const auto node, node_named(nodes, children.back()));
    if (branch.size() == nodes.size()) return ring(node);
    branch.push_back(node);
  }
  return branch;
}

Result<std::vector<JsonView>> current_branch(const Nodes& nodes, const JsonView& value) {
  if (value.has("current_node")) {
    BH_TRY(const auto view, value.at("current_node"));
    BH_TRY(const auto leaf, node_named(nodes, view));
    return branch_to(nodes, leaf);
  }
  BH_TRY(const auto mapping, value.at("mapping"));
  return newest_branch(nodes, mapping);
}

}  // namespace

bool is_chatgpt_export(const JsonView& value) {
  return value.has("mapping");
}

Result<Conversation> read_chatgpt_export(const JsonView& value, std::size_t number, Notices& notices) {
  BH_TRY(auto builder, ConversationBuilder::open(value, number, notices));
  BH_TRY(const auto nodes, nodes_of(value));
  BH_TRY(const auto branch, current_branch(nodes, value));
  std::set<const Json*> read;
  for (const auto& node : branch) {
    read.insert(&node.json());
    if (!node.has("message")) continue;
    BH_TRY(const auto message, node.at("message"));
    BH_CHECK(add_message(message, builder));
  }
  for (const auto& [id, node] : nodes) {
    if (node.has("message") && !read.contains(&node.json()))
      builder.leave_out_of_all(node, "a message of another branch");
  }
  return builder.finish();
}

}  // namespace bulkhead::dataset
