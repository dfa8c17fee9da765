// SPDX-License-Identifier: MIT
// How often each test and interval finds something at level 0.05 where there is nothing, as a Markdown page.
#include "measure/bootstrap.h"
#include "measure/paired_differences.h"
#include "measure/permutation.h"
#include "measure/proportion.h"
#include "measure/wilcoxon.h"
#include "null_data.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <array>
#include <functional>
#include <string>
#include <vector>

namespace bulkhead::measure {
namespace {

constexpr double kLevel = 0.05;
constexpr std::size_t kDraws = 1999;

bool excludes_zero(const Interval& interval) {
  return interval.low > 0.0 || interval.high < 0.0;
}

struct Procedure {
  std::string name;
  std::function<bool(const NullData&, std::uint32_t seed)> finds;
};

bool wilcoxon_finds(const NullData& data, WilcoxonMethod method) {
  const auto means = cluster_means(data.differences, data.clusters);
  return wilcoxon_signed_rank(means.value(), ZeroDifferences::kPratt, method)->p < kLevel;
}

std::vector<Procedure> procedures() {
  const auto bootstrap = [](const NullData& data, std::uint32_t seed) {
    return bootstrap_mean(data.differences, data.clusters, {.resamples = kDraws, .seed = seed}).value();
  };
  return {
      {"permutation by conversation",
       [](const NullData& d, std::uint32_t seed) {
         return sign_flip_test(d.differences, d.clusters, {.draws = kDraws, .seed = seed})->p < kLevel;
       }},
      {"Wilcoxon, exact", [](const NullData& d, std::uint32_t) { return wilcoxon_finds(d, WilcoxonMethod::kExact); }},
      {"Wilcoxon, normal", [](const NullData& d, std::uint32_t) { return wilcoxon_finds(d, WilcoxonMethod::kNormal); }},
      {"percentile interval without 0",
       [=](const NullData& d, std::uint32_t seed) { return excludes_zero(bootstrap(d, seed).percentile); }},
      {"BCa interval without 0",
       [=](const NullData& d, std::uint32_t seed) {
         const auto bca = bootstrap(d, seed).bca;
         return bca && excludes_zero(*bca);
       }},
      {"*permutation by question* (wrong)",
       [](const NullData& d, std::uint32_t seed) {
         return sign_flip_test(d.differences, {}, {.draws = kDraws, .seed = seed})->p < kLevel;
       }},
  };
}

std::string cell(std::size_t hits, std::size_t sets) {
  const char* mark = not_too_many(hits, sets, kLevel) ? not_too_few(hits, sets, kLevel) ? "" : ", fewer" : ", **more**";
  const Interval interval = clopper_pearson(hits, sets).value();
  return fmt::format("{:.2f} [{:.2f}, {:.2f}]{}", 100.0 * static_cast<double>(hits) / static_cast<double>(sets),
                     100.0 * interval.low, 100.0 * interval.high, mark);
}

void print(std::size_t sets) {
  constexpr std::array<std::size_t, 2> kConversations{30, 120};
  fmt::print("# How often a test finds what is not there\n\n");
  fmt::print(
      "{} null data sets for each column: paired scores with an effect, condition labels swapped at random within "
      "conversations, 1 to 4 questions in each. Percent of them with p < 0.05 (or a 95 % interval without 0), "
      "with 95 % Clopper-Pearson intervals; {} draws or resamples. \"more\" and \"fewer\": outside the central "
      "99 % of a binomial distribution with chance 0.05.\n\n",
      sets, kDraws);
  fmt::print("| | scores, 30 conversations | scores, 120 | rates, 30 | rates, 120 |\n|---|---|---|---|---|\n");
  for (const auto& procedure : procedures()) {
    fmt::print("| {} |", procedure.name);
    for (const auto kind : {NullScores::kContinuous, NullScores::kRates}) {
      for (const std::size_t conversations : kConversations) {
        RandomDraws draws(2026);  // the same data sets for every procedure
        std::size_t hits = 0;
        for (std::size_t set = 0; set < sets; ++set) {
          const NullData data = draw_null_data(kind, conversations, draws);
          hits += procedure.finds(data, static_cast<std::uint32_t>(set)) ? 1U : 0U;
        }
        fmt::print(" {} |", cell(hits, sets));
      }
    }
    fmt::print("\n");
  }
}

}  // namespace
}  // namespace bulkhead::measure

int main(int argc, char** argv) {
  CLI::App app{"How often a test finds what is not there"};
  std::size_t sets = 10'000;
  app.add_option("--sets", sets, "null data sets for each column")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  bulkhead::measure::print(sets);
  return 0;
}
