// SPDX-License-Identifier: MIT
// BLEU, chrF and ROUGE against sacrebleu and rouge-score (tests/reference/metric_cases.py made the fixture).
#include "measure/bleu.h"
#include "measure/chrf.h"
#include "measure/fixture.h"
#include "measure/rouge.h"

#include <gmock/gmock.h>

#include <map>

namespace bulkhead::measure {
namespace {

using ::testing::ElementsAre;

Segment segment_of(const Json& entry) {
  return {entry.at("hypothesis").get<std::string>(), entry.at("references").get<std::vector<std::string>>()};
}

void expect_same_bleu(const Bleu& bleu, const Json& expected) {
  expect_same(bleu.score, expected.at("score"), "BLEU");
  expect_same(bleu.brevity_penalty, expected.at("brevity_penalty"), "brevity penalty");
  for (std::size_t i = 0; i < 4; ++i) expect_same(bleu.precisions.at(i), expected.at("precisions").at(i), "precision");
  EXPECT_EQ(bleu.hypothesis_tokens, expected.at("tokens").at(0).get<std::size_t>());
  EXPECT_EQ(bleu.reference_tokens, expected.at("tokens").at(1).get<std::size_t>());
}

void expect_same_rouge(const RougeScore& score, const Json& expected, const char* what) {
  expect_same(score.precision, expected.at(0), what);
  expect_same(score.recall, expected.at(1), what);
  expect_same(score.f1, expected.at(2), what);
}

TEST(TextMeasures, SegmentsAsSacrebleuAndRougeScore) {
  const Json fixture = read_fixture("metric_cases.json");
  EXPECT_GE(fixture.at("cases").size(), 90U);
  for (const auto& entry : fixture.at("cases")) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    const Segment segment = segment_of(entry);
    expect_same_bleu(sentence_bleu(segment), entry.at("bleu"));
    expect_same(sentence_chrf(segment), entry.at("chrf"), "chrF");
    expect_same(sentence_chrf(segment, ChrfWords::kUpToTwo), entry.at("chrf++"), "chrF++");
    const Rouge scores = rouge(segment.hypothesis, segment.references.front());
    expect_same_rouge(scores.rouge1, entry.at("rouge").at("rouge1"), "ROUGE-1");
    expect_same_rouge(scores.rouge2, entry.at("rouge").at("rouge2"), "ROUGE-2");
    expect_same_rouge(scores.rouge_l, entry.at("rouge").at("rougeL"), "ROUGE-L");
  }
}

TEST(TextMeasures, CorporaAsSacrebleu) {
  const Json fixture = read_fixture("metric_cases.json");
  std::map<std::string, Segment> segments;
  for (const auto& entry : fixture.at("cases")) segments[entry.at("name").get<std::string>()] = segment_of(entry);
  for (const auto& entry : fixture.at("corpora")) {
    SCOPED_TRACE(entry.at("name").get<std::string>());
    std::vector<Segment> corpus;
    for (const auto& member : entry.at("members")) corpus.push_back(segments.at(member.get<std::string>()));
    expect_same_bleu(corpus_bleu(corpus), entry.at("bleu"));
    expect_same(corpus_chrf(corpus), entry.at("chrf"), "chrF");
    expect_same(corpus_chrf(corpus, ChrfWords::kUpToTwo), entry.at("chrf++"), "chrF++");
  }
}

TEST(TextMeasures, NoReferenceIsAnEmptyOne) {
  const Segment none{"a text", {}};
  const Segment empty{"a text", {""}};
  EXPECT_EQ(sentence_bleu(none).reference_tokens, 0U);
  EXPECT_EQ(sentence_bleu(none).score, sentence_bleu(empty).score);
  EXPECT_EQ(sentence_chrf(none), 0.0);
  EXPECT_EQ(corpus_bleu({}).score, 0.0);
  EXPECT_EQ(corpus_chrf({}), 0.0);
}

TEST(TextMeasures, InvalidUtf8IsMeasuredToo) {
  const Segment broken{"pump \xFF\xC3 failed \xE2\x84", {"pump \xFF failed"}};
  EXPECT_GT(sentence_chrf(broken), 0.0);
  EXPECT_LT(sentence_chrf(broken), 100.0);
  EXPECT_GT(sentence_bleu(broken).precisions[0], 0.0);
  EXPECT_EQ(rouge(broken.hypothesis, broken.references[0]).rouge1.f1, 1.0);
}

TEST(TextMeasures, Tokens13a) {
  EXPECT_THAT(tokenize_13a("It costs $1,234.50, or x-y; 1990-2000."),
              ElementsAre("It", "costs", "$", "1,234.50", ",", "or", "x-y", ";", "1990", "-", "2000", "."));
  EXPECT_THAT(tokenize_13a(" \n"), ElementsAre());
}

}  // namespace
}  // namespace bulkhead::measure
