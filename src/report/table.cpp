// SPDX-License-Identifier: MIT
#include "report/table.h"

#include "report/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace bulkhead::report {
namespace {

constexpr std::size_t kMostColumns = 100;
constexpr std::size_t kIndent = 2;
constexpr std::size_t kGap = 2;

using Row = std::vector<std::string>;

// Characters, not bytes. Wide ones count once: titles and numbers hold none.
std::size_t width_of(std::string_view line) {
  return static_cast<std::size_t>(std::count_if(
      line.begin(), line.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }));
}

// The first `width` characters of `line`, in bytes.
std::size_t bytes_of(std::string_view line, std::size_t width) {
  std::size_t bytes = 0;
  for (std::size_t seen = 0; bytes < line.size(); ++bytes) {
    if ((static_cast<unsigned char>(line[bytes]) & 0xC0U) != 0x80U && ++seen > width) break;
  }
  return bytes;
}

// Breaks at spaces; a word longer than the line is cut.
std::vector<std::string> wrapped(std::string_view line, std::size_t width) {
  std::vector<std::string> lines;
  while (width_of(line) > width) {
    const std::size_t most = bytes_of(line, width);
    const std::size_t space = line.rfind(' ', most);
    const std::size_t end = space == std::string_view::npos || space == 0 ? most : space;
    lines.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  }
  lines.emplace_back(line);
  return lines;
}

// Natural widths, then the widest shrinks until the line fits.
std::vector<std::size_t> widths_of(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  const std::size_t room = kMostColumns - kIndent - (kGap * (widths.size() - 1));
  while (std::accumulate(widths.begin(), widths.end(), std::size_t{0}) > room) {
    --*std::max_element(widths.begin(), widths.end());
  }
  return widths;
}

// Columns from `first_right` on are aligned to the right.
std::string lay_out(const std::vector<Row>& rows, std::size_t first_right) {
  const auto widths = widths_of(rows);
  std::string out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::vector<std::vector<std::string>> cells;
    std::size_t height = 1;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      cells.push_back(wrapped(rows[r][i], widths[i]));
      height = std::max(height, cells.back().size());
    }
    for (std::size_t h = 0; h < height; ++h) {
      std::string line(kIndent, ' ');
      for (std::size_t i = 0; i < widths.size(); ++i) {
        const std::string cell = h < cells[i].size() ? cells[i][h] : std::string();
        const std::string padding(widths[i] - width_of(cell), ' ');
        line += i >= first_right ? padding + cell : cell + padding;
        line.append(kGap, ' ');
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + '\n';
    }
    if (r == 0) {
      std::string rule;
      for (const std::size_t width : widths) rule += std::string(width, '-') + std::string(kGap, ' ');
      out += std::string(kIndent, ' ') + rule.substr(0, rule.size() - kGap) + '\n';
    }
  }
  return out;
}

std::string cut(const std::string& line) {
  return width_of(line) <= kMostColumns ? line : line.substr(0, bytes_of(line, kMostColumns - 3)) + "...";
}

std::string partitions_words(const ConditionFigures& figures) {
  std::vector<std::string> sizes;
  sizes.reserve(figures.partition_tokens.size());
  for (const auto& values : figures.partition_tokens) sizes.push_back(range_words(values));
  return fmt::format("{}: {}", sizes.size(), fmt::join(sizes, " + "));
}

std::string scenario_table(const ScenarioRuns& runs) {
  const Json& scenario = *runs.scenario;
  const auto labels = labels_with_foreign(scenario);
  const auto figures = figures_of(runs);
  const auto has = [&](auto part) {
    return std::any_of(figures.begin(), figures.end(), [&](const auto& entry) { return !(entry.*part).empty(); });
  };
  const bool sampled = has(&ConditionFigures::foreign);
  const bool greedy = has(&ConditionFigures::foreign_greedy);
  const std::string names = fmt::format("{}", fmt::join(labels, "/"));

  std::vector<Row> rows(1, Row{"condition", "isolation", "partitions: tokens"});
  if (sampled) rows[0].push_back("foreign terms " + names);
  if (greedy) rows[0].push_back((sampled ? "greedy " : "foreign terms ") + names);
  for (const auto* title : {"prefill", "decode", "wall"}) rows[0].emplace_back(title);
  for (const auto& entry : figures) {
    Row row{entry.title, verdict_words(entry), partitions_words(entry)};
    if (sampled) row.push_back(foreign_words(entry.foreign, labels));
    if (greedy) row.push_back(foreign_words(entry.foreign_greedy, labels));
    for (const auto* values : {&entry.prefill_ms, &entry.decode_ms, &entry.wall_ms})
      row.push_back(median_words(*values));
    rows.push_back(std::move(row));
  }
  for (auto& row : rows) {
    for (auto& cell : row) cell = one_line(cell);
  }

  std::vector<double> walls;
  walls.reserve(runs.runs.size());
  for (const Json* run : runs.runs) walls.push_back(number(*run, "wall_ms"));
  std::string out =
      cut(one_line(fmt::format("{}: {} turns, {} clusters; {}", text(scenario, "id"), list(scenario, "turns").size(),
                               list(scenario, "clusters").size(), runs_words(runs))));
  out += "\n" + lay_out(rows, 3);
  out += std::string(kIndent, ' ');
  if (walls.size() > 1) out += fmt::format("times are medians of {} runs; ", walls.size());
  out += fmt::format("a whole run took {}\n", median_words(walls));
  return out;
}

}  // namespace

std::string to_table(const Json& results) {
  std::string out;
  for (const auto& runs : scenarios_of(results)) {
    if (!out.empty()) out += '\n';
    out += scenario_table(runs);
  }
  if (!flag(results, "complete")) {
    out += cut(one_line("INCOMPLETE: " + text(results, "incomplete_reason"))) + "\n";
  }
  return out;
}

}  // namespace bulkhead::report
