// SPDX-License-Identifier: MIT
#include "compare/sections.h"
#include "report/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
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

// Keys of Facts::implementation, and what they are called.
constexpr std::array<std::pair<const char*, const char*>, 10> kWays = {{{"loading", "Model loading"},
                                                                        {"tokenizer", "Tokenizer"},
                                                                        {"context", "Context format"},
                                                                        {"generation", "Generation"},
                                                                        {"sampling", "Sampling"},
                                                                        {"cache", "Cache handling"},
                                                                        {"attention", "Attention"},
                                                                        {"device", "Device"},
                                                                        {"weights", "Precision of weights"},
                                                                        {"computing", "Precision of computing"}}};

std::string told(const std::string& words) {
  return words.empty() ? "not told" : words;
}

// How many BOS tokens a context has, over all contexts of one engine.
std::string bos_words(const Json& comparison, std::size_t engine) {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t most = 0;
  for (const auto& condition : list(comparison, "conditions")) {
    for (const auto& partition : list(list(condition, "engines")[engine], "partitions")) {
      const auto bos = count(member(partition, "origins"), "bos");
      least = std::min(least, bos);
      most = std::max(most, bos);
    }
  }
  return least >= most ? fmt::format("{} in each context", most) : fmt::format("{} to {} in a context", least, most);
}

using Column = std::function<std::string(const Json& engine)>;

void add_row(Table& table, const Json& comparison, std::string title, const Column& column) {
  std::vector<std::string> cells = {std::move(title)};
  for (const auto& engine : list(comparison, "engines")) cells.push_back(told(column(engine)));
  table.rows.push_back(std::move(cells));
}

std::string draws(const Json& settings) {
  const auto& sampling = member(settings, "sampling");
  const auto limit = [&](const char* key, double off) {
    const auto value = number(sampling, key);
    return value == off ? std::string("none") : decimal(value, 3);
  };
  return fmt::format("Drawn with temperature {}, top-k {}, top-p {}, min-p {}, repeat penalty {}, in every engine.",
                     decimal(number(sampling, "temperature"), 3), limit("top_k", 0), limit("top_p", 1),
                     limit("min_p", 0), limit("repeat_penalty", 1));
}

void add_reference_ways(Page& page, const Json& comparison) {
  const auto& rows = list(member(comparison, "reference"), "rows");
  std::vector<std::string> titles = {"Measured elsewhere"};
  for (const auto& row : rows) titles.push_back(text(row, "name"));
  Table table{titles, 0};
  for (const auto& [key, title] : kWays) {
    std::vector<std::string> cells = {title};
    bool known = false;
    for (const auto& row : rows) {
      cells.push_back(told(text(member(row, "implementation"), key)));
      known = known || cells.back() != "not told";
    }
    if (known) table.rows.push_back(std::move(cells));
  }
  page.blocks.emplace_back(std::move(table));
}

}  // namespace

void add_implementation(Page& page, const Json& comparison) {
  page.blocks.emplace_back(Heading{2, "4. Implementation differences"});
  auto titles = engine_names(comparison);
  titles.insert(titles.begin(), "Aspect");
  Table table{titles, 0};
  const auto fact = [](const char* key) {
    return [key](const Json& engine) { return text(member(engine, "engine"), key); };
  };
  add_row(table, comparison, "Back end", fact("build"));
  for (const auto& [key, title] : kWays) {
    add_row(table, comparison, title,
            [key = key](const Json& engine) { return text(member(member(engine, "engine"), "implementation"), key); });
  }
  std::vector<std::string> bos = {"BOS"};
  for (std::size_t i = 0; i + 1 < titles.size(); ++i) bos.push_back(bos_words(comparison, i));
  table.rows.push_back(std::move(bos));
  add_row(table, comparison, "Precision of the cache", [](const Json& engine) {
    const auto& facts = member(engine, "engine");
    return fmt::format("{} and {}", text(facts, "kv_type_k"), text(facts, "kv_type_v"));
  });
  add_row(table, comparison, "What separates partitions", fact("grade"));
  add_row(table, comparison, "Kernels", fact("kernels"));
  add_row(table, comparison, "Same bits alone and among others", [](const Json& engine) {
    const auto& facts = member(engine, "engine");
    return flag(facts, "batch_invariant") ? std::string("yes") : "no: " + text(facts, "variance");
  });
  add_row(table, comparison, "Threads",
          [](const Json& engine) { return std::to_string(count(member(engine, "engine"), "threads")); });
  page.blocks.emplace_back(std::move(table));
  page.blocks.emplace_back(Paragraph{draws(member(comparison, "settings"))});
  add_reference_ways(page, comparison);
}

}  // namespace bulkhead::compare
