// SPDX-License-Identifier: MIT
#include "compare/page.h"

#include "compare/sections.h"
#include "report/view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace bulkhead::compare {
namespace {

using report::count;
using report::decimal;
using report::flag;
using report::list;
using report::member;
using report::number;
using report::text;

std::string strength_words(const std::string& strength) {
  if (strength == "apart") return "the runs' ranges lie apart";
  if (strength == "few runs") return "few runs: their ranges lie apart, which may be chance";
  if (strength == "overlap") return "the runs' ranges overlap";
  if (strength == "one run") return "one run: no spread is known";
  return "a fact of these runs";
}

void add_summary(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{2, "Summary and recommendations"});
  Table table{{"What", "How sure", "Because"}};
  for (const auto& entry : list(comparison, "recommendations"))
    table.rows.push_back({text(entry, "claim"), strength_words(text(entry, "strength")), text(entry, "because")});
  page.blocks.emplace_back(std::move(table));
  page.blocks.emplace_back(Paragraph{
      "These sentences are computed from the figures below, which come from the runs' results documents. Where "
      "models differ in size or precision, a difference between two engines is that of the pair, not of the "
      "frameworks alone."});
}

void add_engines(Page& page, const Json& comparison) {
  Table table{{"Engine", "Back end", "Model", "Weights", "Size", "Device", "Machine"}};
  for (const auto& engine : list(comparison, "engines")) {
    const auto& facts = member(engine, "engine");
    const auto& model = member(engine, "model");
    const auto& ways = member(facts, "implementation");
    table.rows.push_back({text(engine, "name"), text(facts, "name"), text(model, "name"), text(ways, "weights"),
                          report::bytes_words(count(model, "bytes")), text(ways, "device"),
                          text(member(engine, "machine"), "cpu")});
  }
  page.blocks.emplace_back(std::move(table));
}

std::string intro(const Json& comparison) {
  const auto& scenario = member(comparison, "scenario");
  const auto& settings = member(comparison, "settings");
  return fmt::format("{} turns in {} clusters ({}), format {}, prompts {}, temperature {}. Scenario {}, SHA-256 {}.",
                     list(scenario, "turns").size(), list(scenario, "clusters").size(), text(scenario, "domain"),
                     text(settings, "format"),
                     text(settings, "prompt_set").empty() ? "each condition's own" : text(settings, "prompt_set"),
                     decimal(number(member(settings, "sampling"), "temperature"), 3), text(scenario, "file"),
                     text(scenario, "sha256"));
}

}  // namespace

std::vector<std::string> engine_names(const Json& comparison) {
  std::vector<std::string> names;
  for (const auto& engine : list(comparison, "engines")) names.push_back(text(engine, "name"));
  return names;
}

std::string reference_name(const Json& row) {
  return text(row, "name") + " (measured elsewhere)";
}

std::vector<std::string> condition_titles(const Json& comparison, std::string first) {
  std::vector<std::string> titles = {std::move(first)};
  for (const auto& condition : list(comparison, "conditions")) titles.push_back(text(condition, "title"));
  return titles;
}

Page page_of(const Json& comparison) {
  Page page;
  page.title =
      fmt::format("{} on {}", text(member(comparison, "scenario"), "id"), fmt::join(engine_names(comparison), ", "));
  page.blocks.emplace_back(Paragraph{intro(comparison)});
  add_engines(page, comparison);
  add_summary(page, comparison);
  add_quality(page, comparison);
  add_caches(page, comparison);
  add_times(page, comparison);
  add_implementation(page, comparison);
  add_memory(page, comparison);
  add_seeds(page, comparison);
  add_reference(page, comparison);
  return page;
}

}  // namespace bulkhead::compare
