// SPDX-License-Identifier: MIT
// Models in parts: pulled whole or not at all, and each part is held to its sum.
#include "base/json.h"
#include "models/known_sums.h"
#include "models/model_files.h"
#include "models/pull_fixture.h"

#include <filesystem>
#include <map>
#include <string>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;
using testing::Connection;
using ::testing::HasSubstr;
using testing::read_file;
using testing::Request;
using testing::serve_well;
using testing::write_file;

class PullSplit : public PullTest {
 protected:
  PullSplit() {
    environment_.manifest = Manifest();
    for (int part = 1; part <= 3; ++part) {
      files_[fmt::format("q4/m-Q4_K_M-{:05}-of-00003.gguf", part)] =
          model_bytes(100'000) + std::string(static_cast<std::size_t>(part), 'p');
    }
    serve_files();
  }

  // `broken`: a file that is answered with `status`.
  void serve_files(const std::string& broken = {}, const std::string& status = "500 No") {
    serve([files = files_, broken, status](const Request& request, Connection& connection) {
      if (request.path.starts_with("/api/")) {
        Json siblings = Json::array();
        for (const auto& [name, content] : files) {
          siblings.push_back(
              {{"rfilename", name}, {"lfs", {{"sha256", sha256_hex(content)}, {"size", content.size()}}}});
        }
        const auto body = json_text(Json{{"siblings", siblings}});
        connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", body.size()), body);
        return;
      }
      const auto name = request.path.substr(std::string("/user/repo/resolve/main/").size());
      if (name == broken) {
        connection.respond(status, "Content-Length: 0\r\n", "");
      } else {
        serve_well(request, connection, files.at(name), "\"" + name + "\"");
      }
    });
  }

  [[nodiscard]] fs::path local(int part) const {
    return folder_ / fmt::format("models/user--repo--q4--m-Q4_K_M-{:05}-of-00003.gguf", part);
  }

  std::map<std::string, std::string> files_;
};

TEST_F(PullSplit, BringsAllPartsAndIsOneModel) {
  std::uint64_t last = 0;
  progress_.bytes = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_EQ(total, 300'006U);
    last = done;
  };
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->path, local(1));
  EXPECT_TRUE(pulled->verified);
  EXPECT_TRUE(pulled->fetched);
  EXPECT_EQ(pulled->bytes, 300'006U);
  EXPECT_EQ(last, 300'006U);
  EXPECT_EQ(pulled->sha256, *model_sha256(local(1)));
  int part = 0;
  for (const auto& [name, content] : files_) EXPECT_EQ(read_file(local(++part)), content);
  // A second time, and without a network, nobody is asked.
  const auto requests = server_->requests().size();
  environment_.hub_offline = true;
  for (const auto* spec : {"user/repo", "user/repo:Q4_K_M", "user/repo:q4/m-Q4_K_M-00001-of-00003.gguf"}) {
    const auto again = pull_hub(spec);
    ASSERT_TRUE(again.ok()) << again.error().to_string();
    EXPECT_FALSE(again->fetched);
    EXPECT_TRUE(again->verified);
    EXPECT_EQ(again->sha256, pulled->sha256);
  }
  EXPECT_EQ(server_->requests().size(), requests);
}

TEST_F(PullSplit, IsThereWholeOrNotAtAll) {
  serve_files("q4/m-Q4_K_M-00003-of-00003.gguf");
  const auto failed = pull_hub("user/repo");
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, ErrorCode::kRemote);
  for (int part = 1; part <= 3; ++part) EXPECT_FALSE(fs::exists(local(part)));
  serve_files();
  ASSERT_TRUE(pull_hub("user/repo").ok());
  // What was there already was not fetched again.
  for (const auto& request : server_->requests()) EXPECT_EQ(request.path.find("00001-of"), std::string::npos);
}

TEST_F(PullSplit, APartThatWentBadIsPulledAgainAndNoOther) {
  ASSERT_TRUE(pull_hub("user/repo").ok());
  write_file(local(2), "GGUF cut");
  EXPECT_FALSE(model_verified(local(1)));
  serve_files();
  fs::remove(local(1));  // else the pull would be content with what is here
  ASSERT_TRUE(pull_hub("user/repo").ok());
  EXPECT_EQ(read_file(local(2)), files_["q4/m-Q4_K_M-00002-of-00003.gguf"]);
  for (const auto& request : server_->requests()) EXPECT_EQ(request.path.find("00003-of"), std::string::npos);
  EXPECT_TRUE(model_verified(local(1)));
}

TEST_F(PullSplit, WithAPartMissingHereItIsPulledAgain) {
  ASSERT_TRUE(pull_hub("user/repo").ok());
  fs::remove(local(3));
  const auto again = pull_hub("user/repo");
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_TRUE(again->fetched);
  EXPECT_EQ(read_file(local(3)), files_["q4/m-Q4_K_M-00003-of-00003.gguf"]);
}

TEST_F(PullSplit, AWrongPartIsThrownAwayAndTheModelIsNotThere) {
  const auto good = files_;
  serve([files = files_](const Request& request, Connection& connection) {
    if (request.path.starts_with("/api/")) {
      Json siblings = Json::array();
      for (const auto& [name, content] : files) {
        siblings.push_back({{"rfilename", name}, {"lfs", {{"sha256", sha256_hex(content)}, {"size", content.size()}}}});
      }
      const auto body = json_text(Json{{"siblings", siblings}});
      connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", body.size()), body);
      return;
    }
    auto content = files.at(request.path.substr(std::string("/user/repo/resolve/main/").size()));
    if (request.path.find("00002-of") != std::string::npos) content[1000] ^= 1;
    serve_well(request, connection, content, "\"v\"");
  });
  const auto wrong = pull_hub("user/repo");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(wrong.error().to_string(), HasSubstr("00002-of-00003"));
  EXPECT_FALSE(fs::exists(local(1)));
  serve_files();
  EXPECT_TRUE(pull_hub("user/repo").ok());
}

}  // namespace
}  // namespace bulkhead::models
