// SPDX-License-Identifier: MIT
// What the tests of pulling share: a models folder, a model of a few bytes, a manifest that knows it, a server.
#pragma once

#include "base/hash.h"
#include "models/pull.h"
#include "net/raw_http_server.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::models {

inline std::string model_bytes(std::size_t size) {
  std::string bytes = "GGUF";
  std::uint32_t state = 99;
  while (bytes.size() < size) {
    state = state * 1664525U + 1013904223U;
    bytes += static_cast<char>(state >> 24U);
  }
  return bytes;
}

class PullTest : public ::testing::Test {
 protected:
  ~PullTest() override { cache_ ? ::setenv("XDG_CACHE_HOME", cache_->c_str(), 1) : ::unsetenv("XDG_CACHE_HOME"); }
  PullTest() {
    environment_.models_folder = folder_ / "models";
    environment_.http.stall_time = std::chrono::seconds(1);
    environment_.http.retry.first_pause = std::chrono::milliseconds(1);
    ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);  // where sums are kept
    progress_.note = [this](std::string_view line) {
      const std::lock_guard guard(mutex_);
      notes_.emplace_back(line);
    };
  }

  // A manifest of one model, `name`, with the sum and size of bytes_.
  void know_model(const std::string& sources, std::optional<std::uint64_t> bytes = std::nullopt) {
    auto manifest = Manifest::parse(fmt::format(R"({{"models": [{{"name": "tiny", "file": "tiny.gguf", "bytes": {},
      "sha256": "{}", "licence": "MIT", "sources": [{}]}}]}})",
                                                bytes.value_or(bytes_.size()), sha256_hex(bytes_), sources),
                                    "test manifest");
    ASSERT_TRUE(manifest.ok()) << manifest.error().to_string();
    environment_.manifest = *manifest;
  }

  void serve(testing::RawHttpServer::Handler handler) {
    server_ = std::make_unique<testing::RawHttpServer>(std::move(handler));
    environment_.hub_endpoint = server_->url();
  }

  void serve_model() {
    serve([this](const testing::Request& request, testing::Connection& connection) {
      serve_well(request, connection, bytes_, "\"v1\"");
    });
  }

  Result<PulledModel> pull_tiny(const std::stop_token& stop = {}) {
    return pull({PullRequest::Kind::kNameOrFile, "tiny"}, environment_, progress_, stop);
  }

  Result<PulledModel> pull_hub(const std::string& spec) {
    return pull({PullRequest::Kind::kHub, spec}, environment_, progress_);
  }

  // A pull that failed must leave no file under the final name.
  void expect_failure(const Result<PulledModel>& pulled, ErrorCode code, const std::string& words) {
    ASSERT_FALSE(pulled.ok());
    EXPECT_EQ(pulled.error().code, code) << pulled.error().to_string();
    EXPECT_THAT(pulled.error().to_string(), ::testing::HasSubstr(words));
    EXPECT_FALSE(std::filesystem::exists(file_));
  }

  [[nodiscard]] std::vector<std::string> notes() {
    const std::lock_guard guard(mutex_);
    return notes_;
  }

  static constexpr const char* kHub = R"({"kind": "hub", "repo": "user/repo", "file": "sub/tiny.gguf"})";

  std::optional<std::string> cache_ = std::getenv("XDG_CACHE_HOME") == nullptr
                                          ? std::nullopt
                                          : std::optional<std::string>(std::getenv("XDG_CACHE_HOME"));
  testing::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "models/tiny.gguf";
  std::filesystem::path part_ = folder_ / "models/.staging/tiny.gguf/hub.part";
  std::string bytes_ = model_bytes(200'000);
  Environment environment_;
  PullProgress progress_;
  std::unique_ptr<testing::RawHttpServer> server_;

 private:
  std::mutex mutex_;
  std::vector<std::string> notes_;
};

}  // namespace bulkhead::models
