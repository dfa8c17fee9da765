// SPDX-License-Identifier: MIT
#include "report/view.h"

#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace bulkhead::report {
namespace {

const Json* find(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

template <typename T>
void add_once(std::vector<T>& values, const T& value) {
  if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
}

double mean(const std::vector<double>& values) {
  return measure::summarize(values).mean;
}

ConditionFigures& entry_for(std::vector<ConditionFigures>& all, const Json& condition) {
  const std::string name = text(condition, "name");
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& figures) { return figures.name == name; });
  if (found != all.end()) return *found;
  ConditionFigures figures;
  figures.name = name;
  figures.title = text(condition, "title");
  figures.separates = text(condition, "separates");
  return all.emplace_back(std::move(figures));
}

void add_condition(ConditionFigures& figures, const Json& condition, bool greedy) {
  const Json& isolation = member(condition, "isolation");
  ++figures.runs;
  if (flag(isolation, "achieved")) ++figures.achieved;
  for (const auto& reason : texts(isolation, "reasons")) {
    if (figures.known_reasons.insert(reason).second) figures.reasons.push_back(reason);
  }
  const Json& partitions = list(condition, "partitions");
  if (figures.partition_tokens.size() < partitions.size()) figures.partition_tokens.resize(partitions.size());
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    figures.partition_tokens[i].push_back(count(partitions[i], "context_tokens"));
  }
  for (const auto& output : list(condition, "outputs")) {
    auto& by_label = greedy ? figures.foreign_greedy : figures.foreign;
    auto& counts = by_label[text(output, "label")];
    if (terms_words(output, "foreign_terms") != kNotCountable) counts.push_back(number(output, "foreign_terms"));
  }
  figures.prefill_ms.push_back(number(condition, "prefill_ms"));
  figures.decode_ms.push_back(number(condition, "decode_ms"));
  figures.wall_ms.push_back(number(condition, "wall_ms"));
}

}  // namespace

std::string text(const Json& object, std::string_view key) {
  const Json* found = find(object, key);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

double number(const Json& object, std::string_view key) {
  const Json* found = find(object, key);
  return found != nullptr && found->is_number() ? found->get<double>() : 0.0;
}

std::uint64_t count(const Json& object, std::string_view key) {
  const Json* found = find(object, key);
  if (found == nullptr || !found->is_number_integer()) return 0;
  return found->is_number_unsigned()
             ? found->get<std::uint64_t>()
             : static_cast<std::uint64_t>(std::max<std::int64_t>(0, found->get<std::int64_t>()));
}

bool flag(const Json& object, std::string_view key) {
  const Json* found = find(object, key);
  return found != nullptr && found->is_boolean() && found->get<bool>();
}

const Json& list(const Json& object, std::string_view key) {
  static const Json kNone = Json::array();
  const Json* found = find(object, key);
  return found != nullptr && found->is_array() ? *found : kNone;
}

const Json& member(const Json& object, std::string_view key) {
  static const Json kNone = Json::object();
  const Json* found = find(object, key);
  return found != nullptr && found->is_object() ? *found : kNone;
}

std::vector<std::string> texts(const Json& object, std::string_view key) {
  std::vector<std::string> all;
  for (const auto& item : list(object, key)) {
    if (item.is_string()) all.push_back(item.get<std::string>());
  }
  return all;
}

std::vector<ScenarioRuns> scenarios_of(const Json& results) {
  std::vector<ScenarioRuns> all;
  for (const auto& run : list(results, "runs")) {
    const Json& scenario = member(run, "scenario");
    const auto same = [&](const ScenarioRuns& entry) {
      return text(*entry.scenario, "id") == text(scenario, "id") &&
             text(*entry.scenario, "sha256") == text(scenario, "sha256");
    };
    auto found = std::find_if(all.begin(), all.end(), same);
    if (found == all.end()) found = all.insert(all.end(), ScenarioRuns{&scenario, {}});
    found->runs.push_back(&run);
  }
  return all;
}

const Json& cluster_of(const Json& scenario, std::string_view id) {
  for (const auto& cluster : list(scenario, "clusters")) {
    if (text(cluster, "id") == id) return cluster;
  }
  return member(Json(), "");
}

std::vector<std::string> labels_with_foreign(const Json& scenario) {
  std::vector<std::string> labels;
  for (const auto& cluster : list(scenario, "clusters")) {
    auto known = texts(cluster, "depends_on");
    known.push_back(text(cluster, "id"));
    for (const auto& other : list(scenario, "clusters")) {
      const bool foreign = std::find(known.begin(), known.end(), text(other, "id")) == known.end();
      if (foreign && !list(other, "terminology").empty()) add_once(labels, text(cluster, "label"));
    }
  }
  return labels;
}

std::vector<ConditionFigures> figures_of(const ScenarioRuns& runs) {
  std::vector<ConditionFigures> all;
  for (const Json* run : runs.runs) {
    for (const auto& condition : list(*run, "conditions")) {
      add_condition(entry_for(all, condition), condition, flag(*run, "greedy"));
    }
  }
  return all;
}

std::string verdict_words(const ConditionFigures& figures) {
  if (figures.achieved == figures.runs) return "yes";
  if (figures.achieved == 0) return "no";
  return fmt::format("{} of {} runs", figures.achieved, figures.runs);
}

std::string range_words(const std::vector<std::uint64_t>& values) {
  if (values.empty()) return "-";
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *low == *high ? grouped(*low) : fmt::format("{}-{}", grouped(*low), grouped(*high));
}

std::string foreign_words(const std::map<std::string, std::vector<double>>& foreign,
                          const std::vector<std::string>& labels) {
  std::vector<std::string> words;
  for (const auto& label : labels) {
    const auto found = foreign.find(label);
    if (found == foreign.end()) {
      words.emplace_back("-");
    } else {
      words.push_back(found->second.empty() ? std::string(kNotCountable) : decimal(mean(found->second), 1));
    }
  }
  return words.empty() ? "-" : fmt::format("{}", fmt::join(words, "/"));
}

std::string terms_words(const Json& output, std::string_view key) {
  const Json* found = find(output, key);
  return found != nullptr && found->is_null() ? std::string(kNotCountable) : std::to_string(count(output, key));
}

std::string run_words(const Json& run) {
  std::string words = flag(run, "greedy") ? std::string("greedy") : fmt::format("seed {}", count(run, "seed"));
  if (run.contains("complete") && !flag(run, "complete")) words += " (incomplete)";
  return words;
}

std::string runs_words(const ScenarioRuns& runs) {
  std::vector<std::uint64_t> seeds;
  bool greedy = false;
  for (const Json* run : runs.runs) {
    if (flag(*run, "greedy")) {
      greedy = true;
    } else {
      seeds.push_back(count(*run, "seed"));
    }
  }
  std::string words;
  if (!seeds.empty()) words = fmt::format("{} {}", seeds.size() == 1 ? "seed" : "seeds", fmt::join(seeds, ", "));
  if (greedy) words += words.empty() ? "greedy" : " and greedy";
  return words;
}

std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string decimal(double value, int digits) {
  std::string words = fmt::format("{:.{}f}", value, digits);
  if (words.find('.') != std::string::npos) {
    words.erase(words.find_last_not_of('0') + 1);
    if (words.ends_with('.')) words.pop_back();
  }
  return words;
}

std::string median_words(const std::vector<double>& milliseconds) {
  return duration_words(measure::summarize(milliseconds).median);
}

std::string duration_words(double milliseconds) {
  if (milliseconds < 10.0) return fmt::format("{:.1f} ms", milliseconds);
  if (milliseconds < 999.5) return fmt::format("{:.0f} ms", milliseconds);
  const double seconds = milliseconds / 1000.0;
  if (seconds < 9.995) return fmt::format("{:.2f} s", seconds);
  if (seconds < 119.95) return fmt::format("{:.1f} s", seconds);
  const double whole = std::round(seconds);
  return fmt::format("{:.0f} min {:.0f} s", std::floor(whole / 60.0), std::fmod(whole, 60.0));
}

std::string bytes_words(std::uint64_t bytes) {
  constexpr double kStep = 1024.0;
  auto value = static_cast<double>(bytes);
  if (value < kStep) return fmt::format("{} bytes", bytes);
  std::string_view unit;
  for (const std::string_view next : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < kStep) break;
    value /= kStep;
    unit = next;
  }
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : (value < 99.95 ? 1 : 0), unit);
}

std::string one_line(std::string_view value) {
  std::string line;
  for (const char byte : to_valid_utf8(value)) {
    const auto code = static_cast<unsigned char>(byte);
    line += code < 0x20U || code == 0x7FU ? ' ' : byte;
  }
  // C1 controls (U+0080 to U+009F) are two bytes in UTF-8; some terminals obey them.
  for (std::size_t at = 0; at + 1 < line.size(); ++at) {
    const auto next = static_cast<unsigned char>(line[at + 1]);
    if (line[at] == '\xC2' && next >= 0x80U && next < 0xA0U) line.replace(at, 2, " ");
  }
  return line;
}

}  // namespace bulkhead::report
