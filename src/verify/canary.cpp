// SPDX-License-Identifier: MIT
#include "verify/canary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::verify {
namespace {

using engine::Engine;
using engine::SequenceId;
using engine::Token;

constexpr std::uint32_t kNewTokens = 16;
constexpr std::string_view kQuestion = "The harbour office keeps one code for the gate. The code for the gate is";

// Who hears of the secret.
enum class Told { kNobody, kB, kBoth };

struct Canary {
  std::string secret;  // digits: no tokenizer joins them with what stands before
  std::uint32_t seed = 0;
};

// All that A shows.
struct Answer {
  std::vector<double> log_probabilities;       // of the secret's tokens, after the question
  std::array<engine::GenerateResult, 2> said;  // greedy, sampled

  [[nodiscard]] bool says(const std::string& secret) const {
    return std::ranges::any_of(said, [&](const auto& one) { return one.text.find(secret) != std::string::npos; });
  }
};

Result<std::vector<Token>> tokens_of(const Engine& engine, const std::string& text) {
  BH_TRY(auto tokens, engine.tokenizer().tokenize(text));
  if (const auto bos = engine.tokenizer().bos()) tokens.insert(tokens.begin(), *bos);
  return tokens;
}

engine::GenerateRequest request(const Engine& engine, SequenceId sequence, float temperature, std::uint32_t seed) {
  GenerateOptions options;
  options.sampling.temperature = temperature;
  options.sampling.seed = seed;
  options.max_tokens = kNewTokens;
  options.hash_logits = engine.can(engine::Capability::kLogitHash);
  return {sequence, std::move(options)};
}

Result<Answer> ask(Engine& engine, const Canary& canary, Told told) {
  const auto secret_text = fmt::format("The code for the gate is {0}. Remember: {0}.", canary.secret);
  BH_TRY(const auto question, tokens_of(engine, std::string(kQuestion)));
  BH_TRY(const auto secret, tokens_of(engine, secret_text));
  BH_TRY(const auto code, engine.tokenizer().tokenize(canary.secret));
  const auto room = static_cast<std::uint32_t>(question.size() + secret.size() + code.size()) + kNewTokens;
  BH_CHECK(engine.reserve(4, room));
  BH_TRY(const auto a, engine.open({.capacity_tokens = room, .name = "A"}));
  std::vector<engine::GenerateRequest> requests;
  if (told == Told::kBoth) {
    BH_TRY([[maybe_unused]] const auto done, engine.prefill(a, secret));
  }
  BH_TRY([[maybe_unused]] const auto done, engine.prefill(a, question));
  // After A's: a leak into what is there already is the harder one to see.
  if (told != Told::kNobody) {
    BH_TRY(const auto b, engine.open({.capacity_tokens = room, .name = "B"}));
    BH_TRY([[maybe_unused]] const auto told_b, engine.prefill(b, secret));
    requests.push_back(request(engine, b, 0, 0));
  }
  BH_TRY(const auto state, engine.inspect(a));
  BH_TRY(const auto sampled, engine.fork(a, state.tokens, {.capacity_tokens = room, .name = "A, sampled"}));
  BH_TRY(const auto scored, engine.fork(a, state.tokens, {.capacity_tokens = room, .name = "A, scored"}));
  requests.push_back(request(engine, a, 0, 0));
  requests.push_back(request(engine, sampled.sequence, 1, canary.seed));
  auto results = engine.generate(requests);
  Answer answer;
  for (std::size_t i = 0; i < answer.said.size(); ++i) {
    auto& result = results[results.size() - answer.said.size() + i];
    if (!result.ok()) return result.error();
    answer.said.at(i) = std::move(result).value();
  }
  BH_TRY(answer.log_probabilities, engine.score(scored.sequence, code));
  return answer;
}

// The first thing that A shows otherwise, in words.
std::optional<std::string> difference(const Answer& with, const Answer& without, CheckResult& check) {
  std::optional<std::string> first;
  const auto note = [&](std::string what) {
    if (!first) first = std::move(what);
  };
  for (std::size_t i = 0; i < without.log_probabilities.size(); ++i, ++check.compared) {
    const auto here = with.log_probabilities.at(i);
    const auto there = without.log_probabilities[i];
    if (std::bit_cast<std::uint64_t>(here) == std::bit_cast<std::uint64_t>(there)) continue;
    note(fmt::format("log probability of its token {}: {} with B, {} without", i, here, there));
  }
  for (std::size_t i = 0; i < with.said.size(); ++i) {
    const auto& here = with.said.at(i);
    const auto& there = without.said.at(i);
    check.compared += there.tokens.size() + there.logit_hashes.size();
    if (here.tokens == there.tokens && here.logit_hashes == there.logit_hashes) continue;
    note(fmt::format("A says \"{}\" with B, \"{}\" without", here.text, there.text));
  }
  return first;
}

double mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

Result<CheckResult> check_canaries(const MakeEngine& make_engine, const CanaryOptions& options) {
  CheckResult check{.name = "canary",
                    .about = "a secret in B makes no difference to what A says, nor to how likely A holds the secret",
                    .control = "B's text also prefilled into A"};
  std::mt19937_64 random(options.seed);
  double alone = 0;
  double leaked = 0;
  std::uint32_t said = 0;
  for (std::uint32_t i = 0; i < options.secrets; ++i) {
    if (options.cancel.stop_requested()) return Error{ErrorCode::kInterrupted, "verify was stopped", {}, {}};
    const Canary canary{.secret = fmt::format(" {:06}", random() % 1000000), .seed = i};
    std::array<Answer, 3> answers;
    for (const auto told : {Told::kNobody, Told::kB, Told::kBoth}) {
      BH_TRY(const auto engine, make_engine());
      BH_TRY(answers.at(static_cast<std::size_t>(told)), ask(*engine, canary, told));
    }
    const auto& [nobody, b, both] = answers;
    if (auto found = difference(b, nobody, check)) {
      ++check.differences;
      if (check.first.empty()) check.first = fmt::format("secret{}: {}", canary.secret, *found);
    }
    CheckResult control;
    check.control_caught = check.control_caught || difference(both, nobody, control).has_value();
    said += both.says(canary.secret) ? 1U : 0U;
    alone += mean(nobody.log_probabilities) / options.secrets;
    leaked += mean(both.log_probabilities) / options.secrets;
  }
  check.detail = {{"secrets", options.secrets},
                  {"mean_log_probability", alone},
                  {"mean_log_probability_with_leak", leaked},
                  {"said_with_leak", said}};
  return check;
}

}  // namespace bulkhead::verify
