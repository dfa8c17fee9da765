// SPDX-License-Identifier: MIT
// The thread rule of bulkhead/model.h, and a partition whose worker dies.
#include "api/public_surface.h"

#include "children.h"

#include <csignal>
#include <thread>

namespace bulkhead::testing {
namespace {

// Everything that the public classes can do, with one model; what was said, so that runs can be compared.
std::string busy(const Kind& kind, int rounds) {
  auto model = load(kind);
  EXPECT_TRUE(model.ok());
  std::string said;
  for (int round = 0; round < rounds; ++round) {
    auto a = open(*model, "a");
    auto b = open(*model, "b");
    EXPECT_TRUE(a.prefill("The ship came in at").ok() && b.prefill("The harbour was").ok());
    std::stop_source stop;
    std::vector<GenerateOptions> options = {greedy(12), greedy(12)};
    options[0].cancel = stop.get_token();
    options[0].on_token = [&](const TokenEvent& event) {
      if (event.index == 4) stop.request_stop();
      return true;
    };
    const std::array<Partition*, 2> both = {&a, &b};
    for (const auto& result : model->generate(both, options)) said += result->text + "|";
    EXPECT_TRUE(a.receive(*b.last_output("B")).ok());
    auto fork = a.fork("fork");
    EXPECT_TRUE(fork.ok());
    said += fork->generate(greedy(4))->text + "|" + a.usage().token_sha256 + "\n";
  }
  return said;
}

void two_models_on_two_threads(const Kind& kind, int rounds) {
  const auto alone = busy(kind, rounds);
  std::array<std::string, 2> said;
  {
    std::jthread one([&] { said[0] = busy(kind, rounds); });
    std::jthread other([&] { said[1] = busy(kind, rounds); });
  }
  EXPECT_EQ(said[0], alone);
  EXPECT_EQ(said[1], alone);
}

TEST(TwoModels, OnTwoThreadsSayWhatEachSaysAlone) {
  two_models_on_two_threads(fake_kind(), 20);
}

TEST(ModelTwoModels, OnTwoThreadsSayWhatEachSaysAlone) {
  BULKHEAD_LOAD(model, gemma_kind());
  two_models_on_two_threads(gemma_kind(), 2);
}

TEST(ADeadWorker, PoisonsItsOwnPartitionForEveryCall) {
  BULKHEAD_LOAD(model, process_kind());
  auto other = open(model, "other");
  auto sender = open(model, "sender");
  const auto before = children();
  auto dead = open(model, "dead");
  const auto after = children();
  for (auto* partition : {&other, &sender, &dead}) {
    ASSERT_TRUE(partition->prefill("The ship").ok() && partition->generate(greedy(3)).ok());
  }
  const auto message = sender.last_output("A");
  ASSERT_TRUE(message.ok() && dead.last_output().ok());
  const auto usage = dead.usage();
  const auto seen = show(other);
  bool killed = false;
  for (const auto child : after) {
    if (before.contains(child)) continue;
    killed = ::kill(child, SIGKILL) == 0;
  }
  ASSERT_TRUE(killed);
  EXPECT_EQ(code(dead.receive(*message)), ErrorCode::kRemote);
  EXPECT_EQ(code(dead.receive(*message)), ErrorCode::kClosed);
  EXPECT_EQ(code(dead.prefill("x")), ErrorCode::kClosed);
  EXPECT_EQ(code(dead.chat("user", "x")), ErrorCode::kClosed);
  EXPECT_EQ(code(dead.generate(greedy(1))), ErrorCode::kClosed);
  EXPECT_EQ(code(dead.fork("fork")), ErrorCode::kClosed);
  EXPECT_EQ(code(dead.last_output()), ErrorCode::kClosed);
  const std::array<Partition*, 2> both = {&dead, &other};
  const auto results = model.generate(both, std::array{greedy(0)});
  EXPECT_EQ(code(results[0]), ErrorCode::kClosed);
  EXPECT_TRUE(results[1].ok());
  EXPECT_EQ(dead.usage().token_sha256, usage.token_sha256) << "its books stay as they were last";
  EXPECT_EQ(dead.usage().messages_received, 0U);
  EXPECT_EQ(dead.name(), "dead");
  EXPECT_EQ(code(model.open("dead")), ErrorCode::kUsage);
  EXPECT_EQ(show(other).token_sha256, seen.token_sha256);
  { const auto gone = std::move(dead); }
  EXPECT_TRUE(model.open("dead").ok());
}

}  // namespace
}  // namespace bulkhead::testing
