// SPDX-License-Identifier: MIT
// Whether an owner can tell by the clock what another holds: the time to the first token of a probe whose text another
// owner has in its cache, against one that nobody has.
//
// BULKHEAD_TIMING_PROBES: how many (default: few, for the harness alone); BULKHEAD_TIMING_MODEL: a GGUF file;
// BULKHEAD_TIMING_WORDS: the length of a text. scripts/cross_owner.sh runs the long form.
#include "serve/served.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <utility>

namespace bulkhead::testing {
namespace {

using Seconds = std::chrono::duration<double>;

// How often a miss takes longer than a hit: 0.5 where the clock tells nothing, 1 where it tells all.
double area_under_curve(const std::vector<double>& hits, const std::vector<double>& misses) {
  double longer = 0;
  for (const double hit : hits) {
    for (const double miss : misses) longer += miss > hit ? 1.0 : miss == hit ? 0.5 : 0.0;
  }
  return longer / static_cast<double>(hits.size() * misses.size());
}

class Prober {
 public:
  Prober(const Served& served, std::size_t words) : served_(served), words_(words) {}

  // A text that nobody has said, as long as any other.
  std::string text() {
    std::string text;
    for (std::size_t i = 0; i < words_; ++i) text += fmt::format("{:04x} ", random_() & 0xFFFFU);
    return text;
  }

  // Before each probe somebody says something, the very text or another one: the machine is as busy before a hit as
  // before a miss.
  double probe(const std::string& holder, const std::string& asker, bool hit) {
    const auto said = text();
    static_cast<void>(first_token(holder, hit ? said : text()));
    return first_token(asker, said);
  }

  double first_token(const std::string& key, const std::string& text) {
    const bool chats = served_.service().facts().chat_template;
    auto body = chats ? chat_body({text}, 1) : Json{{"prompt", text}, {"max_tokens", 1}, {"temperature", 0}};
    body["stream"] = true;
    const auto* path = chats ? "/v1/chat/completions" : "/v1/completions";
    auto client = served_.client();
    const auto begin = std::chrono::steady_clock::now();
    double first = 0;
    std::string all;
    const auto done = client.Post(path, httplib::Headers{{"Authorization", "Bearer " + key}}, json_text(body),
                                  "application/json", [&](const char* data, std::size_t size) {
                                    all.append(data, size);
                                    if (first == 0 && all.find("data: {") != std::string::npos) {
                                      first = Seconds(std::chrono::steady_clock::now() - begin).count();
                                    }
                                    return true;
                                  });
    EXPECT_TRUE(done && done->status == 200);
    EXPECT_GT(first, 0);
    return first;
  }

  // Of `probes` in random order, half of them hits.
  double area(const std::string& holder, const std::string& asker, std::size_t probes) {
    std::vector<bool> order(probes, false);
    std::fill_n(order.begin(), probes / 2, true);
    std::shuffle(order.begin(), order.end(), random_);
    std::vector<double> hits;
    std::vector<double> misses;
    for (const bool hit : order) (hit ? hits : misses).push_back(probe(holder, asker, hit));
    return area_under_curve(hits, misses);
  }

 private:
  const Served& served_;
  std::size_t words_;
  std::mt19937 random_{11};
};

TEST(Timing, TheAreaIsWhatItIsMeantToBe) {
  EXPECT_EQ(area_under_curve({1, 2}, {3, 4}), 1.0);
  EXPECT_EQ(area_under_curve({3, 4}, {1, 2}), 0.0);
  EXPECT_EQ(area_under_curve({1, 2}, {1, 2}), 0.5);
  EXPECT_EQ(area_under_curve({1, 3}, {2}), 0.5);
}

// An owner's own hits are the control: were another's text used, the clock would tell it just so.
TEST(Timing, AnOwnerCannotTellWhatAnotherHolds) {
  const auto probes = std::stoul(Served::setting("BULKHEAD_TIMING_PROBES", "16"));
  const bool is_bounded = probes < 500;
  const auto words = std::stoul(Served::setting("BULKHEAD_TIMING_WORDS", "100"));
  const Served served({.api_keys = {"one", "two"}}, {.partitions = 4}, 4096,
                      Served::setting("BULKHEAD_TIMING_MODEL", ""));
  Prober prober(served, words);
  for (int i = 0; i < 4; ++i) static_cast<void>(prober.probe("one", "two", i % 2 == 0));  // warm
  const auto control = prober.area("two", "two", std::min<std::size_t>(probes, 200));
  EXPECT_GT(control, 0.9) << "the harness must see what is there";
  const auto cached_before = served.service().counters().cached_tokens.load();
  const auto across = prober.area("one", "two", probes);
  const auto own_head = served.service().counters().cached_tokens.load() - cached_before;
  EXPECT_LT(own_head, probes * 2 * 16) << "no more than what every chat begins with";
  std::cout << "timing "
            << json_text({{"probes", probes}, {"words", words}, {"area", across}, {"control_own_hits", control}})
            << std::endl;
  // A few probes scatter too much to say it: see the long form.
  if (!is_bounded) {
    EXPECT_LE(across, 0.55);
    EXPECT_GE(across, 0.45);
  }
}

}  // namespace
}  // namespace bulkhead::testing
