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
#include <string_view>

namespace bulkhead::net {

// When a call that failed is tried again: a connection that broke off or stalled, and the statuses 408, 429, 500, 502,
// 503 and 504. A connection that never came about is not.
struct RetryOptions {
  std::uint32_t tries = 1;                         // in all, in a row without `fruitful_bytes` more on the disk
  std::chrono::milliseconds first_pause{1000};     // doubled each time; longer where the server says Retry-After
  std::chrono::milliseconds longest_pause{60000};  // a server that wants a longer one is given up
  std::uint64_t fruitful_bytes = 1U << 20U;        // a try of a download that brought as many counts as none
  // Called before a pause, on the calling thread; may be empty.
  std::function<void(std::string_view why, std::chrono::milliseconds pause)> pausing;
};

struct HttpOptions {
  std::string bearer_token;  // sent to the host and port of the first URL only, never on to another; empty: none
  std::string login;         // "user:password", sent likewise, and in place of the token; empty: none
  std::chrono::milliseconds connect_timeout{10'000};
  std::uint32_t stall_bytes_per_second = 1024;  // a transfer slower than this ...
  std::chrono::seconds stall_time{30};          // ... for this long is given up; also the longest wait for an answer
  std::uint32_t max_redirects = 10;
  std::chrono::seconds answer_time{300};  // the longest that get() lets one answer take; a download has no such end
  RetryOptions retry;
  std::stop_token stop;  // ends the call with kInterrupted within about a second
};

struct HttpResponse {
  std::string body;
  std::string url;  // after redirects
  // With lower-case names: what the server that was asked says itself. What those say that it redirects to is not here.
  std::map<std::string, std::string> first_headers;
};

// GETs `url`. kRemote: no connection, a stall, a broken-off or over-long body (`limit_bytes`), endless headers, any
// status but 200 (named in the message), after the tries of options.retry. kUsage: not an http or https URL. No error
// shows a user, password or query of a URL.
[[nodiscard]] Result<HttpResponse> get(const std::string& url, std::uint64_t limit_bytes,
                                       const HttpOptions& options = {});

struct DownloadOptions : HttpOptions {
  // The size the file must have, if known: a server that announces or sends another one is refused.
  std::optional<std::uint64_t> expected_bytes;
  // If it is not known: what an answer may announce, and what one may send that announces nothing.
  std::uint64_t most_bytes = INT64_MAX;
  std::uint64_t most_unannounced_bytes = 64U << 20U;
  // Off: every try begins anew. For a file whose content nothing will be held to.
  bool resume = true;
  // Called on the calling thread with the bytes on the disk and the size of the whole file (0: not known).
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

struct Downloaded {
  std::uint64_t bytes = 0;                           // size of the whole file
  std::uint64_t resumed_from = 0;                    // bytes that were there before and were not fetched again
  std::map<std::string, std::string> first_headers;  // as in HttpResponse
};

// GETs `url` into `file`, and goes on where an earlier call broke off: the ETag of the first answer is kept in
// `file`.etag, and the rest is asked for with Range and If-Range. A server that answers with the whole file, or whose
// file has changed, makes it start from zero. Success means: the length the server announced (or `expected_bytes`) is
// what lies on the disk; `file`.etag is gone. Nothing is said about the content: check a hash.
// kRemote: no connection, a stall, a broken-off body, lengths that disagree or are too large, an HTTP status (named in
// the message), after the tries of options.retry. The part that arrived is kept. kResource: the file cannot be written,
// kInterrupted: stopped; the part is kept. A symbolic link or a FIFO in place of `file` is removed.
[[nodiscard]] Result<Downloaded> download(const std::string& url, const std::filesystem::path& file,
                                          const DownloadOptions& options = {});

// `text` with everything but letters, digits and "-._~/" as %XX: a path of a URL.
[[nodiscard]] std::string escape_path(const std::string& text);

// `url` as it may be shown: without user, password and query.
[[nodiscard]] std::string shown_url(std::string_view url);

// "user:password" of `url`, its %XX decoded; empty when it has none.
[[nodiscard]] std::string login_in(std::string_view url);

}  // namespace bulkhead::net
