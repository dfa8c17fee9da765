// SPDX-License-Identifier: MIT
// A hub that means harm: nothing of it leaves the models folder, is believed without a promise, or is asked for without
// an end.
#include "base/json.h"
#include "models/known_sums.h"
#include "models/model_files.h"
#include "models/pull_fixture.h"

#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <string>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;
using testing::Connection;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawHttpServer;
using testing::read_file;
using testing::Request;
using testing::serve_well;
using testing::write_file;

class HostileHub : public PullTest {
 protected:
  HostileHub() { environment_.manifest = Manifest(); }

  // A listing of one file `name`, whose content `answer` gives.
  void serve_file(const std::string& name, const Json& more, RawHttpServer::Handler answer) {
    serve([name, more, answer = std::move(answer)](const Request& request, Connection& connection) {
      if (!request.path.starts_with("/api/")) return answer(request, connection);
      Json entry = {{"rfilename", name}};
      entry.update(more);
      const auto body = json_text(Json{{"siblings", Json::array({entry})}});
      connection.respond("200 OK", fmt::format("Content-Length: {}\r\n", body.size()), body);
    });
  }

  [[nodiscard]] Json promised() const { return {{"lfs", {{"sha256", sha256_hex(bytes_)}, {"size", bytes_.size()}}}}; }

  fs::path local_ = folder_ / "models/user--repo--m-Q4_K_M.gguf";
};

TEST_F(HostileHub, ARedirectDoesNotPromiseASum) {
  auto wrong = bytes_;
  wrong[5000] ^= 1;
  const RawHttpServer content([&](const Request& request, Connection& connection) {
    serve_well(request, connection, wrong, "\"v\"", fmt::format("X-Linked-Etag: \"{}\"\r\n", sha256_hex(wrong)));
  });
  const auto redirect = [&](const std::string& headers) {
    return [&, headers](const Request&, Connection& connection) {
      connection.respond("302 Found", headers + "Location: " + content.url("/blob") + "\r\nContent-Length: 0\r\n", "");
    };
  };
  // The hub's own promise counts, whatever the other server says.
  serve_file("m-Q4_K_M.gguf", Json::object(), redirect(fmt::format("X-Linked-Etag: \"{}\"\r\n", sha256_hex(bytes_))));
  EXPECT_EQ(pull_hub("user/repo").error().code, ErrorCode::kCorrupt);
  serve_file("m-Q4_K_M.gguf", promised(), redirect(""));
  EXPECT_EQ(pull_hub("user/repo").error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(fs::exists(local_));
  // Without one the model is taken, and not called verified.
  serve_file("m-Q4_K_M.gguf", Json::object(), redirect(""));
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_FALSE(pulled->verified);
  EXPECT_FALSE(pull_hub("user/repo")->verified);
}

// Breaks off, and goes on with other bytes under the same validator: only a sum can tell.
TEST_F(HostileHub, WithoutAPromiseNothingIsPutTogetherFromPieces) {
  std::atomic<int> calls{0};
  serve_file("m-Q4_K_M.gguf", Json::object(), [&](const Request& request, Connection& connection) {
    EXPECT_EQ(request.header("range"), "");
    const auto announced = fmt::format("ETag: \"v\"\r\nContent-Length: {}\r\n", bytes_.size());
    connection.respond("200 OK", announced, std::string_view(bytes_).substr(0, ++calls < 3 ? 1000 : bytes_.size()));
  });
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(local_), bytes_);
}

// It does so each time: what fits together is not to be had from it.
TEST_F(HostileHub, PiecesThatNeverFitTogetherAreGivenUp) {
  std::atomic<int> calls{0};
  serve_file("m-Q4_K_M.gguf", promised(), [&](const Request& request, Connection& connection) {
    ++calls;
    if (!request.header("range").empty()) {
      serve_well(request, connection, std::string(bytes_.size(), 'x'), "\"v\"");
    } else {
      connection.respond("200 OK", fmt::format("ETag: \"v\"\r\nContent-Length: {}\r\n", bytes_.size()),
                         std::string_view(bytes_).substr(0, 1000));
    }
  });
  EXPECT_EQ(pull_hub("user/repo").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(calls.load(), 4);
}

TEST_F(HostileHub, NamesThatHarmATerminalOrLeadAwayAreRefused) {
  for (const std::string name : {"../m-Q4_K_M.gguf", "/m-Q4_K_M.gguf", "a/../m-Q4_K_M.gguf", "a\\m-Q4_K_M.gguf",
                                 "\x1b[31mred-Q4_K_M.gguf", "a\nb-Q4_K_M.gguf",
                                 "\xc2\x9b"
                                 "31mC1-Q4_K_M.gguf",
                                 "\xe2\x80\xae"
                                 "fugg-Q4_K_M.gguf",
                                 "\xe2\x81\xa6"
                                 "m-Q4_K_M.gguf",
                                 "\x7f-Q4_K_M.gguf", ""}) {
    serve_file(name, promised(), [](const Request&, Connection& connection) {
      connection.respond("404 No", "Content-Length: 0\r\n", "");
    });
    const auto pulled = pull_hub("user/repo");
    ASSERT_FALSE(pulled.ok()) << name;
    EXPECT_EQ(pulled.error().code, ErrorCode::kRemote) << name;
  }
  EXPECT_TRUE(!fs::exists(environment_.models_folder) || fs::is_empty(environment_.models_folder));
}

TEST_F(HostileHub, OddNamesStayInTheModelsFolder) {
  for (const std::string name : {"-rf-Q4_K_M.gguf", "~/x-Q4_K_M.gguf", ".bashrc-Q4_K_M.gguf", "a?b#c%2e%2e-Q4_K_M.gguf",
                                 "..-Q4_K_M.gguf", "$(id)-Q4_K_M.gguf", "b\xc3\xa4r-Q4_K_M.gguf"}) {
    serve_file(name, promised(), [this](const Request& request, Connection& connection) {
      serve_well(request, connection, bytes_, "\"v\"");
    });
    const auto pulled = pull_hub("user/repo:" + name);
    ASSERT_TRUE(pulled.ok()) << name << ": " << pulled.error().to_string();
    EXPECT_EQ(pulled->path.parent_path(), environment_.models_folder) << name;
    EXPECT_EQ(read_file(pulled->path), bytes_) << name;
  }
}

TEST_F(HostileHub, SizesThatNoDiskHasAreRefused) {
  serve_file("m-Q4_K_M.gguf", {{"lfs", {{"sha256", sha256_hex(bytes_)}, {"size", std::int64_t{1} << 62}}}}, {});
  EXPECT_EQ(pull_hub("user/repo").error().code, ErrorCode::kResource);
  serve_file("m-Q4_K_M.gguf", Json::object(), [this](const Request&, Connection& connection) {
    connection.respond("200 OK", "Content-Length: 9223372036854775807\r\n", bytes_);
  });
  EXPECT_EQ(pull_hub("user/repo").error().code, ErrorCode::kRemote);
  for (const auto& size : {Json(-1), Json("5"), Json(1e300)}) {
    serve_file("m-Q4_K_M.gguf", {{"size", size}}, {});
    EXPECT_EQ(pull_hub("user/repo").error().code, ErrorCode::kRemote) << json_text(size);
  }
}

TEST_F(HostileHub, AnAnswerWithoutAnEndIsGivenUp) {
  serve_file("m-Q4_K_M.gguf", Json::object(), [](const Request&, Connection& connection) {
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "100000\r\n" + std::string(0x100000, '\0') + "\r\n";
    for (int i = 0; i < 10'000 && connection.send(chunk); ++i) continue;
  });
  const auto pulled = pull_hub("user/repo");
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kRemote);
  EXPECT_THAT(pulled.error().message, HasSubstr("does not say how many"));
}

TEST_F(HostileHub, SecretsOfTheEndpointAreNeverShown) {
  serve([](const Request& request, Connection& connection) {
    const bool known = request.header("authorization") == "Basic c29tZW9uZTpzM2NyZXQ=";
    connection.respond(known ? "401 Unauthorized" : "404 No", "Content-Length: 0\r\n", "");
  });
  environment_.hub_login = "someone:s3cret";
  environment_.hub_token = "hf_t0ken";
  const auto refused = pull_hub("user/repo");
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().to_string(), HasSubstr("401"));
  EXPECT_THAT(refused.error().to_string(), Not(HasSubstr("s3cret")));
  EXPECT_THAT(refused.error().to_string(), Not(HasSubstr("t0ken")));
  EXPECT_THAT(notes(), Not(Contains(HasSubstr("s3cret"))));
}

TEST_F(HostileHub, NoLinkInTheModelsFolderIsFollowed) {
  serve_file("m-Q4_K_M.gguf", promised(), [this](const Request& request, Connection& connection) {
    serve_well(request, connection, bytes_, "\"v\"");
  });
  write_file(folder_ / "precious", bytes_);
  fs::create_directories(environment_.models_folder);
  fs::create_symlink(folder_ / "precious", local_);
  const auto pulled = pull_hub("user/repo");
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_TRUE(pulled->fetched);
  EXPECT_TRUE(is_plain_file(local_));
  fs::remove(local_);
  ASSERT_EQ(::mkfifo(local_.c_str(), 0600), 0);
  EXPECT_TRUE(pull_hub("user/repo").ok());
  EXPECT_TRUE(is_plain_file(local_));
  fs::remove(local_);
  fs::remove_all(environment_.models_folder / ".staging");
  fs::create_directories(folder_ / "elsewhere");
  fs::create_directory_symlink(folder_ / "elsewhere", environment_.models_folder / ".staging");
  const auto refused = pull_hub("user/repo");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResource);
  EXPECT_TRUE(fs::is_empty(folder_ / "elsewhere"));
}

// Each time something else lies where the part of the next pull would.
TEST_F(HostileHub, NoPartBlocksALaterPull) {
  const auto part = folder_ / "models/.staging/user--repo--m-Q4_K_M.gguf/hub.part";
  serve_file("m-Q4_K_M.gguf", promised(), [this](const Request& request, Connection& connection) {
    serve_well(request, connection, bytes_, "\"v\"");
  });
  const auto pull_again = [&] {
    fs::remove(local_);
    const auto pulled = pull_hub("user/repo");
    return pulled.ok() ? std::string() : pulled.error().to_string();
  };
  write_file(part, std::string(bytes_.size() + 5, 'x'));
  EXPECT_EQ(pull_again(), "") << "too long";
  write_file(part, bytes_.substr(0, 5000));
  write_file(part.string() + ".etag", "\"v\"\n");
  EXPECT_EQ(pull_again(), "") << "a part";
  write_file(part, "");
  EXPECT_EQ(pull_again(), "") << "empty";
  write_file(part, bytes_.substr(0, 5000));
  write_file(part.string() + ".etag", std::string(100'000, '\x01'));
  EXPECT_EQ(pull_again(), "") << "a validator that is none";
  fs::create_directories(part.parent_path());
  fs::create_symlink(folder_ / "nowhere", part);
  EXPECT_EQ(pull_again(), "") << "a link to nothing";
  fs::create_directories(part.parent_path());
  ASSERT_EQ(::mkfifo(part.c_str(), 0600), 0);
  EXPECT_EQ(pull_again(), "") << "a FIFO";
  write_file(part, std::string(bytes_.size(), 'x'));
  EXPECT_EQ(pull_again(), "") << "whole, and wrong";
}

}  // namespace
}  // namespace bulkhead::models
