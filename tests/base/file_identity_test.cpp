// SPDX-License-Identifier: MIT
#include "base/file_identity.h"

#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead {
namespace {

using testing::TemporaryFolder;
using testing::write_file;

TEST(ModelPart, IsReadFromTheNameAsLibllamaReadsIt) {
  const auto part = model_part("m-00002-of-00013.gguf");
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(part->number, 2U);
  EXPECT_EQ(part->count, 13U);
  EXPECT_EQ(name_of_part("m-00002-of-00013.gguf", 7), "m-00007-of-00013.gguf");
  for (const auto* whole :
       {"m.gguf", "m-00001-of-00001.gguf", "m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-0001-of-00002.gguf",
        "m-00001-of-0002.gguf", "m-00001-of-00002.GGUF", "m-00001-of-00002", "m_00001-of-00002.gguf",
        "m-0000a-of-00002.gguf", "m-+0001-of-00002.gguf", "-00001-of-00002.gguf", "m-00001-of-00002.gguf.part", ""}) {
    EXPECT_FALSE(model_part(whole).has_value()) << whole;
  }
}

TEST(FilesOfModel, AreAllPartsInTheirOrder) {
  EXPECT_EQ(files_of_model("a/m.gguf"), std::vector<std::filesystem::path>{"a/m.gguf"});
  EXPECT_EQ(files_of_model("a/m-00001-of-00003.gguf"),
            (std::vector<std::filesystem::path>{"a/m-00001-of-00003.gguf", "a/m-00002-of-00003.gguf",
                                                "a/m-00003-of-00003.gguf"}));
  // libllama begins with the first part only.
  EXPECT_EQ(files_of_model("m-00002-of-00003.gguf").size(), 1U);
}

TEST(ModelIdentity, ChangesWithAnyFileOfTheModel) {
  const TemporaryFolder folder;
  const auto first = folder / "m-00001-of-00002.gguf";
  const auto second = folder / "m-00002-of-00002.gguf";
  write_file(first, "one");
  EXPECT_FALSE(model_identity(first).has_value()) << "a part is missing";
  write_file(second, "second");
  const auto identity = model_identity(first);
  ASSERT_TRUE(identity.has_value());
  EXPECT_EQ(bytes_of(*identity), 9U);
  EXPECT_EQ(model_identity(first), identity);
  std::filesystem::remove(second);
  write_file(second, "another one");
  EXPECT_NE(model_identity(first), identity);
}

// A change of the content whose time was put back is seen by the entry's own time.
TEST(FileIdentity, ATimeThatWasPutBackIsSeen) {
  const TemporaryFolder folder;
  const auto file = folder / "m.gguf";
  write_file(file, "one");
  const auto time = std::filesystem::last_write_time(file);
  const auto before = file_identity(file);
  std::optional<FileIdentity> after;
  // A file system's clock goes in steps.
  for (int tries = 0; tries < 1000 && (tries == 0 || after == before); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    write_file(file, "two");
    std::filesystem::last_write_time(file, time);
    after = file_identity(file);
  }
  ASSERT_TRUE(before && after);
  EXPECT_EQ((*after)[4], (*before)[4]);
  EXPECT_NE(after, before);
}

}  // namespace
}  // namespace bulkhead
