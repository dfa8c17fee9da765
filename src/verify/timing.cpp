// SPDX-License-Identifier: MIT
#include "verify/timing.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::verify {
namespace {

using Clock = std::chrono::steady_clock;
using engine::Engine;
using engine::Token;

constexpr std::uint32_t kResamples = 2000;
constexpr double kAllowed = 0.01;  // of a prefill
constexpr std::uint32_t kControlPairs = 20;

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

class Timing {
 public:
  Timing(Engine& engine, const TimingOptions& options) : engine_(engine), options_(options), random_(options.seed) {}

  // Of one pair after another: time with the text held by B, less the time without; in microseconds.
  Result<std::vector<double>> differences(std::uint32_t pairs, bool shared) {
    std::vector<double> all;
    for (std::uint32_t i = 0; i < pairs; ++i) {
      if (options_.cancel.stop_requested()) return Error{ErrorCode::kInterrupted, "verify was stopped", {}, {}};
      BH_TRY(const auto text, tokens());
      BH_TRY(const auto other, tokens());
      const bool held_first = random_() % 2 == 0;
      BH_TRY(const double first, prefill_time(held_first ? text : other, text, held_first && shared));
      BH_TRY(const double second, prefill_time(held_first ? other : text, text, !held_first && shared));
      all.push_back(held_first ? first - second : second - first);
      without_.push_back(held_first ? second : first);
      if (options_.progress && !shared) options_.progress(i + 1);
    }
    return all;
  }

  [[nodiscard]] const std::vector<double>& without() const { return without_; }

 private:
  Result<std::vector<Token>> tokens() {
    std::string words;
    for (std::uint32_t i = 0; i < options_.words; ++i) words += fmt::format(" w{}", random_() % 1000);
    BH_TRY(auto made, engine_.tokenizer().tokenize(words));
    made.resize(options_.words);  // every word is at least one token: all texts are equally long
    return made;
  }

  // B gets `held`; then A gets `text`, and that is timed.
  Result<double> prefill_time(const std::vector<Token>& held, const std::vector<Token>& text, bool take_over) {
    BH_TRY(const auto b, engine_.open({.capacity_tokens = options_.words}));
    BH_TRY([[maybe_unused]] const auto done, engine_.prefill(b, held));
    const auto begin = Clock::now();
    auto a = b;
    if (take_over) {
      BH_TRY(const auto fork, engine_.fork(b, options_.words, {.capacity_tokens = options_.words}));
      a = fork.sequence;
    } else {
      BH_TRY(a, engine_.open({.capacity_tokens = options_.words}));
      BH_TRY([[maybe_unused]] const auto prefilled, engine_.prefill(a, text));
    }
    const std::chrono::duration<double, std::micro> time = Clock::now() - begin;
    BH_CHECK(engine_.close(a));
    BH_CHECK(engine_.close(b));
    return time.count();
  }

  Engine& engine_;
  const TimingOptions& options_;
  std::mt19937_64 random_;
  std::vector<double> without_;
};

bool inside(const Interval& interval, double prefill) {
  return interval.low >= -kAllowed * prefill && interval.high <= kAllowed * prefill;
}

}  // namespace

Interval bootstrap_median(std::span<const double> values, std::uint64_t seed) {
  if (values.empty()) return {};
  std::mt19937_64 random(seed);
  std::vector<double> medians;
  std::vector<double> sample(values.size());
  for (std::uint32_t i = 0; i < kResamples; ++i) {
    for (auto& value : sample) value = values[random() % values.size()];
    medians.push_back(median(sample));
  }
  std::sort(medians.begin(), medians.end());
  const auto at = [&](double share) { return medians[static_cast<std::size_t>(share * (kResamples - 1))]; };
  return {at(0.025), median({values.begin(), values.end()}), at(0.975)};
}

Result<CheckResult> check_timing(const MakeEngine& make_engine, const TimingOptions& options) {
  CheckResult check{.name = "timing",
                    .about = "the time of a prefill does not tell whether another partition holds the same text",
                    .control = "the text taken over from the other partition"};
  BH_TRY(const auto engine, make_engine());
  BH_CHECK(engine->reserve(2, options.words));
  Timing timing(*engine, options);
  BH_TRY([[maybe_unused]] const auto warm, timing.differences(3, true));
  BH_TRY(const auto differences, timing.differences(options.pairs, false));
  const double prefill = median(timing.without());
  const auto interval = bootstrap_median(differences, options.seed);
  check.compared = differences.size();
  if (!inside(interval, prefill)) {
    check.differences = 1;
    check.first = fmt::format("the median difference is {:+.1f} us ({:+.1f} to {:+.1f}), of a prefill of {:.1f} us",
                              interval.middle, interval.low, interval.high, prefill);
  }
  BH_TRY(const auto shared, timing.differences(kControlPairs, true));
  const auto control = bootstrap_median(shared, options.seed);
  check.control_caught = control.high < -kAllowed * prefill;
  check.detail = {{"prefill_us", prefill},
                  {"median_share", interval.middle / prefill},
                  {"interval_share", {interval.low / prefill, interval.high / prefill}},
                  {"interval_share_when_shared", {control.low / prefill, control.high / prefill}}};
  return check;
}

}  // namespace bulkhead::verify
