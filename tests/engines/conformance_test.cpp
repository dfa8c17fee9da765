// SPDX-License-Identifier: MIT
// What every engine must do, whatever it is made of: the contract of src/engine/engine.h.
#include "engines/conformance.h"

#include "base/utf8.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

namespace bulkhead::testing {
namespace {

using Finish = GenerateResult::Finish;

TEST_P(Conformance, FactsAreFilled) {
  const auto& facts = engine_->facts();
  EXPECT_GT(facts.vocabulary, 200U);
  EXPECT_GT(facts.context_tokens, 0U);
  EXPECT_LE(facts.context_tokens, facts.trained_context_tokens);
  EXPECT_GT(facts.kv_bytes_per_token, 0U);
  EXPECT_GE(facts.threads, 1U);
  EXPECT_EQ(facts.grade, GetParam().grade);
  EXPECT_EQ(facts.chat_template, engine_->can(engine::Capability::kChatTemplate));
}

TEST_P(Conformance, GeneratesWhatItReports) {
  const auto id = open_with(kStory);
  auto options = greedy(8);
  std::string streamed;
  std::vector<std::uint32_t> indices;
  options.on_token = [&](const TokenEvent& event) {
    streamed += event.piece;
    indices.push_back(event.index);
    return true;
  };
  const auto result = generate(id, options);
  EXPECT_EQ(result.tokens.size(), 8U);
  EXPECT_EQ(result.logit_hashes.size(), 8U);
  EXPECT_EQ(result.token_times.size(), 8U);
  EXPECT_TRUE(std::is_sorted(result.token_times.begin(), result.token_times.end()));
  EXPECT_EQ(result.finish, Finish::kLength);
  EXPECT_EQ(indices, (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  std::string joined;
  for (const Token token : result.tokens) joined += engine_->tokenizer().piece(token);
  EXPECT_EQ(streamed, joined);
  EXPECT_TRUE(joined.starts_with(result.text));
  EXPECT_FALSE(first_invalid_utf8(result.text).has_value());
  EXPECT_FALSE(result.text.empty());
}

TEST_P(Conformance, InspectEqualsWhatWasPutIn) {
  const auto id = open();
  auto state = inspect(id);
  EXPECT_EQ(state.tokens, 0U);
  EXPECT_EQ(state.last_position, -1);
  auto held = tokens(kStory);
  prefill(id, held);
  state = inspect(id);
  EXPECT_EQ(state.tokens, held.size());
  EXPECT_EQ(state.pending_tokens, 0U);
  const auto window = engine_->facts().window_tokens;
  const auto out_of_sight = !paged() || window == 0 || held.size() < window ? 0U : held.size() - window + 1;
  EXPECT_GE(state.first_position, 0);
  EXPECT_LE(state.first_position, static_cast<std::int64_t>(out_of_sight));
  EXPECT_EQ(state.last_position, static_cast<std::int64_t>(held.size()) - 1);
  EXPECT_EQ(state.token_sha256, sha256_of_tokens(held));
  const auto all = held.size() * engine_->facts().kv_bytes_per_token;
  EXPECT_EQ(state.kv_bytes_used == all, state.first_position == 0) << state.kv_bytes_used;
  EXPECT_LE(state.kv_bytes_used, all);
  EXPECT_GE(state.kv_bytes_allocated, state.kv_bytes_used);

  const auto result = generate(id, greedy(5));
  held.insert(held.end(), result.tokens.begin(), result.tokens.end());
  state = inspect(id);
  EXPECT_EQ(state.tokens, held.size());
  EXPECT_LE(state.pending_tokens, 1U);
  EXPECT_EQ(state.last_position, static_cast<std::int64_t>(held.size() - state.pending_tokens) - 1);
  EXPECT_EQ(state.token_sha256, sha256_of_tokens(held));

  const auto more = engine_->tokenizer().tokenize(" and then").value();
  prefill(id, more);
  held.insert(held.end(), more.begin(), more.end());
  state = inspect(id);
  EXPECT_EQ(state.pending_tokens, 0U);
  EXPECT_EQ(state.last_position, static_cast<std::int64_t>(held.size()) - 1);
  EXPECT_EQ(state.token_sha256, sha256_of_tokens(held));
}

TEST_P(Conformance, ForkGoesOnLikeItsSource) {
  const auto source = open_with(kStory);
  const auto size = inspect(source).tokens;
  const auto copy = fork(source, size);
  EXPECT_EQ(inspect(copy).token_sha256, inspect(source).token_sha256);
  const auto from_copy = generate(copy, greedy(10));
  EXPECT_EQ(inspect(source).tokens, size) << "the fork must not extend its source";
  const auto from_source = generate(source, greedy(10));
  EXPECT_EQ(from_copy.tokens, from_source.tokens);
  if (same_bits()) {
    EXPECT_EQ(from_copy.logit_hashes, from_source.logit_hashes);
  }
}

TEST_P(Conformance, ForkAfterGenerationTakesThePendingTokenAlong) {
  const auto source = open_with(kStory);
  static_cast<void>(generate(source, greedy(4)));
  const auto copy = fork(source, inspect(source).tokens);
  EXPECT_EQ(inspect(copy).token_sha256, inspect(source).token_sha256);
  EXPECT_EQ(inspect(copy).last_position, inspect(source).last_position);
  EXPECT_EQ(generate(copy, greedy(6)).tokens, generate(source, greedy(6)).tokens);
}

TEST_P(Conformance, ForkOutlivesItsSource) {
  const auto source = open_with(kStory);
  const auto expected = generate(fork(source, inspect(source).tokens), greedy(8));
  const auto copy = fork(source, inspect(source).tokens);
  ASSERT_TRUE(engine_->close(source).ok());
  // Whoever gets the source's room next must not shine through.
  static_cast<void>(open_with(kOther));
  EXPECT_EQ(generate(copy, greedy(8)).tokens, expected.tokens);
}

TEST_P(Conformance, TwoForksDoNotInfluenceEachOther) {
  const auto source = open_with(kStory);
  const auto size = inspect(source).tokens;
  const auto bread = engine_->tokenizer().tokenize(" bread").value();
  const auto snow = engine_->tokenizer().tokenize(" snow").value();

  const auto alone = fork(source, size);
  prefill(alone, bread);
  const auto expected = generate(alone, greedy(8));

  const auto left = fork(source, size);
  const auto right = fork(source, size);
  prefill(right, snow);
  prefill(left, bread);
  const auto from_right = generate(right, greedy(8));
  const auto from_left = generate(left, greedy(8));
  EXPECT_EQ(from_left.tokens, expected.tokens);
  EXPECT_NE(from_right.tokens, from_left.tokens);
  if (same_bits()) {
    EXPECT_EQ(from_left.logit_hashes, expected.logit_hashes);
  }
}

TEST_P(Conformance, ForkAtAnEarlierPositionEqualsColdPrefill) {
  const auto source = open_with(kStory);
  static_cast<void>(generate(source, greedy(6)));
  const auto all = tokens(kStory);
  const auto cut = static_cast<std::uint32_t>(all.size() / 2);
  const auto copy = fork(source, cut);
  const auto state = inspect(copy);
  EXPECT_EQ(state.tokens, cut);
  EXPECT_EQ(state.last_position, static_cast<std::int64_t>(cut - state.pending_tokens) - 1);

  const auto cold = open();
  prefill(cold, {all.begin(), all.begin() + cut});
  EXPECT_EQ(state.token_sha256, inspect(cold).token_sha256);
  EXPECT_EQ(generate(copy, greedy(8)).tokens, generate(cold, greedy(8)).tokens);
}

TEST_P(Conformance, TheSameCallsGiveTheSameBits) {
  const auto run = [&] {
    const auto id = open();
    prefill(id, tokens(kStory));
    prefill(id, engine_->tokenizer().tokenize(" there came a storm").value());
    auto result = generate(id, greedy(6));
    static_cast<void>(engine_->close(id));
    return result;
  };
  const auto first = run();
  const auto second = run();
  EXPECT_EQ(first.tokens, second.tokens);
  EXPECT_EQ(first.logit_hashes, second.logit_hashes);
}

TEST_P(Conformance, TextAloneEqualsTextAmongFourOthers) {
  const auto alone = generate(open_with(kStory), greedy(12));
  ASSERT_TRUE(engine_->reserve(5, 256).ok());
  std::vector<GenerateRequest> requests;
  for (const auto* text : {"One", "Two ships and", "In winter the sea", "Nobody knew why the"}) {
    requests.push_back({open_with(text), greedy(12)});
  }
  requests.insert(requests.begin() + 2, {open_with(kStory), greedy(12)});
  const auto results = engine_->generate(requests);
  ASSERT_EQ(results.size(), 5U);
  for (const auto& result : results) ASSERT_TRUE(result.ok());
  EXPECT_EQ(results[2].value().tokens.size(), alone.tokens.size());
  // One shared buffer does not promise it.
  if (same_bits()) {
    EXPECT_EQ(results[2].value().text, alone.text);
  }
  EXPECT_NE(results[0].value().text, alone.text);
}

TEST_P(Conformance, InterleavedWorkChangesNothing) {
  const auto undisturbed = open_with(kStory);
  auto expected = generate(undisturbed, greedy(4)).tokens;
  const auto rest = generate(undisturbed, greedy(4)).tokens;
  expected.insert(expected.end(), rest.begin(), rest.end());

  const auto a = open_with(kStory);
  const auto b = open();
  auto got = generate(a, greedy(4)).tokens;
  prefill(b, tokens(kOther));
  static_cast<void>(generate(b, sampled(5, 7)));
  const auto more = generate(a, greedy(4)).tokens;
  got.insert(got.end(), more.begin(), more.end());
  EXPECT_EQ(got, expected);
}

TEST_P(Conformance, SameSeedSameTokensOtherSeedOtherTokens) {
  const auto source = open_with(kStory);
  const auto size = inspect(source).tokens;
  const auto first = generate(fork(source, size), sampled(12, 11)).tokens;
  const auto again = generate(fork(source, size), sampled(12, 11)).tokens;
  const auto other = generate(fork(source, size), sampled(12, 12)).tokens;
  EXPECT_EQ(first, again);
  EXPECT_NE(first, other);
}

TEST_P(Conformance, CallbackStopsOnlyItsOwnGeneration) {
  const auto a = open_with(kStory);
  const auto b = open_with(kOther);
  auto first = greedy(10);
  first.on_token = [](const TokenEvent& event) { return event.index < 2; };
  const std::vector<GenerateRequest> requests = {{a, first}, {b, greedy(10)}};
  const auto results = engine_->generate(requests);
  ASSERT_TRUE(results[0].ok() && results[1].ok());
  EXPECT_EQ(results[0].value().finish, Finish::kCancelled);
  EXPECT_EQ(results[0].value().tokens.size(), 3U);
  EXPECT_EQ(results[1].value().finish, Finish::kLength);
  EXPECT_EQ(results[1].value().tokens.size(), 10U);
}

TEST_P(Conformance, PrefillTellsOfItsChunksAndTheyChangeNothing) {
  const auto beginning = tokens(kStory);
  auto longer = beginning;
  while (longer.size() < 600) longer.insert(longer.end(), beginning.begin() + 1, beginning.end());
  longer.resize(600);
  const auto silent = open(640);
  prefill(silent, longer);
  const auto told = open(640);
  std::vector<std::uint32_t> progress;
  const auto done = engine_->prefill(told, longer, {}, [&](std::uint32_t count) { progress.push_back(count); });
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  ASSERT_FALSE(progress.empty());
  EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end(), std::less_equal<>())) << "it counts what was counted";
  EXPECT_GT(progress.front(), 0U);
  EXPECT_EQ(progress.back(), 600U);
  EXPECT_GE(progress.size(), 2U) << "600 tokens are more than any engine computes at once";
  EXPECT_EQ(generate(told, greedy(4)).tokens, generate(silent, greedy(4)).tokens);
}

TEST_P(Conformance, CancelledPrefillLeavesNothingBehind) {
  const auto bad = open_with(kOther);
  const auto good = open_with(kStory);
  std::stop_source stop;
  stop.request_stop();
  const auto done = engine_->prefill(bad, tokens(kStory), stop.get_token());
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kInterrupted);
  const std::vector<GenerateRequest> requests = {{bad, greedy(4)}, {good, greedy(4)}};
  const auto results = engine_->generate(requests);
  ASSERT_TRUE(results[0].ok()) << results[0].error().to_string();
  if (same_bits()) {
    EXPECT_EQ(results[0].value().tokens, generate(open_with(kOther), greedy(4)).tokens);
  }
  ASSERT_TRUE(results[1].ok());
  EXPECT_EQ(results[1].value().tokens, generate(open_with(kStory), greedy(4)).tokens);
  EXPECT_TRUE(engine_->close(bad).ok());
}

// Stopped after its first chunk, where the engine computes in chunks.
TEST_P(Conformance, APrefillStoppedHalfWayIsTakenOutAgain) {
  const auto id = open(1000);
  prefill(id, tokens(kStory));
  const auto held = inspect(id);
  std::stop_source stop;
  const std::vector<Token> longer(600, 65);
  const auto done = engine_->prefill(id, longer, stop.get_token(), [&](std::uint32_t) { stop.request_stop(); });
  EXPECT_EQ(inspect(id).tokens, done.ok() ? held.tokens + 600 : held.tokens);
  if (done.ok()) return;
  EXPECT_EQ(done.error().code, ErrorCode::kInterrupted);
  EXPECT_EQ(inspect(id).token_sha256, held.token_sha256);
  if (same_bits()) {
    EXPECT_EQ(generate(id, greedy(6)).tokens, generate(open_with(kStory), greedy(6)).tokens);
  }
}

TEST_P(Conformance, StopStringMaySpanTokens) {
  const auto source = open_with(kStory);
  const auto size = inspect(source).tokens;
  const auto whole = generate(fork(source, size), greedy(12));
  ASSERT_GE(whole.text.size(), 6U);
  // From the last byte of one token to the first of the next.
  const auto& tokenizer = engine_->tokenizer();
  std::size_t border = 0;
  for (std::size_t i = 0; i < 4; ++i) border += tokenizer.piece(whole.tokens[i]).size();
  const auto stop = whole.text.substr(border - 1, 2);
  auto options = greedy(12);
  options.stop = {"never in the text of this test", stop};
  const auto cut = generate(fork(source, size), options);
  EXPECT_EQ(cut.finish, Finish::kStop);
  EXPECT_EQ(cut.text, whole.text.substr(0, whole.text.find(stop)));
  EXPECT_LT(cut.tokens.size(), whole.tokens.size());
}

TEST_P(Conformance, OverflowLeavesTheSequenceUnchanged) {
  const auto held = tokens(kStory);
  const auto capacity = static_cast<std::uint32_t>(held.size()) + 2;
  const auto id = open(capacity);
  prefill(id, held);
  const auto before = inspect(id);
  const auto done = engine_->prefill(id, tokens(kOther));
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kResource);
  EXPECT_NE(done.error().message.find(std::to_string(capacity)), std::string::npos) << done.error().message;
  EXPECT_EQ(inspect(id).token_sha256, before.token_sha256);
  EXPECT_EQ(inspect(id).last_position, before.last_position);
  const auto result = generate(id, greedy(10));
  EXPECT_EQ(result.tokens.size(), 2U);
  EXPECT_EQ(result.finish, Finish::kLength);
  EXPECT_TRUE(generate(id, greedy(10)).tokens.empty()) << "a full sequence draws nothing";
}

TEST_P(Conformance, ClosedIdsStayClosed) {
  const auto id = open_with(kStory);
  ASSERT_TRUE(engine_->close(id).ok());
  EXPECT_EQ(engine_->close(id).error().code, ErrorCode::kClosed);
  EXPECT_EQ(engine_->inspect(id).error().code, ErrorCode::kClosed);
  EXPECT_EQ(engine_->prefill(id, tokens(kStory)).error().code, ErrorCode::kClosed);
  EXPECT_EQ(engine_->score(id, tokens(kStory)).error().code, ErrorCode::kClosed);
  EXPECT_EQ(engine_->fork(id, 1, {.capacity_tokens = 16}).error().code, ErrorCode::kClosed);
  EXPECT_NE(open(), id) << "ids are never used again";
}

// Both are new: engines that count from the same number would give the same id.
TEST_P(Conformance, AnIdMeansNothingInAnotherEngine) {
  std::vector<std::unique_ptr<Engine>> engines;
  std::vector<SequenceId> ids;
  for (const auto text : {kStory, kOther}) {
    auto made = make_engine(GetParam());
    ASSERT_TRUE(made.ok()) << made.error().to_string();
    const auto id = made.value()->open({.capacity_tokens = 256});
    ASSERT_TRUE(id.ok() && made.value()->prefill(id.value(), tokens(text)).ok());
    engines.push_back(std::move(made).value());
    ids.push_back(id.value());
  }
  ASSERT_NE(ids[0], ids[1]);
  for (const std::size_t here : {0U, 1U}) {
    auto& engine = *engines[here];
    const auto foreign = ids[1 - here];
    const GenerateRequest request{foreign, greedy(4)};
    const std::vector<std::vector<Token>> continuations = {tokens(kStory)};
    EXPECT_EQ(engine.generate({&request, 1})[0].error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.prefill(foreign, tokens(kStory)).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.fork(foreign, 1, {.capacity_tokens = 256}).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.score(foreign, tokens(kStory)).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.score_continuations(foreign, continuations).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.inspect(foreign).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.state_hash(foreign).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.snapshot(foreign).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.close(foreign).error().code, ErrorCode::kClosed);
    EXPECT_EQ(engine.inspect(ids[here]).value().token_sha256, sha256_of_tokens(tokens(here == 0 ? kStory : kOther)));
  }
}

TEST_P(Conformance, BadInputIsFoundBeforeAnyWork) {
  const auto id = open_with(kStory);
  const auto before = inspect(id);
  EXPECT_EQ(engine_->prefill(id, {}).error().code, ErrorCode::kBadInput);
  const std::vector<Token> outside = {static_cast<Token>(engine_->facts().vocabulary)};
  EXPECT_EQ(engine_->prefill(id, outside).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(engine_->score(id, {}).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(engine_->fork(id, before.tokens + 1, {.capacity_tokens = 256}).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(engine_->fork(id, before.tokens, {.capacity_tokens = before.tokens - 1}).error().code,
            ErrorCode::kResource);
  EXPECT_EQ(engine_->open({.capacity_tokens = 0}).error().code, ErrorCode::kBadInput);
  auto wrong = greedy(3);
  wrong.sampling.top_p = 1.5F;
  const auto empty = open();
  const std::vector<GenerateRequest> requests = {
      {id, greedy(3)}, {id, greedy(3)}, {empty, greedy(3)}, {open_with(kOther), wrong}};
  const auto results = engine_->generate(requests);
  EXPECT_TRUE(results[0].ok());
  EXPECT_EQ(results[1].error().code, ErrorCode::kBadInput);
  EXPECT_EQ(results[2].error().code, ErrorCode::kBadInput);
  EXPECT_EQ(results[3].error().code, ErrorCode::kUsage);
  EXPECT_EQ(inspect(id).tokens, before.tokens + 3) << "the same sequence twice generates once";
}

TEST_P(Conformance, ScoresAreLogProbabilitiesThatAddUp) {
  const auto source = open_with(kStory);
  const auto size = inspect(source).tokens;
  const auto tail = engine_->tokenizer().tokenize(" twelve ships came home").value();
  ASSERT_GE(tail.size(), 3U);
  const auto whole = engine_->score(fork(source, size), tail);
  ASSERT_TRUE(whole.ok());
  ASSERT_EQ(whole.value().size(), tail.size());
  for (const double score : whole.value()) EXPECT_LT(score, 0.0);

  const auto parts = fork(source, size);
  double sum = 0;
  for (const Token token : tail) sum += engine_->score(parts, {&token, 1}).value()[0];
  EXPECT_NEAR(sum, std::accumulate(whole.value().begin(), whole.value().end(), 0.0),
              0.15 * static_cast<double>(tail.size()));
  EXPECT_EQ(inspect(parts).tokens, size + tail.size());

  const auto likely = generate(fork(source, size), greedy(1)).tokens;
  const auto best = engine_->score(fork(source, size), likely).value()[0];
  EXPECT_GT(best, whole.value()[0]) << "the greedy token is the most likely one";
  EXPECT_EQ(engine_->score(open(), tail).error().code, ErrorCode::kBadInput) << "nothing comes before the first token";
}

TEST_P(Conformance, ContinuationsScoreAsForksDoAndLeaveTheirSourceAlone) {
  const auto source = open_with(kStory);
  static_cast<void>(generate(source, greedy(3)));  // the last token is pending then
  const auto before = inspect(source);
  const auto& tokenizer = engine_->tokenizer();
  std::vector<std::vector<Token>> continuations;
  for (const auto* text : {" twelve ships came home", " no", " went down in the night, and nobody saw them"}) {
    auto all = tokenizer.tokenize(text).value();
    all.resize(std::min<std::size_t>(all.size(), 12));
    for (std::size_t length = 1; length <= all.size(); length += 2) {
      continuations.emplace_back(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(length));
    }
    continuations.push_back(std::move(all));
  }

  const auto scored = engine_->score_continuations(source, continuations);
  ASSERT_TRUE(scored.ok()) << scored.error().to_string();
  ASSERT_EQ(scored.value().size(), continuations.size());
  for (std::size_t i = 0; i < continuations.size(); ++i) {
    EXPECT_EQ(scored.value()[i], engine_->score(fork(source, before.tokens), continuations[i]).value()) << i;
  }
  EXPECT_EQ(inspect(source).token_sha256, before.token_sha256);
  const auto longer =
      std::vector<std::vector<Token>>(2, tokenizer.tokenize(std::string(kStory) + std::string(kOther)).value());
  const auto of_longer = engine_->score_continuations(source, longer);
  ASSERT_TRUE(of_longer.ok()) << of_longer.error().to_string();
  EXPECT_EQ(of_longer.value()[1], engine_->score(fork(source, before.tokens, 1024), longer[1]).value());

  EXPECT_TRUE(engine_->score_continuations(source, {}).value().empty());
  const std::vector<std::vector<Token>> with_nothing = {continuations[0], {}};
  EXPECT_EQ(engine_->score_continuations(source, with_nothing).error().code, ErrorCode::kBadInput);
  EXPECT_EQ(engine_->score_continuations(open(), continuations).error().code, ErrorCode::kBadInput);
  const auto next = generate(source, greedy(2));
  EXPECT_EQ(next.tokens.size(), 2U);
}

TEST_P(Conformance, ScoringGoesOnWhereGenerationEnded) {
  const auto source = open_with(kStory);
  static_cast<void>(generate(source, greedy(3)));
  const auto size = inspect(source).tokens;
  const auto next = generate(fork(source, size), greedy(1)).tokens;
  const auto scored = engine_->score(source, next);
  ASSERT_TRUE(scored.ok()) << scored.error().to_string();
  EXPECT_GT(scored.value()[0], -10.0);
  EXPECT_EQ(inspect(source).tokens, size + 1);
  EXPECT_EQ(inspect(source).pending_tokens, 0U);
}

TEST_P(Conformance, TooMuchIsRefusedWithTheNumbers) {
  const auto most = engine_->facts().context_tokens;
  const auto longer = engine_->reserve(1, most + 10);
  ASSERT_FALSE(longer.ok());
  EXPECT_EQ(longer.error().code, ErrorCode::kResource);
  EXPECT_NE(longer.error().message.find("10 more"), std::string::npos) << longer.error().message;
  EXPECT_EQ(engine_->open({.capacity_tokens = most + 1}).error().code, ErrorCode::kResource);
  const auto more = engine_->reserve(2'000'000, most);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().code, ErrorCode::kResource);
}

TEST_P(Conformance, ContentNeverBecomesAControlToken) {
  const auto& tokenizer = engine_->tokenizer();
  std::vector<std::string> spellings;
  for (std::uint32_t token = 0; token < std::min(engine_->facts().vocabulary, 300U); ++token) {
    const auto id = static_cast<Token>(token);
    if (tokenizer.piece(id).empty() && !tokenizer.spelling(id).empty()) spellings.push_back(tokenizer.spelling(id));
  }
  ASSERT_FALSE(spellings.empty());
  for (const auto& spelling : spellings) {
    const auto text = "before " + spelling + " after";
    const auto found = tokenizer.tokenize(text);
    ASSERT_TRUE(found.ok()) << spelling;
    std::string joined;
    for (const Token token : found.value()) {
      EXPECT_FALSE(tokenizer.ends_generation(token)) << spelling;
      joined += tokenizer.piece(token);
    }
    EXPECT_EQ(joined, text);
  }
}

// Text that repeats itself is what drafts are made of: they must not carry a sequence beyond its room.
TEST_P(Conformance, AFullSequenceEndsAtItsCapacityWithAndWithoutDrafts) {
  std::vector<Token> held;
  for (int i = 0; i < 30; ++i) held.push_back(static_cast<Token>(40 + i % 3));
  for (std::uint32_t room = 1; room <= 9; ++room) {
    const auto capacity = static_cast<std::uint32_t>(held.size()) + room;
    std::vector<GenerateResult> results;
    for (const bool speculate : {true, false}) {
      const auto id = open(capacity);
      prefill(id, held);
      auto options = greedy(20);
      options.speculate = speculate;
      results.push_back(generate(id, options));
      EXPECT_EQ(inspect(id).tokens, capacity) << speculate;
    }
    EXPECT_EQ(results[0].tokens.size(), room);
    EXPECT_EQ(results[0].finish, Finish::kLength);
    EXPECT_EQ(results[0].tokens, results[1].tokens) << room;
  }
}

TEST_P(Conformance, PiecesJoinToTheText) {
  const auto& tokenizer = engine_->tokenizer();
  for (const std::string text : {"", "a", " leading and trailing ", "\n\n  tabs\t\tand lines\r\n",
                                 "Gr\xc3\xbc\xc3\x9f"
                                 "e, \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x9a\xa2",
                                 "x = {'a': [1, 2.50]}; // 1234567890", "\xe2\x96\x81 is a character too"}) {
    const auto found = tokenizer.tokenize(text);
    ASSERT_TRUE(found.ok()) << text;
    std::string joined;
    for (const Token token : found.value()) joined += tokenizer.piece(token);
    EXPECT_EQ(joined,
              text == "\xe2\x96\x81 is a character too" && spells_spaces_as_marks() ? "  is a character too" : text);
  }
}

BULKHEAD_FOR_ALL_ENGINES(Conformance);

}  // namespace
}  // namespace bulkhead::testing
