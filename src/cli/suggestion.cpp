// SPDX-License-Identifier: MIT
#include "cli/suggestion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>

namespace bulkhead::cli {
namespace {

constexpr std::size_t kLongestWord = 64;

// The optimal string alignment distance.
std::size_t mistakes(const std::string& one, const std::string& two) {
  std::vector<std::vector<std::size_t>> cost(one.size() + 1, std::vector<std::size_t>(two.size() + 1));
  for (std::size_t i = 0; i <= one.size(); ++i) {
    for (std::size_t j = 0; j <= two.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const bool same = one[i - 1] == two[j - 1];
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (same ? 0U : 1U)});
      const bool swapped = i > 1 && j > 1 && one[i - 1] == two[j - 2] && one[i - 2] == two[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost.back().back();
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known, std::string otherwise) {
  const auto found = nearest(word, known);
  return found.empty() ? std::move(otherwise) : fmt::format("did you mean {}?", found);
}

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const auto* option : app.get_options()) {
    for (const auto& name : option->get_lnames()) flags.push_back("--" + name);
    for (const auto& name : option->get_snames()) flags.push_back("-" + name);
  }
  return flags;
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  if (word.size() > kLongestWord) return {};
  std::string best;
  std::size_t fewest = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const auto& one : known) {
    const auto found = mistakes(word, one);
    if (found >= fewest) continue;
    fewest = found;
    best = one;
  }
  return best;
}

Error unknown_command(const CLI::App& program, const std::string& word) {
  std::vector<std::string> names;
  for (const auto* command : program.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    names.push_back(command->get_name());
  }
  return {ErrorCode::kUsage, fmt::format("unknown command \"{}\"", word), "command line",
          did_you_mean(word, names, fmt::format("there are {}", fmt::join(names, ", ")))};
}

Error unexpected_arguments(const CLI::App& program) {
  const auto left = program.remaining(true);
  const auto commands = program.get_subcommands();
  const CLI::App& command = commands.empty() ? program : *commands.front();
  const auto help = fmt::format("see bulkhead{} --help", commands.empty() ? std::string() : ' ' + command.get_name());
  const auto flag = std::find_if(left.begin(), left.end(), [](const auto& one) { return one.starts_with('-'); });
  if (flag == left.end()) {
    return {ErrorCode::kUsage, fmt::format("unexpected arguments: {}", fmt::join(left, " ")), "command line", help};
  }
  const auto name = flag->substr(0, flag->find('='));
  return {ErrorCode::kUsage, fmt::format("unknown flag {}", name), "command line",
          did_you_mean(name, flags_of(command), help)};
}

}  // namespace bulkhead::cli
