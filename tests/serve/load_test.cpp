// SPDX-License-Identifier: MIT
// Many streams of several owners for a while: no request fails, memory stays where it is, and owners get equal shares.
//
// BULKHEAD_LOAD_STREAMS, _OWNERS, _SECONDS, _TOKENS: how many (default: few); BULKHEAD_LOAD_MODEL: a GGUF file
// (default: a tiny model of noise). scripts/load.sh runs the long form.
#include "serve/served.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <limits>
#include <numeric>
#include <thread>

namespace bulkhead::testing {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t resident_bytes() {
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t median_of(std::vector<std::uint64_t> values, std::size_t begin, std::size_t end) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((begin + end) / 2);
  std::nth_element(values.begin() + static_cast<std::ptrdiff_t>(begin), middle,
                   values.begin() + static_cast<std::ptrdiff_t>(end));
  return *middle;
}

// What an owner got between the beginning and the end, of all its streams.
struct Share {
  std::atomic<std::uint64_t> tokens = 0;
  std::atomic<std::uint64_t> requests = 0;
  std::atomic<std::uint64_t> errors = 0;
};

// Counts the tokens of one streamed answer, and keeps nothing of it.
class Counter {
 public:
  explicit Counter(Share& share) : share_(share) {}
  bool take(const char* data, std::size_t size) {
    rest_.append(data, size);
    for (auto end = rest_.find("\n\n"); end != std::string::npos; end = rest_.find("\n\n")) {
      see(rest_.substr(0, end));
      rest_.erase(0, end + 2);
    }
    return true;
  }
  [[nodiscard]] bool is_whole() const { return whole_; }

 private:
  void see(const std::string& event) {
    whole_ = whole_ || event == "data: [DONE]";
    if (event.find("\"error\"") != std::string::npos) ++share_.errors;
    if (event.find("\"logprobs\":{") != std::string::npos) ++share_.tokens;  // one event a token
  }

  Share& share_;
  std::string rest_;
  bool whole_ = false;
};

// Sends one request after another, all in one session, each of which begins a chat of its own.
class Sender {
 public:
  Sender(const Served& served, std::size_t owner, std::size_t number, int tokens, Share& share)
      : served_(served), number_(number), tokens_(tokens), share_(share) {
    headers_ = {{"Authorization", "Bearer key-" + std::to_string(owner)},
                {"x-session-id", "stream-" + std::to_string(number)}};
  }

  void send(std::size_t turn) {
    const auto text = fmt::format("Stream {}, request {}: tell a short story about a number.", number_, turn);
    Json body = {
        {"max_tokens", tokens_}, {"temperature", 0}, {"stream", true}, {"ignore_eos", true}, {"logprobs", true}};
    auto path = "/v1/chat/completions";
    if (served_.service().facts().chat_template) {
      body["messages"] = Json::array({{{"role", "user"}, {"content", text}}});
    } else {
      path = "/v1/completions";
      body["prompt"] = text;
      body["logprobs"] = 0;
    }
    Counter counter(share_);
    auto client = served_.client();
    const auto reply = client.Post(path, headers_, json_text(body), "application/json",
                                   [&](const char* data, std::size_t size) { return counter.take(data, size); });
    ++share_.requests;
    if (!reply || reply->status != 200 || !counter.is_whole()) ++share_.errors;
  }

 private:
  const Served& served_;
  std::size_t number_;
  int tokens_;
  Share& share_;
  httplib::Headers headers_;
};

// Sanitizers keep what was freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kMostGrowth = std::numeric_limits<double>::infinity();
#else
constexpr double kMostGrowth = 0.05;
#endif
constexpr double kMostUnfair = 0.1;

struct Load {
  std::size_t streams;
  std::size_t owners;
  std::chrono::milliseconds time;
  int tokens;

  static Load of_settings() {
    return {.streams = std::stoul(Served::setting("BULKHEAD_LOAD_STREAMS", "16")),
            .owners = std::stoul(Served::setting("BULKHEAD_LOAD_OWNERS", "4")),
            .time = std::chrono::milliseconds(
                static_cast<std::int64_t>(1000 * std::stod(Served::setting("BULKHEAD_LOAD_SECONDS", "6")))),
            .tokens = std::stoi(Served::setting("BULKHEAD_LOAD_TOKENS", "32"))};
  }
};

// Sends until the time is up; samples of resident memory at even times.
std::vector<std::uint64_t> put_under(const Served& served, const Load& load, std::vector<Share>& shares) {
  constexpr int kSamples = 90;
  std::vector<std::uint64_t> samples;
  std::atomic<bool> enough = false;
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < load.streams; ++i) {
    threads.emplace_back([&, i] {
      Sender sender(served, i % load.owners, i, load.tokens, shares[i % load.owners]);
      for (std::size_t turn = 0; !enough; ++turn) sender.send(turn);
    });
  }
  const auto begin = Clock::now();
  for (int i = 1; i <= kSamples; ++i) {
    std::this_thread::sleep_until(begin + load.time * i / kSamples);
    samples.push_back(resident_bytes());
  }
  enough = true;
  return samples;
}

TEST(Load, StreamsOfManyOwnersShareFairlyInFlatMemory) {
  const auto load = Load::of_settings();
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < load.owners; ++i) keys.push_back("key-" + std::to_string(i));
  // Few, so that each owner has as many as it may have soon, and the oldest go from then on.
  const auto partitions = static_cast<std::uint32_t>(2 * ((load.streams + load.owners - 1) / load.owners));
  const Served served({.api_keys = keys}, {.partitions = partitions}, 512, Served::setting("BULKHEAD_LOAD_MODEL", ""));
  std::vector<Share> shares(load.owners);
  const auto begin = Clock::now();
  const auto samples = put_under(served, load, shares);
  const std::chrono::duration<double> took = Clock::now() - begin;
  std::vector<std::uint64_t> tokens;
  std::uint64_t requests = 0;
  for (const auto& share : shares) {
    EXPECT_EQ(share.errors, 0U);
    EXPECT_GT(share.requests, 0U);
    tokens.push_back(share.tokens);
    requests += share.requests;
  }
  EXPECT_EQ(served.service().counters().failed, 0U);
  EXPECT_EQ(served.service().counters().refused, 0U);
  EXPECT_EQ(served.service().counters().in_flight, 0U);
  const auto [least, most] = std::minmax_element(tokens.begin(), tokens.end());
  const auto unfair = 1.0 - static_cast<double>(*least) / static_cast<double>(*most);
  EXPECT_LE(unfair, kMostUnfair) << *least << " of " << *most;
  const auto third = samples.size() / 3;
  const auto second = median_of(samples, third, 2 * third);
  const auto last = median_of(samples, 2 * third, samples.size());
  const auto growth = static_cast<double>(last) / static_cast<double>(second) - 1.0;
  EXPECT_LE(growth, kMostGrowth) << second << " bytes, then " << last;
  std::cout << "load "
            << json_text({{"streams", load.streams},
                          {"owners", load.owners},
                          {"seconds", took.count()},
                          {"requests", requests},
                          {"tokens", std::accumulate(tokens.begin(), tokens.end(), std::uint64_t{0})},
                          {"tokens_of_owners", tokens},
                          {"least_behind_most", unfair},
                          {"resident_bytes_second_third", second},
                          {"resident_bytes_last_third", last},
                          {"resident_growth", growth}})
            << std::endl;
}

}  // namespace
}  // namespace bulkhead::testing
