// SPDX-License-Identifier: MIT
// Every public call with every wrong argument: the right code, and nothing is touched (the rules of bulkhead/model.h).
#include "api/public_surface.h"

#include <functional>
#include <limits>
#include <memory>

namespace bulkhead::testing {
namespace {

using Codes = std::vector<std::optional<ErrorCode>>;

// A partition that the calls are aimed at, its twin that nobody aims at, and what wrong calls need.
struct World {
  Model model;
  Model other;
  Partition subject = open(model, "subject");
  Partition twin = open(model, "twin");
  Partition neighbour = open(model, "neighbour");
  Partition empty = open(model, "empty");
  Partition foreign = open(other, "foreign");
  std::unique_ptr<Message> long_message;
  std::unique_ptr<Message> empty_message;

  std::vector<Partition*> all() { return {&subject, &twin, &neighbour, &empty, &foreign}; }

  std::vector<Shown> shown() {
    std::vector<Shown> list;
    for (const auto* partition : all()) list.push_back(show(*partition));
    return list;
  }

  Codes generate(const std::vector<Partition*>& partitions, std::size_t options) {
    const std::vector<GenerateOptions> many(options, greedy(4));
    Codes codes;
    for (const auto& result : model.generate(partitions, many)) codes.push_back(code(result));
    return codes;
  }
};

bool has_template(Model& model) {
  return open(model, "asked for its template").chat("user", "hello").ok();
}

// The subject is nearly full and has a finished output and, where the model has a template, a chat.
void prepare(World& world, bool chat) {
  for (auto* partition : {&world.subject, &world.twin, &world.neighbour, &world.foreign}) {
    ASSERT_TRUE(partition->prefill("The harbour log of " + std::string(10, 'o')).ok());
    ASSERT_TRUE(!chat || partition->chat("user", "What came in?").ok());
    ASSERT_TRUE(partition->generate(greedy(100)).ok());
  }
  auto message = world.neighbour.last_output("long");
  ASSERT_TRUE(message.ok());
  world.long_message = std::make_unique<Message>(*message);
  auto silent = open(world.model, "silent");
  ASSERT_TRUE(silent.prefill("nothing is said").ok() && silent.generate(greedy(0)).ok());
  world.empty_message = std::make_unique<Message>(*silent.last_output("empty"));
  ASSERT_EQ(world.empty_message->text(), "");
  while (world.subject.prefill("padding").ok()) ASSERT_TRUE(world.twin.prefill("padding").ok());
  for (auto* partition : {&world.subject, &world.twin}) ASSERT_TRUE(partition->generate(greedy(1)).ok());
}

struct Wrong {
  std::string what;
  Codes codes;
  std::function<Codes(World&)> call;
};

GenerateOptions with(const std::function<void(GenerateOptions&)>& change) {
  auto options = greedy(4);
  change(options);
  return options;
}

std::vector<Wrong> wrong_options() {
  constexpr auto kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr auto kInfinite = std::numeric_limits<float>::infinity();
  const std::vector<std::pair<std::string, GenerateOptions>> options = {
      {"temperature", with([](auto& o) { o.sampling.temperature = kNan; })},
      {"infinite temperature", with([](auto& o) { o.sampling.temperature = kInfinite; })},
      {"top_k", with([](auto& o) { o.sampling.top_k = -1; })},
      {"top_p of none", with([](auto& o) { o.sampling.top_p = 0; })},
      {"top_p of more than all", with([](auto& o) { o.sampling.top_p = 1.5F; })},
      {"min_p", with([](auto& o) { o.sampling.min_p = -0.1F; })},
      {"repeat_penalty", with([](auto& o) { o.sampling.repeat_penalty = 0; })},
      {"repeat_last_n", with([](auto& o) { o.sampling.repeat_last_n = -1; })},
      {"a bias of no number", with([](auto& o) {
         o.logit_bias = {{40, kNan}};
       })},
      {"an infinite bias", with([](auto& o) {
         o.logit_bias = {{40, kInfinite}};
       })},
      {"a bias that is too large", with([](auto& o) {
         o.logit_bias = {{40, -1001}};
       })},
      {"too many biases", with([](auto& o) { o.logit_bias.resize(1025); })},
      {"logprobs", with([](auto& o) { o.logprobs = 21; })},
      {"a grammar whose end is ignored", with([](auto& o) { o.grammar = "root ::= [a-z]"; })},
      {"an empty stop string", with([](auto& o) {
         o.stop = {"x", ""};
       })}};
  std::vector<Wrong> list;
  for (const auto& [what, wrong] : options) {
    list.push_back({"generate: " + what, {ErrorCode::kUsage}, [wrong](World& world) {
                      return Codes{code(world.subject.generate(wrong))};
                    }});
    list.push_back({"Model::generate: " + what, {ErrorCode::kUsage}, [wrong](World& world) {
                      const std::array<Partition*, 1> one = {&world.subject};
                      return Codes{code(world.model.generate(one, std::array{wrong}).front())};
                    }});
  }
  return list;
}

GenerateOptions with_grammar(std::string grammar) {
  return with([&](auto& o) {
    o.ignore_end = false;
    o.grammar = std::move(grammar);
  });
}

std::vector<Wrong> wrong_bias() {
  std::vector<Wrong> list;
  for (const std::int32_t token : {-1, 1 << 24}) {
    list.push_back(
        {"generate: a bias of token " + std::to_string(token), {ErrorCode::kBadInput}, [token](World& world) {
           return Codes{code(world.subject.generate(with([&](auto& o) { o.logit_bias = {{token, 1}}; })))};
         }});
  }
  return list;
}

// Where the engine knows grammars.
std::vector<Wrong> wrong_grammars() {
  const auto bad = ErrorCode::kBadInput;
  std::vector<Wrong> list;
  for (const auto& [code_of, grammar] :
       std::vector<std::pair<ErrorCode, std::string>>{{bad, "root ::= ["},
                                                      {bad, "other ::= [a]"},
                                                      {bad, "root ::= [a]{3000}"},
                                                      {bad, std::string(65 << 10, '#')},
                                                      {bad, "root ::= " + std::string(65, '(')}}) {
    list.push_back({"generate: the grammar " + grammar.substr(0, 20), {code_of}, [grammar](World& world) {
                      return Codes{code(world.subject.generate(with_grammar(grammar)))};
                    }});
  }
  return list;
}

std::vector<Wrong> unknown_grammars() {
  return {{"generate: a grammar", {ErrorCode::kUnsupported}, [](World& world) {
             return Codes{code(world.subject.generate(with_grammar("root ::= [a-z]")))};
           }}};
}

std::vector<Wrong> wrong_texts() {
  return {{"prefill: no text", {ErrorCode::kBadInput}, [](World& w) { return Codes{code(w.subject.prefill(""))}; }},
          {"prefill: no text, into none",
           {ErrorCode::kBadInput},
           [](World& w) { return Codes{code(w.empty.prefill(""))}; }},
          {"prefill: too long",
           {ErrorCode::kResource},
           [](World& w) { return Codes{code(w.subject.prefill(too_long()))}; }},
          {"prefill: too long, into none",
           {ErrorCode::kResource},
           [](World& w) { return Codes{code(w.empty.prefill(too_long()))}; }},
          {"receive: too long",
           {ErrorCode::kResource},
           [](World& w) { return Codes{code(w.subject.receive(*w.long_message))}; }},
          {"receive: an empty message",
           {ErrorCode::kBadInput},
           [](World& w) { return Codes{code(w.subject.receive(*w.empty_message))}; }},
          {"generate: from nothing",
           {ErrorCode::kBadInput},
           [](World& w) { return Codes{code(w.empty.generate(greedy(4)))}; }},
          {"Model::generate: from nothing", {ErrorCode::kBadInput}, [](World& w) { return w.generate({&w.empty}, 1); }},
          {"last_output: of none", {ErrorCode::kBadInput}, [](World& w) { return Codes{code(w.empty.last_output())}; }},
          {"open: a name that is taken",
           {ErrorCode::kUsage},
           [](World& w) { return Codes{code(w.model.open("subject"))}; }},
          {"fork: a name that is taken", {ErrorCode::kUsage}, [](World& w) {
             return Codes{code(w.subject.fork("twin"))};
           }}};
}

std::vector<Wrong> wrong_turns() {
  return {{"chat: too long",
           {ErrorCode::kResource},
           [](World& w) { return Codes{code(w.subject.chat("user", too_long()))}; }},
          {"chat: no such role", {ErrorCode::kUnsupported}, [](World& w) {
             return Codes{code(w.subject.chat("captain", "hello"))};
           }}};
}

std::vector<Wrong> wrong_batches() {
  const auto usage = std::optional(ErrorCode::kUsage);
  return {{"a partition of another model", {usage}, [](World& w) { return w.generate({&w.foreign}, 1); }},
          {"no partition", {usage}, [](World& w) { return w.generate({nullptr}, 1); }},
          {"no partition, twice",
           {usage, usage},
           [](World& w) {
             return w.generate({nullptr, nullptr}, 1);
           }},
          {"one partition twice",
           {usage, usage},
           [](World& w) {
             return w.generate({&w.subject, &w.subject}, 2);
           }},
          {"one partition three times",
           {usage, usage, usage},
           [](World& w) {
             return w.generate({&w.subject, &w.subject, &w.subject}, 1);
           }},
          {"no options",
           {usage, usage},
           [](World& w) {
             return w.generate({&w.subject, &w.twin}, 0);
           }},
          {"options for fewer",
           {usage, usage, usage},
           [](World& w) {
             return w.generate({&w.subject, &w.twin, &w.neighbour}, 2);
           }},
          {"options for more",
           {usage, usage},
           [](World& w) {
             return w.generate({&w.subject, &w.twin}, 3);
           }},
          {"options for none", {}, [](World& w) { return w.generate({}, 1); }},
          {"one that was moved", {usage}, [](World& w) {
             auto gone = open(w.model, "gone");
             const auto here = std::move(gone);
             return w.generate({&gone}, 1);  // NOLINT(bugprone-use-after-move)
           }}};
}

class WrongArguments : public ::testing::TestWithParam<Kind> {};

TEST_P(WrongArguments, EachIsRefusedAndNothingIsTouched) {
  BULKHEAD_LOAD(model, GetParam());
  BULKHEAD_LOAD(other, GetParam());
  const bool chat = has_template(model);
  World world{.model = std::move(model), .other = std::move(other)};
  ASSERT_NO_FATAL_FAILURE(prepare(world, chat));
  auto table = wrong_texts();
  const auto grammars = GetParam().options.engine == "fake" ? unknown_grammars() : wrong_grammars();
  for (auto&& some :
       {wrong_options(), wrong_bias(), grammars, wrong_batches(), chat ? wrong_turns() : std::vector<Wrong>()}) {
    table.insert(table.end(), some.begin(), some.end());
  }
  const auto before = world.shown();
  for (const auto& wrong : table) {
    EXPECT_EQ(wrong.call(world), wrong.codes) << wrong.what;
    EXPECT_EQ(world.shown(), before) << wrong.what;
  }
  // What cannot be asked shows in what comes next: the twin has seen none of it.
  for (auto* partition : {&world.subject, &world.twin}) {
    const auto went_on = partition->generate(greedy(2));
    ASSERT_TRUE(went_on.ok()) << went_on.error().to_string();
  }
  auto subject = show(world.subject);
  subject.name = "twin";
  EXPECT_EQ(subject, show(world.twin));
}

TEST_P(WrongArguments, OneWrongPartitionOfABatchLeavesTheOthersRunning) {
  BULKHEAD_LOAD(model, GetParam());
  BULKHEAD_LOAD(other, GetParam());
  auto a = open(model, "a");
  auto b = open(model, "b");
  auto twice = open(model, "twice");
  auto foreign = open(other, "foreign");
  for (auto* partition : {&a, &b, &twice, &foreign}) ASSERT_TRUE(partition->prefill("The ship").ok());
  const auto before = show(twice);
  const std::vector<Partition*> batch = {&a, nullptr, &twice, &foreign, &b, &twice};
  const auto results = model.generate(batch, std::array{greedy(4)});
  Codes codes;
  for (const auto& result : results) codes.push_back(code(result));
  const auto usage = std::optional(ErrorCode::kUsage);
  EXPECT_EQ(codes, (Codes{std::nullopt, usage, usage, usage, std::nullopt, usage}));
  EXPECT_EQ(results[0]->logit_hashes, results[4]->logit_hashes);
  EXPECT_EQ(show(twice), before);
  EXPECT_EQ(foreign.usage().generated_tokens, 0U);
}

TEST_P(WrongArguments, WhatWasMovedFromIsRefusedByEveryCall) {
  BULKHEAD_LOAD(model, GetParam());
  auto gone = open(model, "here");
  ASSERT_TRUE(gone.prefill("The ship").ok() && gone.generate(greedy(3)).ok());
  const auto message = gone.last_output("A");
  ASSERT_TRUE(message.ok());
  const auto before = show(gone);
  auto here = std::move(gone);
  // NOLINTBEGIN(bugprone-use-after-move)
  EXPECT_EQ(code(gone.prefill("x")), ErrorCode::kUsage);
  EXPECT_EQ(code(gone.receive(*message)), ErrorCode::kUsage);
  EXPECT_EQ(code(gone.chat("user", "x")), ErrorCode::kUsage);
  EXPECT_EQ(code(gone.generate(greedy(1))), ErrorCode::kUsage);
  EXPECT_EQ(code(gone.fork("fork")), ErrorCode::kUsage);
  EXPECT_EQ(code(gone.last_output()), ErrorCode::kUsage);
  EXPECT_EQ(gone.name(), "");
  EXPECT_EQ(gone.usage().name, "");
  EXPECT_EQ(gone.usage().tokens, 0U);
  EXPECT_EQ(show(here), before);

  Model moved = std::move(model);
  const std::array<Partition*, 1> one = {&here};
  EXPECT_EQ(code(model.open("x")), ErrorCode::kUsage);
  EXPECT_EQ(code(model.generate(one, std::array{greedy(1)}).front()), ErrorCode::kUsage);
  EXPECT_EQ(model.description(), "");
  EXPECT_EQ(model.grade(), Grade::kClaimed);
  // NOLINTEND(bugprone-use-after-move)
  EXPECT_EQ(show(here), before);
  EXPECT_TRUE(moved.generate(one, std::array{greedy(1)}).front().ok());
  gone = std::move(here);  // and it can be given another
  EXPECT_TRUE(gone.generate(greedy(1)).ok());
}

class WrongTurns : public ::testing::TestWithParam<Kind> {};

TEST_P(WrongTurns, ARefusedTurnLeavesTheChatAsItWas) {
  BULKHEAD_LOAD(model, GetParam());
  auto subject = open(model, "subject");
  auto twin = open(model, "twin");
  for (auto* partition : {&subject, &twin}) {
    ASSERT_TRUE(partition->chat("user", "one").ok());
    ASSERT_TRUE(partition->generate(greedy(3)).ok());
  }
  ASSERT_EQ(code(subject.chat("user", too_long())), ErrorCode::kResource);
  ASSERT_EQ(code(subject.chat("captain", "x")), ErrorCode::kUnsupported);
  for (auto* partition : {&subject, &twin}) {
    ASSERT_TRUE(partition->chat("user", "two").ok());
    ASSERT_TRUE(partition->generate(greedy(3)).ok());
  }
  EXPECT_EQ(subject.usage().token_sha256, twin.usage().token_sha256);
}

INSTANTIATE_TEST_SUITE_P(All, WrongTurns, ::testing::Values(fake_kind(), process_kind()), kind_name);
INSTANTIATE_TEST_SUITE_P(Model, WrongTurns, ::testing::Values(qwen_kind()), kind_name);
INSTANTIATE_TEST_SUITE_P(All, WrongArguments, ::testing::Values(fake_kind(), process_kind()), kind_name);
INSTANTIATE_TEST_SUITE_P(Model, WrongArguments, ::testing::Values(gemma_kind(), qwen_kind()), kind_name);

TEST(WrongModelOptions, AreUsageErrors) {
  EXPECT_EQ(code(Model::load({.engine = "fake", .grade = Grade::kClaimed})), ErrorCode::kUsage);
  EXPECT_EQ(code(Model::load({.path = "mutant:none", .engine = "fake"})), ErrorCode::kUsage);
  EXPECT_EQ(code(Model::load({.engine = "nonsense"})), ErrorCode::kUsage);
  EXPECT_EQ(code(Model::load({.engine = ""})), ErrorCode::kUsage);
  EXPECT_EQ(code(Model::load({.path = "/dev/null/none"})), ErrorCode::kUsage);
  EXPECT_EQ(code(Model::load({.engine = "fake", .leaky = true})), ErrorCode::kUsage);
}

// A refused open or fork takes neither room nor name.
TEST(WrongArgumentsAtTheLimit, ANameIsFreeAgainAfterARefusal) {
  BULKHEAD_LOAD(model, fake_kind());
  ASSERT_TRUE(model.set_budget("", {.kv_bytes = 0, .partitions = 3, .calls = 0}).ok());
  std::vector<Partition> all;
  for (int i = 0; i < 3; ++i) all.push_back(open(model, std::to_string(i)));
  ASSERT_TRUE(all[0].prefill("The ship").ok());
  EXPECT_EQ(code(model.open("late")), ErrorCode::kResource);
  EXPECT_EQ(code(all[0].fork("late")), ErrorCode::kResource);
  all.pop_back();
  EXPECT_TRUE(model.open("late").ok());
  EXPECT_TRUE(all[0].fork("late").ok());
}

}  // namespace
}  // namespace bulkhead::testing
