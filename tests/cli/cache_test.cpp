// SPDX-License-Identifier: MIT
// `bulkhead cache` on a vault with images, by the real program.
#include "cli/real_program.h"
#include "json_of.h"
#include "temporary_folder.h"
#include "vault/made_partition.h"
#include "vault/vault.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace bulkhead {
namespace {

using testing::json_of;
using testing::made_partition;
using testing::made_tokens;
using testing::read_file;
using testing::run_program;
using testing::TemporaryFolder;
using testing::write_file;

class CacheCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    auto vault = vault::Vault::open({.folder = place_}).value();
    first_ = vault.save("alice", made_partition("plan\x1b[31m", made_tokens(200, 1))).value().name.text();
    second_ = vault.save("bob", made_partition("other", made_tokens(300, 2))).value().name.text();
  }

  testing::Outcome cache(const std::string& arguments) {
    return run_program(folder_.path(), "cache " + arguments + " --cache-dir " + place_.string());
  }
  Json cache_json(const std::string& arguments, int code = 0) {
    const auto outcome = cache(arguments + " --json");
    EXPECT_EQ(outcome.code, code) << arguments << ": " << outcome.err << outcome.out;
    return json_of(outcome.out);
  }
  [[nodiscard]] std::filesystem::path image(const std::string& owner, const std::string& name) const {
    return place_ / "owners" / vault::HexName::of(owner).text() / "images" / name;
  }

  TemporaryFolder folder_;
  std::filesystem::path place_ = folder_ / "vault";
  std::string first_;
  std::string second_;
};

TEST_F(CacheCommand, ListsAndShows) {
  const auto list = cache_json("ls");
  ASSERT_EQ(list["images"].size(), 2U);
  const auto shown = cache_json("show " + first_.substr(0, 8));
  EXPECT_EQ(shown["image"], first_);
  EXPECT_EQ(shown["owner"], "alice");
  EXPECT_EQ(shown["tokens"], 200);
  EXPECT_EQ(shown["fit"]["model_digest"], "0123456789abcdef");
  EXPECT_EQ(shown["tokens_by_origin"]["message"], 100);
  EXPECT_EQ(shown["messages"][0]["from"], "bob");
  const auto text = cache("ls");
  EXPECT_EQ(text.code, 0);
  EXPECT_NE(text.out.find(second_.substr(0, 16)), std::string::npos);
  EXPECT_EQ(text.out.find('\x1b'), std::string::npos) << "names of others do not steer the terminal";
}

TEST_F(CacheCommand, VerifiesEveryByte) {
  EXPECT_TRUE(cache_json("verify")["whole"].get<bool>());
  const auto whole = read_file(image("alice", first_));
  auto flipped = whole;
  flipped[whole.size() / 2] ^= 1;
  write_file(image("alice", first_), flipped);
  const auto found = cache_json("verify", 4);
  EXPECT_FALSE(found["whole"].get<bool>());
  EXPECT_EQ(cache_json("verify " + second_)["images"].size(), 1U);
  EXPECT_EQ(cache("show " + first_).code, 4);
  const auto list = cache_json("ls");
  EXPECT_EQ(list["images"].size(), 2U) << "with the reason in place of what it holds";
  EXPECT_EQ(cache_json("gc")["unreadable"], 0) << "the index knows it";
  EXPECT_EQ(cache("rm " + first_).code, 0) << "also a damaged one can go";
  EXPECT_TRUE(cache_json("verify")["whole"].get<bool>());
}

TEST_F(CacheCommand, RemovesAndKeepsToABudget) {
  EXPECT_EQ(cache_json("gc --cache-disk 1")["evicted"], 0);
  const auto before = cache_json("gc")["bytes"].get<std::uint64_t>();
  EXPECT_EQ(cache_json("rm " + first_)["removed"][0], first_);
  EXPECT_LT(cache_json("gc")["bytes"].get<std::uint64_t>(), before);
  EXPECT_EQ(cache("rm " + first_).code, 3);
  EXPECT_EQ(cache_json("ls")["images"].size(), 1U);
}

TEST_F(CacheCommand, ExportsAndImports) {
  const auto file = (folder_ / "p.bhexport").string();
  EXPECT_EQ(cache("export " + second_ + " " + file).code, 0);
  EXPECT_EQ(cache("export " + second_ + " " + file).code, 2) << "it is there";
  EXPECT_EQ(cache("rm " + second_).code, 0);
  const auto back = cache_json("import " + file);
  EXPECT_EQ(back["image"], second_);
  EXPECT_TRUE(cache_json("verify")["whole"].get<bool>());
  const auto whole = read_file(file);
  write_file(file, whole.substr(0, whole.size() - 1));
  EXPECT_EQ(cache("import " + file).code, 4);
  write_file(file, whole);
  EXPECT_EQ(cache("import " + file + " --cache-disk 0").code, 0);
}

TEST_F(CacheCommand, WritersWaitForNobody) {
  const auto vault = vault::Vault::open({.folder = place_}).value();
  EXPECT_EQ(cache("gc").code, 5);
  EXPECT_EQ(cache("rm " + first_).code, 5);
  EXPECT_EQ(cache("ls").code, 0);
  EXPECT_EQ(cache("verify").code, 0);
}

}  // namespace
}  // namespace bulkhead
