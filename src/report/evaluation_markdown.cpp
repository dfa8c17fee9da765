// SPDX-License-Identifier: MIT
#include "report/evaluation_markdown.h"

#include "report/csv_line.h"
#include "report/evaluation_verdict.h"
#include "report/markdown_table.h"
#include "report/view.h"

#include <fmt/format.h>

#include <string_view>
#include <vector>

namespace bulkhead::report {
namespace {

// "-" where there is no number.
std::string mean_words(const EndpointWords& endpoint, const Json& mean) {
  if (!mean.contains("mean") || mean["mean"].is_null()) return "-";
  return fmt::format("{} ({})", value_words(endpoint, number(mean, "mean")), grouped(count(mean, "items")));
}

std::string interval_cell(const EndpointWords& endpoint, const Json& bounds) {
  if (!bounds.is_array() || bounds.size() != 2) return "-";
  return fmt::format("{} to {}", difference_words(endpoint, bounds[0].get<double>()),
                     difference_words(endpoint, bounds[1].get<double>()));
}

std::string verdict_section(const Json& evaluation) {
  const Json& plan = member(member(evaluation, "analysis"), "plan");
  std::string out = "\n## What was fixed beforehand, and what came out\n\n";
  for (const auto& words : reservations_of(evaluation)) out += fmt::format("**{}**\n\n", markdown_cell(words));
  if (text(plan, "sha256").empty()) return out;
  out += fmt::format(
      "Analysis of SHA-256 {}: alpha {}, hypotheses in this order, each tested only if all before it "
      "held. {} bootstrap resamples, {} permutations, seed {}.\n\n",
      text(plan, "sha256"), decimal(number(plan, "alpha"), 3), grouped(count(plan, "resamples")),
      grouped(count(plan, "draws")), count(plan, "seed"));
  std::size_t place = 0;
  for (const auto& verdict : verdicts_of(evaluation)) {
    out += fmt::format("{}. **{}** {}\n", ++place, markdown_cell(verdict.claim), markdown_cell(verdict.sentence));
  }
  return out;
}

std::string endpoints_section(const Json& evaluation) {
  const auto endpoints = endpoint_words_of(evaluation);
  std::vector<std::string> titles = {"Condition", "What separates topics"};
  for (const auto& endpoint : endpoints) titles.push_back(endpoint.title);
  std::string out = "\n## Conditions and endpoints\n\n" + table_head(titles, endpoints.size());
  for (const auto& condition : list(evaluation, "conditions")) {
    std::vector<std::string> cells = {markdown_cell(text(condition, "name")),
                                      markdown_cell(text(condition, "separates"))};
    for (const auto& endpoint : endpoints) {
      cells.push_back(mean_words(endpoint, member(member(condition, "endpoints"), endpoint.name)));
    }
    out += table_row(cells);
  }
  out += "\nIn brackets: how many items. What each endpoint counts:\n\n";
  for (const auto& endpoint : endpoints) out += fmt::format("- {}: {}\n", endpoint.title, endpoint.about);
  return out;
}

std::string evaluated_differences(const Json& evaluation) {
  std::string out =
      "\n## Differences to semantic\n\nCondition minus semantic, over the items that both have; shares in "
      "points. Intervals resample conversations; p is of a permutation test, with Holm's correction over "
      "the conditions of an endpoint beside it.\n\n";
  out += table_head(
      {"Endpoint", "Condition", "Difference", "Interval", "p", "p (Holm)", "d_z", "Above / equal / below"}, 6);
  for (const auto& one : list(member(evaluation, "analysis"), "comparisons")) {
    const auto endpoint = endpoint_words(text(one, "endpoint"));
    const Json& statistics = member(one, "statistics");
    const bool tested = !statistics.empty();
    const auto shown = [&](std::string_view key) {
      return statistics.contains(key) && statistics[key].is_number() ? probability_words(number(statistics, key)) : "-";
    };
    out += table_row(
        {markdown_cell(endpoint.title), markdown_cell(text(one, "condition")),
         difference_words(endpoint, number(one, "difference")), interval_cell(endpoint, list(statistics, "interval")),
         shown("p"), shown("p_holm"), shown("d_z"),
         tested ? fmt::format("{} / {} / {}", count(statistics, "conversations_above"),
                              count(statistics, "conversations_equal"), count(statistics, "conversations_below"))
                : std::string("-")});
  }
  return out;
}

// Nothing where fewer than three conditions were run, and for summaries from before there was this test.
std::string ranks_section(const Json& evaluation) {
  const Json& tests = list(member(evaluation, "analysis"), "friedman");
  if (tests.empty()) return {};
  std::string out =
      "\n## Do the conditions differ at all?\n\nFriedman's test on the means of conversations, over the items that all "
      "conditions have. Rank 1 is the lowest value. Not corrected for there being several endpoints.\n\n";
  out += table_head({"Endpoint", "Conversations", "Chi-squared", "Degrees of freedom", "p", "Mean ranks"}, 4);
  for (const auto& one : tests) {
    std::vector<std::string> ranks;
    const auto conditions = texts(one, "conditions");
    const Json& means = list(one, "mean_ranks");
    for (std::size_t i = 0; i < conditions.size() && i < means.size(); ++i) {
      if (means[i].is_number()) ranks.push_back(fmt::format("{} {:.2f}", conditions[i], means[i].get<double>()));
    }
    out += table_row({markdown_cell(endpoint_words(text(one, "endpoint")).title), grouped(count(one, "conversations")),
                      decimal(number(one, "statistic"), 2), std::to_string(count(one, "degrees_of_freedom")),
                      probability_words(number(one, "p")), markdown_cell(fmt::format("{}", fmt::join(ranks, ", ")))});
  }
  return out;
}

// One line for each condition and group.
std::string facets_section(const Json& evaluation) {
  std::string out =
      "\n## By domain, difficulty, clusters, turns, place, distance and kind of question\n\nDifferences to semantic in "
      "points "
      "with intervals. Nobody fixed these beforehand, and none is corrected for being one of many.\n\n";
  out += table_head({"Cut", "Group", "Endpoint", "Condition", "Conversations", "Difference", "Interval"}, 3);
  for (const auto& one : list(member(evaluation, "analysis"), "facets")) {
    const auto endpoint = endpoint_words(text(one, "endpoint"));
    out += table_row({markdown_cell(text(one, "facet")), markdown_cell(text(one, "group")),
                      markdown_cell(endpoint.title), markdown_cell(text(one, "condition")),
                      grouped(count(one, "conversations")), difference_words(endpoint, number(one, "difference")),
                      interval_cell(endpoint, list(one, "interval"))});
  }
  return out;
}

std::string costs_section(const Json& evaluation) {
  std::string out = "\n## What it cost\n\n";
  out += table_head(
      {"Condition", "Conversations", "Cells", "Contexts", "Context tokens prefilled", "Item tokens", "Item seconds"},
      6);
  for (const auto& one : list(evaluation, "conditions")) {
    out +=
        table_row({markdown_cell(text(one, "name")), grouped(count(one, "conversations")), grouped(count(one, "cells")),
                   grouped(count(one, "contexts")), grouped(count(one, "context_tokens")),
                   grouped(count(one, "item_tokens")), fmt::format("{:.1f}", number(one, "item_seconds"))});
  }
  return out;
}

std::string evaluation_facts(const Json& evaluation) {
  const Json& made = member(evaluation, "made");
  const Json& model = member(made, "model");
  const Json& engine = member(made, "engine");
  const Json& machine = member(made, "machine");
  const Json& bulkhead = member(made, "bulkhead");
  const Json& dataset = member(made, "dataset");
  const Json& configuration = member(evaluation, "configuration");
  std::string out = "\n## Facts\n\n" + table_head({"What", "Value"}, 0);
  const auto fact = [&](std::string_view what, const std::string& value) {
    out += table_row({std::string(what), markdown_cell(value)});
  };
  fact("Model", fmt::format("{}, {}, SHA-256 {}", text(model, "name"), text(model, "path"), text(model, "sha256")));
  const auto left_out = dataset.contains("left_out") ? count(dataset, "left_out") : 0;
  fact("Data set", fmt::format("{}, {} conversations{}, SHA-256 {}", text(dataset, "file"),
                               grouped(count(dataset, "conversations")),
                               left_out == 0 ? "" : fmt::format(" ({} without anything to ask left out)", left_out),
                               text(dataset, "sha256")));
  fact("Engine", fmt::format("{} {}, grade {}, kernels {}, {} threads, KV {} and {}", text(engine, "name"),
                             text(engine, "build"), text(engine, "grade"), text(engine, "kernels"),
                             count(engine, "threads"), text(engine, "kv_type_k"), text(engine, "kv_type_v")));
  fact("Format", fmt::format("{}, SHA-256 {}", text(configuration, "format"), text(configuration, "format_sha256")));
  fact("Machine", fmt::format("{}, {} cores, {}, {}", text(machine, "cpu"), count(machine, "cores"),
                              bytes_words(count(machine, "memory_bytes")), text(machine, "os")));
  fact("Peak memory", bytes_words(count(made, "peak_rss_bytes")));
  fact("Bulkhead", fmt::format("{}, commit {}", text(bulkhead, "version"), text(bulkhead, "commit")));
  fact("Command", fmt::format("{}", fmt::join(texts(made, "command"), " ")));
  return out;
}

std::string csv_number(const Json& value) {
  return value.is_number() ? json_text(value) : std::string();
}

std::string csv_record(std::string_view facet, std::string_view group, const Json& one, const Json& statistics,
                       const Json& interval) {
  const auto of_interval = [&](std::size_t bound) { return interval.size() == 2 ? csv_number(interval[bound]) : ""; };
  const auto of_statistics = [&](std::string_view key) {
    return statistics.contains(key) ? csv_number(statistics[key]) : std::string();
  };
  return csv_line({std::string(facet), std::string(group), text(one, "endpoint"), text(one, "condition"),
                   std::to_string(count(one, "items")), std::to_string(count(one, "conversations")),
                   csv_number(one.value("mean", Json())), csv_number(one.value("mean_against", Json())),
                   csv_number(one.value("difference", Json())), of_interval(0), of_interval(1), of_statistics("p"),
                   of_statistics("p_holm"), of_statistics("p_wilcoxon"), of_statistics("d_z")});
}

}  // namespace

std::string evaluation_markdown(const Json& evaluation) {
  const Json& made = member(evaluation, "made");
  std::string out = fmt::format("# Bulkhead evaluation\n\n{} on {}: {} cells under {} conditions.\n",
                                markdown_cell(text(member(made, "model"), "name")),
                                markdown_cell(text(member(made, "dataset"), "file")),
                                grouped(count(evaluation, "cells")), list(evaluation, "conditions").size());
  return out + verdict_section(evaluation) + endpoints_section(evaluation) + ranks_section(evaluation) +
         evaluated_differences(evaluation) + costs_section(evaluation) + evaluation_facts(evaluation) +
         facets_section(evaluation);
}

std::string evaluation_csv(const Json& evaluation) {
  std::string out = csv_line({"facet", "group", "endpoint", "condition", "items", "conversations", "mean",
                              "mean_against", "difference", "low", "high", "p", "p_holm", "p_wilcoxon", "d_z"});
  const Json& analysis = member(evaluation, "analysis");
  for (const auto& one : list(analysis, "comparisons")) {
    const Json& statistics = member(one, "statistics");
    out += csv_record("", "", one, statistics, list(statistics, "interval"));
  }
  for (const auto& one : list(analysis, "facets")) {
    out += csv_record(text(one, "facet"), text(one, "group"), one, Json::object(), list(one, "interval"));
  }
  return out;
}

}  // namespace bulkhead::report
