// SPDX-License-Identifier: MIT
#include "compare/sections.h"
#include "report/view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace bulkhead::compare {
namespace {

using report::bytes_words;
using report::count;
using report::duration_words;
using report::list;
using report::member;
using report::number;
using report::text;

// "812 ms", or "812 ms (790 ms to 1.2 s)" of several runs.
std::string spread_words(const Json& summary) {
  const auto median = duration_words(number(summary, "median"));
  if (count(summary, "n") < 2) return median;
  return fmt::format("{} ({} to {})", median, duration_words(number(summary, "min")),
                     duration_words(number(summary, "max")));
}

std::string speed_words(const Json& of_engine) {
  const auto seconds = number(member(of_engine, "decode_ms"), "median") / 1000.0;
  const auto tokens = number(of_engine, "generated_tokens") / number(of_engine, "runs");
  return seconds > 0.0 ? report::decimal(tokens / seconds, 1) : std::string("-");
}

}  // namespace

void add_times(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{2, "3. Generation times"});
  Table table{{"Condition", "Engine", "Prefill", "Decode", "Both", "Generated tokens per second of decoding"}, 4};
  const auto names = engine_names(comparison);
  for (const auto& condition : list(comparison, "conditions")) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto& of_engine = list(condition, "engines")[i];
      table.rows.push_back({text(condition, "title"), names[i], spread_words(member(of_engine, "prefill_ms")),
                            spread_words(member(of_engine, "decode_ms")), spread_words(member(of_engine, "wall_ms")),
                            speed_words(of_engine)});
    }
    for (const auto& row : list(member(comparison, "reference"), "rows")) {
      const auto& told = member(member(row, "conditions"), text(condition, "name"));
      if (told.contains("seconds"))
        table.rows.push_back({text(condition, "title"), reference_name(row), "-", "-",
                              duration_words(number(told, "seconds") * 1000.0), "-"});
    }
  }
  page.blocks.emplace_back(std::move(table));
  Table whole{{"Engine", "Load", "Whole run, weights loaded"}, 2};
  for (const auto& engine : list(comparison, "engines")) {
    const auto& facts = member(engine, "engine");
    whole.rows.push_back({text(engine, "name"),
                          facts.contains("load_ms") ? duration_words(number(facts, "load_ms")) : std::string("-"),
                          spread_words(member(engine, "wall_ms"))});
  }
  page.blocks.emplace_back(std::move(whole));
  page.blocks.emplace_back(Paragraph{
      "Medians over the seeds, with the range. A batch that serves several conditions is divided among them by "
      "tokens. Load: from the order to load the model until it could compute, files from the disk cache or not as "
      "it happened to be."});
}

void add_memory(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{2, "5. Memory, measured"});
  Table table{{"Engine", "Weights", "KV cache a token", "KV used", "KV allocated", "Peak of bulkhead",
               "Peak of workers", "Peak on a GPU", "Peak in all"},
              8};
  for (const auto& engine : list(comparison, "engines")) {
    const auto& memory = member(engine, "memory");
    const auto& workers = member(memory, "workers");
    const auto told = [&](std::string_view key) {
      return count(workers, key) == 0 ? std::string("-") : bytes_words(count(workers, key));
    };
    table.rows.push_back({text(engine, "name"), bytes_words(count(member(engine, "model"), "bytes")),
                          bytes_words(count(member(engine, "engine"), "kv_bytes_per_token")),
                          bytes_words(count(engine, "kv_bytes_used")), bytes_words(count(memory, "kv_bytes_allocated")),
                          bytes_words(count(memory, "peak_rss_bytes")), told("peak_rss_bytes"),
                          told("peak_device_bytes"), bytes_words(count(engine, "peak_rss_bytes"))});
  }
  for (const auto& row : list(member(comparison, "reference"), "rows")) {
    const auto memory = text(row, "memory");
    table.rows.push_back(
        {reference_name(row), "-", "-", "-", "-", "-", "-", "-", memory.empty() ? "not told" : memory});
  }
  page.blocks.emplace_back(std::move(table));
  page.blocks.emplace_back(Paragraph{
      "Peaks are what the system counted as resident at the most, in the program and in its workers; each engine ran "
      "in processes of its own. KV used: the caches of one run's contexts, all conditions together."});
}

void add_seeds(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{2, "6. Seeds"});
  Table table{{"Engine", "Seeds", "Draws"}};
  for (const auto& engine : list(comparison, "engines")) {
    std::vector<std::string> seeds;
    for (const auto& seed : list(engine, "seeds")) seeds.push_back(json_text(seed));
    table.rows.push_back(
        {text(engine, "name"), fmt::format("{}", fmt::join(seeds, ", ")),
         report::flag(engine, "greedy") ? "greedy: the seed has no effect" : "every output's own generator"});
  }
  for (const auto& row : list(member(comparison, "reference"), "rows")) {
    const bool known = count(row, "seed") != 0;
    table.rows.push_back({reference_name(row), known ? std::to_string(count(row, "seed")) : std::string("not told"),
                          known ? "one generator for the process" : "not told"});
  }
  page.blocks.emplace_back(std::move(table));
  page.blocks.emplace_back(Paragraph{
      "An output begins with its seed anew, whatever was generated before it. The engines draw in the same way from "
      "the same logits, so that equal logits give equal texts in all of them."});
}

void add_reference(Page& page, const Json& comparison) {
  const auto& reference = member(comparison, "reference");
  page.blocks.emplace_back(Heading{2, "7. The rows measured elsewhere"});
  page.blocks.emplace_back(Paragraph{fmt::format(
      "{}: scenario {}, temperature {}. Measured {}.", text(reference, "title"), text(reference, "scenario"),
      report::decimal(number(reference, "temperature"), 2), text(reference, "measured"))});
  Table table{{"Row", "Isolation", "Output quality"}};
  for (const auto& row : list(reference, "rows"))
    table.rows.push_back({text(row, "name"), text(row, "isolation"), text(row, "quality")});
  page.blocks.emplace_back(std::move(table));
}

}  // namespace bulkhead::compare
