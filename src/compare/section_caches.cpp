// SPDX-License-Identifier: MIT
#include "compare/sections.h"
#include "report/view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

namespace bulkhead::compare {
namespace {

using report::count;
using report::grouped;
using report::list;
using report::member;
using report::range_words;
using report::text;

std::string tokens_of(const Json& partition) {
  std::vector<std::uint64_t> values;
  for (const auto& value : list(partition, "context_tokens")) values.push_back(value.get<std::uint64_t>());
  return range_words(values);
}

std::string sizes_of(const Json& of_engine) {
  std::vector<std::string> sizes;
  for (const auto& partition : list(of_engine, "partitions")) sizes.push_back(tokens_of(partition));
  return fmt::format("{}", fmt::join(sizes, " + "));
}

// "419 + 452 + 827"; "?" for a number that was not told.
std::vector<std::string> reference_sizes(const Json& row, const std::string& condition) {
  std::vector<std::string> sizes;
  for (const auto& tokens : list(member(member(row, "conditions"), condition), "tokens"))
    sizes.push_back(tokens.is_null() ? std::string("?") : grouped(tokens.get<std::uint64_t>()));
  return sizes;
}

void add_sizes(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{3, "Cache sizes across conditions, in tokens"});
  Table table{condition_titles(comparison, "Engine"), 0};
  const auto names = engine_names(comparison);
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<std::string> cells = {names[i]};
    for (const auto& condition : list(comparison, "conditions"))
      cells.push_back(sizes_of(list(condition, "engines")[i]));
    table.rows.push_back(std::move(cells));
  }
  for (const auto& row : list(member(comparison, "reference"), "rows")) {
    std::vector<std::string> cells = {reference_name(row)};
    for (const auto& condition : list(comparison, "conditions")) {
      const auto sizes = reference_sizes(row, text(condition, "name"));
      cells.push_back(sizes.empty() ? std::string("-") : fmt::format("{}", fmt::join(sizes, " + ")));
    }
    table.rows.push_back(std::move(cells));
  }
  page.blocks.emplace_back(std::move(table));
  page.blocks.emplace_back(Paragraph{
      fmt::format("Contexts without prompts, received messages included. The rows measured elsewhere are of {}.",
                  text(member(comparison, "reference"), "scenario"))});
}

void add_isolation(Page& page, const Json& comparison) {
  constexpr std::size_t kShown = 4;
  page.blocks.emplace_back(Heading{3, "Isolation achieved?"});
  Table table{condition_titles(comparison, "Engine"), 0};
  const auto names = engine_names(comparison);
  Points reasons;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<std::string> cells = {names[i]};
    for (const auto& condition : list(comparison, "conditions")) {
      const auto& of_engine = list(condition, "engines")[i];
      const auto achieved = count(of_engine, "achieved");
      const auto runs = count(of_engine, "runs");
      cells.push_back(achieved == runs ? "yes" : achieved == 0 ? "no" : fmt::format("{} of {} runs", achieved, runs));
      const auto& all = list(of_engine, "reasons");
      for (std::size_t r = 0; r < std::min(kShown, all.size()); ++r)
        reasons.items.push_back(
            fmt::format("{}, {}: {}", names[i], text(condition, "title"), all[r].get<std::string>()));
      if (all.size() > kShown)
        reasons.items.push_back(
            fmt::format("{}, {}: and {} more", names[i], text(condition, "title"), all.size() - kShown));
    }
    table.rows.push_back(std::move(cells));
  }
  page.blocks.emplace_back(std::move(table));
  if (reasons.items.empty()) return;
  page.blocks.emplace_back(Paragraph{"Why not:"});
  page.blocks.emplace_back(std::move(reasons));
}

std::string token_words(const Json& difference, std::size_t side) {
  const auto& tokens = list(difference, "tokens");
  if (tokens.size() <= side || tokens[side].is_null()) return "no more token";
  const auto& spellings = list(difference, "spellings");
  return spellings.size() > side && spellings[side].is_string()
             ? fmt::format("{} (\"{}\")", json_text(tokens[side]), spellings[side].get<std::string>())
             : json_text(tokens[side]);
}

void add_inputs(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{3, "The same tokens in every engine?"});
  const auto& rows = list(comparison, "inputs");
  const auto having = [&](std::string_view status) {
    return std::count_if(rows.begin(), rows.end(), [&](const Json& row) { return text(row, "status") == status; });
  };
  page.blocks.emplace_back(Paragraph{fmt::format(
      "SHA-256 of the token ids that each output was generated from, context and prompt: {} of {} outputs equal in all "
      "engines; {} received other messages, whose texts had parted; {} different.",
      having("equal"), rows.size(), having("other messages"), having("different"))});
  if (having("different") == 0) return;
  Table table{{"Warning: condition", "Output", "Engine", "First other token", "Here", "There"}};
  const auto first = engine_names(comparison).front();
  for (const auto& row : rows) {
    for (const auto& difference : list(row, "differences")) {
      table.rows.push_back({text(row, "condition"), text(row, "label"), text(difference, "engine"),
                            difference.at("at").is_null() ? std::string("?") : json_text(difference.at("at")),
                            token_words(difference, 1), fmt::format("{}: {}", first, token_words(difference, 0))});
    }
  }
  page.blocks.emplace_back(std::move(table));
}

std::string turns_words(const Json& partition) {
  std::vector<std::string> turns;
  for (const auto& turn : list(partition, "turns")) turns.push_back(json_text(turn));
  return fmt::format("{}", fmt::join(turns, " "));
}

std::string origin_words(const Json& partition) {
  std::vector<std::string> parts;
  for (const auto& [kind, tokens] : member(partition, "origins").items())
    parts.push_back(fmt::format("{} {}", kind, json_text(tokens)));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// Conditions with more than one cache.
void add_clusters(Page& page, const Json& comparison) {
  const auto names = engine_names(comparison);
  for (const auto& condition : list(comparison, "conditions")) {
    const auto& partitions = list(list(condition, "engines").front(), "partitions");
    if (partitions.size() < 2) continue;
    page.blocks.emplace_back(Heading{3, fmt::format("Token distribution over clusters, {}", text(condition, "title"))});
    std::vector<std::string> titles = {"Cache", "Turns"};
    titles.insert(titles.end(), names.begin(), names.end());
    for (const auto& row : list(member(comparison, "reference"), "rows")) titles.push_back(reference_name(row));
    titles.emplace_back("Where they came from (" + names.front() + ")");
    Table table{titles, 0};
    for (std::size_t p = 0; p < partitions.size(); ++p) {
      std::vector<std::string> cells = {text(partitions[p], "name"), turns_words(partitions[p])};
      for (std::size_t i = 0; i < names.size(); ++i)
        cells.push_back(tokens_of(list(list(condition, "engines")[i], "partitions").at(p)));
      for (const auto& row : list(member(comparison, "reference"), "rows")) {
        const auto sizes = reference_sizes(row, text(condition, "name"));
        cells.push_back(p < sizes.size() ? sizes[p] : "-");
      }
      cells.push_back(origin_words(partitions[p]));
      table.rows.push_back(std::move(cells));
    }
    page.blocks.emplace_back(std::move(table));
  }
}

}  // namespace

void add_caches(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{2, "2. Cache isolation"});
  add_sizes(page, comparison);
  add_isolation(page, comparison);
  add_inputs(page, comparison);
  add_clusters(page, comparison);
}

}  // namespace bulkhead::compare
