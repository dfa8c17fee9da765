// SPDX-License-Identifier: MIT
#include "verify/canary.h"

#include "measure/proportion.h"

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
constexpr std::uint32_t kMessageTokens = 256;  // room for a message: its text may be more tokens here than it was
constexpr std::string_view kQuestion = "The harbour office keeps one code for the gate. The code for the gate is";
constexpr std::string_view kNote = "\nA note from the gate to the harbour office, on how to open the gate:";
constexpr std::string_view kAskedNote = "\nA note from the gate to the harbour office: the code for the gate is";

// Who hears of the secret.
enum class Told { kNobody, kB, kBoth };

struct Canary {
  std::string secret;  // digits: no tokenizer joins them with what stands before
  std::uint32_t seed = 0;
  bool asked = false;  // B is asked for it outright, and the message that it writes goes to A
};

// All that A shows.
struct Answer {
  std::vector<double> log_probabilities;       // of the secret's tokens, after the question
  std::array<engine::GenerateResult, 2> said;  // greedy, sampled

  std::string message;                         // that B wrote, or would have written
  std::vector<double> log_probabilities_read;  // of the secret's tokens, after the message and the question
  engine::GenerateResult said_read;            // greedy, after the same
};

// Whatever stands before its digits.
bool says(const std::string& text, const Canary& canary) {
  return text.find(canary.secret.substr(1)) != std::string::npos;
}

// Texts through which a secret may pass, and those that hold it.
struct Channel {
  std::string_view name;
  std::uint32_t said = 0;
  std::uint32_t of = 0;

  void count(const std::string& text, const Canary& canary) {
    said += says(text, canary) ? 1U : 0U;
    ++of;
  }
  [[nodiscard]] Json json() const {
    const measure::Interval interval = measure::clopper_pearson(said, of).value();  // never more said than there are
    return {{"said", said}, {"of", of}, {"low", interval.low}, {"high", interval.high}};
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

// A, having read the message.
Result<void> read_message(Engine& engine, const Canary& canary, std::uint32_t room, Answer& answer) {
  BH_TRY(const auto code, engine.tokenizer().tokenize(canary.secret));
  BH_TRY(const auto tokens, tokens_of(engine, fmt::format("From the gate: {}\n{}", answer.message, kQuestion)));
  BH_TRY(const auto a, engine.open({.capacity_tokens = room, .name = "A, having read"}));
  BH_TRY([[maybe_unused]] const auto done, engine.prefill(a, tokens));
  BH_TRY(const auto scored, engine.fork(a, static_cast<std::uint32_t>(tokens.size()),
                                        {.capacity_tokens = room, .name = "A, having read, scored"}));
  const auto asked = request(engine, a, 0, 0);
  auto results = engine.generate({&asked, 1});
  if (!results[0].ok()) return results[0].error();
  answer.said_read = std::move(results[0]).value();
  BH_TRY(answer.log_probabilities_read, engine.score(scored.sequence, code));
  return {};
}

// `message`: what B wrote when it was there; empty when it is there to write it.
Result<Answer> ask(Engine& engine, const Canary& canary, Told told, const std::string& message) {
  const auto secret_text =
      fmt::format("The code for the gate is {0}. Remember: {0}.{1}", canary.secret, canary.asked ? kAskedNote : kNote);
  BH_TRY(const auto question, tokens_of(engine, std::string(kQuestion)));
  BH_TRY(const auto secret, tokens_of(engine, secret_text));
  BH_TRY(const auto code, engine.tokenizer().tokenize(canary.secret));
  const auto room =
      static_cast<std::uint32_t>(question.size() + secret.size() + code.size()) + kNewTokens + kMessageTokens;
  BH_CHECK(engine.reserve(6, room));
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
  answer.message = message;
  if (told == Told::kB) {
    if (!results[0].ok()) return results[0].error();
    answer.message = results[0].value().text;
  }
  for (std::size_t i = 0; i < answer.said.size(); ++i) {
    auto& result = results[results.size() - answer.said.size() + i];
    if (!result.ok()) return result.error();
    answer.said.at(i) = std::move(result).value();
  }
  BH_TRY(answer.log_probabilities, engine.score(scored.sequence, code));
  BH_CHECK(read_message(engine, canary, room, answer));
  return answer;
}

// The first thing that A shows otherwise, in words.
std::optional<std::string> difference(const Answer& with, const Answer& without, CheckResult& check) {
  std::optional<std::string> first;
  const auto note = [&](std::string what) {
    if (!first) first = std::move(what);
  };
  const auto compare_held = [&](const std::vector<double>& here, const std::vector<double>& there,
                                std::string_view when) {
    for (std::size_t i = 0; i < there.size(); ++i, ++check.compared) {
      if (std::bit_cast<std::uint64_t>(here.at(i)) == std::bit_cast<std::uint64_t>(there[i])) continue;
      note(fmt::format("log probability of its token {}{}: {} with B, {} without", i, when, here.at(i), there[i]));
    }
  };
  const auto compare_said = [&](const engine::GenerateResult& here, const engine::GenerateResult& there) {
    check.compared += there.tokens.size() + there.logit_hashes.size();
    if (here.tokens == there.tokens && here.logit_hashes == there.logit_hashes) return;
    note(fmt::format("A says \"{}\" with B, \"{}\" without", here.text, there.text));
  };
  compare_held(with.log_probabilities, without.log_probabilities, "");
  for (std::size_t i = 0; i < with.said.size(); ++i) compare_said(with.said.at(i), without.said.at(i));
  compare_held(with.log_probabilities_read, without.log_probabilities_read, " after the message");
  compare_said(with.said_read, without.said_read);
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
  Channel output{"output"};
  std::array<Channel, 2> message{{{"message"}, {"message_asked"}}};
  std::array<Channel, 2> read{{{"output_after_message"}, {"output_after_message_asked"}}};
  for (std::uint32_t i = 0; i < options.secrets; ++i) {
    if (options.cancel.stop_requested()) return Error{ErrorCode::kInterrupted, "verify was stopped", {}, {}};
    const Canary canary{.secret = fmt::format(" {:06}", random() % 1000000), .seed = i, .asked = i % 2 == 1};
    std::array<Answer, 3> answers;
    auto& [nobody, b, both] = answers;
    for (const auto told : {Told::kB, Told::kNobody, Told::kBoth}) {
      BH_TRY(const auto engine, make_engine());
      BH_TRY(answers.at(static_cast<std::size_t>(told)), ask(*engine, canary, told, b.message));
    }
    if (auto found = difference(b, nobody, check)) {
      ++check.differences;
      if (check.first.empty()) check.first = fmt::format("secret{}: {}", canary.secret, *found);
    }
    CheckResult control;
    check.control_caught = check.control_caught || difference(both, nobody, control).has_value();
    said += std::ranges::any_of(both.said, [&](const auto& one) { return says(one.text, canary); }) ? 1U : 0U;
    for (const auto& one : b.said) output.count(one.text, canary);
    message.at(i % 2).count(b.message, canary);
    read.at(i % 2).count(b.said_read.text, canary);
    alone += mean(nobody.log_probabilities) / options.secrets;
    leaked += mean(both.log_probabilities) / options.secrets;
  }
  check.detail = {{"secrets", options.secrets},
                  {"mean_log_probability", alone},
                  {"mean_log_probability_with_leak", leaked},
                  {"said_with_leak", said},
                  {"channels", Json::object()}};
  for (const auto& channel : {output, message[0], message[1], read[0], read[1]})
    check.detail["channels"][channel.name] = channel.json();
  return check;
}

}  // namespace bulkhead::verify
