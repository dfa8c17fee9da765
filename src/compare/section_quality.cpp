// SPDX-License-Identifier: MIT
#include "compare/sections.h"
#include "measure/summary.h"
#include "report/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace bulkhead::compare {
namespace {

using report::count;
using report::decimal;
using report::flag;
using report::list;
using report::member;
using report::number;
using report::text;

// The outputs of one label under one condition, one for each seed.
struct Group {
  const Json* first = nullptr;
  std::vector<const Json*> outputs;
};

std::vector<Group> groups_of(const Json& comparison) {
  std::vector<Group> groups;
  for (const auto& output : list(comparison, "outputs")) {
    const auto same = [&](const Group& group) {
      return text(*group.first, "condition") == text(output, "condition") &&
             text(*group.first, "label") == text(output, "label");
    };
    auto found = std::find_if(groups.begin(), groups.end(), same);
    if (found == groups.end()) found = groups.insert(groups.end(), Group{&output, {}});
    found->outputs.push_back(&output);
  }
  return groups;
}

// "-" where no output has the figure.
std::string mean_of(const Group& group, std::size_t engine, const char* key) {
  double sum = 0;
  std::size_t told = 0;
  for (const auto* output : group.outputs) {
    const auto& of_engine = list(*output, "engines")[engine];
    if (of_engine.at(key).is_null()) continue;
    sum += number(of_engine, key);
    ++told;
  }
  return told == 0 ? "-" : decimal(sum / static_cast<double>(told), 2);
}

void add_terms(Page& page, const Json& comparison, const std::vector<Group>& groups) {
  auto titles = engine_names(comparison);
  for (auto& title : titles) title += ": own / foreign / variety";
  titles.insert(titles.begin(), {"Condition", "Output"});
  Table table{titles, titles.size() - 2};
  for (const auto& group : groups) {
    std::vector<std::string> cells = {text(*group.first, "title"), text(*group.first, "label")};
    for (std::size_t i = 0; i + 2 < titles.size(); ++i) {
      cells.push_back(fmt::format("{} / {} / {}", mean_of(group, i, "own_terms"), mean_of(group, i, "foreign_terms"),
                                  mean_of(group, i, "distinct_2")));
    }
    table.rows.push_back(std::move(cells));
  }
  page.blocks.emplace_back(std::move(table));
  page.blocks.emplace_back(
      Paragraph{"Own and foreign terms: occurrences of the terminology of an output's topic, and of topics it should "
                "not know; means "
                "over the seeds. Variety: different pairs of words among all pairs, 1 where none is repeated; "
                "gibberish has much of "
                "it and loops have little, so it is no measure of quality by itself."});
}

void add_texts(Page& page, const Json& comparison, const std::vector<Group>& groups) {
  page.blocks.emplace_back(Heading{3, "Texts side by side"});
  const auto names = engine_names(comparison);
  for (const auto& group : groups) {
    const auto& output = *group.first;
    page.blocks.emplace_back(Paragraph{
        fmt::format("{}, output {}, {}", text(output, "title"), text(output, "label"),
                    flag(output, "greedy") ? std::string("greedy") : fmt::format("seed {}", count(output, "seed")))});
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto& of_engine = list(output, "engines")[i];
      // The fields that marked_text() reads.
      const Json marked = {{"cluster", text(output, "cluster")},
                           {"text", text(of_engine, "text")},
                           {"foreign", list(of_engine, "foreign")}};
      page.blocks.emplace_back(Quote{
          fmt::format("{} ({} tokens, ended by {})", names[i], count(of_engine, "tokens"), text(of_engine, "finish")),
          report::marked_text(marked, member(comparison, "scenario"))});
    }
  }
}

void add_partings(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{3, "Where the texts part"});
  auto names = engine_names(comparison);
  std::vector<std::string> titles = {"Condition", "Output", "Draws", "Input tokens"};
  titles.insert(titles.end(), names.begin() + 1, names.end());
  Table table{titles, names.size() - 1};
  for (const auto& output : list(comparison, "outputs")) {
    std::vector<std::string> cells = {
        text(output, "title"), text(output, "label"),
        flag(output, "greedy") ? std::string("greedy") : fmt::format("seed {}", count(output, "seed")),
        text(output, "input") == "equal" ? std::string("the same") : text(output, "input")};
    for (std::size_t i = 1; i < names.size(); ++i) {
      const auto& of_engine = list(output, "engines")[i];
      const auto& at = of_engine.at("parts_at");
      cells.push_back(at.is_null() ? fmt::format("same {} tokens", count(of_engine, "tokens"))
                                   : fmt::format("at token {}", at.get<std::size_t>()));
    }
    table.rows.push_back(std::move(cells));
  }
  page.blocks.emplace_back(std::move(table));
  page.blocks.emplace_back(Paragraph{fmt::format(
      "The first generated token, counted from 0, that is not the one of {}. Greedy texts part where two tokens are "
      "nearly "
      "equally likely and the engines' last bits differ; after that they are different texts. \"other messages\": the "
      "output received texts that had parted already.",
      names.front())});
}

}  // namespace

void add_quality(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{2, "1. Output quality"});
  const auto groups = groups_of(comparison);
  add_terms(page, comparison, groups);
  add_partings(page, comparison);
  add_texts(page, comparison, groups);
}

}  // namespace bulkhead::compare
