// SPDX-License-Identifier: MIT
#include "models/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace bulkhead::models {
namespace {

using ::testing::HasSubstr;

TEST(HubSpec, ReadsRepoAndQuant) {
  const auto plain = parse_hub_spec("user/repo");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->repo, "user/repo");
  EXPECT_EQ(plain->wanted, "");
  const auto quant = parse_hub_spec("user/repo:Q8_0");
  ASSERT_TRUE(quant.ok());
  EXPECT_EQ(quant->wanted, "Q8_0");
  for (const auto* wrong : {"", "repo", "user/repo:", "a/b/c", "user/../x", "https://host/user/repo"}) {
    const auto spec = parse_hub_spec(wrong);
    ASSERT_FALSE(spec.ok()) << wrong;
    EXPECT_EQ(spec.error().code, ErrorCode::kUsage);
  }
}

TEST(PickHubFile, TakesTheQuantAsAWordOfItsOwn) {
  const std::vector<std::string> files = {"README.md",       "m-IQ4_NL.gguf",        "m-q4_k_m.gguf",
                                          "m.Q4_K_S.gguf",   "m-Q8_0.gguf",          "mmproj-m-Q8_0.gguf",
                                          "m-Q4_K_M_L.gguf", "m-Q4_K_M.imatrix.gguf"};
  EXPECT_EQ(*pick_hub_file(files, {"u/r", ""}), "m-q4_k_m.gguf");
  EXPECT_EQ(*pick_hub_file(files, {"u/r", "Q4_K_M"}), "m-q4_k_m.gguf");
  EXPECT_EQ(*pick_hub_file(files, {"u/r", "q8_0"}), "m-Q8_0.gguf");
  EXPECT_EQ(*pick_hub_file(files, {"u/r", "Q4_K_S"}), "m.Q4_K_S.gguf");
  EXPECT_EQ(*pick_hub_file(files, {"u/r", "mmproj-m-Q8_0.gguf"}), "mmproj-m-Q8_0.gguf");
  for (const auto* absent : {"Q4_K", "Q4_NL", "Q4", "F16"}) {
    const auto picked = pick_hub_file(files, {"u/r", absent});
    ASSERT_FALSE(picked.ok()) << absent;
    EXPECT_EQ(picked.error().code, ErrorCode::kUsage);
    EXPECT_THAT(picked.error().message, HasSubstr(absent));
    EXPECT_THAT(picked.error().advice, HasSubstr("m-IQ4_NL.gguf, m-q4_k_m.gguf, m.Q4_K_S.gguf"));
  }
}

TEST(PickHubFile, WithNothingSaidTheOnlyFileWillDo) {
  EXPECT_EQ(*pick_hub_file({"m-Q8_0.gguf", "config.json"}, {"u/r", ""}), "m-Q8_0.gguf");
  EXPECT_FALSE(pick_hub_file({"m-Q8_0.gguf", "m-F16.gguf"}, {"u/r", ""}).ok());
  const auto none = pick_hub_file({"model.safetensors"}, {"u/r", ""});
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().advice, HasSubstr("GGUF"));
}

TEST(PickHubFile, AnAmbiguousQuantNeedsAFileName) {
  const std::vector<std::string> files = {"a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "sub/c.gguf"};
  const auto picked = pick_hub_file(files, {"u/r", ""});
  ASSERT_FALSE(picked.ok());
  EXPECT_EQ(picked.error().code, ErrorCode::kUsage);
  EXPECT_THAT(picked.error().message, HasSubstr("2 files"));
  EXPECT_EQ(*pick_hub_file(files, {"u/r", "b-Q4_K_M.gguf"}), "b-Q4_K_M.gguf");
  EXPECT_EQ(*pick_hub_file(files, {"u/r", "c.gguf"}), "sub/c.gguf");
}

TEST(PickHubFile, ASplitModelIsItsFirstPart) {
  const std::vector<std::string> parts = {"q/m-Q4_K_M-00002-of-00002.gguf", "q/m-Q4_K_M-00001-of-00002.gguf"};
  for (const auto* wanted : {"", "Q4_K_M", "q/m-Q4_K_M-00002-of-00002.gguf"}) {
    EXPECT_EQ(*pick_hub_file(parts, {"u/r", wanted}), "q/m-Q4_K_M-00001-of-00002.gguf") << wanted;
  }
  // The only model there is, whatever its quantization.
  EXPECT_EQ(*pick_hub_file({"m-F16-00001-of-00002.GGUF", "m-F16-00002-of-00002.GGUF"}, {"u/r", ""}),
            "m-F16-00001-of-00002.GGUF");
}

TEST(PickHubFile, AWholeFileGoesBeforeOneInParts) {
  const std::vector<std::string> both = {"m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf",
                                         "m-Q4_K_M.gguf"};
  EXPECT_EQ(*pick_hub_file(both, {"u/r", ""}), "m-Q4_K_M.gguf");
  EXPECT_EQ(*pick_hub_file({"m-Q4_K_M-00001-of-00001.gguf"}, {"u/r", ""}), "m-Q4_K_M-00001-of-00001.gguf")
      << "one part of one is a whole file";
}

TEST(PickHubFile, APartThatTheRepositoryLacksIsNamed) {
  HubListing listing;
  for (const auto* name : {"m-Q4_K_M-00001-of-00003.gguf", "m-Q4_K_M-00003-of-00003.gguf"}) {
    listing.files.push_back({{"u/r", name}, 5, ""});
  }
  const auto lacking = pick_from(listing, {"u/r", ""});
  ASSERT_FALSE(lacking.ok());
  EXPECT_EQ(lacking.error().code, ErrorCode::kRemote);
  EXPECT_THAT(lacking.error().message, HasSubstr("m-Q4_K_M-00002-of-00003.gguf"));
  listing.files.push_back({{"u/r", "m-Q4_K_M-00002-of-00003.gguf"}, 5, ""});
  const auto whole = pick_from(listing, {"u/r", ""});
  ASSERT_TRUE(whole.ok()) << whole.error().to_string();
  ASSERT_EQ(whole->size(), 3U);
  EXPECT_EQ(whole->at(1).source.file, "m-Q4_K_M-00002-of-00003.gguf");
}

TEST(HubNames, UrlsAreEscapedAndLocalNamesHaveNoFolders) {
  Environment environment;
  environment.hub_endpoint = "http://hub";
  EXPECT_EQ(hub_url({"u/r", "a b/m#1.gguf"}, environment), "http://hub/u/r/resolve/main/a%20b/m%231.gguf");
  EXPECT_EQ(local_name({"u/r", "Q8_0/m.gguf"}), "u--r--Q8_0--m.gguf");
  EXPECT_EQ(local_name({"u/r", "../../m.gguf"}), "u--r--..--..--m.gguf");
  EXPECT_EQ(local_name({"Qwen/Qwen2.5-Coder-0.5B", "a-b_c.gguf"}), "Qwen--Qwen2.5-Coder-0.5B--a-b_c.gguf");
}

TEST(HubNames, NoTwoFilesShareALocalName) {
  const std::vector<HubSource> sources = {{"a/b", "c--d.gguf"},    {"a/b", "c/d.gguf"},   {"a/b--c", "d.gguf"},
                                          {"a--b/c", "d.gguf"},    {"a/b-", "c/d.gguf"},  {"a/b", "-c/d.gguf"},
                                          {"a/b", "c-/d.gguf"},    {"a/b", "c/-d.gguf"},  {"a/b", "c---d.gguf"},
                                          {"a/b", "c-/-d.gguf"},   {"a/b", "c%2Dd.gguf"}, {"a/b", "c-d.gguf"},
                                          {"a/b", "c%252Dd.gguf"}, {"a/b", "m.gguf"},     {"a/b", "m.GGUF"},
                                          {"a/b", "m.Gguf"},       {"a/b", "GGUF/m.gguf"}};
  std::set<std::string> names;
  for (const auto& source : sources) {
    const auto name = local_name(source);
    EXPECT_TRUE(names.insert(name).second) << source.repo << " " << source.file << " is " << name;
    EXPECT_TRUE(name.ends_with(".gguf")) << name;
    EXPECT_EQ(name.find('/'), std::string::npos) << name;
  }
  // libllama finds the parts of a model by these ends.
  EXPECT_TRUE(local_name({"a/b", "m-00001-of-00002.GGUF"}).ends_with("--m-00001-of-00002.gguf"));
}

TEST(HubNames, AnEtagIsASumOnlyIfItLooksLikeOne) {
  const std::string sum(64, 'a');
  EXPECT_EQ(sha256_in_etag("\"" + sum + "\""), sum);
  EXPECT_EQ(sha256_in_etag(sum), sum);
  EXPECT_EQ(sha256_in_etag("\"0123456789abcdef0123456789abcdef01234567\""), "");
  EXPECT_EQ(sha256_in_etag("W/\"" + sum + "\""), "");
  EXPECT_EQ(sha256_in_etag(""), "");
}

}  // namespace
}  // namespace bulkhead::models
