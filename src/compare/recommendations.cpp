// SPDX-License-Identifier: MIT
#include "compare/recommendations.h"

#include "report/view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <string_view>

namespace bulkhead::compare {
namespace {

using report::count;
using report::flag;
using report::list;
using report::member;
using report::number;
using report::text;

// A figure of one engine over its runs.
struct Spread {
  std::string name;
  std::size_t runs = 0;
  double low = 0.0;
  double median = 0.0;
  double high = 0.0;
};

using Words = std::function<std::string(double)>;

std::string spread_words(const Spread& spread, const Words& words) {
  if (spread.runs == 1) return fmt::format("{} {}", spread.name, words(spread.median));
  return fmt::format("{} {} ({} to {}, {} runs)", spread.name, words(spread.median), words(spread.low),
                     words(spread.high), spread.runs);
}

Json entry(std::string claim, std::string because, std::string_view strength) {
  return {{"claim", std::move(claim)}, {"because", std::move(because)}, {"strength", strength}};
}

// How often the ranges of `one` and `two` runs lie apart, either way, where there is no difference: of all orders of
// the runs, two in (one + two over one).
double chance_apart(std::size_t one, std::size_t two) {
  double ways = 1;
  for (std::size_t i = 1; i <= one; ++i) ways *= static_cast<double>(two + i) / static_cast<double>(i);
  return 2.0 / ways;
}

constexpr double kLikely = 0.05;

// Which of `figures` is least, and whether the others' ranges keep clear of it.
Json least(std::string_view what, std::string_view best, std::vector<Spread> figures, const Words& words) {
  std::stable_sort(figures.begin(), figures.end(), [](const auto& a, const auto& b) { return a.median < b.median; });
  std::vector<std::string> all;
  for (const auto& figure : figures) all.push_back(spread_words(figure, words));
  const auto because = fmt::format("{}", fmt::join(all, "; "));
  const auto& first = figures.front();
  const auto fewest =
      std::min_element(figures.begin(), figures.end(), [](const auto& a, const auto& b) { return a.runs < b.runs; });
  if (figures.size() < 2 || first.median == figures[1].median)
    return entry(fmt::format("{}: no difference.", what), because, fewest->runs < 2 ? "one run" : "overlap");
  if (fewest->runs < 2)
    return entry(
        fmt::format("{}: {} was {} in the one run there is; more seeds (--repeat) would tell how sure that is.", what,
                    first.name, best),
        because, "one run");
  const bool clear = std::all_of(figures.begin() + 1, figures.end(), [&](const auto& o) { return o.low > first.high; });
  const double chance = chance_apart(first.runs, fewest->runs);
  if (clear && chance > kLikely) {
    return entry(fmt::format("{}: {} looks like {}, but with so few runs chance alone does this in {:.0f} % of cases.",
                             what, first.name, best, 100 * chance),
                 because, "few runs");
  }
  if (clear) return entry(fmt::format("{}: {} is {}.", what, first.name, best), because, "apart");
  return entry(fmt::format("{}: none can be preferred; the runs of the best overlap with another's.", what), because,
               "overlap");
}

Spread spread_of(const std::string& name, const Json& summary) {
  return {name, count(summary, "n"), number(summary, "min"), number(summary, "median"), number(summary, "max")};
}

Spread spread_of(const std::string& name, std::vector<double> values) {
  if (values.empty()) return {name};
  std::sort(values.begin(), values.end());
  const auto middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {name, values.size(), values.front(), median, values.back()};
}

std::string number_words(double value) {
  return report::decimal(value, 1);
}

Json about_inputs(const Json& comparison) {
  std::size_t equal = 0;
  std::size_t messages = 0;
  const auto& rows = list(comparison, "inputs");
  for (const auto& row : rows) {
    equal += text(row, "status") == "equal" ? 1U : 0U;
    messages += text(row, "status") == "other messages" ? 1U : 0U;
  }
  const auto different = rows.size() - equal - messages;
  const auto because = fmt::format(
      "{} of {} outputs had the same input tokens in all engines; {} received other messages, "
      "{} were given other tokens",
      equal, rows.size(), messages, different);
  if (different > 0)
    return entry("The engines were not given the same tokens: what differs below need not be the engines' doing.",
                 because, "computed");
  return entry("Every engine was given the same tokens, but for messages that it wrote itself.", because, "computed");
}

Json about_texts(const Json& comparison) {
  std::size_t comparable = 0;
  std::size_t same = 0;
  std::vector<std::string> parted;
  const auto& engines = list(comparison, "engines");
  for (const auto& output : list(comparison, "outputs")) {
    if (!flag(output, "greedy") || text(output, "input") != "equal") continue;
    const auto& of_engines = list(output, "engines");
    for (std::size_t i = 1; i < of_engines.size(); ++i) {
      ++comparable;
      const auto& at = of_engines[i]["parts_at"];
      if (at.is_null()) {
        ++same;
      } else {
        parted.push_back(fmt::format("{} {}: {} at token {}", text(output, "condition"), text(output, "label"),
                                     text(engines[i], "name"), at.get<std::size_t>()));
      }
    }
  }
  if (comparable == 0) return nullptr;
  return entry(fmt::format("{} of {} greedy texts with the same input are those of {} to the last token.", same,
                           comparable, text(engines.front(), "name")),
               parted.empty() ? "no text parts" : fmt::format("{}", fmt::join(parted, "; ")), "computed");
}

Json about_isolation(const Json& comparison) {
  const auto& engines = list(comparison, "engines");
  std::vector<std::string> all;
  std::vector<std::string> isolating;
  for (const auto& condition : list(comparison, "conditions")) {
    std::size_t whole = 0;
    std::vector<std::string> words;
    for (std::size_t i = 0; i < engines.size(); ++i) {
      const auto& of_engine = list(condition, "engines")[i];
      whole += count(of_engine, "achieved") == count(of_engine, "runs") ? 1U : 0U;
      words.push_back(
          fmt::format("{} {}/{}", text(engines[i], "name"), count(of_engine, "achieved"), count(of_engine, "runs")));
    }
    if (whole == engines.size()) isolating.push_back(text(condition, "name"));
    all.push_back(fmt::format("{}: {}", text(condition, "name"), fmt::join(words, ", ")));
  }
  const auto claim = isolating.empty() ? std::string("No condition isolates the topics in every engine and run.")
                                       : fmt::format("Topics are isolated in every engine and run under: {}.",
                                                     fmt::join(isolating, ", "));
  return entry(claim, fmt::format("isolation achieved, in runs: {}", fmt::join(all, "; ")), "computed");
}

// Empty where a run's are not countable.
std::vector<double> totals(const Json& of_engine, std::string_view key) {
  std::vector<double> values;
  for (const auto& value : list(of_engine, key)) {
    if (value.is_null()) return {};
    values.push_back(value.get<double>());
  }
  return values;
}

Json not_countable(const std::string& what) {
  return entry(what + ": not countable.", "some text is in a script or language in which the terms cannot be found",
               "computed");
}

// Foreign terms: the semantic condition against the sequential one, in each engine.
void about_effect(const Json& comparison, Json& all) {
  const Json* sequential = nullptr;
  const Json* semantic = nullptr;
  for (const auto& condition : list(comparison, "conditions")) {
    if (text(condition, "name") == "sequential") sequential = &condition;
    if (text(condition, "name") == "semantic") semantic = &condition;
  }
  if (sequential == nullptr || semantic == nullptr) return;
  const auto& engines = list(comparison, "engines");
  for (std::size_t i = 0; i < engines.size(); ++i) {
    const auto what = "Foreign terms in " + text(engines[i], "name");
    const auto apart = totals(list(*semantic, "engines")[i], "foreign_terms");
    const auto together = totals(list(*sequential, "engines")[i], "foreign_terms");
    all.push_back(apart.empty() || together.empty()
                      ? not_countable(what)
                      : least(what, "the condition with fewer",
                              {spread_of("semantic", apart), spread_of("sequential", together)}, number_words));
  }
}

Json about_quality(const Json& comparison) {
  std::vector<Spread> figures;
  const auto& engines = list(comparison, "engines");
  for (std::size_t i = 0; i < engines.size(); ++i) {
    std::vector<double> sums;
    for (const auto& condition : list(comparison, "conditions")) {
      const auto values = totals(list(condition, "engines")[i], "foreign_terms");
      if (values.empty()) return not_countable("Foreign terms over all conditions");
      sums.resize(std::max(sums.size(), values.size()));
      for (std::size_t run = 0; run < values.size(); ++run) sums[run] += values[run];
    }
    figures.push_back(spread_of(text(engines[i], "name"), std::move(sums)));
  }
  return least("Foreign terms over all conditions", "the one with fewest", std::move(figures), number_words);
}

Json about_speed(const Json& comparison) {
  std::vector<Spread> figures;
  for (const auto& engine : list(comparison, "engines"))
    figures.push_back(spread_of(text(engine, "name"), member(engine, "wall_ms")));
  return least("Time of a whole run, weights loaded", "the fastest here", std::move(figures), report::duration_words);
}

Json about_memory(const Json& comparison) {
  // Below this, two peaks of one program differ from one run to the next.
  constexpr double kWorthNaming = 1.05;
  std::vector<std::string> all;
  const Json* smallest = nullptr;
  std::uint64_t next = 0;
  for (const auto& engine : list(comparison, "engines")) {
    const auto peak = count(engine, "peak_rss_bytes");
    all.push_back(fmt::format("{} {} (weights {})", text(engine, "name"), report::bytes_words(peak),
                              report::bytes_words(count(member(engine, "model"), "bytes"))));
    if (smallest != nullptr && peak >= count(*smallest, "peak_rss_bytes")) {
      next = next == 0 ? peak : std::min(next, peak);
      continue;
    }
    if (smallest != nullptr) next = count(*smallest, "peak_rss_bytes");
    smallest = &engine;
  }
  const bool clear = static_cast<double>(next) > kWorthNaming * static_cast<double>(count(*smallest, "peak_rss_bytes"));
  auto claim = clear ? fmt::format(
                           "Memory: {} held least at its peak, in the one process that was measured; where weights "
                           "differ in precision, so must this.",
                           text(*smallest, "name"))
                     : std::string("Memory: the two smallest peaks lie within 5 % of each other.");
  return entry(std::move(claim), fmt::format("{}", fmt::join(all, "; ")), "one run");
}

}  // namespace

Json recommendations(const Json& comparison) {
  Json all = Json::array({about_inputs(comparison), about_isolation(comparison)});
  if (auto texts = about_texts(comparison); !texts.is_null()) all.push_back(std::move(texts));
  about_effect(comparison, all);
  all.push_back(about_quality(comparison));
  all.push_back(about_speed(comparison));
  all.push_back(about_memory(comparison));
  return all;
}

}  // namespace bulkhead::compare
