// SPDX-License-Identifier: MIT
// Conversations of the data set as scenarios for the other commands.
#include "dataset/dataset.h"
#include "cli/real_program.h"
#include "paths.h"

#include <gtest/gtest.h>

#include <fstream>

namespace bulkhead {
namespace {

using testing::run_program;
using testing::TemporaryFolder;

// One of each size.
TEST(DatasetScenario, IsAcceptedByValidateAndRun) {
  const TemporaryFolder folder;
  const auto set = dataset::load_dataset(testing::source_folder() + "/datasets/bulkhead-bench/conversations.jsonl");
  ASSERT_TRUE(set.ok()) << set.error().to_string();
  std::string files;
  for (const std::size_t index : {0U, 2U, 4U}) {
    const auto& scenario = set->conversations.at(index).scenario;
    const auto file = (folder / (scenario.id + ".json")).string();
    std::ofstream(file) << conversation::to_json(scenario).dump();
    files += ' ' + file;
  }
  const auto valid = run_program(folder.path(), "validate" + files);
  EXPECT_EQ(valid.code, 0) << valid.err;
  EXPECT_NE(valid.out.find("15 turns in 3 clusters"), std::string::npos) << valid.out;
  EXPECT_NE(valid.out.find("60 turns in"), std::string::npos) << valid.out;
  const auto run =
      run_program(folder.path(), "run" + files + " --engine fake -n 4 -q --json --out " + (folder / "run").string());
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.out.find("construction-01"), std::string::npos);
}

}  // namespace
}  // namespace bulkhead
