// SPDX-License-Identifier: MIT
#include "models/manifest.h"

#include "base/json.h"
#include "paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace bulkhead::models {
namespace {

using ::testing::HasSubstr;

// A manifest of one valid model with `from` replaced by `to`.
Result<Manifest> changed(const std::string& from = "", const std::string& to = "") {
  std::string text = R"({"models": [
  {"name": "tiny", "aliases": ["t"], "file": "tiny.gguf", "bytes": 4,
   "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
   "licence": "MIT", "description": "d", "chat": true,
   "sources": [{"kind": "hub", "repo": "user/repo", "file": "sub/tiny.gguf"},
               {"kind": "packages", "packages": ["part-1==1.0"], "member": "*/data/*.bin"}]}
]})";
  if (!from.empty()) {
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
  }
  return Manifest::parse(text, "manifest.json");
}

TEST(Manifest, TheBuiltInOneIsTheFileInTheRepository) {
  const auto text = read_text_file(testing::source_folder() + "/models/manifest.json");
  ASSERT_TRUE(text.ok());
  const auto read = Manifest::parse(*text, "models/manifest.json");
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(read->names(), Manifest::built_in().names());
  ASSERT_EQ(Manifest::built_in().models().size(), 3U);
  for (const auto& model : Manifest::built_in().models()) EXPECT_EQ(model.sources.size(), 2U) << model.name;
}

TEST(Manifest, KnowsTheThreeModels) {
  const auto& manifest = Manifest::built_in();
  const auto* demo = manifest.find("qwen2.5-coder-0.5b");
  ASSERT_NE(demo, nullptr);
  EXPECT_EQ(demo->file, "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf");
  EXPECT_EQ(demo->sha256, "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32");
  EXPECT_TRUE(demo->chat);
  EXPECT_EQ(manifest.find("DEMO"), demo);
  const auto* larger = manifest.find("qwen2.5-coder-1.5b");
  ASSERT_NE(larger, nullptr);
  EXPECT_EQ(larger->file, "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf");
  EXPECT_EQ(std::get<PackageSource>(larger->sources[1]).packages.size(), 22U);
  const auto* gemma = manifest.find("gemma-3-270m");
  ASSERT_NE(gemma, nullptr);
  EXPECT_EQ(gemma->file, "gemma-3-270m-q4_k_m.gguf");
  EXPECT_FALSE(gemma->chat);
  EXPECT_EQ(manifest.find("no-such-model"), nullptr);
}

TEST(Manifest, ReadsEveryField) {
  const auto manifest = changed();
  ASSERT_TRUE(manifest.ok()) << manifest.error().to_string();
  const auto* model = manifest->find("T");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->name, "tiny");
  EXPECT_EQ(model->bytes, 4U);
  EXPECT_EQ(model->licence, "MIT");
  EXPECT_EQ(std::get<HubSource>(model->sources[0]).file, "sub/tiny.gguf");
  EXPECT_EQ(std::get<PackageSource>(model->sources[1]).member, "*/data/*.bin");
}

TEST(Manifest, NamesLineAndFieldOfWhatIsWrong) {
  struct Case {
    const char* from;
    const char* to;
    const char* place;
    const char* message;
  };
  const Case cases[] = {
      {"\"bytes\": 4", "\"bytes\": 0", "manifest.json:2: models[0].bytes", "outside 1 to"},
      {"\"bytes\": 4", "\"bytes\": \"4\"", "manifest.json:2: models[0].bytes", "expected an integer, found a string"},
      {"\"bytes\"", "\"size\"", "manifest.json:2: models[0].size", "unknown field \"size\""},
      {"0123456789abcdef\",", "0123456789ABCDEF\",", "manifest.json:3: models[0].sha256", "64 lower-case hex digits"},
      {"tiny.gguf", "../tiny.gguf", "manifest.json:2: models[0].file", "a plain file name"},
      {"tiny.gguf", ".tiny", "manifest.json:2: models[0].file", "a plain file name"},
      {"\"licence\": \"MIT\", ", "", "manifest.json:2: models[0]", "\"licence\" is missing"},
      {"\"t\"", "\"Tiny\"", "manifest.json:2: models[0]", "is taken"},
      {"user/repo", "user/../repo", "manifest.json:5: models[0].sources[0].repo", "a repository such as user/repo"},
      {"sub/tiny.gguf", "../tiny.gguf", "manifest.json:5: models[0].sources[0].file", "path inside a repository"},
      {"part-1==1.0", "--index-url=x", "manifest.json:6: models[0].sources[1].packages", "name==version"},
      {"part-1==1.0", "part-1", "manifest.json:6: models[0].sources[1].packages", "name==version"},
      {"[\"part-1==1.0\"]", "[]", "manifest.json:6: models[0].sources[1].packages", "is empty"},
      {"\"packages\", \"packages\"", "\"ftp\", \"packages\"", "manifest.json:6: models[0].sources[1].kind",
       "unknown kind of source \"ftp\""},
  };
  for (const auto& wrong : cases) {
    const auto manifest = changed(wrong.from, wrong.to);
    ASSERT_FALSE(manifest.ok()) << wrong.to;
    EXPECT_EQ(manifest.error().code, ErrorCode::kBadInput);
    EXPECT_EQ(manifest.error().place, wrong.place) << wrong.to;
    EXPECT_THAT(manifest.error().message, HasSubstr(wrong.message)) << wrong.to;
  }
}

TEST(Manifest, HubReposAreTwoPlainNames) {
  EXPECT_TRUE(is_hub_repo("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF"));
  for (const auto* text :
       {"", "repo", "/repo", "user/", "a/b/c", "user/..", "../repo", "user/re po", "-u/repo", "a/b?c"}) {
    EXPECT_FALSE(is_hub_repo(text)) << text;
  }
}

}  // namespace
}  // namespace bulkhead::models
