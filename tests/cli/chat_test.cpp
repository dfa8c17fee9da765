// SPDX-License-Identifier: MIT
// `bulkhead chat` with lines from a pipe. tests/cli/chat_terminal.sh drives it on a terminal.
#include "base/json.h"
#include "cli/real_program.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <string>

namespace bulkhead {
namespace {

using testing::read_file;
using testing::run_program;
using testing::TemporaryFolder;

class Chat : public ::testing::Test {
 protected:
  testing::Outcome chat(const std::string& lines, const std::string& flags = "--engine fake -n 6") {
    const auto input = folder_.path() / "lines.txt";
    testing::write_file(input, lines);
    return run_program(folder_.path(), "chat " + flags + " <" + input.string());
  }
  Json saved(const std::string& name) {
    auto json = parse_json(read_file(folder_.path() / name));
    EXPECT_TRUE(json.ok());
    return json.ok() ? std::move(json).value() : Json();
  }
  std::string path(const std::string& name) { return (folder_.path() / name).string(); }

  TemporaryFolder folder_;
};

TEST_F(Chat, AnswersEachTopicFromItsOwnPartition) {
  const auto alone = chat("the pump failed\n");
  ASSERT_EQ(alone.code, 0) << alone.err;
  const auto among =
      chat("/topic garden\nplums and cherries\n/topic main\nthe pump failed\n/topic garden\nmore plums\n");
  ASSERT_EQ(among.code, 0) << among.err;
  EXPECT_NE(among.out.find(alone.out), std::string::npos) << "the same answer as without other topics";
}

TEST_F(Chat, ListsForksUndoesAndSendsMessages) {
  const auto done =
      chat("first words\n/fork copy\n/partitions\n/undo\n/partitions\n/topic other\n/message main\n/partitions\n");
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_NE(done.out.find("* copy "), std::string::npos) << done.out;
  EXPECT_NE(done.out.find("* copy                  0 tokens"), std::string::npos) << "nothing is left behind an undo\n"
                                                                                  << done.out;
  EXPECT_NE(done.out.find("other reads "), std::string::npos);
  EXPECT_NE(done.out.find("1 message\n"), std::string::npos);
}

TEST_F(Chat, AnUndoneTurnLeavesNoTrace) {
  const auto without = chat("one\nthree\n/save " + path("without.json") + "\n");
  const auto with = chat("one\ntwo\n/undo\nthree\n/save " + path("with.json") + "\n");
  ASSERT_EQ(with.code, 0) << with.err;
  EXPECT_EQ(saved("with.json"), saved("without.json"));
}

TEST_F(Chat, WhatIsSavedIsAConversationWithTopics) {
  const auto done = chat("a turn\n/topic garden\nanother\n/save " + path("chat.json") + "\n");
  ASSERT_EQ(done.code, 0) << done.err;
  const auto document = saved("chat.json");
  ASSERT_EQ(document.at("messages").size(), 4U);
  EXPECT_EQ(document.at("messages").at(0).at("topic"), "main");
  EXPECT_EQ(document.at("messages").at(2).at("topic"), "garden");
  const auto valid = run_program(folder_.path(), "validate " + path("chat.json"));
  EXPECT_EQ(valid.code, 0) << valid.err;
}

TEST_F(Chat, SaysWhatIsWrongAndGoesOn) {
  const auto done = chat("/nothing\n/topic\n/undo\n/message nobody\n/message main\n/quit now\n/save " +
                         path("no/such/folder/chat.json") + "\nstill here\n/quit\nnot read\n");
  EXPECT_EQ(done.code, 5) << "of the last thing that went wrong";
  for (const auto* said : {"there is no command /nothing", "/topic needs a NAME", "nothing was said in this topic",
                           "there is no topic \"nobody\"", "no message from itself", "/quit takes nothing behind it"}) {
    EXPECT_NE(done.err.find(said), std::string::npos) << said << '\n' << done.err;
  }
  EXPECT_FALSE(done.out.empty());
  EXPECT_NE(chat("--help\n").code, 2) << "a line is no flag";
}

TEST_F(Chat, TerminalEscapesOfALineAreNotPrinted) {
  const auto done = chat("/topic \x1b]0;stolen\x07\n/partitions\n");
  EXPECT_EQ(done.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(done.err.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace bulkhead
