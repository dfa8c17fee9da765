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

// Bees and their hive, in scripts whose words a dictionary parts.
TEST(Terms, ScriptsWithoutSpaces) {
  // "The queen bee is gone, the bees are quiet, and the hive too."
  const std::string chinese = "\u8702\u738b\u4e0d\u89c1\u4e86\uff0c\u871c\u8702\u7fa4\u5f88\u5b89\u9759\u3002";
  EXPECT_EQ(found(chinese, {"\u871c\u8702"}), (Strings{"\u871c\u8702"}));
  EXPECT_EQ(found(chinese, {"\u871c\u8702\u7fa4", "\u8702\u738b"}), (Strings{"\u8702\u738b", "\u871c\u8702\u7fa4"}));
  EXPECT_TRUE(found(chinese, {"\u8702"}).empty()) << "bee is a part of the words queen bee and honey bee here";
  const std::string japanese = "\u6771\u4eac\u90fd\u306e\u4eac\u90fd\u6599\u7406";  // Kyoto cuisine of Tokyo-to
  EXPECT_EQ(found(japanese, {"\u4eac\u90fd"}), (Strings{"\u4eac\u90fd"}));
  const std::string kana = "\u30c7\u30fc\u30bf\u30d9\u30fc\u30b9\u30b5\u30fc\u30d0\u306e\u30ad\u30e3\u30c3\u30b7\u30e5";
  EXPECT_EQ(found(kana, {"\u30b5\u30fc\u30d0", "\u30ad\u30e3\u30c3\u30b7\u30e5"}).size(), 2U);
  EXPECT_EQ(found(kana, {"\uff77\uff6c\uff6f\uff7c\uff6d"}).size(), 1U) << "half width";
  const std::string thai = "\u0e19\u0e32\u0e07\u0e1e\u0e0d\u0e32\u0e1c\u0e36\u0e49\u0e07\u0e2b\u0e32\u0e22\u0e44\u0e1b";
  EXPECT_EQ(found(thai, {"\u0e1c\u0e36\u0e49\u0e07"}).size(), 1U);
  EXPECT_EQ(found("\u0e19\u0e49\u0e33\u0e1c\u0e36\u0e49\u0e07", {"\u0e19\u0e49\u0e33\u0e1c\u0e36\u0e49\u0e07"}).size(),
            1U)
      << "honey, with a vowel that NFKC takes apart";
}

TEST(Terms, KoreanWordsHaveParticles) {
  const std::string text =
      "\uc5ec\uc655\ubc8c\uc774 \uc0ac\ub77c\uc84c\ub2e4. \uac00\ub9c8\uc5d0\uc11c\ub294 \ubc8c\uc368";
  EXPECT_EQ(found(text, {"\uc5ec\uc655\ubc8c"}).size(), 1U) << "queen bee with a subject particle";
  EXPECT_EQ(found(text, {"\uac00\ub9c8"}).size(), 1U) << "kiln with two";
  EXPECT_TRUE(found(text, {"\ubc8c"}).empty()) << "bee is no part of queen bee, nor of already";
  EXPECT_EQ(found("\u1107\u1165\u11af\u110b\u1173\u11ab", {"\ubc8c"}).size(), 1U) << "decomposed";
}

TEST(Terms, LatinWordsBesideOtherScripts) {
  for (const auto* text : {"API\u3092\u4f7f\u3046", "\u4f7f\u7528API\u63a5\u53e3", "API\ub97c",
                           "\u0e43\u0e0a\u0e49API\u0e17\u0e35\u0e48", "\uff21\uff30\uff29\u3092"}) {
    EXPECT_EQ(found(text, {"API"}).size(), 1U) << text;
  }
  EXPECT_EQ(found("API\u8a2d\u8a08\u306e", {"API\u8a2d\u8a08"}), (Strings{"API\u8a2d\u8a08"})) << "both in one term";
}

TEST(Terms, CaseAndComposition) {
  EXPECT_EQ(found("\u00c9COLE e\u0301cole \u00e9coles", {"\u00e9cole"}).size(), 3U);
  EXPECT_EQ(found("caf\u00e9", {"cafe\u0301"}), (Strings{"caf\u00e9"}));
  EXPECT_EQ(found("cafe\u0301s", {"caf\u00e9"}), (Strings{"cafe\u0301s"}));
  EXPECT_TRUE(found("cafe\u0301", {"cafe"}).empty());
  EXPECT_EQ(found("\u041c\u0410\u0422\u041a\u0410", {"\u043c\u0430\u0442\u043a\u0430"}).size(), 1U);
  EXPECT_EQ(
      found("\u039c\u0395\u039b\u0399\u03a3\u03a3\u0391\u03a3", {"\u03bc\u03b5\u03bb\u03b9\u03c3\u03c3\u03b1\u03c2"})
          .size(),
      1U)
      << "final sigma";
  EXPECT_EQ(found("STRASSE", {"stra\u00dfe"}).size(), 1U);
  EXPECT_EQ(found("\ufb01sh \uff43\uff41\uff43\uff48\uff45", {"fish", "cache"}).size(), 2U) << "ligature, full width";
}

TEST(Terms, PunctuationOfAnyScriptEndsAWord) {
  EXPECT_EQ(found("\u092e\u0927\u0941\u092e\u0915\u094d\u0916\u0940\u0964",
                  {"\u092e\u0927\u0941\u092e\u0915\u094d\u0916\u0940"})
                .size(),
            1U)
      << "danda";
  EXPECT_EQ(found("\u0646\u062d\u0644\u060c \u0645\u0644\u0643\u0629\u061f",
                  {"\u0646\u062d\u0644", "\u0645\u0644\u0643\u0629"})
                .size(),
            2U);
  EXPECT_EQ(found("cache\uff1ahit\uff1b", {"cache", "hit"}).size(), 2U) << "full width";
  EXPECT_EQ(found("m\u00b2 1\ufe0f\u20e3", {"m", "1"}).size(), 2U) << "superscripts and keycaps are no letters";
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

// 0 would be a false all-clear.
TEST(TermCounts, WhatCannotBeCountedIsNotZero) {
  const std::vector<ClusterTerms> hives = {{"bees", {"hive"}}};
  const auto obstacle = [&](const std::string& text, const Strings& own = {"kiln"}) {
    const auto counts = count_terms(text, own, hives);
    if (!counts.obstacle.empty()) {
      EXPECT_EQ(counts.own + counts.foreign + counts.foreign_terms.size(), 0U);
    }
    return counts.obstacle;
  };
  EXPECT_EQ(obstacle("a hive"), "");
  EXPECT_EQ(obstacle(""), "") << "nothing was said, so nothing foreign";
  EXPECT_EQ(obstacle("34.5 \u2013 \U0001F600"), "");
  EXPECT_EQ(obstacle("\u8702\u738b\u4e0d\u89c1\u4e86"), "the text is in another script than the terms");
  EXPECT_EQ(obstacle("\u8702\u738b\u4e0d\u89c1\u4e86 API"), "") << "some of it is Latin";
  EXPECT_EQ(obstacle("a hive \u1a20\u1a21"), "Tai_Tham has no spaces between words, and there is no dictionary of it");
  EXPECT_EQ(obstacle("a hive", {"\U0001F41D"}), "the term \"\U0001F41D\" has no letter and no digit");
  EXPECT_EQ(obstacle("a hive", {"\u7a91"}), "the text is in another script than the terms") << "the own ones";
  EXPECT_EQ(count_terms("\u8702\u738b", {}, {}).obstacle, "") << "there is nothing to count";
}

TEST(TermCounts, JapaneseMixesItsScripts) {
  const auto counts = count_terms("\u304c\u3044\u308b", Strings{"\u7a91"}, {});
  EXPECT_EQ(counts.obstacle, "") << "kana and kanji are one";
}

TEST(TermCounts, NothingForeignForASynthesis) {
  const auto counts = count_terms("redis and market", Strings{"market"}, {});
  EXPECT_EQ(counts.own, 1U);
  EXPECT_EQ(counts.foreign, 0U);
  EXPECT_TRUE(counts.foreign_terms.empty());
}

}  // namespace
}  // namespace bulkhead::measure
