// SPDX-License-Identifier: MIT
#include "models/model_files.h"

#include "base/hash.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace bulkhead::models {
namespace {

using bulkhead::testing::read_file;
using bulkhead::testing::TemporaryFolder;
using bulkhead::testing::write_file;
using ::testing::HasSubstr;

Manifest tiny_manifest() {
  auto manifest = Manifest::parse(R"({"models": [
    {"name": "tiny", "aliases": ["t"], "file": "tiny.gguf", "bytes": 8, "licence": "MIT",
     "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
     "sources": [{"kind": "hub", "repo": "user/repo", "file": "tiny.gguf"}]}]})",
                                  "test");
  return manifest.ok() ? *manifest : Manifest();
}

class ModelsFolder : public ::testing::Test {
 protected:
  ModelsFolder() {
    environment_.manifest = tiny_manifest();
    environment_.models_folder = folder_ / "models";
  }
  TemporaryFolder folder_;
  Environment environment_;
};

TEST_F(ModelsFolder, FindsAModelByNameAliasAndPath) {
  const auto file = environment_.models_folder / "tiny.gguf";
  write_file(file, "GGUF1234");
  for (const auto& name : {std::string("tiny"), std::string("T"), std::string("tiny.gguf"), file.string()}) {
    const auto found = find_model(name, environment_);
    ASSERT_TRUE(found.ok()) << found.error().to_string();
    EXPECT_EQ(*found, file) << name;
  }
}

TEST_F(ModelsFolder, AModelNotPulledYetComesWithTheCommand) {
  const auto found = find_model("t", environment_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kUsage);
  EXPECT_THAT(found.error().advice, HasSubstr("bulkhead pull tiny"));
}

TEST_F(ModelsFolder, AnUnknownNameComesWithTheKnownOnes) {
  for (const auto* name : {"nosuch", "nosuch.gguf", "no/such.gguf", ""}) {
    const auto found = find_model(name, environment_);
    ASSERT_FALSE(found.ok()) << name;
    EXPECT_EQ(found.error().code, ErrorCode::kUsage);
    EXPECT_THAT(found.error().advice, HasSubstr("tiny"));
  }
  const auto folder = find_model(folder_.path().string(), environment_);
  ASSERT_FALSE(folder.ok());
  EXPECT_THAT(folder.error().message, HasSubstr("folder"));
}

TEST_F(ModelsFolder, ACutFileOfANamedModelIsCorrupt) {
  write_file(environment_.models_folder / "tiny.gguf", "GGUF123");
  const auto found = find_model("tiny", environment_);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(found.error().message, HasSubstr("7 bytes; tiny has 8"));
}

TEST_F(ModelsFolder, ListsTheManifestAndOtherFiles) {
  ASSERT_EQ(list_models(environment_).size(), 1U);
  EXPECT_FALSE(list_models(environment_)[0].pulled);
  write_file(environment_.models_folder / "tiny.gguf", "GGUF1234");
  write_file(environment_.models_folder / "z.gguf", "GGUF");
  write_file(environment_.models_folder / "b.gguf", "GGUF");
  write_file(environment_.models_folder / "b.gguf.sha256", "{}");
  write_file(environment_.models_folder / ".staging" / "c.gguf", "GGUF");
  const auto listed = list_models(environment_);
  ASSERT_EQ(listed.size(), 3U);
  EXPECT_EQ(listed[0].name, "tiny");
  EXPECT_TRUE(listed[0].pulled);
  EXPECT_TRUE(listed[0].in_manifest);
  EXPECT_EQ(listed[1].name, "b.gguf");
  EXPECT_FALSE(listed[1].in_manifest);
  EXPECT_EQ(listed[1].bytes, 4U);
  EXPECT_EQ(listed[2].path, environment_.models_folder / "z.gguf");
}

TEST_F(ModelsFolder, ASplitModelIsOneModelOfAllItsParts) {
  const auto first = environment_.models_folder / "m-00001-of-00002.gguf";
  const auto second = environment_.models_folder / "m-00002-of-00002.gguf";
  write_file(first, "GGUF one");
  EXPECT_FALSE(list_models(environment_)[1].pulled) << "a part is missing";
  EXPECT_EQ(model_sha256(first).error().code, ErrorCode::kUsage);
  write_file(second, "GGUF the second");
  const auto listed = list_models(environment_);
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[1].name, "m-00001-of-00002.gguf");
  EXPECT_TRUE(listed[1].pulled);
  EXPECT_EQ(listed[1].bytes, 23U);
  const auto lines = sha256_hex("GGUF one") + "  m-00001-of-00002.gguf\n" + sha256_hex("GGUF the second") +
                     "  m-00002-of-00002.gguf\n";
  EXPECT_EQ(*model_sha256(first), sha256_hex(lines));
  write_file(second, "GGUF another 2nd");
  EXPECT_NE(*model_sha256(first), sha256_hex(lines));
}

TEST_F(ModelsFolder, CapitalsAtTheEndOfANameAreTheSame) {
  write_file(environment_.models_folder / "Loud.GGUF", "GGUF");
  EXPECT_TRUE(find_model("Loud.GGUF", environment_).ok());
  ASSERT_EQ(list_models(environment_).size(), 2U);
  EXPECT_EQ(list_models(environment_)[1].name, "Loud.GGUF");
}

TEST_F(ModelsFolder, NoLinkAndNoFifoInItCounts) {
  write_file(folder_ / "elsewhere.gguf", "GGUF1234");
  std::filesystem::create_directories(environment_.models_folder);
  std::filesystem::create_symlink(folder_ / "elsewhere.gguf", environment_.models_folder / "tiny.gguf");
  std::filesystem::create_symlink(folder_ / "elsewhere.gguf", environment_.models_folder / "other.gguf");
  ASSERT_EQ(::mkfifo((environment_.models_folder / "fifo.gguf").c_str(), 0600), 0);
  ASSERT_EQ(list_models(environment_).size(), 1U);
  EXPECT_FALSE(list_models(environment_)[0].pulled);
  EXPECT_FALSE(find_model("tiny", environment_).ok());
  EXPECT_FALSE(find_model("other.gguf", environment_).ok());
  EXPECT_FALSE(find_model("fifo.gguf", environment_).ok());
  // A user's own path may be a link.
  EXPECT_TRUE(find_model((environment_.models_folder / "other.gguf").string(), environment_).ok());
}

TEST_F(ModelsFolder, EnginesThatReadFoldersGetThem) {
  write_file(folder_ / "checkpoint" / "config.json", "{}");
  write_file(folder_ / "checkpoint" / "model.safetensors", "weights");
  const auto folder = (folder_ / "checkpoint").string();
  const auto found = find_model_or_folder(folder, environment_);
  ASSERT_TRUE(found.ok()) << found.error().to_string();
  EXPECT_EQ(found.value(), folder);
  EXPECT_EQ(find_model_or_folder("nosuch", environment_).error().code, ErrorCode::kUsage);
  const auto sum = *model_sha256(folder);
  EXPECT_EQ(sum, sha256_hex(sha256_hex("{}") + "  config.json\n" + sha256_hex("weights") + "  model.safetensors\n"));
  EXPECT_EQ(*model_sha256(folder), sum) << "the notes beside the files do not count";
  write_file(folder_ / "checkpoint" / "model.safetensors", "other");
  EXPECT_NE(*model_sha256(folder), sum);
}

TEST_F(ModelsFolder, TheSumOfAMissingFileIsAnError) {
  const auto sum = model_sha256(folder_ / "missing.gguf");
  ASSERT_FALSE(sum.ok());
  EXPECT_EQ(sum.error().code, ErrorCode::kResource);
}

TEST_F(ModelsFolder, AGgufBeginsLikeOne) {
  write_file(folder_ / "good.gguf", "GGUF\x03");
  write_file(folder_ / "page.gguf", "<html>");
  write_file(folder_ / "short.gguf", "GGU");
  EXPECT_TRUE(check_gguf(folder_ / "good.gguf").ok());
  EXPECT_EQ(check_gguf(folder_ / "page.gguf").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(check_gguf(folder_ / "short.gguf").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(check_gguf(folder_ / "missing.gguf").error().code, ErrorCode::kUsage);
  EXPECT_EQ(check_gguf(folder_.path()).error().code, ErrorCode::kUsage);
}

// Sets variables of this process for one test.
class Variables {
 public:
  ~Variables() {
    for (const auto& [name, value] : before_) value ? ::setenv(name, value->c_str(), 1) : ::unsetenv(name);
  }
  Variables() = default;
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;
  void set(const char* name, const char* value) {
    const char* now = std::getenv(name);
    before_.emplace_back(name, now == nullptr ? std::nullopt : std::optional<std::string>(now));
    value != nullptr ? ::setenv(name, value, 1) : ::unsetenv(name);
  }

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> before_;
};

TEST(EnvironmentFromProcess, TakesTheModelsFolderInOrder) {
  Variables variables;
  variables.set("HOME", "/home/someone");
  variables.set("XDG_CACHE_HOME", nullptr);
  variables.set("BULKHEAD_MODELS", nullptr);
  EXPECT_EQ(Environment::from_process().models_folder, "/home/someone/.cache/bulkhead/models");
  variables.set("XDG_CACHE_HOME", "/var/cache/x");
  EXPECT_EQ(Environment::from_process().models_folder, "/var/cache/x/bulkhead/models");
  variables.set("XDG_CACHE_HOME", "relative");
  EXPECT_EQ(Environment::from_process().models_folder, "/home/someone/.cache/bulkhead/models");
  variables.set("BULKHEAD_MODELS", "/models");
  EXPECT_EQ(Environment::from_process().models_folder, "/models");
}

TEST(EnvironmentFromProcess, TakesTheHubVariables) {
  Variables variables;
  variables.set("HF_ENDPOINT", nullptr);
  variables.set("HF_TOKEN", nullptr);
  variables.set("HF_HUB_OFFLINE", nullptr);
  EXPECT_EQ(Environment::from_process().hub_endpoint, "https://huggingface.co");
  EXPECT_FALSE(Environment::from_process().hub_offline);
  EXPECT_EQ(Environment::from_process().hub_login, "");
  variables.set("HF_ENDPOINT", "http://mirror:8080//");
  variables.set("HF_TOKEN", "hf_x");
  EXPECT_EQ(Environment::from_process().hub_endpoint, "http://mirror:8080");
  EXPECT_EQ(Environment::from_process().hub_token, "hf_x");
  variables.set("HF_ENDPOINT", "https://some%40one:pa%3Ass@mirror:8080/hub/");
  EXPECT_EQ(Environment::from_process().hub_endpoint, "https://mirror:8080/hub") << "what errors and notes show";
  EXPECT_EQ(Environment::from_process().hub_login, "some@one:pa:ss");
  for (const auto* on : {"1", "ON", "yes", "True"}) {
    variables.set("HF_HUB_OFFLINE", on);
    EXPECT_TRUE(Environment::from_process().hub_offline) << on;
  }
  for (const auto* off : {"0", "", "no"}) {
    variables.set("HF_HUB_OFFLINE", off);
    EXPECT_FALSE(Environment::from_process().hub_offline) << off;
  }
}

}  // namespace
}  // namespace bulkhead::models
