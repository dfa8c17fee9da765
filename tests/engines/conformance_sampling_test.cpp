// SPDX-License-Identifier: MIT
// Bias, log probabilities and grammars: what every engine must do with them, or refuse by name.
#include "engines/conformance.h"
#include "partition/partition.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

namespace bulkhead::testing {
namespace {

using engine::Capability;
using Finish = GenerateResult::Finish;
constexpr float kForbidden = -std::numeric_limits<float>::infinity();

class SamplingConformance : public Conformance {
 protected:
  static GenerateOptions constrained(std::string grammar, std::uint32_t count, std::uint32_t seed) {
    auto options = sampled(count, seed);
    options.ignore_end = false;
    options.grammar = std::move(grammar);
    return options;
  }

  Result<GenerateResult> try_generate(SequenceId id, const GenerateOptions& options) {
    const GenerateRequest request{id, options};
    return engine_->generate({&request, 1}).front();
  }

  // By submit(), or where a desk has taken it in, as its outcome.
  std::optional<Error> failure(SequenceId id, const GenerateOptions& options) {
    const auto job = engine_->submit({.sequence = id, .prefill = {}, .generate = options, .cancel = {}});
    if (!job.ok()) return job.error();
    std::optional<Error> error;
    std::vector<engine::JobEvent> events;
    while (engine_->running_jobs() > 0) engine_->advance({}, events);
    for (const auto& event : events) {
      const auto* outcome = std::get_if<Result<engine::JobResult>>(&event.what);
      if (outcome != nullptr && !outcome->ok()) error = outcome->error();
    }
    return error;
  }

  // Both ways, and it is as it was.
  void expect_refused(const GenerateOptions& options, ErrorCode code, std::string_view place) {
    const auto id = open_with(kStory);
    const auto before = inspect(id);
    const auto generated = try_generate(id, options);
    ASSERT_FALSE(generated.ok()) << place;
    const auto job = failure(id, options);
    ASSERT_TRUE(job.has_value()) << place;
    for (const auto& error : {generated.error(), *job}) {
      EXPECT_EQ(error.code, code) << error.to_string();
      EXPECT_EQ(error.place, place) << error.to_string();
    }
    EXPECT_EQ(inspect(id).token_sha256, before.token_sha256);
    EXPECT_EQ(generate(id, greedy(3)).tokens, generate(open_with(kStory), greedy(3)).tokens);
  }

  std::vector<TokenBias> no_end_token() {
    std::vector<TokenBias> bias;
    for (Token token = 0; token < static_cast<Token>(engine_->facts().vocabulary); ++token) {
      if (engine_->tokenizer().ends_generation(token)) bias.push_back({token, kForbidden});
    }
    return bias;
  }

  std::string said(const std::vector<Token>& tokens) {
    std::string text;
    for (const auto token : tokens) text += engine_->tokenizer().piece(token);
    return text;
  }
};

TEST_P(SamplingConformance, WhatAnEngineCannotIsRefusedByName) {
  auto biased = greedy(4);
  biased.logit_bias = {{40, kForbidden}};
  auto reporting = greedy(4);
  reporting.logprobs = 3;
  const auto grammar = constrained("root ::= [a-z]+", 4, 1);
  if (!engine_->can(Capability::kLogitBias)) expect_refused(biased, ErrorCode::kUnsupported, "logit_bias");
  if (!engine_->can(Capability::kLogprobs)) expect_refused(reporting, ErrorCode::kUnsupported, "logprobs");
  if (!engine_->can(Capability::kConstraint)) expect_refused(grammar, ErrorCode::kUnsupported, "grammar");
  const bool framework = GetParam().base == Base::kTransformers || GetParam().base == Base::kMlx;
  EXPECT_EQ(engine_->can(Capability::kLogitBias), !framework);
  EXPECT_EQ(engine_->can(Capability::kLogprobs), !framework);
  EXPECT_EQ(engine_->can(Capability::kConstraint), !framework && GetParam().base != Base::kFake);
}

TEST_P(SamplingConformance, OptionsOutOfRangeAreRefused) {
  const auto with = [](auto change) {
    auto options = greedy(4);
    change(options);
    return options;
  };
  expect_refused(with([](auto& o) { o.logit_bias = {{40, 1000.5F}}; }), ErrorCode::kUsage, "logit_bias");
  expect_refused(with([](auto& o) { o.logit_bias = {{40, -kForbidden}}; }), ErrorCode::kUsage, "logit_bias");
  expect_refused(with([](auto& o) { o.logit_bias = {{40, std::nanf("")}}; }), ErrorCode::kUsage, "logit_bias");
  expect_refused(with([](auto& o) { o.logit_bias.assign(1025, {40, 1}); }), ErrorCode::kUsage, "logit_bias");
  expect_refused(with([](auto& o) { o.logprobs = 21; }), ErrorCode::kUsage, "logprobs");
  expect_refused(with([](auto& o) { o.grammar = "root ::= [a-z]"; }), ErrorCode::kUsage, "ignore_end");
  if (!engine_->can(Capability::kLogitBias)) return;
  const auto behind = static_cast<Token>(engine_->facts().vocabulary);
  for (const Token token : {-1, behind}) {
    expect_refused(with([&](auto& o) { o.logit_bias = {{token, kForbidden}}; }), ErrorCode::kBadInput, "logit_bias");
  }
}

TEST_P(SamplingConformance, ForbiddenTokensAreNotDrawn) {
  if (!engine_->can(Capability::kLogitBias)) return;
  for (const float temperature : {0.0F, 1.0F}) {
    auto options = sampled(6, 3);
    options.sampling.temperature = temperature;
    // Each round forbids what the rounds before it began with.
    for (int round = 0; round < 5; ++round) {
      const auto result = generate(open_with(kStory), options);
      ASSERT_EQ(result.tokens.size(), 6U);
      for (const auto& [token, bias] : options.logit_bias) {
        EXPECT_EQ(std::count(result.tokens.begin(), result.tokens.end(), token), 0) << token;
      }
      options.logit_bias.push_back({result.tokens.front(), kForbidden});
    }
  }
}

TEST_P(SamplingConformance, AFiniteBiasIsAdded) {
  if (!engine_->can(Capability::kLogitBias)) return;
  auto options = greedy(4);
  options.logit_bias = {{'x', 1000}};
  if (GetParam().base == Base::kFake) return expect_refused(options, ErrorCode::kUnsupported, "logit_bias");
  EXPECT_EQ(generate(open_with(kStory), options).tokens, std::vector<Token>(4, 'x'));
  options.logit_bias.push_back({'x', -1000});
  EXPECT_EQ(generate(open_with(kStory), options).tokens, generate(open_with(kStory), greedy(4)).tokens)
      << "one takes the other away";
}

TEST_P(SamplingConformance, LogprobsAreThoseOfScore) {
  if (!engine_->can(Capability::kLogprobs)) return;
  const auto id = open_with(kStory);
  const auto twin = open_with(kStory);
  auto options = sampled(8, 5);
  options.logprobs = 4;
  options.sampling.top_k = 20;  // they are of the model's own distribution all the same
  options.sampling.repeat_penalty = 1.3F;
  const auto result = generate(id, options);
  EXPECT_EQ(result.tokens, [&] {
    options.logprobs.reset();
    return generate(open_with(kStory), options).tokens;
  }()) << "asking changes nothing";
  const auto scores = engine_->score(twin, result.tokens);
  ASSERT_TRUE(scores.ok());
  ASSERT_EQ(result.logprobs.size(), result.tokens.size());
  for (std::size_t i = 0; i < result.tokens.size(); ++i) {
    const auto& [logprob, top] = result.logprobs[i];
    if (engine_->facts().batch_invariant) {
      EXPECT_EQ(logprob, scores.value()[i]) << i;
    } else {
      EXPECT_NEAR(logprob, scores.value()[i], 1e-2) << i;
    }
    ASSERT_EQ(top.size(), 4U);
    for (std::size_t j = 0; j < top.size(); ++j) {
      EXPECT_EQ(top[j].token == result.tokens[i], top[j].logprob == logprob && top[j].token == result.tokens[i]);
      if (j == 0) continue;
      EXPECT_TRUE(top[j - 1].logprob > top[j].logprob ||
                  (top[j - 1].logprob == top[j].logprob && top[j - 1].token < top[j].token));
    }
    EXPECT_LE(logprob, top.front().logprob);
  }
}

TEST_P(SamplingConformance, TheLikeliestTokenIsTheGreedyOne) {
  if (!engine_->can(Capability::kLogprobs)) return;
  auto options = greedy(5);
  options.logprobs = 1;
  const auto result = generate(open_with(kStory), options);
  ASSERT_EQ(result.logprobs.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(result.logprobs[i].top, (std::vector<TokenLogprob>{{result.tokens[i], result.logprobs[i].logprob}}));
  }
  options.logprobs = 0;
  const auto alone = generate(open_with(kStory), options);
  ASSERT_EQ(alone.logprobs.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(alone.logprobs[i].top.empty());
    if (same_bits()) {
      EXPECT_EQ(alone.logprobs[i].logprob, result.logprobs[i].logprob);
    }
  }
  EXPECT_TRUE(generate(open_with(kStory), greedy(2)).logprobs.empty());
}

TEST_P(SamplingConformance, EventsAndCallbacksTellTheSameLogprobs) {
  if (!engine_->can(Capability::kLogprobs)) return;
  const auto id = open_with(kStory);
  auto options = greedy(5);
  options.logprobs = 3;
  const auto job = engine_->submit({.sequence = id, .prefill = {}, .generate = options, .cancel = {}});
  ASSERT_TRUE(job.ok());
  std::vector<engine::JobEvent> events;
  while (engine_->running_jobs() > 0) engine_->advance({}, events);
  std::vector<TokenLogprobs> told;
  for (const auto& event : events) {
    const auto* drawn = std::get_if<engine::Drawn>(&event.what);
    if (drawn == nullptr) continue;
    ASSERT_TRUE(drawn->logprobs.has_value());
    told.push_back(*drawn->logprobs);
  }
  const auto& outcome = std::get<Result<engine::JobResult>>(events.back().what);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(told, outcome.value().generated.logprobs);
  EXPECT_EQ(told.size(), 5U);

  std::vector<TokenLogprobs> called;
  options.on_token = [&](const TokenEvent& event) {
    EXPECT_NE(event.logprobs, nullptr);
    if (event.logprobs != nullptr) called.push_back(*event.logprobs);
    return event.index < 2;
  };
  const auto stopped = generate(open_with(kStory), options);
  EXPECT_EQ(stopped.finish, Finish::kCancelled);
  EXPECT_EQ(stopped.tokens.size(), 3U);
  EXPECT_EQ(stopped.logprobs, called) << "cut where its caller had enough";
}

TEST_P(SamplingConformance, OutputsMatchTheGrammar) {
  if (!engine_->can(Capability::kConstraint)) return;
  using Matches = bool (*)(std::string_view);
  static constexpr auto made_of = [](std::string_view text, std::string_view characters) {
    return !text.empty() && text.find_first_not_of(characters) == std::string_view::npos;
  };
  const std::vector<std::pair<std::string, Matches>> grammars = {
      {"root ::= [0-9]+", [](std::string_view text) { return made_of(text, "0123456789"); }},
      {"root ::= \"yes\" | \"no\"", [](std::string_view text) { return text == "yes" || text == "no"; }},
      {"root ::= item (\", \" item){0,3}\nitem ::= [a-f]{2} | \"(\" item \")\"",
       [](std::string_view text) { return made_of(text, "abcdef(), "); }},
      {"root ::= \"\\u00e4\" [\\u00f6-\\u00fc] .?", [](std::string_view text) {
         return text.size() >= 4 && text.starts_with("\xc3\xa4\xc3") && text[3] >= '\xb6' && text[3] <= '\xbc';
       }}};
  for (const auto& [grammar, expected] : grammars) {
    for (std::uint32_t seed = 0; seed < 4; ++seed) {
      const auto result = generate(open_with(kStory), constrained(grammar, 40, seed));
      if (result.finish != Finish::kEnd) {
        EXPECT_EQ(result.finish, Finish::kLength);
        continue;
      }
      EXPECT_TRUE(expected(result.text)) << grammar << ": " << result.text;
      EXPECT_TRUE(engine_->tokenizer().ends_generation(result.tokens.back()));
    }
  }
  const auto fixed = generate(open_with(kStory), constrained("root ::= \"no \" \"ships\"", 40, 1));
  EXPECT_EQ(fixed.text, "no ships");
  EXPECT_EQ(fixed.finish, Finish::kEnd);
}

TEST_P(SamplingConformance, AGrammarMayBeginAtAWordAndBehindAPrefix) {
  if (!engine_->can(Capability::kConstraint)) return;
  const auto free = generate(open_with(kStory), greedy(12)).text;
  const auto letter = std::find_if(free.begin(), free.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
  ASSERT_NE(letter, free.end()) << free;
  const std::string word(1, *letter);
  int begun = 0;
  for (std::uint32_t seed = 0; seed < 6; ++seed) {
    auto options = constrained("root ::= \"" + word + "\" \"no ships\"", 60, seed);
    options.grammar_triggers = {"never said", word};
    const auto result = generate(open_with(kStory), options);
    const auto at = result.text.find(word);
    if (at == std::string::npos || result.finish == Finish::kLength) continue;
    ++begun;
    EXPECT_EQ(result.text.substr(at), word + "no ships");
    EXPECT_EQ(result.finish, Finish::kEnd);
  }
  EXPECT_GT(begun, 0);

  auto behind = constrained("root ::= \"already \" \"no ships\"", 40, 1);
  behind.grammar_prefix = "already ";
  EXPECT_EQ(generate(open_with(kStory), behind).text, "no ships");
  behind.grammar_prefix = "otherwise ";
  const auto refused = try_generate(open_with(kStory), behind);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBadInput);
}

TEST_P(SamplingConformance, ADeadEndLeavesTheTokensSoFar) {
  if (!engine_->can(Capability::kConstraint)) return;
  const auto id = open_with(kStory);
  const auto twin = open_with(kStory);
  const auto before = inspect(id).tokens;
  auto options = constrained("root ::= \"no\"", 20, 1);
  options.logit_bias = no_end_token();
  const auto failed = try_generate(id, options);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(failed.error().place, "grammar");
  const auto held = inspect(id).tokens;
  ASSERT_GT(held, before);
  // What it drew spells the word, in one way or another.
  std::vector<std::vector<Token>> ways;
  if (held - before == 1) {
    for (Token token = 0; token < static_cast<Token>(engine_->facts().vocabulary); ++token) {
      if (said({token}) == "no") ways.push_back({token});
    }
  } else {
    for (Token n = 0; n < static_cast<Token>(engine_->facts().vocabulary); ++n) {
      for (Token o = 0; said({n}) == "n" && o < static_cast<Token>(engine_->facts().vocabulary); ++o) {
        if (said({o}) == "o") ways.push_back({n, o});
      }
    }
  }
  const auto hash = inspect(id).token_sha256;
  bool found = false;
  for (const auto& way : ways) {
    auto all = tokens(kStory);
    all.insert(all.end(), way.begin(), way.end());
    if (sha256_of_tokens(all) != hash) continue;
    found = true;
    prefill(twin, way);
  }
  EXPECT_TRUE(found);
  const auto next = generate(id, greedy(4));
  const auto expected = generate(twin, greedy(4));
  if (same_bits()) {
    EXPECT_EQ(next.tokens, expected.tokens);
  }
  EXPECT_EQ(inspect(id).tokens, held + 4);
}

// Its books say what the cache holds: what was drawn before the dead end is taken out.
TEST_P(SamplingConformance, ADeadEndLeavesAPartitionAsItWas) {
  if (!engine_->can(Capability::kConstraint)) return;
  auto opened = partition::Partition::open(*engine_, "p", {.capacity_tokens = 256});
  ASSERT_TRUE(opened.ok());
  auto subject = std::move(opened).value();
  conversation::TracedTokens traced;
  traced.append(tokens(kStory), {.kind = conversation::OriginKind::kTurn});
  ASSERT_TRUE(subject.prefill(traced).ok());
  const auto before = subject.inspect();
  ASSERT_TRUE(before.ok());
  auto options = constrained("root ::= \"no\"", 20, 1);
  options.logit_bias = no_end_token();
  const std::vector<partition::GenerateRequest> requests = {{&subject, options, {}}};
  const auto failed = partition::generate(*engine_, requests);
  ASSERT_FALSE(failed[0].ok());
  EXPECT_EQ(failed[0].error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(subject.inspect().value().token_sha256, before.value().token_sha256);
  EXPECT_EQ(subject.ledger().token_sha256(), before.value().token_sha256);
  const std::vector<partition::GenerateRequest> again = {{&subject, greedy(3), {}}};
  const auto went_on = partition::generate(*engine_, again);
  ASSERT_TRUE(went_on[0].ok());
  if (same_bits()) {
    EXPECT_EQ(went_on[0].value().tokens, generate(open_with(kStory), greedy(3)).tokens);
  }
}

TEST_P(SamplingConformance, BrokenGrammarsAreRefused) {
  if (!engine_->can(Capability::kConstraint)) return;
  const std::string deep = "root ::= " + std::string(65, '(') + "\"a\"" + std::string(65, ')');
  const std::string large = "root ::= \"" + std::string(std::size_t{64} << 10U, 'a') + "\"";
  for (const std::string& grammar :
       {std::string("root ::= ["), std::string("rot ::= \"a\""), std::string("root ::= other"), std::string("nonsense"),
        std::string("root ::= \"a\"{1,100000}"), std::string(" "), std::string("root ::= \"\xff\""),
        std::string("root ::= <eos>"), std::string("root ::= \"a\0b\"", 14), deep, large}) {
    auto options = constrained(grammar, 4, 1);
    expect_refused(options, ErrorCode::kBadInput, "grammar");
  }
}

TEST_P(SamplingConformance, DraftsChangeNothing) {
  if (!engine_->can(Capability::kConstraint)) return;
  auto options = constrained("root ::= (\"the ship \" | \"a ship \" | [0-9]{2} \" \")+", 48, 2);
  options.logit_bias = {{'5', 3}, {'6', kForbidden}};
  options.logprobs = 2;
  for (const float temperature : {0.0F, 0.4F}) {
    options.sampling.temperature = temperature;
    std::vector<GenerateResult> results;
    for (const bool speculate : {false, true}) {
      options.speculate = speculate;
      results.push_back(generate(open_with("the ship the ship 12 the ship the ship 12 "), options));
    }
    ASSERT_FALSE(results[0].tokens.empty());
    EXPECT_EQ(results[1].tokens, results[0].tokens);
    EXPECT_EQ(results[1].text, results[0].text);
    if (!same_bits()) continue;
    EXPECT_EQ(results[1].logit_hashes, results[0].logit_hashes);
    EXPECT_EQ(results[1].logprobs, results[0].logprobs);
  }
}

// Each has its own constraint, and none of them knows of the others.
TEST_P(SamplingConformance, EachJobHasItsOwn) {
  if (!engine_->can(Capability::kConstraint)) return;
  std::vector<GenerateRequest> requests;
  std::vector<GenerateResult> alone;
  for (const auto* grammar : {"root ::= [0-9]+", "root ::= [a-z]+", "root ::= \"yes\" | \"no\"", ""}) {
    auto options = constrained(grammar, 10, 7);
    options.logprobs = 2;
    alone.push_back(generate(open_with(kStory), options));
    requests.push_back({open_with(kStory), options});
  }
  const auto together = engine_->generate(requests);
  for (std::size_t i = 0; i < together.size(); ++i) {
    ASSERT_TRUE(together[i].ok()) << together[i].error().to_string();
    if (!engine_->facts().batch_invariant) continue;
    EXPECT_EQ(together[i].value().tokens, alone[i].tokens) << i;
    EXPECT_EQ(together[i].value().logprobs, alone[i].logprobs) << i;
  }
}

BULKHEAD_FOR_ALL_ENGINES(SamplingConformance);

}  // namespace
}  // namespace bulkhead::testing
