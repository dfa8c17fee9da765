// SPDX-License-Identifier: MIT
// Servers that mean harm, or are merely overloaded: every call ends, in time, and writes no more than was agreed.
#include "net/http_client.h"
#include "raw_http_server.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace bulkhead::net {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Connection;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RawHttpServer;
using testing::read_file;
using testing::Request;
using testing::serve_well;
using testing::TemporaryFolder;
using testing::write_file;

// Quick pauses, which `pauses` collects.
DownloadOptions patient(std::vector<milliseconds>* pauses = nullptr) {
  DownloadOptions options;
  options.stall_time = seconds(1);
  options.retry.tries = 4;
  options.retry.first_pause = milliseconds(1);
  if (pauses != nullptr) {
    options.retry.pausing = [pauses](std::string_view, milliseconds pause) { pauses->push_back(pause); };
  }
  return options;
}

class HttpRetry : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  fs::path file_ = folder_ / "model.part";
  std::string bytes_ = std::string(300'000, 'm');
  std::atomic<int> calls_{0};
};

TEST_F(HttpRetry, AnOverloadedServerIsAskedAgainAfterPausesThatGrow) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    const bool busy = ++calls_ < 4;
    connection.respond(busy ? "503 Busy" : "200 OK", busy ? "Content-Length: 0\r\n" : "Content-Length: 2\r\n",
                       busy ? "" : "ok");
  });
  std::vector<milliseconds> pauses;
  const auto response = get(server.url("/"), 100, patient(&pauses));
  ASSERT_TRUE(response.ok()) << response.error().to_string();
  EXPECT_EQ(response->body, "ok");
  EXPECT_THAT(pauses, ElementsAre(milliseconds(1), milliseconds(2), milliseconds(4)));
}

TEST_F(HttpRetry, GivesUpAfterItsTries) {
  for (const std::string status : {"408", "429", "500", "502", "503", "504"}) {
    calls_ = 0;
    const RawHttpServer server([&](const Request&, Connection& connection) {
      ++calls_;
      connection.respond(status + " No", "Content-Length: 0\r\n", "");
    });
    EXPECT_THAT(get(server.url("/"), 100, patient()).error().message, HasSubstr("HTTP status " + status));
    EXPECT_EQ(calls_.load(), 4) << status;
    EXPECT_FALSE(download(server.url("/"), file_, patient()).ok());
    EXPECT_EQ(calls_.load(), 8) << status;
  }
}

TEST_F(HttpRetry, WhatWillNotChangeIsAskedOnce) {
  for (const std::string status : {"400", "401", "403", "404", "410", "501"}) {
    calls_ = 0;
    const RawHttpServer server([&](const Request&, Connection& connection) {
      ++calls_;
      connection.respond(status + " No", "Content-Length: 0\r\n", "");
    });
    EXPECT_FALSE(get(server.url("/"), 100, patient()).ok());
    EXPECT_EQ(calls_.load(), 1) << status;
  }
}

TEST_F(HttpRetry, WaitsAsLongAsTheServerAsks) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    const bool busy = ++calls_ == 1;
    connection.respond(busy ? "429 Too Many" : "200 OK", busy ? "Retry-After: 1\r\nContent-Length: 0\r\n" : "", "");
  });
  std::vector<milliseconds> pauses;
  ASSERT_TRUE(get(server.url("/"), 100, patient(&pauses)).ok());
  EXPECT_THAT(pauses, ElementsAre(milliseconds(1000)));
}

TEST_F(HttpRetry, AServerThatAsksForTooLongIsGivenUp) {
  for (const std::string wait : {"3600", "99999999999999999999", "Fri, 31 Dec 2099 23:59:59 GMT"}) {
    calls_ = 0;
    const RawHttpServer server([&](const Request&, Connection& connection) {
      ++calls_;
      connection.respond("429 Too Many", "Retry-After: " + wait + "\r\nContent-Length: 0\r\n", "");
    });
    auto options = patient();
    options.retry.tries = 2;
    const auto response = get(server.url("/"), 100, options);
    ASSERT_FALSE(response.ok());
    const bool number = wait.size() < 20 || wait.starts_with("Fri");
    EXPECT_EQ(calls_.load(), number ? 1 : 2) << "nonsense counts as nothing: " << wait;
    EXPECT_THAT(response.error().advice, HasSubstr(number ? "the server asks to try again after" : "try again later"));
  }
}

TEST_F(HttpRetry, APauseCanBeStopped) {
  const RawHttpServer server([](const Request&, Connection& connection) {
    connection.respond("503 Busy", "Retry-After: 50\r\nContent-Length: 0\r\n", "");
  });
  std::stop_source stop;
  auto options = patient();
  options.stop = stop.get_token();
  options.retry.pausing = [&](std::string_view, milliseconds) { stop.request_stop(); };
  EXPECT_EQ(get(server.url("/"), 100, options).error().code, ErrorCode::kInterrupted);
}

// 90,096 requests in 50 s is what a server that gives one byte a time once got.
TEST_F(HttpRetry, OneByteATimeIsNoProgress) {
  const RawHttpServer server([&](const Request& request, Connection& connection) {
    const auto at = static_cast<std::size_t>(calls_++);
    EXPECT_EQ(request.header("range"), at == 0 ? "" : "bytes=" + std::to_string(at) + "-");
    const auto range = "Content-Range: bytes " + std::to_string(at) + "-299999/300000\r\n";
    connection.respond(
        at == 0 ? "200 OK" : "206 Partial Content",
        "ETag: \"v\"\r\nContent-Length: " + std::to_string(bytes_.size() - at) + "\r\n" + (at == 0 ? "" : range), "m");
  });
  const auto done = download(server.url("/"), file_, patient());
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, ErrorCode::kRemote);
  EXPECT_EQ(calls_.load(), 4);
  EXPECT_EQ(fs::file_size(file_), 4U) << "what came is kept for a later call";
}

TEST_F(HttpRetry, ALongWayInManyPiecesIsGone) {
  const RawHttpServer server([&](const Request& request, Connection& connection) {
    ++calls_;
    const auto range = request.header("range");
    const auto at = range.empty() ? std::size_t{0} : std::stoull(range.substr(6));
    const auto ranged = "Content-Range: bytes " + std::to_string(at) + "-299999/300000\r\n";
    connection.respond(
        at == 0 ? "200 OK" : "206 Partial Content",
        "ETag: \"v\"\r\nContent-Length: " + std::to_string(bytes_.size() - at) + "\r\n" + (at == 0 ? "" : ranged),
        std::string_view(bytes_).substr(at, 30'000));
  });
  auto options = patient();
  options.retry.tries = 2;
  options.retry.fruitful_bytes = 20'000;
  const auto done = download(server.url("/"), file_, options);
  ASSERT_TRUE(done.ok()) << done.error().to_string();
  EXPECT_EQ(calls_.load(), 10);
  EXPECT_EQ(read_file(file_), bytes_);
}

TEST_F(HttpRetry, WithoutResumingEachTryBeginsAnew) {
  const RawHttpServer server([&](const Request& request, Connection& connection) {
    EXPECT_EQ(request.header("range"), "");
    connection.respond("200 OK", "ETag: \"v\"\r\nContent-Length: 300000\r\n",
                       std::string_view(bytes_).substr(0, ++calls_ < 3 ? 1000 : 300'000));
  });
  write_file(file_, "left behind");
  write_file(file_.string() + ".etag", "\"v\"\n");
  auto options = patient();
  options.resume = false;
  ASSERT_TRUE(download(server.url("/"), file_, options).ok());
  EXPECT_EQ(read_file(file_), bytes_);
}

class HttpHostile : public HttpRetry {
 protected:
  // Both calls against an answer that is no good; gives what they said.
  std::vector<std::string> refusals(const RawHttpServer::Handler& handler) {
    const RawHttpServer server(handler);
    auto options = patient();
    options.retry.tries = 1;
    options.answer_time = seconds(3);
    options.most_bytes = 1'000'000;
    options.most_unannounced_bytes = 200'000;
    std::vector<std::string> said;
    const auto got = get(server.url("/"), 100'000, options);
    const auto downloaded = download(server.url("/"), file_, options);
    EXPECT_FALSE(got.ok());
    EXPECT_FALSE(downloaded.ok());
    if (!got.ok()) {
      EXPECT_EQ(got.error().code, ErrorCode::kRemote) << got.error().to_string();
      said.push_back(got.error().to_string());
    }
    if (!downloaded.ok()) {
      EXPECT_EQ(downloaded.error().code, ErrorCode::kRemote) << downloaded.error().to_string();
      said.push_back(downloaded.error().to_string());
    }
    std::error_code ignored;
    EXPECT_LE(fs::exists(file_) ? fs::file_size(file_, ignored) : 0, 1'000'000U);
    return said;
  }
};

TEST_F(HttpHostile, EndlessHeadersEnd) {
  const auto many = refusals([](const Request&, Connection& connection) {
    if (!connection.send("HTTP/1.1 200 OK\r\n")) return;
    const std::string line = "X-A: " + std::string(4000, 'y') + "\r\n";
    for (int i = 0; i < 1'000'000 && connection.send(line); ++i) continue;
  });
  for (const auto& said : many) EXPECT_THAT(said, HasSubstr("headers of the answer are longer than 262144 bytes"));
  refusals([](const Request&, Connection& connection) {
    connection.send("HTTP/1.1 200 OK\r\nX-A: " + std::string(20'000'000, 'a') + "\r\n\r\n");
  });
}

TEST_F(HttpHostile, AnswersThatAreNoHttpAreRefused) {
  for (const std::string& answer :
       {std::string("GGUF and so on"), std::string(3000, '\0'), std::string("HTTP/1.1 999999 X\r\n\r\n"),
        std::string("HTTP/9.9 200 OK\r\n\r\n"), std::string("\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello")}) {
    refusals([&](const Request&, Connection& connection) { connection.send(answer); });
  }
}

TEST_F(HttpHostile, ARedirectToNoAddressIsTheServersFault) {
  for (const std::string& place : {std::string("//"), std::string("http://"), std::string("http://["),
                                   std::string("\x01"), std::string("http://a b/")}) {
    refusals([&](const Request&, Connection& connection) {
      connection.respond("302 Found", "Location: " + place + "\r\nContent-Length: 0\r\n", "");
    });
  }
}

TEST_F(HttpHostile, NoMoreIsTakenThanAgreed) {
  const auto endless = [](const Request&, Connection& connection) {
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "10000\r\n" + std::string(0x10000, '\0') + "\r\n";
    for (int i = 0; i < 100'000 && connection.send(chunk); ++i) continue;
  };
  const auto said = refusals(endless);
  ASSERT_EQ(said.size(), 2U);
  EXPECT_THAT(said[0], HasSubstr("larger than 100000 bytes"));
  EXPECT_THAT(said[1], HasSubstr("more than 200000 bytes and does not say how many"));
  const auto huge = refusals([](const Request&, Connection& connection) {
    connection.respond("200 OK", "Content-Length: 9223372036854775807\r\n", std::string(500'000, 'x'));
  });
  EXPECT_THAT(huge.back(), HasSubstr("announces 9223372036854775807 bytes, at most 1000000 are taken"));
}

// Fast enough to be no stall, and yet without an end.
TEST_F(HttpHostile, AnAnswerThatDripsEnds) {
  const RawHttpServer server([](const Request&, Connection& connection) {
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n");
    while (connection.send(std::string(500, ' '))) connection.be_silent(milliseconds(100));
  });
  HttpOptions options;
  options.answer_time = seconds(1);
  const auto response = get(server.url("/"), 100'000, options);
  ASSERT_FALSE(response.ok());
  EXPECT_THAT(response.error().message, HasSubstr("not whole after 1 s"));
}

TEST_F(HttpHostile, HeadersThatDripAreAStall) {
  const auto said = refusals([](const Request&, Connection& connection) {
    connection.send("HTTP/1.1 200 OK\r\n");
    while (connection.send("X-A: b\r\n")) connection.be_silent(milliseconds(100));
  });
  for (const auto& one : said) EXPECT_THAT(one, HasSubstr("stalled"));
}

TEST_F(HttpHostile, ALinkOrAFifoInPlaceOfThePartIsReplaced) {
  const RawHttpServer server(
      [&](const Request& request, Connection& connection) { serve_well(request, connection, bytes_, "\"v\""); });
  write_file(folder_ / "precious", "precious");
  fs::create_symlink(folder_ / "precious", file_);
  ASSERT_TRUE(download(server.url("/"), file_, patient()).ok());
  EXPECT_FALSE(fs::is_symlink(file_));
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_EQ(read_file(folder_ / "precious"), "precious");
  fs::remove(file_);
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((file_.string() + ".etag").c_str(), 0600), 0);
  ASSERT_TRUE(download(server.url("/"), file_, patient()).ok());
  EXPECT_EQ(read_file(file_), bytes_);
}

TEST_F(HttpHostile, AValidatorThatIsNoHeaderValueIsForgotten) {
  const RawHttpServer server([&](const Request&, Connection& connection) {
    connection.respond("200 OK", "ETag: \"a\rX-Injected: 1\"\r\nContent-Length: 300000\r\n",
                       std::string_view(bytes_).substr(0, 1000));
  });
  EXPECT_FALSE(download(server.url("/"), file_, patient()).ok());
  EXPECT_FALSE(fs::exists(file_.string() + ".etag"));
  for (const auto& request : server.requests()) EXPECT_EQ(request.headers.count("x-injected"), 0U);
}

TEST_F(HttpHostile, WhatAServerSaysThatWasRedirectedToIsNotTheFirstOnesWord) {
  const RawHttpServer other([](const Request&, Connection& connection) {
    connection.respond("200 OK", "X-Linked-Etag: \"forged\"\r\nContent-Length: 2\r\n", "ok");
  });
  const RawHttpServer server([&](const Request& request, Connection& connection) {
    const std::string mine = request.path == "/a" ? "X-Linked-Etag: \"mine\"\r\n" : "";
    connection.respond("302 Found", mine + "Location: " + other.url("/b") + "\r\nContent-Length: 0\r\n", "");
  });
  EXPECT_EQ(get(server.url("/a"), 100)->first_headers.at("x-linked-etag"), "\"mine\"");
  EXPECT_EQ(get(server.url("/none"), 100)->first_headers.count("x-linked-etag"), 0U);
  const auto done = download(server.url("/a"), file_);
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(done->first_headers.at("x-linked-etag"), "\"mine\"");
}

TEST_F(HttpHostile, ALoginStaysWithItsHostAndIsNeverShown) {
  const RawHttpServer other([](const Request&, Connection& connection) { connection.respond("403 No", "", ""); });
  const RawHttpServer server([&](const Request& request, Connection& connection) {
    if (request.path == "/away") {
      connection.respond("302 Found", "Location: " + other.url("/", "localhost") + "\r\nContent-Length: 0\r\n", "");
    } else {
      connection.respond("404 No", "Content-Length: 0\r\n", "");
    }
  });
  HttpOptions options;
  options.login = "someone:s3cret";
  options.bearer_token = "hf_t0ken";
  EXPECT_FALSE(get(server.url("/"), 100, options).ok());
  EXPECT_EQ(server.requests().at(0).header("authorization"), "Basic c29tZW9uZTpzM2NyZXQ=");
  EXPECT_FALSE(get(server.url("/away"), 100, options).ok());
  EXPECT_EQ(other.requests().at(0).headers.count("authorization"), 0U);
  auto with_login = server.url("/x?sig=s1gned");
  with_login.insert(std::string("http://").size(), "someone:s3cret@");
  const auto refused = get(with_login, 100);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().place, server.url("/x"));
  for (const std::string wrong : {"ftp://a:s3cret@host/", "http://a:s3cret@127.0.0.1:1/", "a:s3cret@host"}) {
    EXPECT_THAT(get(wrong, 100).error().to_string(), Not(HasSubstr("s3cret"))) << wrong;
  }
}

TEST(ShownUrl, HasNoLoginAndNoQuery) {
  EXPECT_EQ(shown_url("https://a:b@host:1/p@q/r?token=x#y"), "https://host:1/p@q/r");
  EXPECT_EQ(shown_url("https://a@b:c@host"), "https://host");
  EXPECT_EQ(shown_url("https://host/a@b"), "https://host/a@b");
  EXPECT_EQ(shown_url("a:b@host/x"), "host/x");
  EXPECT_EQ(shown_url(""), "");
  EXPECT_EQ(login_in("https://a%3Ab:c%25@host/x"), "a:b:c%");
  EXPECT_EQ(login_in("https://host/a:b@c"), "");
  EXPECT_EQ(login_in("https://a%:b%4@host"), "a%:b%4");
}

}  // namespace
}  // namespace bulkhead::net
