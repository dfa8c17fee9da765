// SPDX-License-Identifier: MIT
// Whole repositories, from a real server that breaks off and lies.
#include "models/repository.h"

#include "base/json.h"
#include "models/model_files.h"
#include "models/pull_fixture.h"

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <string>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;
using testing::Connection;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::read_file;
using testing::Request;
using testing::serve_well;
using testing::write_file;

const std::string kCommit(40, 'c');

class RepositoryTest : public PullTest {
 protected:
  RepositoryTest() {
    environment_.manifest = Manifest();
    files_ = {{"config.json", R"({"model_type": "gemma2"})"},
              {"tokenizer.json", R"({"version": "1.0"})"},
              {"chat_template.jinja", "{{ messages }}"},
              {"tokenizer.model", "pieces"},
              {"model-00001-of-00002.safetensors", bytes_},
              {"model-00002-of-00002.safetensors", model_bytes(90'000)},
              {"model.safetensors.index.json",
               R"({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})"},
              // What no engine needs.
              {".gitattributes", "*.safetensors lfs"},
              {"README.md", "hello"},
              {"pytorch_model.bin", "pickle"},
              {"modeling.py", "import os"},
              {"consolidated.safetensors", "the same again"},
              {"original/params.json", "{}"}};
    serve_files();
  }

  // Serves `files_` as they are now: the server's threads have a copy of their own. `twist` may change what is sent for
  // a path; it gives false to let the good server answer.
  void serve_files(std::function<bool(const std::string&, const Request&, Connection&)> twist = {}) {
    serve([files = files_, twist = std::move(twist)](const Request& request, Connection& connection) {
      if (request.path == "/api/models/user/repo?blobs=true") {
        const auto body = listing(files);
        connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", body.size()), body);
        return;
      }
      const auto prefix = "/user/repo/resolve/" + kCommit + "/";
      const auto name = request.path.starts_with(prefix) ? request.path.substr(prefix.size()) : std::string();
      if (twist && twist(name, request, connection)) return;
      const auto found = files.find(name);
      if (found == files.end()) {
        connection.respond("404 Not Found", "Content-Length: 0\r\n", "");
      } else {
        serve_well(request, connection, found->second, "\"" + name + "\"");
      }
    });
  }

  static std::string listing(const std::map<std::string, std::string>& files) {
    Json siblings = Json::array();
    for (const auto& [name, content] : files) {
      Json entry = {{"rfilename", name}, {"size", content.size()}};
      if (name.ends_with(".safetensors")) entry["lfs"] = {{"sha256", sha256_hex(content)}, {"size", content.size()}};
      siblings.push_back(entry);
    }
    return Json{{"id", "user/repo"}, {"sha", kCommit}, {"siblings", siblings}}.dump();
  }

  Result<PulledModel> pull_folder(const std::string& spec = "user/repo") {
    return pull({PullRequest::Kind::kHubCheckpoint, spec}, environment_, progress_);
  }

  void expect_nothing(const Result<PulledModel>& pulled, ErrorCode code, const std::string& words) {
    ASSERT_FALSE(pulled.ok());
    EXPECT_EQ(pulled.error().code, code) << pulled.error().to_string();
    EXPECT_THAT(pulled.error().to_string(), HasSubstr(words));
    EXPECT_FALSE(fs::exists(whole_));
  }

  std::map<std::string, std::string> files_;
  fs::path whole_ = folder_ / "models/user--repo";
  fs::path staged_ = folder_ / "models/.staging/user--repo";
};

TEST_F(RepositoryTest, BringsWhatAnEngineNeedsAndNothingElse) {
  std::uint64_t last = 0;
  progress_.bytes = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_LE(done, total);
    last = done;
  };
  const auto pulled = pull_folder();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->path, whole_);
  EXPECT_TRUE(pulled->fetched);
  EXPECT_TRUE(pulled->verified);
  EXPECT_EQ(pulled->source, "hub user/repo");
  EXPECT_EQ(pulled->sha256, *model_sha256(whole_));
  EXPECT_EQ(pulled->bytes, last);
  for (const auto& [name, content] : files_) {
    const bool needed = name.starts_with("model-") || name.starts_with("model.") || name.starts_with("token") ||
                        name == "config.json" || name == "chat_template.jinja";
    EXPECT_EQ(fs::exists(whole_ / name), needed) << name;
    if (needed) {
      EXPECT_EQ(read_file(whole_ / name), content) << name;
    }
  }
  EXPECT_FALSE(fs::exists(staged_));
}

TEST_F(RepositoryTest, ASecondPullAsksNobodyAlsoWithoutANetwork) {
  ASSERT_TRUE(pull_folder().ok());
  const auto requests = server_->requests().size();
  environment_.hub_offline = true;
  const auto again = pull_folder();
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_FALSE(again->fetched);
  EXPECT_TRUE(again->verified);
  EXPECT_EQ(server_->requests().size(), requests);
  // By the name of the repository alone, too.
  EXPECT_TRUE(pull({PullRequest::Kind::kHubAny, "user/repo"}, environment_).ok());
}

TEST_F(RepositoryTest, OfflineItIsNotAskedFor) {
  environment_.hub_offline = true;
  expect_nothing(pull_folder(), ErrorCode::kRemote, "HF_HUB_OFFLINE");
  EXPECT_THAT(server_->requests(), IsEmpty());
}

TEST_F(RepositoryTest, ABrokenConnectionGoesOnWhereItStopped) {
  std::atomic<int> tries{0};
  serve_files([&](const std::string& name, const Request& request, Connection& connection) {
    if (name != "model-00001-of-00002.safetensors" || tries++ > 0) return false;
    EXPECT_TRUE(request.header("range").empty());
    connection.respond("200 OK", fmt::format("ETag: \"{}\"\r\nContent-Length: {}\r\n", name, bytes_.size()),
                       std::string_view(bytes_).substr(0, 70'000));
    connection.reset();
    return true;
  });
  const auto pulled = pull_folder();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(whole_ / "model-00001-of-00002.safetensors"), bytes_);
  EXPECT_EQ(tries.load(), 2);
}

TEST_F(RepositoryTest, ALaterPullTakesWhatAnEarlierOneLeft) {
  serve_files([](const std::string& name, const Request&, Connection& connection) {
    if (name != "model-00002-of-00002.safetensors") return false;
    connection.respond("500 No", "Content-Length: 0\r\n", "");
    return true;
  });
  expect_nothing(pull_folder(), ErrorCode::kRemote, "HTTP status 500");
  EXPECT_TRUE(fs::exists(staged_ / "whole/model-00001-of-00002.safetensors"));
  serve_files();
  ASSERT_TRUE(pull_folder().ok());
  for (const auto& request : server_->requests()) EXPECT_THAT(request.path, Not(HasSubstr("00001-of")));
}

TEST_F(RepositoryTest, WeightsOfAnotherSumAreThrownAway) {
  serve_files([&](const std::string& name, const Request&, Connection& connection) {
    if (name != "model-00001-of-00002.safetensors") return false;
    auto other = bytes_;
    other[1234] ^= 1;
    connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", other.size()), other);
    return true;
  });
  const auto pulled = pull_folder();
  expect_nothing(pulled, ErrorCode::kCorrupt, sha256_hex(bytes_));
  EXPECT_THAT(pulled.error().to_string(), HasSubstr("model-00001-of-00002.safetensors"));
  EXPECT_FALSE(fs::exists(staged_ / "model-00001-of-00002.safetensors.part"));
  serve_files();
  EXPECT_TRUE(pull_folder().ok());
}

TEST_F(RepositoryTest, AFileOfAnotherSizeThanListedIsRefused) {
  serve_files([&](const std::string& name, const Request&, Connection& connection) {
    if (name != "config.json") return false;
    connection.respond("200 OK", "Content-Length: 3\r\n", "{ }");
    return true;
  });
  expect_nothing(pull_folder(), ErrorCode::kRemote, "announces 3 bytes");
}

TEST_F(RepositoryTest, NamesThatLeadOutOfTheFolderAreRefused) {
  for (const std::string name :
       {"../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\evil.json", "./evil.json", "a//evil.json", ".."}) {
    files_[name] = "{}";
    serve_files();
    expect_nothing(pull_folder(), ErrorCode::kRemote, "no path inside a repository");
    files_.erase(name);
  }
  EXPECT_FALSE(fs::exists(folder_ / "models/evil.json"));
  EXPECT_FALSE(fs::exists(folder_ / "evil.json"));
}

TEST_F(RepositoryTest, WeightsThatTheIndexNamesMustBeThere) {
  files_.erase("model-00002-of-00002.safetensors");
  serve_files();
  expect_nothing(pull_folder(), ErrorCode::kCorrupt, "its index names model-00002-of-00002.safetensors");
  for (const auto& request : server_->requests()) EXPECT_THAT(request.path, Not(HasSubstr("00001-of")));
}

TEST_F(RepositoryTest, AGatedOneSaysWhatToDo) {
  serve_files([](const std::string& name, const Request& request, Connection& connection) {
    if (name != "config.json") return false;
    const bool known = !request.header("authorization").empty();
    connection.respond(known ? "403 Forbidden" : "401 Unauthorized", "Content-Length: 0\r\n", "");
    return true;
  });
  const auto unknown = pull_folder();
  expect_nothing(unknown, ErrorCode::kRemote, "set HF_TOKEN");
  EXPECT_THAT(unknown.error().advice, HasSubstr("accept its terms at " + environment_.hub_endpoint + "/user/repo"));
  environment_.hub_token = "hf_known";
  const auto refused = pull_folder();
  expect_nothing(refused, ErrorCode::kRemote, "with the account that the token is of");
  EXPECT_EQ(server_->requests().back().header("authorization"), "Bearer hf_known");
}

TEST_F(RepositoryTest, TwoPullsAtOnceDownloadOnce) {
  serve_files([](const std::string&, const Request&, Connection& connection) {
    connection.be_silent(std::chrono::milliseconds(50));
    return false;
  });
  auto first = std::async(std::launch::async, [&] { return pull_folder(); });
  auto second = std::async(std::launch::async, [&] { return pull_folder(); });
  const auto one = first.get();
  const auto two = second.get();
  ASSERT_TRUE(one.ok()) << one.error().to_string();
  ASSERT_TRUE(two.ok()) << two.error().to_string();
  EXPECT_NE(one->fetched, two->fetched);
  EXPECT_THAT(notes(), Contains(HasSubstr("another pull of user/repo is running")));
}

TEST_F(RepositoryTest, AFileThatWasCutIsPulledAgainAndAForeignFolderIsLeftAlone) {
  ASSERT_TRUE(pull_folder().ok());
  write_file(whole_ / "config.json", "{");
  const auto again = pull_folder();
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_TRUE(again->fetched);
  EXPECT_EQ(read_file(whole_ / "config.json"), files_["config.json"]);
  fs::remove_all(whole_);
  write_file(whole_ / "mine.txt", "mine");
  const auto refused = pull_folder();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
  EXPECT_EQ(read_file(whole_ / "mine.txt"), "mine");
}

TEST_F(RepositoryTest, PullTakesAGgufFileWhereThereIsOne) {
  files_["model-q4_k_m.gguf"] = bytes_;
  serve_files();
  const auto folder = pull_folder();
  ASSERT_TRUE(folder.ok()) << folder.error().to_string();
  EXPECT_FALSE(fs::exists(whole_ / "model-q4_k_m.gguf"));
  fs::remove_all(whole_);
  files_.erase("config.json");
  serve_files();
  expect_nothing(pull_folder(), ErrorCode::kUsage, "no config.json with weights in safetensors");
  const auto picked = pull({PullRequest::Kind::kHub, "user/repo"}, environment_, progress_);
  ASSERT_TRUE(picked.ok()) << picked.error().to_string();
  EXPECT_EQ(server_->requests().back().path, "/user/repo/resolve/" + kCommit + "/model-q4_k_m.gguf")
      << "the file that was listed, whatever main is by now";
}

}  // namespace
}  // namespace bulkhead::models
