// SPDX-License-Identifier: MIT
#include "models/known_sums.h"
#include "models/model_files.h"
#include "models/pull_fixture.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <stop_token>
#include <string>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Connection;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::RawHttpServer;
using testing::read_file;
using testing::Request;
using testing::serve_well;
using testing::write_file;

using PullHubSource = PullTest;

TEST_F(PullHubSource, BringsTheFileUnderItsNameAndNothingElse) {
  know_model(kHub);
  serve_model();
  std::uint64_t last = 0;
  progress_.bytes = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_EQ(total, bytes_.size());
    last = done;
  };
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->path, file_);
  EXPECT_EQ(pulled->sha256, sha256_hex(bytes_));
  EXPECT_EQ(pulled->bytes, bytes_.size());
  EXPECT_TRUE(pulled->verified);
  EXPECT_TRUE(pulled->fetched);
  EXPECT_EQ(pulled->source, "hub user/repo");
  EXPECT_EQ(last, bytes_.size());
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_FALSE(fs::exists(part_.parent_path()));
  EXPECT_EQ(server_->requests()[0].path, "/user/repo/resolve/main/sub/tiny.gguf");
  EXPECT_EQ(*find_model("tiny", environment_), file_);
}

TEST_F(PullHubSource, ASecondPullAsksNobody) {
  know_model(kHub);
  serve_model();
  ASSERT_TRUE(pull_tiny().ok());
  const auto again = pull_tiny();
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->fetched);
  EXPECT_TRUE(again->verified);
  EXPECT_EQ(server_->requests().size(), 1U);
}

TEST_F(PullHubSource, TheSumIsNotComputedAgainForAnUnchangedFile) {
  know_model(kHub);
  serve_model();
  ASSERT_TRUE(pull_tiny().ok());
  int hashed = 0;
  const auto sum = sum_of_file(file_, [&](std::uint64_t) { ++hashed; });
  ASSERT_TRUE(sum.ok());
  EXPECT_EQ(sum->sha256, sha256_hex(bytes_));
  EXPECT_TRUE(sum->verified);
  EXPECT_EQ(hashed, 0);
}

TEST_F(PullHubSource, GoesOnWithinOnePullAfterABrokenConnection) {
  know_model(kHub);
  std::atomic<int> calls{0};
  serve([&](const Request& request, Connection& connection) {
    const auto pieces = static_cast<std::size_t>(++calls);
    if (pieces == 1) {
      connection.respond("200 OK", fmt::format("ETag: \"v1\"\r\nContent-Length: {}\r\n", bytes_.size()),
                         bytes_.substr(0, 70'000));
    } else if (pieces == 2) {
      connection.respond("206 Partial Content",
                         fmt::format("ETag: \"v1\"\r\nContent-Length: {}\r\nContent-Range: bytes 70000-{}/{}\r\n",
                                     bytes_.size() - 70'000, bytes_.size() - 1, bytes_.size()),
                         bytes_.substr(70'000, 50'000));
    } else {
      serve_well(request, connection, bytes_, "\"v1\"");
    }
  });
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(file_), bytes_);
  ASSERT_EQ(server_->requests().size(), 3U);
  EXPECT_EQ(server_->requests()[2].header("range"), "bytes=120000-");
}

TEST_F(PullHubSource, ALaterPullGoesOnWhereAnEarlierOneGaveUp) {
  know_model(kHub);
  std::atomic<bool> mended{false};
  serve([&](const Request& request, Connection& connection) {
    if (mended) {
      serve_well(request, connection, bytes_, "\"v1\"");
    } else if (request.header("range").empty()) {
      connection.respond("200 OK", fmt::format("ETag: \"v1\"\r\nContent-Length: {}\r\n", bytes_.size()),
                         bytes_.substr(0, 70'000));
    } else {
      connection.respond("503 Service Unavailable", "Content-Length: 0\r\n", "");
    }
  });
  expect_failure(pull_tiny(), ErrorCode::kRemote, "HTTP status 503");
  EXPECT_EQ(fs::file_size(part_), 70'000U);
  mended = true;
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_EQ(server_->requests().back().header("range"), "bytes=70000-");
}

TEST_F(PullHubSource, WrongBytesNeverGetTheName) {
  know_model(kHub);
  auto wrong = bytes_;
  wrong[100'000] = static_cast<char>(wrong[100'000] ^ 1);
  serve([&](const Request& request, Connection& connection) { serve_well(request, connection, wrong, "\"v1\""); });
  const auto pulled = pull_tiny();
  expect_failure(pulled, ErrorCode::kCorrupt, sha256_hex(wrong));
  ASSERT_FALSE(pulled.ok());
  EXPECT_THAT(pulled.error().message, HasSubstr(sha256_hex(bytes_)));
  EXPECT_FALSE(fs::exists(part_));
  // The bad bytes are gone, so a mended server is asked from the beginning.
  serve_model();
  EXPECT_TRUE(pull_tiny().ok());
}

TEST_F(PullHubSource, APartThatWentBadOnTheDiskIsNotTrusted) {
  know_model(kHub);
  serve_model();
  write_file(part_, std::string(50'000, 'x'));
  write_file(part_.string() + ".etag", "\"v1\"\n");
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_THAT(notes(), Contains(HasSubstr("beginning anew")));
}

TEST_F(PullHubSource, LengthsThatLieAreFoundOut) {
  know_model(kHub);
  for (const int more : {-5, 5}) {
    serve([&](const Request&, Connection& connection) {
      connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", static_cast<int>(bytes_.size()) + more),
                         bytes_);
    });
    expect_failure(pull_tiny(), ErrorCode::kRemote,
                   fmt::format("announces {} bytes", static_cast<int>(bytes_.size()) + more));
  }
}

TEST_F(PullHubSource, AServerThatIgnoresRangeIsReadFromTheBeginning) {
  know_model(kHub);
  write_file(part_, bytes_.substr(0, 1000));
  write_file(part_.string() + ".etag", "\"v1\"\n");
  serve([&](const Request&, Connection& connection) {
    connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", bytes_.size()), bytes_);
  });
  ASSERT_TRUE(pull_tiny().ok());
  EXPECT_EQ(read_file(file_), bytes_);
}

TEST_F(PullHubSource, StatusErrorsAndRedirectLoopsAreNamed) {
  know_model(kHub);
  for (const std::string status : {"404", "500"}) {
    serve([&](const Request&, Connection& connection) {
      connection.respond(status + " No", "Content-Length: 6\r\n", "<html>");
    });
    expect_failure(pull_tiny(), ErrorCode::kRemote, "HTTP status " + status);
  }
  serve([](const Request& request, Connection& connection) {
    connection.respond("302 Found", "Location: " + request.path + "\r\nContent-Length: 0\r\n", "");
  });
  expect_failure(pull_tiny(), ErrorCode::kRemote, "redirects more than 10 times");
}

TEST_F(PullHubSource, AGatedModelComesWithTheAdviceToSetAToken) {
  know_model(kHub);
  serve([](const Request& request, Connection& connection) {
    const bool known = request.header("authorization") == "Bearer good";
    connection.respond(known ? "403 Forbidden" : "401 Unauthorized", "Content-Length: 0\r\n", "");
  });
  expect_failure(pull_tiny(), ErrorCode::kRemote, "set HF_TOKEN");
  environment_.hub_token = "good";
  const auto refused = pull_tiny();
  expect_failure(refused, ErrorCode::kRemote, "HTTP status 403");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().to_string().find("HF_TOKEN"), std::string::npos);
}

TEST_F(PullHubSource, TheTokenDoesNotFollowToTheContentServer) {
  know_model(kHub);
  const RawHttpServer content(
      [&](const Request& request, Connection& connection) { serve_well(request, connection, bytes_, "\"v1\""); });
  serve([&](const Request&, Connection& connection) {
    connection.respond("302 Found", "Location: " + content.url("/blob", "localhost") + "\r\nContent-Length: 0\r\n", "");
  });
  environment_.hub_token = "hf_secret";
  ASSERT_TRUE(pull_tiny().ok());
  EXPECT_EQ(server_->requests().at(0).header("authorization"), "Bearer hf_secret");
  EXPECT_EQ(content.requests().at(0).headers.count("authorization"), 0U);
}

TEST_F(PullHubSource, AStallEndsInAnError) {
  know_model(kHub);
  serve([&](const Request&, Connection& connection) {
    connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", bytes_.size()), "");
    connection.be_silent(seconds(20));
  });
  expect_failure(pull_tiny(), ErrorCode::kRemote, "stalled");
}

TEST_F(PullHubSource, StoppingKeepsThePart) {
  know_model(kHub);
  serve([&](const Request&, Connection& connection) {
    connection.respond("200 OK", fmt::format("ETag: \"v1\"\r\nContent-Length: {}\r\n", bytes_.size()),
                       bytes_.substr(0, 5000));
    connection.be_silent(seconds(20));
  });
  std::stop_source stop;
  progress_.bytes = [&](std::uint64_t done, std::uint64_t) {
    if (done >= 5000) stop.request_stop();
  };
  expect_failure(pull_tiny(stop.get_token()), ErrorCode::kInterrupted, "stopped");
  EXPECT_EQ(read_file(part_), bytes_.substr(0, 5000));
}

TEST_F(PullHubSource, TwoPullsAtOnceDownloadOnce) {
  know_model(kHub);
  serve([&](const Request& request, Connection& connection) {
    connection.be_silent(milliseconds(300));
    serve_well(request, connection, bytes_, "\"v1\"");
  });
  auto first = std::async(std::launch::async, [&] { return pull_tiny(); });
  auto second = std::async(std::launch::async, [&] { return pull_tiny(); });
  const auto one = first.get();
  const auto two = second.get();
  ASSERT_TRUE(one.ok()) << one.error().to_string();
  ASSERT_TRUE(two.ok()) << two.error().to_string();
  EXPECT_NE(one->fetched, two->fetched);
  EXPECT_EQ(server_->requests().size(), 1U);
  EXPECT_THAT(notes(), Contains(HasSubstr("another pull of tiny is running")));
}

TEST_F(PullHubSource, AFileWithAWrongSumIsReplaced) {
  know_model(kHub);
  serve_model();
  write_file(file_, std::string(bytes_.size(), 'x'));
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_TRUE(pulled->fetched);
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_THAT(notes(), Contains(HasSubstr("pulling it again")));
}

TEST_F(PullHubSource, AFileWithAWrongSumStaysWhenNothingBetterCanBeHad) {
  know_model(kHub);
  environment_.hub_offline = true;
  write_file(file_, "short");
  EXPECT_FALSE(pull_tiny().ok());
  EXPECT_EQ(read_file(file_), "short");
}

TEST_F(PullHubSource, SaysByHowMuchTheDiskIsTooSmall) {
  constexpr std::uint64_t kHuge = 1ULL << 50U;
  know_model(kHub, kHuge);
  serve_model();
  const auto pulled = pull_tiny();
  expect_failure(pulled, ErrorCode::kResource, "tiny needs 1125899906842624 more bytes");
  ASSERT_FALSE(pulled.ok());
  EXPECT_THAT(pulled.error().message, HasSubstr("too few"));
  EXPECT_THAT(pulled.error().advice, HasSubstr("BULKHEAD_MODELS"));
  EXPECT_TRUE(server_->requests().empty());
}

TEST_F(PullHubSource, AModelsFolderThatIsAFileIsNamed) {
  know_model(kHub);
  serve_model();
  write_file(folder_ / "models", "a file");
  expect_failure(pull_tiny(), ErrorCode::kResource, "models");
  EXPECT_TRUE(server_->requests().empty());
}

TEST_F(PullHubSource, OfflineAsksNoHub) {
  know_model(kHub);
  serve_model();
  environment_.hub_offline = true;
  expect_failure(pull_tiny(), ErrorCode::kRemote, "HF_HUB_OFFLINE");
  EXPECT_TRUE(server_->requests().empty());
  // What is here already needs no network.
  write_file(file_, bytes_);
  EXPECT_TRUE(pull_tiny().ok());
}

TEST_F(PullHubSource, AFailingSourceIsFollowedByTheNextWithItsReason) {
  know_model(R"({"kind": "hub", "repo": "user/gone", "file": "tiny.gguf"}, )" + std::string(kHub));
  serve([&](const Request& request, Connection& connection) {
    if (request.path.starts_with("/user/gone")) {
      connection.respond("404 Not Found", "Content-Length: 0\r\n", "");
    } else {
      serve_well(request, connection, bytes_, "\"v1\"");
    }
  });
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->source, "hub user/repo");
  EXPECT_THAT(notes(), Contains(HasSubstr("HTTP status 404")));
}

TEST_F(PullHubSource, WhenAllFailThereIsALineForEach) {
  know_model(R"({"kind": "hub", "repo": "user/gone", "file": "tiny.gguf"}, )" + std::string(kHub));
  serve([](const Request& request, Connection& connection) {
    const bool gone = request.path.starts_with("/user/gone");
    connection.respond(gone ? "404 Not Found" : "500 Oops", "Content-Length: 0\r\n", "");
  });
  const auto pulled = pull_tiny();
  expect_failure(pulled, ErrorCode::kRemote, "any of its 2 sources");
  ASSERT_FALSE(pulled.ok());
  EXPECT_THAT(pulled.error().message, HasSubstr("\n  hub user/gone: "));
  EXPECT_THAT(pulled.error().message, HasSubstr("\n  hub user/repo: "));
}

// The hub's own answers, for repositories the manifest does not know.
class PullHubRepository : public PullTest {
 protected:
  PullHubRepository() { environment_.manifest = Manifest(); }

  void serve_repository(const std::string& lfs, const std::string& more_headers = "") {
    serve([this, lfs, more_headers](const Request& request, Connection& connection) {
      if (request.path == "/api/models/user/repo?blobs=true") {
        const auto body = fmt::format(R"({{"id": "user/repo", "siblings": [{{"rfilename": "README.md", "size": 5}},
          {{"rfilename": "m-q4_k_m.gguf", "size": {}{}}}, {{"rfilename": "m-q8_0.gguf", "size": 9}}]}})",
                                      bytes_.size(), lfs);
        connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", body.size()), body);
      } else if (request.path == "/user/repo/resolve/main/m-q4_k_m.gguf") {
        serve_well(request, connection, bytes_, "\"v1\"", more_headers);
      } else {
        connection.respond("404 Not Found", "Content-Length: 0\r\n", "");
      }
    });
  }

  fs::path local_ = folder_ / "models/user--repo--m-q4_k_m.gguf";
};

TEST_F(PullHubRepository, PicksTheQuantAndChecksTheHubsSum) {
  serve_repository(fmt::format(R"(, "lfs": {{"sha256": "{}", "size": {}}})", sha256_hex(bytes_), bytes_.size()));
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->path, local_);
  EXPECT_TRUE(pulled->verified);
  EXPECT_EQ(read_file(local_), bytes_);
  // A second time, and without a network, nobody is asked.
  const auto requests = server_->requests().size();
  environment_.hub_offline = true;
  const auto again = pull_hub("user/repo:Q4_K_M");
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(again->path, local_);
  EXPECT_FALSE(again->fetched);
  EXPECT_TRUE(again->verified);
  EXPECT_EQ(server_->requests().size(), requests);
}

TEST_F(PullHubRepository, AWrongSumIsRefused) {
  serve_repository(fmt::format(R"(, "lfs": {{"oid": "{}"}})", std::string(64, '0')));
  const auto pulled = pull_hub("user/repo:q4_k_m");
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(pulled.error().message, HasSubstr(sha256_hex(bytes_)));
  EXPECT_THAT(pulled.error().message, HasSubstr(std::string(64, '0')));
  EXPECT_FALSE(fs::exists(local_));
}

TEST_F(PullHubRepository, TakesTheSumFromTheLinkedEtag) {
  serve_repository("", fmt::format("X-Linked-Etag: \"{}\"\r\n", std::string(64, '1')));
  EXPECT_EQ(pull_hub("user/repo").error().code, ErrorCode::kCorrupt);
  serve_repository("", fmt::format("X-Linked-Etag: \"{}\"\r\n", sha256_hex(bytes_)));
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_TRUE(pulled->verified);
}

TEST_F(PullHubRepository, WithoutAnySumItSaysUnverified) {
  serve_repository("");
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_FALSE(pulled->verified);
  EXPECT_EQ(pulled->sha256, sha256_hex(bytes_));
  EXPECT_THAT(notes(), Contains(HasSubstr("unverified")));
  EXPECT_FALSE(pull_hub("user/repo")->verified);
}

TEST_F(PullHubRepository, WithoutAnySumItMustAtLeastBeGguf) {
  bytes_ = "<html>a page</html>";
  serve_repository("");
  const auto pulled = pull_hub("user/repo");
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(fs::exists(local_));
}

TEST_F(PullHubRepository, AQuantThatIsNotThereComesWithThoseThatAre) {
  serve_repository("");
  const auto pulled = pull_hub("user/repo:Q2_K");
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kUsage);
  EXPECT_THAT(pulled.error().advice, HasSubstr("m-q4_k_m.gguf, m-q8_0.gguf"));
}

TEST_F(PullHubRepository, AnAnswerThatMakesNoSenseIsTheHubsFault) {
  for (const std::string body : {"<html>", "{}", R"({"siblings": 3})", R"({"siblings": [{"size": 1}]})"}) {
    serve([body](const Request&, Connection& connection) {
      connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", body.size()), body);
    });
    const auto pulled = pull_hub("user/repo");
    ASSERT_FALSE(pulled.ok()) << body;
    EXPECT_EQ(pulled.error().code, ErrorCode::kRemote) << body;
  }
}

TEST_F(PullHubRepository, OfflineAndUnknownRepositoriesAreNamed) {
  serve_repository("");
  const auto unknown = pull_hub("user/other");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kRemote);
  EXPECT_THAT(unknown.error().message, HasSubstr("404"));
  environment_.hub_offline = true;
  const auto offline = pull_hub("user/repo");
  ASSERT_FALSE(offline.ok());
  EXPECT_EQ(offline.error().code, ErrorCode::kRemote);
  EXPECT_THAT(offline.error().message, HasSubstr("HF_HUB_OFFLINE"));
  EXPECT_EQ(pull_hub("not a repo").error().code, ErrorCode::kUsage);
}

TEST_F(PullHubRepository, ARepositoryOfTheManifestIsItsModel) {
  know_model(R"({"kind": "hub", "repo": "user/repo", "file": "m-q4_k_m.gguf"})");
  serve_repository("");
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->path, file_);
  EXPECT_TRUE(pulled->verified);
}

TEST_F(PullTest, AFileIsCheckedAndStaysWhereItIs) {
  const auto own = folder_ / "own.gguf";
  write_file(own, bytes_);
  const auto pulled = pull({PullRequest::Kind::kNameOrFile, own.string()}, environment_);
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(pulled->path, own);
  EXPECT_EQ(pulled->sha256, sha256_hex(bytes_));
  EXPECT_FALSE(pulled->verified);
  EXPECT_FALSE(fs::exists(environment_.models_folder));
  write_file(own, "not a model");
  const auto wrong = pull({PullRequest::Kind::kNameOrFile, own.string()}, environment_);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
}

TEST_F(PullTest, AnUnknownNameIsAUsageErrorWithTheKnownOnes) {
  const auto pulled = pull({PullRequest::Kind::kNameOrFile, "nosuch"}, environment_);
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kUsage);
  EXPECT_THAT(pulled.error().advice, HasSubstr("qwen2.5-coder-0.5b, qwen2.5-coder-1.5b, gemma-3-270m"));
  const auto repo = pull({PullRequest::Kind::kNameOrFile, "user/repo:Q8_0"}, environment_);
  ASSERT_FALSE(repo.ok());
  EXPECT_THAT(repo.error().advice, HasSubstr("-hf user/repo:Q8_0"));
}

}  // namespace
}  // namespace bulkhead::models
