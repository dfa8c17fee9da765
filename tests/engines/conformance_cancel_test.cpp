// SPDX-License-Identifier: MIT
// A cancel is its own request's: it ends within one step, and nobody else notices. What every engine must do.
#include "engines/conformance.h"

#include <algorithm>
#include <memory>
#include <stop_token>
#include <thread>

namespace bulkhead::testing {
namespace {

using Finish = GenerateResult::Finish;

class CancelConformance : public Conformance {
 protected:
  // What each gives that nobody cancels.
  std::vector<GenerateResult> undisturbed(const std::vector<std::string_view>& texts, std::uint32_t count) {
    std::vector<GenerateResult> results;
    for (const auto text : texts) results.push_back(generate(open_with(text), greedy(count)));
    return results;
  }

  // What they give decoded together, in an engine of their own; then this test goes on with another new one, where
  // cells lie in the same places. For engines whose bits depend on either.
  std::vector<GenerateResult> undisturbed_together(const std::vector<std::string_view>& texts, std::uint32_t count) {
    use_new_engine();
    std::vector<GenerateRequest> requests;
    for (const auto text : texts) requests.push_back({open_with(text), greedy(count)});
    std::vector<GenerateResult> results;
    for (auto& result : engine_->generate(requests)) results.push_back(std::move(result).value());
    use_new_engine();
    return results;
  }

  void use_new_engine() {
    for (const auto id : opened_) static_cast<void>(engine_->close(id));
    opened_.clear();
    own_ = std::move(make_engine(GetParam())).value();
    engine_ = own_.get();
  }

  void expect_unchanged(const Result<GenerateResult>& result, const GenerateResult& alone) {
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(result.value().finish, Finish::kLength);
    EXPECT_EQ(result.value().tokens, alone.tokens);
    EXPECT_EQ(result.value().text, alone.text);
    if (engine_->facts().batch_invariant) {
      EXPECT_EQ(result.value().logit_hashes, alone.logit_hashes);
    }
  }

  // How many tokens one has at least when another has `tokens` more or less: behind a desk, workers of processes of
  // their own each go at their own pace.
  [[nodiscard]] static std::size_t of_another(std::size_t tokens) {
    return GetParam().desk && GetParam().grade == Grade::kProcess ? 0 : tokens;
  }

  // Between `least` and `most` tokens came, they are the first of those that come alone, and it holds them and can go
  // on.
  void expect_cut(const Result<GenerateResult>& result, const GenerateResult& alone, SequenceId id,
                  std::string_view text, std::size_t least, std::size_t most) {
    ASSERT_TRUE(result.ok()) << result.error().to_string();
    const auto& tokens_so_far = result.value().tokens;
    ASSERT_GE(tokens_so_far.size(), least);
    // Through a desk, another's callback may come when the generation has ended.
    if (!GetParam().desk || tokens_so_far.size() < alone.tokens.size()) {
      EXPECT_EQ(result.value().finish, Finish::kCancelled);
    }
    ASSERT_LE(tokens_so_far.size(), GetParam().desk ? alone.tokens.size() : most) << "it must stop within one step";
    EXPECT_TRUE(std::equal(tokens_so_far.begin(), tokens_so_far.end(), alone.tokens.begin()))
        << ::testing::PrintToString(tokens_so_far) << "\n"
        << ::testing::PrintToString(alone.tokens);
    auto held = tokens(text);
    held.insert(held.end(), tokens_so_far.begin(), tokens_so_far.end());
    EXPECT_EQ(inspect(id).token_sha256, sha256_of_tokens(held));
    EXPECT_EQ(generate(id, greedy(3)).tokens.size(), 3U) << "it must stay usable";
  }

 private:
  std::unique_ptr<Engine> own_;
};

constexpr std::string_view kThird = "The tide tables of the northern coast say that high water comes at";

TEST_P(CancelConformance, EndsItsOwnGenerationAndTheOthersGoOn) {
  const std::vector<std::string_view> texts = {kStory, kOther, kThird};
  const auto alone = undisturbed(texts, 20);
  for (std::size_t cancelled = 0; cancelled < texts.size(); ++cancelled) {
    std::vector<SequenceId> ids;
    for (const auto text : texts) ids.push_back(open_with(text));
    std::stop_source stop;
    const std::stop_source never;
    std::vector<GenerateRequest> requests;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      auto options = greedy(20);
      options.cancel = i == cancelled ? stop.get_token() : never.get_token();
      requests.push_back({ids[i], options});
    }
    requests[cancelled].options.on_token = [&](const TokenEvent& event) {
      if (event.index == 4) stop.request_stop();
      return true;
    };
    const auto results = engine_->generate(requests);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (i == cancelled) {
        expect_cut(results[i], alone[i], ids[i], texts[i], 5, 6);
      } else {
        expect_unchanged(results[i], alone[i]);
      }
    }
  }
}

// Asked for by another one's callback: between two steps, or in the middle of one.
TEST_P(CancelConformance, OfAnotherGenerationEndsThatOneOnly) {
  const std::vector<std::string_view> texts = {kStory, kOther};
  const auto alone = undisturbed(texts, 12);
  const auto a = open_with(kStory);
  const auto b = open_with(kOther);
  std::stop_source stop;
  std::vector<GenerateRequest> requests = {{a, greedy(12)}, {b, greedy(12)}};
  requests[1].options.cancel = stop.get_token();
  requests[0].options.on_token = [&](const TokenEvent& event) {
    if (event.index == 2) stop.request_stop();
    return true;
  };
  const auto results = engine_->generate(requests);
  expect_unchanged(results[0], alone[0]);
  expect_cut(results[1], alone[1], b, kOther, of_another(2), 4);
}

TEST_P(CancelConformance, OfAllThatShareItsTokenEndsAll) {
  const auto alone = undisturbed({kStory, kOther}, 20);
  const auto a = open_with(kStory);
  const auto b = open_with(kOther);
  std::stop_source stop;
  std::vector<GenerateRequest> requests = {{a, greedy(20)}, {b, greedy(20)}};
  for (auto& request : requests) request.options.cancel = stop.get_token();
  requests[0].options.on_token = [&](const TokenEvent& event) {
    if (event.index == 4) stop.request_stop();
    return true;
  };
  const auto results = engine_->generate(requests);
  expect_cut(results[0], alone[0], a, kStory, 5, 6);
  expect_cut(results[1], alone[1], b, kOther, of_another(4), 6);
}

TEST_P(CancelConformance, BeforeTheFirstStepDrawsNothing) {
  const auto alone = undisturbed({kStory, kOther}, 6);
  const auto a = open_with(kStory);
  const auto b = open_with(kOther);
  std::stop_source stop;
  stop.request_stop();
  std::vector<GenerateRequest> requests = {{a, greedy(6)}, {b, greedy(6)}};
  requests[0].options.cancel = stop.get_token();
  const auto results = engine_->generate(requests);
  expect_cut(results[0], alone[0], a, kStory, 0, 0);
  expect_unchanged(results[1], alone[1]);
}

// Nobody has a callback: workers go at their own pace. When the request comes is left to chance, what it does is not.
TEST_P(CancelConformance, FromAnotherThreadEndsThatOneOnly) {
  const bool bits_hold = engine_->facts().batch_invariant;
  const auto expected = bits_hold ? undisturbed({kStory, kOther}, 40) : undisturbed_together({kStory, kOther}, 40);
  const auto a = open_with(kStory);
  const auto b = open_with(kOther);
  std::stop_source stop;
  std::vector<GenerateRequest> requests = {{a, greedy(40)}, {b, greedy(40)}};
  requests[0].options.cancel = stop.get_token();
  std::jthread other([&] { stop.request_stop(); });
  const auto results = engine_->generate(requests);
  other.join();
  ASSERT_TRUE(results[0].ok());
  const auto came = results[0].value().tokens.size();
  if (bits_hold || came == 40) {
    expect_unchanged(results[1], expected[1]);
  } else {  // from where it is decoded alone, a bit may move, and with it a token
    ASSERT_TRUE(results[1].ok());
    EXPECT_EQ(results[1].value().finish, Finish::kLength);
    EXPECT_TRUE(std::equal(expected[1].tokens.begin(), expected[1].tokens.begin() + static_cast<std::ptrdiff_t>(came),
                           results[1].value().tokens.begin()));
  }
  if (came < 40) expect_cut(results[0], expected[0], a, kStory, 0, 39);
}

BULKHEAD_FOR_ALL_ENGINES(CancelConformance);

}  // namespace
}  // namespace bulkhead::testing
