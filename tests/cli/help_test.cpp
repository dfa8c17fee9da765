// SPDX-License-Identifier: MIT
#include "cli/help_formatter.h"

#include "cli/real_program.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

using cli::wrapped;
using testing::run_program;

TEST(HelpFormatter, BreaksLinesAtBlanksOnly) {
  EXPECT_EQ(wrapped("one two three", 7), "one two\nthree");
  EXPECT_EQ(wrapped("one two three", 13), "one two three");
  EXPECT_EQ(wrapped("one two three", 12), "one two\nthree");
  EXPECT_EQ(wrapped("longerthanthis is", 5), "longerthanthis\nis");
  EXPECT_EQ(wrapped("kept\nbreaks and more", 11), "kept\nbreaks and\nmore");
  EXPECT_EQ(wrapped("ends\n", 10), "ends\n");
  EXPECT_EQ(wrapped("", 10), "");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Names of the commands that a help lists.
std::vector<std::string> listed_in(const std::string& help) {
  std::vector<std::string> names;
  bool listed = false;
  for (const auto& line : lines_of(help)) {
    if (listed && line.starts_with("  ") && line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
    listed = listed || line == "Subcommands:";
  }
  return names;
}

TEST(Help, HasNoLineOfMoreThan100Columns) {
  const testing::TemporaryFolder folder;
  std::vector<std::string> left = {""};
  std::size_t looked_at = 0;
  while (!left.empty()) {
    const auto command = left.back();
    left.pop_back();
    const auto help = run_program(folder.path(), command + " --help");
    ASSERT_EQ(help.code, 0) << command;
    for (const auto& line : lines_of(help.out)) EXPECT_LE(line.size(), cli::kHelpColumns) << command << ": " << line;
    for (const auto& name : listed_in(help.out)) left.push_back(command + ' ' + name);
    ++looked_at;
  }
  EXPECT_GE(looked_at, 24U) << "with the commands of `cache`";
}

}  // namespace
}  // namespace bulkhead
