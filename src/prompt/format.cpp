// SPDX-License-Identifier: MIT
#include "prompt/format.h"

#include "base/hash.h"
#include "base/json.h"
#include "embedded/format_files.h"
#include "prompt/placeholders.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace bulkhead::prompt {
namespace {

using conversation::Cluster;
using conversation::Scenario;

constexpr std::uint64_t kMaxFileBytes = 1ULL << 20U;
constexpr std::int64_t kMaxNewTokens = 1'000'000;

// A template whose placeholders are all in `known`. Absent: "".
Result<std::string> read_template(const JsonView& object, std::string_view key,
                                  std::initializer_list<std::string_view> known) {
  if (!object.has(key)) return std::string();
  BH_TRY(const auto view, object.at(key));
  BH_TRY(auto text, view.string());
  if (const auto bad = unknown_placeholder(text, known)) {
    return view.fail(fmt::format("unknown placeholder \"{{{}}}\"", *bad),
                     fmt::format("known here: {}", fmt::join(known, ", ")));
  }
  return text;
}

Result<std::string> read_word(const JsonView& object, std::string_view key,
                              std::initializer_list<std::string_view> known) {
  BH_TRY(const auto view, object.at(key));
  BH_TRY(auto word, view.string());
  if (std::find(known.begin(), known.end(), word) == known.end()) {
    return view.fail(fmt::format("unknown {} \"{}\"", key, word), fmt::format("known: {}", fmt::join(known, ", ")));
  }
  return word;
}

Result<std::string> read_prompt(const JsonView& object, std::string_view key) {
  return read_template(object, key, {"label", "sources", "topic", "turns"});
}

Result<PromptSet> read_prompt_set(const JsonView& view) {
  BH_CHECK(view.only({"independent", "dependent", "by_label"}));
  PromptSet set;
  BH_TRY(set.independent, read_prompt(view, "independent"));
  BH_TRY(set.dependent, read_prompt(view, "dependent"));
  if (view.has("by_label")) {
    BH_TRY(const auto by_label, view.at("by_label"));
    BH_TRY(const auto fields, by_label.members());
    for (const auto& [label, field] : fields) {
      BH_TRY(set.by_label[label], read_prompt(by_label, label));
      if (set.by_label[label].empty()) return field.fail("the prompt is empty");
    }
  }
  return set;
}

Result<Texts> read_texts(const JsonView& view) {
  Texts texts;
  BH_TRY(texts.instruction, read_template(view, "instruction", {"topics", "numbered_topics"}));
  if (texts.instruction.empty()) return view.fail("the instruction is missing");
  BH_TRY(const auto prompts, view.at("prompts"));
  BH_TRY(const auto sets, prompts.members());
  for (const auto& [name, field] : sets) {
    BH_TRY(texts.prompts[name], read_prompt_set(field));
  }
  return texts;
}

Result<void> read_generic(const JsonView& root, Format& format) {
  BH_TRY(const auto view, root.at("texts"));
  BH_CHECK(view.only({"instruction", "prompts"}));
  BH_TRY(format.generic, read_texts(view));
  BH_TRY(const auto prompts, view.at("prompts"));
  if (!format.generic.prompts.contains("neutral")) return prompts.fail("the set \"neutral\" is missing");
  for (const auto& [name, set] : format.generic.prompts) {
    if (!set.independent.empty() && !set.dependent.empty()) continue;
    BH_TRY(const auto field, prompts.at(name));
    return field.fail(R"(a set of "texts" needs both "independent" and "dependent")");
  }
  return {};
}

Result<void> read_exact(const JsonView& root, Format& format) {
  if (!root.has("exact")) return {};
  BH_TRY(const auto view, root.at("exact"));
  BH_CHECK(view.only({"task_types", "instruction", "prompts"}));
  BH_TRY(const auto types, view.at("task_types"));
  BH_TRY(format.exact_task_types, types.strings());
  if (format.exact_task_types.empty()) return types.fail("the list is empty");
  BH_TRY(format.exact, read_texts(view));
  return {};
}

Result<void> read_message_frame(const JsonView& root, MessageFrame& frame) {
  BH_TRY(const auto view, root.at("message"));
  BH_CHECK(view.only({"prefix", "item", "join", "suffix"}));
  BH_TRY(frame.prefix, view.string_or("prefix", ""));
  BH_TRY(frame.item, read_template(view, "item", {"label", "text"}));
  if (frame.item.find("{text}") == std::string::npos) return view.fail("\"item\" must hold {text}");
  BH_TRY(frame.join, view.string_or("join", ""));
  BH_TRY(frame.suffix, view.string_or("suffix", ""));
  return {};
}

Result<void> read_prompt_sets(const JsonView& root, Format& format) {
  if (!root.has("prompt_sets")) return {};
  BH_TRY(const auto view, root.at("prompt_sets"));
  BH_TRY(const auto fields, view.members());
  for (const auto& [condition, field] : fields) {
    BH_TRY(auto set, field.string());
    if (!format.generic.prompts.contains(set)) return field.fail(fmt::format(R"("texts" has no prompts "{}")", set));
    format.prompt_set_of_condition[condition] = std::move(set);
  }
  return {};
}

Result<void> read_new_tokens(const JsonView& root, Format& format) {
  if (!root.has("new_tokens")) return {};
  BH_TRY(const auto view, root.at("new_tokens"));
  BH_CHECK(view.only({"independent", "dependent"}));
  BH_TRY(const auto independent, view.at("independent"));
  BH_TRY(const auto independent_count, independent.integer(1, kMaxNewTokens));
  BH_TRY(const auto dependent, view.at("dependent"));
  BH_TRY(const auto dependent_count, dependent.integer(1, kMaxNewTokens));
  format.new_tokens_independent = static_cast<std::uint32_t>(independent_count);
  format.new_tokens_dependent = static_cast<std::uint32_t>(dependent_count);
  return {};
}

// What chat rendering leaves to the template must not be set, or it would be ignored without a word.
Result<void> read_rendering(const JsonView& root, Format& format) {
  BH_TRY(const auto rendering, read_word(root, "rendering", {"raw", "chat"}));
  format.rendering = rendering == "chat" ? Rendering::kChat : Rendering::kRaw;
  const bool chat = format.rendering == Rendering::kChat;
  for (const std::string_view key : {"tokenizing", "separator", "instruction_role", "opening_turn"}) {
    const bool chat_only = key == "instruction_role" || key == "opening_turn";
    if (!root.has(key) || chat_only == chat) continue;
    BH_TRY(const auto view, root.at(key));
    return view.fail(fmt::format("\"{}\" has no meaning with {} rendering", key, rendering));
  }
  if (!chat) {
    BH_TRY(const auto tokenizing, read_word(root, "tokenizing", {"whole", "per_block"}));
    format.tokenizing = tokenizing == "whole" ? Tokenizing::kWhole : Tokenizing::kPerBlock;
  }
  if (root.has("bos")) {
    BH_TRY(const auto bos, read_word(root, "bos", {"per_block", "once"}));
    format.bos_per_block = bos == "per_block";
    BH_TRY(const auto view, root.at("bos"));
    if (format.tokenizing != Tokenizing::kPerBlock) {
      return view.fail("\"bos\" has no meaning where blocks are not tokenized alone");
    }
  }
  if (root.has("separator") && format.tokenizing == Tokenizing::kPerBlock) {
    BH_TRY(const auto view, root.at("separator"));
    return view.fail("\"separator\" has no meaning when every block is tokenized alone");
  }
  BH_TRY(format.separator, root.string_or("separator", ""));
  BH_TRY(format.opening_turn, root.string_or("opening_turn", ""));
  if (root.has("instruction_role")) {
    BH_TRY(format.instruction_role, read_word(root, "instruction_role", {"system", "user"}));
  }
  return {};
}

Result<Format> read_format(const JsonView& root) {
  BH_CHECK(root.only({"name", "description", "rendering", "tokenizing", "bos", "separator", "turn_marker",
                      "instruction_role", "opening_turn", "prompt_prefix", "read_query", "message", "texts", "exact",
                      "prompt_sets", "new_tokens"}));
  Format format;
  BH_TRY(const auto name_view, root.at("name"));
  BH_TRY(format.name, name_view.string());
  if (format.name.empty()) return name_view.fail("the name is empty");
  BH_TRY(format.description, root.string_or("description", ""));
  BH_CHECK(read_rendering(root, format));
  BH_TRY(format.turn_marker, read_template(root, "turn_marker", {"turn"}));
  if (format.turn_marker.empty()) return root.fail("the field \"turn_marker\" is missing or empty");
  BH_TRY(format.prompt_prefix, root.string_or("prompt_prefix", ""));
  BH_TRY(format.read_query, root.boolean_or("read_query", true));
  BH_CHECK(read_message_frame(root, format.message));
  BH_CHECK(read_generic(root, format));
  BH_CHECK(read_exact(root, format));
  BH_CHECK(read_prompt_sets(root, format));
  BH_CHECK(read_new_tokens(root, format));
  return format;
}

bool exact_applies(const Format& format, const Scenario& scenario) {
  return format.exact && std::equal(scenario.clusters.begin(), scenario.clusters.end(), format.exact_task_types.begin(),
                                    format.exact_task_types.end(), [](const Cluster& cluster, const std::string& type) {
                                      return cluster.task_type == type;
                                    });
}

// "a", "a and b", "a, b and c"
std::string listed(const std::vector<std::string>& words) {
  if (words.size() < 2) return words.empty() ? "" : words.front();
  return fmt::format("{} and {}", fmt::join(words.begin(), words.end() - 1, ", "), words.back());
}

// "1-5", "1-3, 7"
std::string ranges(const std::vector<int>& numbers) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    parts.push_back(last == i ? fmt::format("{}", numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]));
    i = last + 1;
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

// The set's template for this cluster; nullptr: the set has none.
const std::string* template_for(const Texts& texts, const std::string& set, const Cluster& cluster) {
  const auto found = texts.prompts.find(set);
  if (found == texts.prompts.end()) return nullptr;
  const auto& by_label = found->second.by_label;
  if (const auto own = by_label.find(cluster.label); own != by_label.end()) return &own->second;
  const auto& text = cluster.depends_on.empty() ? found->second.independent : found->second.dependent;
  return text.empty() ? nullptr : &text;
}

std::string fill_prompt(const std::string& text, const Scenario& scenario, const Cluster& cluster) {
  std::vector<std::string> sources;
  for (const auto& one : scenario.clusters) {
    const bool source =
        std::find(cluster.depends_on.begin(), cluster.depends_on.end(), one.id) != cluster.depends_on.end();
    if (source) sources.push_back(one.label);
  }
  return fill(text, {{"label", cluster.label},
                     {"sources", listed(sources)},
                     {"topic", cluster.topic},
                     {"turns", ranges(cluster.turns)}});
}

// The bytes of a format built in; empty: there is none of this name.
std::string_view builtin_text(std::string_view name) {
  for (const auto& file : embedded::format_files()) {
    if (file.name.substr(0, file.name.find(".json")) == name) return file.content;
  }
  return {};
}

// The format built in that `root` names in "extends", with the fields of `root` merged over it (RFC 7396).
Result<Format> extended(const JsonView& root, const JsonDocument& document) {
  BH_TRY(const auto view, root.at("extends"));
  BH_TRY(const auto base, view.string());
  const auto base_text = builtin_text(base);
  if (base_text.empty()) {
    return view.fail(fmt::format("there is no built-in format \"{}\"", base),
                     fmt::format("known: {}", fmt::join(builtin_formats(), ", ")));
  }
  BH_TRY(const auto base_document, JsonDocument::parse(std::string(base_text), base));
  if (base_document.root().contains("extends")) {
    return view.fail(fmt::format("\"{}\" extends another format itself", base), "extend that one");
  }
  Json merged = base_document.root();
  merged.merge_patch(document.root());
  merged.erase("extends");
  // Its lines are those of the merged text, which nobody has before them: the name says so.
  BH_TRY(const auto whole, JsonDocument::parse(json_text(merged, JsonForm::kPretty),
                                               fmt::format("{} merged with {}", document.name(), base)));
  BH_TRY(auto format, read_format(JsonView(whole)));
  format.sha256 = sha256_hex(std::string(base_text) + document.text());
  return format;
}

}  // namespace

std::vector<std::string> builtin_formats() {
  std::vector<std::string> names;
  for (const auto& file : embedded::format_files()) {
    names.emplace_back(file.name.substr(0, file.name.find(".json")));
  }
  return names;
}

Result<Format> parse_format(std::string text, const std::string& name) {
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), name));
  const JsonView root(document);
  if (root.has("extends")) return extended(root, document);
  BH_TRY(auto format, read_format(root));
  format.sha256 = sha256_hex(document.text());
  return format;
}

Result<Format> load_format(std::string_view name_or_path) {
  if (name_or_path.ends_with(".json")) {
    BH_TRY(auto text, read_text_file(std::string(name_or_path), kMaxFileBytes));
    return parse_format(std::move(text), std::string(name_or_path));
  }
  if (const auto text = builtin_text(name_or_path); !text.empty()) {
    return parse_format(std::string(text), fmt::format("{}.json", name_or_path));
  }
  return Error{ErrorCode::kUsage,
               fmt::format("there is no format \"{}\"", name_or_path),
               {},
               fmt::format("known: {}, or a path that ends in .json", fmt::join(builtin_formats(), ", "))};
}

Result<std::string> prompt_text(const Format& format, const Scenario& scenario, const Cluster& cluster,
                                std::string_view condition, std::string_view set) {
  std::string name(set);
  if (name.empty()) {
    const auto own = format.prompt_set_of_condition.find(std::string(condition));
    name = own == format.prompt_set_of_condition.end() ? "neutral" : own->second;
  }
  if (exact_applies(format, scenario)) {
    if (const auto* text = template_for(*format.exact, name, cluster)) return fill_prompt(*text, scenario, cluster);
  }
  if (const auto own = cluster.prompts.find(name); own != cluster.prompts.end()) return own->second;
  if (const auto* text = template_for(format.generic, name, cluster)) return fill_prompt(*text, scenario, cluster);
  std::vector<std::string> known;
  known.reserve(format.generic.prompts.size());
  for (const auto& [one, prompts] : format.generic.prompts) known.push_back(one);
  return Error{ErrorCode::kUsage,
               fmt::format("the format {} has no prompts \"{}\"", format.name, name),
               {},
               fmt::format("known: {}", fmt::join(known, ", "))};
}

std::string instruction_text(const Format& format, const Scenario& scenario) {
  std::vector<std::string> topics;
  std::vector<std::string> lines;
  for (const auto& cluster : scenario.clusters) {
    if (cluster.depends_on.empty()) topics.push_back(cluster.topic);
    lines.push_back(fmt::format("{}. {}", lines.size() + 1, cluster.topic));
  }
  const auto& texts = exact_applies(format, scenario) ? *format.exact : format.generic;
  return fill(texts.instruction,
              {{"topics", listed(topics)}, {"numbered_topics", fmt::format("{}", fmt::join(lines, "\n"))}});
}

std::string marker_text(const Format& format, int turn) {
  return fill(format.turn_marker, {{"turn", fmt::format("{}", turn)}});
}

}  // namespace bulkhead::prompt
