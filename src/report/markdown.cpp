// SPDX-License-Identifier: MIT
#include "report/markdown.h"

#include "report/markdown_quote.h"
#include "report/markdown_table.h"
#include "report/marks.h"
#include "report/view.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::report {
namespace {

std::string quoted_output(const Json& output, const Json& scenario) {
  std::string markdown;
  for (const auto& segment : marked_text(output, scenario)) {
    const std::string words = markdown_escaped(segment.text);
    // Bold across a line break would leave the quote.
    markdown += segment.mark == Mark::kForeign && words.find('\n') == std::string::npos ? "**" + words + "**" : words;
  }
  return markdown_quote(markdown);
}

std::string summary_table(const ScenarioRuns& runs) {
  const auto labels = labels_with_foreign(*runs.scenario);
  const auto figures = figures_of(runs);
  const auto greedy =
      std::any_of(figures.begin(), figures.end(), [](const auto& f) { return !f.foreign_greedy.empty(); });
  const auto sampled = std::any_of(figures.begin(), figures.end(), [](const auto& f) { return !f.foreign.empty(); });
  const std::string names = markdown_cell(fmt::format("{}", fmt::join(labels, "/")));
  std::vector<std::string> titles = {"Condition", "What separates topics", "Isolation achieved?",
                                     "Tokens per partition"};
  if (sampled) titles.push_back("Foreign terms " + names);
  if (greedy) titles.push_back("Foreign terms " + names + ", greedy");
  for (const auto* title : {"Prefill", "Decode", "Wall"}) titles.emplace_back(title);
  std::string out = table_head(titles, titles.size() - 3);
  for (const auto& entry : figures) {
    std::vector<std::string> sizes;
    sizes.reserve(entry.partition_tokens.size());
    for (const auto& values : entry.partition_tokens) sizes.push_back(range_words(values));
    std::vector<std::string> cells = {markdown_cell(entry.title), markdown_cell(entry.separates), verdict_words(entry),
                                      fmt::format("{}", fmt::join(sizes, " + "))};
    if (sampled) cells.push_back(foreign_words(entry.foreign, labels));
    if (greedy) cells.push_back(foreign_words(entry.foreign_greedy, labels));
    for (const auto* values : {&entry.prefill_ms, &entry.decode_ms, &entry.wall_ms})
      cells.push_back(median_words(*values));
    out += table_row(cells);
  }
  out += "\nForeign terms: occurrences of other topics' terminology in an output, mean over the sampled runs. ";
  out += "Times: medians over all runs; a batch that serves several conditions is divided among them by tokens.\n";
  return out;
}

std::string reasons_section(const ScenarioRuns& runs) {
  constexpr std::size_t kShown = 8;
  std::string out;
  for (const auto& entry : figures_of(runs)) {
    if (entry.reasons.empty()) continue;
    out += fmt::format("\nWhy not {}:\n\n", markdown_cell(entry.title));
    for (std::size_t i = 0; i < std::min(kShown, entry.reasons.size()); ++i)
      out += "- " + markdown_cell(entry.reasons[i]) + "\n";
    if (entry.reasons.size() > kShown) {
      out += fmt::format("- and {} more (results.json has all)\n", entry.reasons.size() - kShown);
    }
  }
  return out;
}

std::string mean_words(const Json& entry, std::string_view key) {
  return entry.contains(key) && entry[key].is_null() ? std::string(kNotCountable) : decimal(number(entry, key), 2);
}

std::string terms_section(const Json& results, const Json& scenario) {
  std::string rows;
  for (const auto& entry : list(results, "term_summary")) {
    if (text(entry, "scenario") != text(scenario, "id")) continue;
    if (entry.contains("scenario_sha256") && text(entry, "scenario_sha256") != text(scenario, "sha256")) continue;
    rows += table_row({markdown_cell(text(entry, "label")), markdown_cell(text(entry, "condition")),
                       flag(entry, "greedy") ? "greedy" : "sampled", grouped(count(entry, "n")),
                       mean_words(entry, "foreign_mean"), mean_words(entry, "own_mean")});
  }
  if (rows.empty()) return {};
  return "\n### Terms per output\n\n" +
         table_head({"Output", "Condition", "Sampling", "Runs", "Foreign, mean", "Own, mean"}, 3) + rows;
}

std::string summary_section(const Json& results) {
  std::string out;
  for (const auto& runs : scenarios_of(results)) {
    const Json& scenario = *runs.scenario;
    std::vector<double> walls;
    walls.reserve(runs.runs.size());
    for (const Json* run : runs.runs) walls.push_back(number(*run, "wall_ms"));
    out += fmt::format("\n## Summary: {}\n\n", markdown_cell(text(scenario, "id")));
    out += fmt::format("{} turns in {} clusters ({}), {}; a whole run takes {} (median).\n\n",
                       list(scenario, "turns").size(), list(scenario, "clusters").size(),
                       markdown_cell(text(scenario, "domain")), markdown_cell(runs_words(runs)), median_words(walls));
    out += summary_table(runs) + reasons_section(runs) + terms_section(results, scenario);
  }
  return out;
}

std::string differences_section(const Json& results) {
  std::string out;
  for (const auto& difference : list(results, "count_differences")) {
    const auto here = count(difference, "this_tokens");
    const auto there = count(difference, "other_tokens");
    out += fmt::format("\n{}: {} tokens in this format, {} in {}.\n\n", markdown_cell(text(difference, "condition")),
                       grouped(here), grouped(there), markdown_cell(text(difference, "other_format")));
    out += table_head({"Because of", "Tokens"}, 1);
    std::int64_t explained = 0;
    for (const auto& part : list(difference, "parts")) {
      const auto tokens = static_cast<std::int64_t>(number(part, "tokens"));
      explained += tokens;
      out += table_row({markdown_cell(text(part, "reason")), fmt::format("{:+}", tokens)});
    }
    const auto whole = static_cast<std::int64_t>(here) - static_cast<std::int64_t>(there);
    if (explained != whole) out += table_row({"not explained", fmt::format("{:+}", whole - explained)});
    out += table_row({"**difference**", fmt::format("**{:+}**", whole)});
  }
  return out.empty() ? out : "\n## Why the token counts differ between formats\n" + out;
}

std::string partitions_table(const Json& run) {
  std::string out = table_head({"Partition", "Turns", "Messages", "Context", "Prefilled", "Reused", "Generated",
                                "KV used", "KV allocated", "Prefill"},
                               7);
  for (const auto& condition : list(run, "conditions")) {
    for (const auto& partition : list(condition, "partitions")) {
      std::vector<std::string> turns;
      for (const auto& turn : list(partition, "turns")) turns.push_back(json_text(turn));
      std::vector<std::string> messages;
      for (const auto& message : list(partition, "messages")) {
        messages.push_back(fmt::format("{} ({} tokens)", text(message, "label"), grouped(count(message, "tokens"))));
      }
      out += table_row({markdown_cell(text(partition, "name")), fmt::format("{}", fmt::join(turns, " ")),
                        messages.empty() ? "-" : markdown_cell(fmt::format("{}", fmt::join(messages, ", "))),
                        grouped(count(partition, "context_tokens")), grouped(count(partition, "prefilled_tokens")),
                        grouped(count(partition, "reused_tokens")), grouped(count(partition, "generated_tokens")),
                        bytes_words(count(partition, "kv_bytes_used")),
                        bytes_words(count(partition, "kv_bytes_allocated")),
                        duration_words(number(partition, "prefill_ms"))});
    }
  }
  return out;
}

std::string origins_table(const Json& run) {
  std::string out = table_head({"Partition", "Context", "Of these"}, 0);
  for (const auto& condition : list(run, "conditions")) {
    for (const auto& partition : list(condition, "partitions")) {
      std::vector<std::string> parts;
      for (const auto& [kind, tokens] : member(partition, "origins").items()) {
        parts.push_back(fmt::format("{} {}", markdown_cell(kind), grouped(count(member(partition, "origins"), kind))));
      }
      out += table_row({markdown_cell(text(partition, "name")), grouped(count(partition, "context_tokens")),
                        fmt::format("{}", fmt::join(parts, ", "))});
    }
  }
  return out;
}

std::string output_section(const Json& condition, const Json& output, const Json& scenario) {
  std::vector<std::string> foreign;
  for (const auto& term : list(output, "foreign")) {
    foreign.push_back(fmt::format("{} ({}, {})", markdown_cell(text(term, "term")),
                                  markdown_cell(text(term, "cluster")), count(term, "count")));
  }
  const Json& latency = member(output, "itl_ms");
  std::string out = fmt::format("\n#### Output {}, {}\n\n", markdown_cell(text(output, "label")),
                                markdown_cell(text(condition, "title")));
  out += fmt::format("{} tokens, ended by {}; own terms {}, foreign terms {}{}. ", grouped(count(output, "tokens")),
                     markdown_cell(text(output, "finish")), terms_words(output, "own_terms"),
                     terms_words(output, "foreign_terms"),
                     foreign.empty() ? "" : fmt::format(": {}", fmt::join(foreign, ", ")));
  if (output.contains("terms_obstacle")) {
    out += fmt::format("Terms are not countable: {}. ", markdown_cell(text(output, "terms_obstacle")));
  }
  out += fmt::format("First token after {}", duration_words(number(output, "ttft_ms")));
  if (number(latency, "median") > 0.0) {
    out += fmt::format(", then {} a token (95 % within {})", duration_words(number(latency, "median")),
                       duration_words(number(latency, "p95")));
  }
  out += fmt::format("; prefill {}, decode {}.\n\n", duration_words(number(output, "prefill_ms")),
                     duration_words(number(output, "decode_ms")));
  return out + quoted_output(output, scenario);
}

// Outputs of one label stand together, condition after condition, so that they can be compared.
std::string outputs_section(const Json& run) {
  std::string out;
  const Json& scenario = member(run, "scenario");
  for (const auto& cluster : list(scenario, "clusters")) {
    for (const auto& condition : list(run, "conditions")) {
      for (const auto& output : list(condition, "outputs")) {
        if (text(output, "label") == text(cluster, "label")) out += output_section(condition, output, scenario);
      }
    }
  }
  return out;
}

std::string runs_section(const Json& results) {
  std::string out;
  for (const auto& run : list(results, "runs")) {
    out += fmt::format("\n## Run: {}, {}\n\n", markdown_cell(text(member(run, "scenario"), "id")), run_words(run));
    out += fmt::format("Wall time {}; first request to last token {}.\n", duration_words(number(run, "wall_ms")),
                       duration_words(number(run, "first_request_to_last_token_ms")));
    out += "\n### Partitions\n\n" + partitions_table(run);
    out += "\n### Where the tokens came from\n\n" + origins_table(run);
    out += "\n### Outputs\n" + outputs_section(run);
  }
  return out;
}

std::string facts_section(const Json& results) {
  const Json& model = member(results, "model");
  const Json& engine = member(results, "engine");
  const Json& settings = member(results, "settings");
  const Json& sampling = member(settings, "sampling");
  const Json& machine = member(results, "machine");
  const Json& memory = member(results, "memory");
  const Json& bulkhead = member(results, "bulkhead");
  std::string out = "\n## Facts\n\n" + table_head({"What", "Value"}, 0);
  const auto fact = [&](std::string_view what, const std::string& value) {
    out += table_row({std::string(what), markdown_cell(value)});
  };
  fact("Model",
       fmt::format("{}, {}, {}", text(model, "name"), text(model, "architecture"), bytes_words(count(model, "bytes"))));
  fact("Model file", fmt::format("{}, SHA-256 {}", text(model, "path"), text(model, "sha256")));
  fact("Context", fmt::format("{} tokens{}", grouped(count(model, "context_tokens")),
                              count(model, "window_tokens") == 0
                                  ? std::string()
                                  : fmt::format(", sliding window {}", grouped(count(model, "window_tokens")))));
  fact("Engine", fmt::format("{} {}, grade {}, kernels {}, {} threads, flash attention {}", text(engine, "name"),
                             text(engine, "build"), text(engine, "grade"), text(engine, "kernels"),
                             count(engine, "threads"), flag(engine, "flash_attention") ? "on" : "off"));
  fact("KV cache", fmt::format("{} and {}, {} a token", text(engine, "kv_type_k"), text(engine, "kv_type_v"),
                               bytes_words(count(engine, "kv_bytes_per_token"))));
  fact("Format", fmt::format("{}, SHA-256 {}", text(settings, "format"), text(settings, "format_sha256")));
  fact("Prompts",
       text(settings, "prompt_set").empty() ? std::string("each condition's own") : text(settings, "prompt_set"));
  fact("Sampling", fmt::format("seed {}, temperature {}, top-k {}, top-p {}, min-p {}, repeat penalty {}",
                               count(settings, "seed"), decimal(number(sampling, "temperature"), 3),
                               decimal(number(sampling, "top_k"), 0), decimal(number(sampling, "top_p"), 3),
                               decimal(number(sampling, "min_p"), 3), decimal(number(sampling, "repeat_penalty"), 3)));
  fact("Memory", fmt::format("peak {}, KV caches {}", bytes_words(count(memory, "peak_rss_bytes")),
                             bytes_words(count(memory, "kv_bytes_allocated"))));
  fact("Machine", fmt::format("{}, {} cores, {}, {}", text(machine, "cpu"), count(machine, "cores"),
                              bytes_words(count(machine, "memory_bytes")), text(machine, "os")));
  for (const auto& runs : scenarios_of(results)) {
    fact("Scenario", fmt::format("{} ({}), SHA-256 {}", text(*runs.scenario, "id"), text(*runs.scenario, "file"),
                                 text(*runs.scenario, "sha256")));
  }
  fact("Bulkhead", fmt::format("{}, commit {}", text(bulkhead, "version"), text(bulkhead, "commit")));
  return out;
}

}  // namespace

std::string to_markdown(const Json& results) {
  std::string out = fmt::format("# Bulkhead report\n\n{} with the format {}.\n",
                                markdown_cell(text(member(results, "model"), "name")),
                                markdown_cell(text(member(results, "settings"), "format")));
  if (!flag(results, "complete")) {
    out += fmt::format("\n**Incomplete:** {}\n", markdown_cell(text(results, "incomplete_reason")));
  }
  return out + summary_section(results) + differences_section(results) + facts_section(results) + runs_section(results);
}

}  // namespace bulkhead::report
