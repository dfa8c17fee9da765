// SPDX-License-Identifier: MIT
#include "net/http_client.h"

#include "net/raw_http_server.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace bulkhead::net {
namespace {

using bulkhead::testing::Connection;
using bulkhead::testing::RawHttpServer;
using bulkhead::testing::read_file;
using bulkhead::testing::Request;
using bulkhead::testing::serve_well;
using bulkhead::testing::TemporaryFolder;
using bulkhead::testing::write_file;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// Bytes that differ everywhere, so that a piece put in the wrong place shows.
std::string sample(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 12345;
  for (auto& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24U);
  }
  return bytes;
}

std::string length_header(std::size_t bytes) {
  return "Content-Length: " + std::to_string(bytes) + "\r\n";
}

void expect_remote(const Result<Downloaded>& result, const std::string& words) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kRemote) << result.error().to_string();
  EXPECT_THAT(result.error().message, HasSubstr(words));
}

class HttpDownload : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "model.part";
  std::filesystem::path etag_ = folder_ / "model.part.etag";
  std::string bytes_ = sample(300'000);
};

TEST(HttpGet, ReadsBodyHeadersAndFollowsARedirect) {
  const RawHttpServer server([](const Request& request, Connection& connection) {
    if (request.path == "/old") {
      connection.respond("302 Found", "Location: /new\r\nX-Linked-Etag: \"abc\"\r\nContent-Length: 5\r\n", "moved");
    } else {
      connection.respond("200 OK", "Content-Length: 5\r\n", "hello");
    }
  });
  const auto response = get(server.url("/old"), 100);
  ASSERT_TRUE(response.ok()) << response.error().to_string();
  EXPECT_EQ(response->body, "hello");
  EXPECT_EQ(response->url, server.url("/new"));
  EXPECT_EQ(response->first_headers.at("x-linked-etag"), "\"abc\"");
  EXPECT_THAT(server.requests()[0].header("user-agent"), HasSubstr("bulkhead/"));
}

TEST(HttpGet, RefusesAnAnswerAboveTheLimit) {
  const RawHttpServer server(
      [](const Request&, Connection& connection) { connection.respond("200 OK", "", std::string(5000, 'x')); });
  const auto response = get(server.url("/"), 4999);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::kRemote);
  EXPECT_THAT(response.error().message, HasSubstr("larger than 4999 bytes"));
  EXPECT_TRUE(get(server.url("/"), 5000).ok());
}

TEST(HttpGet, NamesTheStatusAndTheServersReason) {
  const RawHttpServer server([](const Request& request, Connection& connection) {
    const auto status = request.path.substr(1) + " Reason";
    connection.respond(status, "X-Error-Message: no such model\r\nContent-Length: 2\r\n", "{}");
  });
  for (const std::string status : {"401", "404", "429", "500", "204"}) {
    const auto response = get(server.url("/" + status), 100);
    ASSERT_FALSE(response.ok()) << status;
    EXPECT_EQ(response.error().code, ErrorCode::kRemote);
    EXPECT_THAT(response.error().message, HasSubstr("HTTP status " + status + ": no such model"));
    EXPECT_EQ(response.error().place, server.url("/" + status));
  }
  EXPECT_THAT(get(server.url("/401"), 100).error().advice, HasSubstr("token"));
}

TEST(HttpGet, SpeaksNothingButHttp) {
  const TemporaryFolder folder;
  write_file(folder / "secret", "secret");
  const std::string local = "file://" + (folder / "secret").string();
  const auto direct = get(local, 100);
  ASSERT_FALSE(direct.ok());
  EXPECT_EQ(direct.error().code, ErrorCode::kUsage);
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("302 Found", "Location: " + local + "\r\nContent-Length: 0\r\n", "");
  });
  const auto redirected = get(server.url("/"), 100);
  ASSERT_FALSE(redirected.ok());
  EXPECT_EQ(redirected.error().code, ErrorCode::kRemote);
  EXPECT_THAT(redirected.error().message, HasSubstr("not allowed"));
}

TEST(HttpGet, GivesUpOnARedirectLoop) {
  const RawHttpServer server([](const Request&, Connection& connection) {
    connection.respond("302 Found", "Location: /again\r\nContent-Length: 0\r\n", "");
  });
  HttpOptions options;
  options.max_redirects = 4;
  const auto response = get(server.url("/"), 100, options);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::kRemote);
  EXPECT_THAT(response.error().message, HasSubstr("more than 4 times"));
  EXPECT_EQ(server.requests().size(), 5U);
}

TEST(HttpGet, TheTokenStaysWithItsHostAndPort) {
  const RawHttpServer other(
      [](const Request&, Connection& connection) { connection.respond("200 OK", "Content-Length: 2\r\n", "ok"); });
  const RawHttpServer server([&](const Request& request, Connection& connection) {
    std::string to = "/home";
    if (request.path == "/host") to = other.url("/", "localhost");
    if (request.path == "/port") to = other.url("/");
    if (request.path == "/home") {
      connection.respond("200 OK", "Content-Length: 2\r\n", "ok");
    } else {
      connection.respond("302 Found", "Location: " + to + "\r\nContent-Length: 0\r\n", "");
    }
  });
  HttpOptions options;
  options.bearer_token = "hf_secret";
  for (const auto* path : {"/here", "/host", "/port"}) {
    const auto response = get(server.url(path), 100, options);
    ASSERT_TRUE(response.ok()) << response.error().to_string();
  }
  const auto trusted = server.requests();
  ASSERT_EQ(trusted.size(), 4U);  // "/here" leads to a second request here
  for (const auto& request : trusted) EXPECT_EQ(request.header("authorization"), "Bearer hf_secret") << request.path;
  const auto foreign = other.requests();
  ASSERT_EQ(foreign.size(), 2U);
  for (const auto& request : foreign) EXPECT_EQ(request.headers.count("authorization"), 0U);
}

TEST(HttpGet, NamesARefusedConnection) {
  std::string url;
  {
    const RawHttpServer server([](const Request&, Connection&) {});
    url = server.url("/");
  }
  const auto response = get(url, 100);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::kRemote);
  EXPECT_EQ(response.error().place, url);
}

TEST(HttpGet, AnAnswerThatBreaksOffIsAnError) {
  const RawHttpServer server([](const Request&, Connection& connection) {
    connection.respond("200 OK", "Content-Length: 100\r\n", "only this");
  });
  const auto response = get(server.url("/"), 1000);
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().code, ErrorCode::kRemote);
  EXPECT_THAT(response.error().message, HasSubstr("broke off"));
}

TEST_F(HttpDownload, FetchesTheWholeFileAndReportsProgress) {
  const RawHttpServer server(
      [&](const Request& request, Connection& connection) { serve_well(request, connection, bytes_, "\"v1\""); });
  DownloadOptions options;
  std::vector<std::uint64_t> seen;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, bytes_.size());
    seen.push_back(done);
  };
  const auto done = download(server.url("/m"), file_, options);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->bytes, bytes_.size());
  EXPECT_EQ(done->resumed_from, 0U);
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_FALSE(std::filesystem::exists(etag_));
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), bytes_.size());
}

TEST_F(HttpDownload, GoesOnWhereItBrokeOff) {
  std::atomic<int> calls{0};
  const RawHttpServer server([&](const Request& request, Connection& connection) {
    if (calls++ == 0) {
      connection.respond("200 OK", "ETag: \"v1\"\r\n" + length_header(bytes_.size()), bytes_.substr(0, 100'000));
    } else {
      serve_well(request, connection, bytes_, "\"v1\"");
    }
  });
  const auto broken = download(server.url("/m"), file_);
  expect_remote(broken, "broke off");
  EXPECT_THAT(broken.error().advice, HasSubstr("100000 bytes are kept"));
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 100'000));
  const auto done = download(server.url("/m"), file_);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->resumed_from, 100'000U);
  EXPECT_EQ(done->bytes, bytes_.size());
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_EQ(server.requests()[1].header("range"), "bytes=100000-");
  EXPECT_EQ(server.requests()[1].header("if-range"), "\"v1\"");
}

TEST_F(HttpDownload, AResetConnectionKeepsThePart) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", "ETag: \"v1\"\r\n" + length_header(bytes_.size()), bytes_.substr(0, 1000));
    connection.be_silent(milliseconds(200));  // a reset would overtake the bytes
    connection.reset();
  });
  expect_remote(download(server.url("/m"), file_), "");
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 1000));
  EXPECT_EQ(read_file(etag_), "\"v1\"\n");
}

TEST_F(HttpDownload, StartsFromZeroWhenTheServerIgnoresRange) {
  write_file(file_, sample(50'000).substr(1));
  write_file(etag_, "\"v1\"\n");
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", "ETag: \"v1\"\r\n" + length_header(bytes_.size()), bytes_);
  });
  const auto done = download(server.url("/m"), file_);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->resumed_from, 0U);
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_EQ(server.requests()[0].header("range"), "bytes=49999-");
}

TEST_F(HttpDownload, StartsFromZeroWhenTheFileHasChanged) {
  write_file(file_, "bytes of an older file");
  write_file(etag_, "\"v1\"\n");
  const RawHttpServer server(
      [&](const Request& request, Connection& connection) { serve_well(request, connection, bytes_, "\"v2\""); });
  const auto done = download(server.url("/m"), file_);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(read_file(file_), bytes_);
}

TEST_F(HttpDownload, APartWithoutAStrongValidatorIsNotTrusted) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", "ETag: W/\"weak\"\r\n" + length_header(bytes_.size()), bytes_.substr(0, 10));
  });
  expect_remote(download(server.url("/m"), file_), "broke off");
  EXPECT_FALSE(std::filesystem::exists(etag_));
  expect_remote(download(server.url("/m"), file_), "broke off");
  EXPECT_EQ(server.requests()[1].headers.count("range"), 0U);
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 10));
}

TEST_F(HttpDownload, RefusesAnotherRangeThanItAskedFor) {
  write_file(file_, bytes_.substr(0, 1000));
  write_file(etag_, "\"v1\"\n");
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("206 Partial Content",
                       "Content-Range: bytes 500-299999/300000\r\n" + length_header(bytes_.size() - 500),
                       bytes_.substr(500));
  });
  expect_remote(download(server.url("/m"), file_), "bytes 500-299999/300000");
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 1000));
}

TEST_F(HttpDownload, APartThatIsTheWholeFileIsNotFetchedAgain) {
  write_file(file_, bytes_);
  write_file(etag_, "\"v1\"\n");
  const RawHttpServer server(
      [&](const Request& request, Connection& connection) { serve_well(request, connection, bytes_, "\"v1\""); });
  const auto done = download(server.url("/m"), file_);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(done->resumed_from, bytes_.size());
  EXPECT_EQ(read_file(file_), bytes_);
  // And with the size known, nobody is even asked.
  DownloadOptions options;
  options.expected_bytes = bytes_.size();
  ASSERT_TRUE(download(server.url("/m"), file_, options).ok());
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(HttpDownload, APartLongerThanTheFileIsThrownAway) {
  write_file(file_, bytes_ + "more");
  write_file(etag_, "\"v1\"\n");
  const RawHttpServer server(
      [&](const Request& request, Connection& connection) { serve_well(request, connection, bytes_, "\"v1\""); });
  const auto done = download(server.url("/m"), file_);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(read_file(file_), bytes_);
}

TEST_F(HttpDownload, ALengthAnnouncedTooLongIsABrokenTransfer) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", length_header(bytes_.size() + 7), bytes_);
  });
  expect_remote(download(server.url("/m"), file_), "broke off");
}

TEST_F(HttpDownload, ALengthOtherThanTheKnownOneIsRefusedBeforeTheBody) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", length_header(bytes_.size() - 7), bytes_);
  });
  DownloadOptions options;
  options.expected_bytes = bytes_.size();
  expect_remote(download(server.url("/m"), file_, options), "announces 299993 bytes, the file has 300000");
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(HttpDownload, MoreBytesThanTheKnownSizeAreRefused) {
  const RawHttpServer server(
      [&](const Request&, Connection& connection) { connection.respond("200 OK", "", bytes_ + "more"); });
  DownloadOptions options;
  options.expected_bytes = bytes_.size();
  expect_remote(download(server.url("/m"), file_, options), "more than the 300000 bytes");
  EXPECT_LE(std::filesystem::file_size(file_), bytes_.size());
}

TEST_F(HttpDownload, WithoutAnyLengthABrokenTransferCouldNotBeToldSoItIsRefused) {
  const RawHttpServer server([&](const Request&, Connection& connection) { connection.respond("200 OK", "", bytes_); });
  expect_remote(download(server.url("/m"), file_), "does not say how long");
  DownloadOptions options;
  options.expected_bytes = bytes_.size();
  EXPECT_TRUE(download(server.url("/m"), file_, options).ok());
}

TEST_F(HttpDownload, ChunksMarkTheirEnd) {
  std::atomic<bool> whole{false};
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n");
    if (whole) connection.send("6\r\n world\r\n0\r\n\r\n");
  });
  EXPECT_FALSE(download(server.url("/m"), file_).ok());
  whole = true;
  const auto done = download(server.url("/m"), file_);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(read_file(file_), "hello world");
}

TEST_F(HttpDownload, AnErrorPageNeverGetsIntoTheFile) {
  write_file(file_, bytes_.substr(0, 1000));
  write_file(etag_, "\"v1\"\n");
  const RawHttpServer server([](const Request&, Connection& connection) {
    connection.respond("500 Internal Server Error", "Content-Length: 5\r\n", "oops!");
  });
  expect_remote(download(server.url("/m"), file_), "HTTP status 500");
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 1000));
  EXPECT_EQ(read_file(etag_), "\"v1\"\n");
}

TEST_F(HttpDownload, AnEmptyFileIsAFile) {
  const RawHttpServer server(
      [](const Request&, Connection& connection) { connection.respond("200 OK", "Content-Length: 0\r\n", ""); });
  const auto done = download(server.url("/m"), file_);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(std::filesystem::file_size(file_), 0U);
}

TEST_F(HttpDownload, AStalledTransferEndsAndKeepsThePart) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", "ETag: \"v1\"\r\n" + length_header(bytes_.size()), bytes_.substr(0, 500));
    connection.be_silent(seconds(20));
  });
  DownloadOptions options;
  options.stall_time = seconds(1);
  const auto start = Clock::now();
  expect_remote(download(server.url("/m"), file_, options), "stalled");
  EXPECT_LT(Clock::now() - start, seconds(10));
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 500));
}

TEST_F(HttpDownload, AServerThatNeverAnswersIsAStallToo) {
  const RawHttpServer server([](const Request&, Connection& connection) { connection.be_silent(seconds(20)); });
  DownloadOptions options;
  options.stall_time = seconds(1);
  const auto start = Clock::now();
  expect_remote(download(server.url("/m"), file_, options), "stalled");
  EXPECT_LT(Clock::now() - start, seconds(10));
}

TEST_F(HttpDownload, CanBeStoppedAndKeepsThePart) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", "ETag: \"v1\"\r\n" + length_header(bytes_.size()), bytes_.substr(0, 2000));
    connection.be_silent(seconds(20));
  });
  std::stop_source stop;
  DownloadOptions options;
  options.stop = stop.get_token();
  options.progress = [&](std::uint64_t done, std::uint64_t) {
    if (done >= 2000) stop.request_stop();
  };
  const auto start = Clock::now();
  const auto result = download(server.url("/m"), file_, options);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kInterrupted);
  EXPECT_LT(Clock::now() - start, seconds(5));
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 2000));
}

TEST_F(HttpDownload, AFullDiskIsNotBlamedOnTheNetwork) {
  const RawHttpServer server(
      [&](const Request& request, Connection& connection) { serve_well(request, connection, bytes_, "\"v1\""); });
  const std::string url = server.url("/m");
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto result = download(url, file_);
    ::_exit(!result.ok() && result.error().code == ErrorCode::kResource && result.error().place == file_.string() ? 0
                                                                                                                  : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(read_file(file_), bytes_.substr(0, 100'000));
}

TEST(HttpEscapePath, KeepsSlashesAndEscapesTheRest) {
  EXPECT_EQ(escape_path("user/my model#1?.gguf"), "user/my%20model%231%3F.gguf");
  EXPECT_EQ(escape_path("\xC3\xA9~-._"), "%C3%A9~-._");
}

}  // namespace
}  // namespace bulkhead::net
