// SPDX-License-Identifier: MIT
#include "report/view.h"

#include "fixture.h"
#include "measure/terms.h"
#include "report/marks.h"

#include <gtest/gtest.h>

namespace bulkhead::report {
namespace {

TEST(Words, Numbers) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1088), "1,088");
  EXPECT_EQ(grouped(12345678), "12,345,678");
  EXPECT_EQ(decimal(9.0, 2), "9");
  EXPECT_EQ(decimal(9.5, 2), "9.5");
  EXPECT_EQ(decimal(100.0, 0), "100");
}

TEST(Words, DurationsAndBytes) {
  EXPECT_EQ(duration_words(0.04), "0.0 ms");
  EXPECT_EQ(duration_words(812.4), "812 ms");
  EXPECT_EQ(duration_words(999.7), "1.00 s");
  EXPECT_EQ(duration_words(29260), "29.3 s");
  EXPECT_EQ(duration_words(119960), "2 min 0 s");
  EXPECT_EQ(duration_words(192000), "3 min 12 s");
  EXPECT_EQ(bytes_words(12), "12 bytes");
  EXPECT_EQ(bytes_words(12288), "12.0 KiB");
  EXPECT_EQ(bytes_words(491400032), "469 MiB");
  EXPECT_EQ(bytes_words(25769803776), "24.0 GiB");
}

TEST(Words, OneLineHasNoControls) {
  EXPECT_EQ(one_line("a\nb\x1b[31mc\x7f\u009b"), "a b [31mc  ");
  EXPECT_EQ(one_line("\xff"), "\uFFFD");
  EXPECT_EQ(one_line("caf\u00e9"), "caf\u00e9");
}

TEST(Figures, GatherAllRuns) {
  const Json results = fixture();
  const auto scenarios = scenarios_of(results);
  ASSERT_EQ(scenarios.size(), 1U);
  EXPECT_EQ(runs_words(scenarios[0]), "seeds 42, 43 and greedy");
  EXPECT_EQ(labels_with_foreign(*scenarios[0].scenario), (std::vector<std::string>{"A", "B"}));
  const auto figures = figures_of(scenarios[0]);
  ASSERT_EQ(figures.size(), 4U);
  for (const auto& entry : figures) {
    EXPECT_EQ(entry.runs, 3U);
    EXPECT_EQ(verdict_words(entry), entry.name == "semantic" ? "yes" : "no");
    EXPECT_EQ(entry.foreign.at("A").size(), 2U);
    EXPECT_EQ(entry.foreign_greedy.at("A").size(), 1U);
    EXPECT_EQ(entry.wall_ms.size(), 3U);
  }
  EXPECT_EQ(figures[3].partition_tokens.size(), 3U);
}

TEST(Figures, VerdictThatDiffersBetweenRuns) {
  Json results = fixture();
  results["runs"][1]["conditions"][3]["isolation"]["achieved"] = false;
  EXPECT_EQ(verdict_words(figures_of(scenarios_of(results)[0])[3]), "2 of 3 runs");
}

// The run that a fixture stands for counted with count_terms(); so must these.
TEST(Fixture, CountsAreTrue) {
  const Json results = fixture();
  for (const auto& run : list(results, "runs")) {
    const Json& scenario = member(run, "scenario");
    for (const auto& condition : list(run, "conditions")) {
      for (const auto& output : list(condition, "outputs")) {
        const Json& own = cluster_of(scenario, text(output, "cluster"));
        std::vector<measure::ClusterTerms> foreign;
        const auto known = texts(own, "depends_on");
        for (const auto& cluster : list(scenario, "clusters")) {
          const auto id = text(cluster, "id");
          if (id == text(own, "id") || std::find(known.begin(), known.end(), id) != known.end()) continue;
          foreign.push_back({id, texts(cluster, "terminology")});
        }
        const auto counts = measure::count_terms(text(output, "text"), texts(own, "terminology"), foreign);
        EXPECT_EQ(counts.own, count(output, "own_terms"));
        EXPECT_EQ(counts.foreign, count(output, "foreign_terms"));
        EXPECT_EQ(counts.foreign_terms.size(), list(output, "foreign").size());
      }
    }
    for (const auto& condition : list(run, "conditions")) {
      for (const auto& partition : list(condition, "partitions")) {
        std::uint64_t sum = 0;
        for (const auto& [kind, tokens] : member(partition, "origins").items()) sum += tokens.get<std::uint64_t>();
        EXPECT_EQ(sum, count(partition, "context_tokens"));
      }
    }
  }
}

TEST(Marks, ArePiecesOfTheTextAndAddUp) {
  const Json results = fixture();
  std::size_t marked = 0;
  for (const auto& run : list(results, "runs")) {
    for (const auto& condition : list(run, "conditions")) {
      for (const auto& output : list(condition, "outputs")) {
        std::string whole;
        std::uint64_t own = 0;
        std::uint64_t foreign = 0;
        for (const auto& segment : marked_text(output, member(run, "scenario"))) {
          whole += segment.text;
          if (segment.mark == Mark::kOwn) ++own;
          if (segment.mark == Mark::kForeign) ++foreign;
          EXPECT_EQ(segment.cluster.empty(), segment.mark == Mark::kPlain);
        }
        EXPECT_EQ(whole, text(output, "text"));
        EXPECT_EQ(own, count(output, "own_terms"));
        EXPECT_EQ(foreign, count(output, "foreign_terms"));
        marked += foreign;
      }
    }
  }
  EXPECT_GT(marked, 50U);
}

}  // namespace
}  // namespace bulkhead::report
