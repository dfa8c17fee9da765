// SPDX-License-Identifier: MIT
// The HTTP client: small answers into memory, big files onto the disk with resume. Only http and https are spoken, and
// a redirect never leads from https to http.
//
// Thread rule: the functions may be called from any thread. Proxies are taken from the usual environment variables.
#pragma once

#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

namespace bulkhead::net {

struct HttpOptions {
  std::string bearer_token;  // sent to the host and port of the first URL only, never on to another; empty: none
  std::chrono::milliseconds connect_timeout{10'000};
  std::uint32_t stall_bytes_per_second = 1024;  // a transfer slower than this ...
  std::chrono::seconds stall_time{30};          // ... for this long is given up; also the longest wait for an answer
  std::uint32_t max_redirects = 10;
  std::stop_token stop;  // ends the call with kInterrupted within about a second
};

struct HttpResponse {
  std::string body;
  std::string url;                             // after redirects
  std::map<std::string, std::string> headers;  // lower-case names; of all hops, the last one wins
};

// GETs `url`. kRemote: no connection, a stall, a broken-off or over-long body (`limit_bytes`), any status but 200
// (named in the message). kUsage: not an http or https URL.
[[nodiscard]] Result<HttpResponse> get(const std::string& url, std::uint64_t limit_bytes,
                                       const HttpOptions& options = {});

struct DownloadOptions : HttpOptions {
  // The size the file must have, if known: a server that announces or sends another one is refused.
  std::optional<std::uint64_t> expected_bytes;
  // Called on the calling thread with the bytes on the disk and the size of the whole file (0: not known).
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

struct Downloaded {
  std::uint64_t bytes = 0;                     // size of the whole file
  std::uint64_t resumed_from = 0;              // bytes that were there before and were not fetched again
  std::map<std::string, std::string> headers;  // as in HttpResponse
};

// GETs `url` into `file`, and goes on where an earlier call broke off: the ETag of the first answer is kept in
// `file`.etag, and the rest is asked for with Range and If-Range. A server that answers with the whole file, or whose
// file has changed, makes it start from zero. Success means: the length the server announced (or `expected_bytes`) is
// what lies on the disk; `file`.etag is gone. Nothing is said about the content: check a hash.
// kRemote: no connection, a stall, a broken-off body, lengths that disagree, an HTTP status (named in the message). The
// part that arrived is kept. kResource: the file cannot be written. kInterrupted: stopped; the part is kept.
[[nodiscard]] Result<Downloaded> download(const std::string& url, const std::filesystem::path& file,
                                          const DownloadOptions& options = {});

// `text` with everything but letters, digits and "-._~/" as %XX: a path of a URL.
[[nodiscard]] std::string escape_path(const std::string& text);

}  // namespace bulkhead::net
