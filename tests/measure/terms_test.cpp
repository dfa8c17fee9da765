// SPDX-License-Identifier: MIT
#include "measure/terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace bulkhead::measure {
namespace {

using Strings = std::vector<std::string>;

// The bytes of every hit, in order.
Strings found(std::string_view text, const Strings& terms) {
  Strings texts;
  for (const auto& hit : find_terms(text, terms)) texts.emplace_back(text.substr(hit.begin, hit.end - hit.begin));
  return texts;
}

TEST(Terms, WholeWordsWhateverTheCase) {
  EXPECT_EQ(found("Cache, cached CACHE; precache cache.", {"cache"}), (Strings{"Cache", "CACHE", "cache"}));
  EXPECT_TRUE(found("", {"cache"}).empty());
  EXPECT_TRUE(found("cache", {}).empty());
}

TEST(Terms, PluralOnEitherSide) {
  EXPECT_EQ(found("client clients", {"clients"}), (Strings{"client", "clients"}));
  EXPECT_EQ(found("slow query, slow queries", {"slow query"}), (Strings{"slow query", "slow queries"}));
  EXPECT_EQ(found("index indexes batches databases days", {"indexes", "batch", "database", "day"}),
            (Strings{"index", "indexes", "batches", "databases", "days"}));
  EXPECT_EQ(found("APIs KPI", {"API", "KPIs"}), (Strings{"APIs", "KPI"}));
}

TEST(Terms, PluralNeedsAStemAndARealEnding) {
  EXPECT_TRUE(found("its as has", {"it", "a", "ha"}).empty());
  EXPECT_TRUE(found("pricey classed queried cachet", {"price", "class", "query", "cache"}).empty());
  EXPECT_TRUE(found("slows query", {"slow query"}).empty()) << "only the last word of a phrase has a plural";
}

TEST(Terms, HyphenAndSpaceAreTheSameInAPhrase) {
  const Strings variants = {"cache hit rate",           "Cache-hit rate",     "cache_hit_rate", "cache\nhit\t rate",
                            "cache\u00a0hit\u2011rate", "**cache** hit rate", "cache-hit-rates"};
  for (const auto& text : variants) {
    EXPECT_EQ(found(text, {"cache hit rate"}).size(), 1U) << text;
    EXPECT_EQ(found(text, {"cache-hit-rate"}).size(), 1U) << text;
  }
}

TEST(Terms, OtherPunctuationDividesAPhrase) {
  for (const auto* text : {"cache. hit rate", "cache, hit rate", "cache - hit rate", "cache\n\nhit rate",
                           "cache\n- hit rate", "cache\n* hit rate", "cache (hit) rate"}) {
    EXPECT_TRUE(found(text, {"cache hit rate"}).empty()) << text;
  }
  EXPECT_EQ(found("TCP/IP over tcp ip", {"TCP/IP"}), (Strings{"TCP/IP"}));
  EXPECT_EQ(found("customer\u2019s view", {"customer's view"}).size(), 1U);
}

TEST(Terms, SignsThatBelongToAWord) {
  EXPECT_EQ(found("C and C++ and C# and C+D", {"C++"}), (Strings{"C++"}));
  EXPECT_EQ(found("C++", {"C"}), Strings{});
}

TEST(Terms, LongestWinsAndNothingOverlaps) {
  EXPECT_EQ(found("the market segment and the market", {"market", "market segment"}),
            (Strings{"market segment", "market"}));
  // The phrase of three words wins over the one of two that begins earlier.
  EXPECT_EQ(found("slow connection pool size", {"slow connection", "connection pool size"}),
            (Strings{"connection pool size"}));
  const auto hits = find_terms("caches", Strings{"cache", "caches"});
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0].term, "cache") << "of equal matches the earlier term wins";
}

TEST(Terms, UnicodeStaysWhole) {
  EXPECT_EQ(found("na\u00efve caf\u00e9s, caf\u00e9", {"caf\u00e9"}), (Strings{"caf\u00e9s", "caf\u00e9"}));
  EXPECT_TRUE(found("caf\u00e9", {"caf"}).empty()) << "a letter outside ASCII is no word boundary";
  EXPECT_EQ(found("\U0001F6A2ship\U0001F6A2", {"ship"}), (Strings{"ship"}));
  EXPECT_EQ(found("\u05e9\u05dc\u05d5\u05dd cache", {"\u05e9\u05dc\u05d5\u05dd"}).size(), 1U);
  EXPECT_EQ(found("\u2014cache\u2014", {"cache"}), (Strings{"cache"}));
  EXPECT_EQ(found("cac\u00adhe", {"cache"}), (Strings{"cac\u00adhe"}));
}

TEST(Terms, TermsWithoutAWordAreNeverFound) {
  EXPECT_TRUE(found("a + - b \U0001F600", {"", "+", "-", "\U0001F600"}).empty());
}

// Whatever the bytes are, hits lie in order inside the text and do not overlap.
TEST(Terms, AnyBytes) {
  std::mt19937 random(7);
  const Strings terms = {"a", "a b", "\xc3\xa9", "b-a", "ab", "\xff"};
  const std::string alphabet = "ab -\n*s\xc3\xa9\xe2\x80\x90\xf0\xff\xad+";
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 24, ' ');
    for (auto& byte : text) byte = alphabet[random() % alphabet.size()];
    std::size_t last = 0;
    for (const auto& hit : find_terms(text, terms)) {
      ASSERT_LE(last, hit.begin);
      ASSERT_LT(hit.begin, hit.end);
      ASSERT_LE(hit.end, text.size());
      last = hit.end;
    }
  }
}

TEST(TermCounts, OwnAndForeign) {
  const std::string text = "Redis lowers latency. The market likes Redis; a market segment pays. Performance!";
  const Strings own = {"market", "performance"};
  const std::vector<ClusterTerms> foreign = {{"cluster_1", {"redis", "latency", "performance"}},
                                             {"cluster_3", {"market segment", "redis"}}};
  const auto counts = count_terms(text, own, foreign);
  EXPECT_EQ(counts.own, 2U) << "market and performance, not the market of the segment";
  EXPECT_EQ(counts.foreign, 4U);
  ASSERT_EQ(counts.foreign_terms.size(), 3U);
  EXPECT_EQ(counts.foreign_terms[0].term, "redis");
  EXPECT_EQ(counts.foreign_terms[0].cluster, "cluster_1");
  EXPECT_EQ(counts.foreign_terms[0].count, 2U);
  EXPECT_EQ(counts.foreign_terms[1].term, "latency");
  EXPECT_EQ(counts.foreign_terms[2].cluster, "cluster_3");
}

TEST(TermCounts, NothingForeignForASynthesis) {
  const auto counts = count_terms("redis and market", Strings{"market"}, {});
  EXPECT_EQ(counts.own, 1U);
  EXPECT_EQ(counts.foreign, 0U);
  EXPECT_TRUE(counts.foreign_terms.empty());
}

}  // namespace
}  // namespace bulkhead::measure
