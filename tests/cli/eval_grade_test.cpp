// SPDX-License-Identifier: MIT
// `bulkhead eval` with a process and weights of its own for each sequence, against partitions of one model.
#include "base/json.h"
#include "cli/real_program.h"
#include "engines/tiny_model.h"
#include "eval/run_store.h"
#include "json_of.h"
#include "paths.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

namespace bulkhead {
namespace {

using testing::run_program;
using testing::TemporaryFolder;

struct Graded {
  std::vector<eval::Cell> cells;
  double item_seconds = 0;
};

Graded evaluate(const TemporaryFolder& folder, const std::string& grade) {
  const auto run = folder / grade;
  const auto ended = run_program(
      folder.path(), "eval " + testing::source_folder() + "/datasets/bulkhead-bench/conversations.jsonl -q -t 1 -m " +
                         (folder / "tiny.gguf").string() + " --grade " + grade +
                         " --conversations 1 --conditions semantic --kinds relay,reference,output --outputs 6 --out " +
                         run.string());
  EXPECT_EQ(ended.code, 0) << ended.err;
  const auto summary = testing::json_of(testing::read_file(run / "summary.json"));
  EXPECT_EQ(summary["made"]["engine"]["grade"], grade);
  const auto& workers = summary["made"]["workers"];
  EXPECT_EQ(workers["processes"].get<int>() > 0, grade == "process");
  EXPECT_EQ(workers["peak_rss_bytes"].get<std::uint64_t>() > 0, grade == "process");
  Graded graded;
  graded.cells = eval::RunStore::open(run, summary["configuration"])->cells().value();
  for (auto& cell : graded.cells) {
    graded.item_seconds += cell.seconds;
    cell.seconds = 0;
  }
  return graded;
}

TEST(EvalGrade, ProcessesGiveTheSameBitsAsPartitions) {
  const TemporaryFolder folder;
  ASSERT_TRUE(testing::write_tiny_model(folder / "tiny.gguf"));
  const auto buffer = evaluate(folder, "buffer");
  const auto process = evaluate(folder, "process");
  EXPECT_GE(buffer.cells.size(), 7U) << "a relay question, three references, three outputs";
  EXPECT_EQ(process.cells, buffer.cells);
  std::cout << "item seconds: " << buffer.item_seconds << " in one process, " << process.item_seconds
            << " in a process for each sequence\n";
}

}  // namespace
}  // namespace bulkhead
