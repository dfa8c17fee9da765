// SPDX-License-Identifier: MIT
#include "net/http_client.h"

#include "net/part_file.h"

#include <bulkhead/version.h>

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <condition_variable>
#include <ctime>
#include <memory>
#include <mutex>
#include <string_view>
#include <utility>

namespace bulkhead::net {
namespace {

using Headers = std::map<std::string, std::string>;

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::optional<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "bytes 5-9/10" -> start 5, total 10; "bytes */10" -> total 10.
struct ContentRange {
  std::optional<std::uint64_t> start;
  std::optional<std::uint64_t> total;
};

ContentRange parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const auto slash = text.find('/');
  if (!text.starts_with(kUnit) || slash == std::string_view::npos) return {};
  const auto range = text.substr(kUnit.size(), slash - kUnit.size());
  return {parse_count(range.substr(0, range.find('-'))), parse_count(text.substr(slash + 1))};
}

Error remote(std::string message, const std::string& url, std::string advice = {}) {
  return Error{ErrorCode::kRemote, std::move(message), shown_url(url), std::move(advice)};
}

Error status_error(long status, const Headers& headers, const std::string& url) {
  auto message = fmt::format("the server answers with HTTP status {}", status);
  if (const auto found = headers.find("x-error-message"); found != headers.end()) message += ": " + found->second;
  std::string advice;
  if (status == 401 || status == 403) advice = "it may need a token, or the acceptance of a licence";
  if (status == 429 || status >= 500) advice = "try again later";
  return remote(std::move(message), url, std::move(advice));
}

// Of all hops of one transfer; real servers need some kilobytes.
constexpr std::uint64_t kMostHeaderBytes = 256U << 10U;

// What the callbacks of one transfer share. libcurl calls them on the thread of curl_easy_perform.
struct Transfer {
  CURL* handle = nullptr;
  const HttpOptions* options = nullptr;
  Headers last_hop;
  Headers first_hop;
  bool first_hop_ended = false;
  bool headers_ended = false;      // of the last hop
  std::uint64_t header_bytes = 0;  // of all hops
  std::optional<Error> error;      // why a callback stopped the transfer
  std::function<bool(std::string_view)> on_body;
  std::function<void(std::uint64_t)> on_progress;
  bool bounded = false;  // by options.answer_time
  // How it ended: filled in by run().
  CURLcode outcome = CURLE_OK;
  long ended_with = 0;  // the last status
  bool was_connected = false;

  [[nodiscard]] long status() const {
    long code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }
};

std::size_t receive_header(char* data, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  transfer.header_bytes += line.size();
  if (transfer.header_bytes > kMostHeaderBytes) {
    transfer.error = remote(fmt::format("the headers of the answer are longer than {} bytes", kMostHeaderBytes), "");
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    transfer.last_hop.clear();
    transfer.headers_ended = false;
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    transfer.last_hop[lower(trimmed(line.substr(0, colon)))] = trimmed(line.substr(colon + 1));
  } else if (trimmed(line).empty()) {
    transfer.headers_ended = true;
    if (!transfer.first_hop_ended && transfer.status() >= 200) transfer.first_hop = transfer.last_hop;
    transfer.first_hop_ended = transfer.first_hop_ended || transfer.status() >= 200;
  }
  return size * count;
}

std::size_t receive_body(char* data, std::size_t size, std::size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view bytes(data, size * count);
  // Anything but the full count makes libcurl stop with CURLE_WRITE_ERROR.
  return transfer.on_body(bytes) ? bytes.size() : bytes.size() + 1;
}

int watch(void* user, curl_off_t /*total*/, curl_off_t now, curl_off_t /*upload_total*/,
          curl_off_t /*upload*/) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.options->stop.stop_requested()) return 1;
  if (transfer.on_progress) transfer.on_progress(static_cast<std::uint64_t>(now));
  return 0;
}

struct HandleCleanup {
  void operator()(CURL* handle) const noexcept { curl_easy_cleanup(handle); }
};
struct ListCleanup {
  void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
};
using HandlePtr = std::unique_ptr<CURL, HandleCleanup>;
using ListPtr = std::unique_ptr<curl_slist, ListCleanup>;

void set_protocols(CURL* handle, bool secure) {
  // A redirect from https to http would show the request to everyone on the way.
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
#else
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS,
                   static_cast<long>(secure ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

Result<HandlePtr> open_handle(const std::string& url, Transfer& transfer) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::string scheme = lower(url.substr(0, url.find(':')));
  if (scheme != "http" && scheme != "https") {
    return Error{ErrorCode::kUsage, "not an http or https address", shown_url(url), {}};
  }
  HandlePtr handle(ready == CURLE_OK ? curl_easy_init() : nullptr);
  if (!handle) return Error{ErrorCode::kResource, "libcurl cannot start", shown_url(url), {}};
  const HttpOptions& options = *transfer.options;
  CURL* h = handle.get();
  const std::string agent = fmt::format("bulkhead/{}", version());
  curl_easy_setopt(h, CURLOPT_URL, url.c_str());
  curl_easy_setopt(h, CURLOPT_USERAGENT, agent.c_str());
  curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(h, CURLOPT_MAXREDIRS, static_cast<long>(options.max_redirects));
  curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(options.stall_bytes_per_second));
  curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_time.count()));
  set_protocols(h, scheme == "https");
  curl_easy_setopt(h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's are not the server's
  if (!options.login.empty()) {
    curl_easy_setopt(h, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(h, CURLOPT_USERPWD, options.login.c_str());
    curl_easy_setopt(h, CURLOPT_UNRESTRICTED_AUTH, 0L);
  } else if (!options.bearer_token.empty()) {
    // libcurl drops these credentials when a redirect leads to another host, port or protocol.
    curl_easy_setopt(h, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(h, CURLOPT_XOAUTH2_BEARER, options.bearer_token.c_str());
    curl_easy_setopt(h, CURLOPT_UNRESTRICTED_AUTH, 0L);
  }
  curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, &receive_header);
  curl_easy_setopt(h, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, &receive_body);
  curl_easy_setopt(h, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, &watch);
  curl_easy_setopt(h, CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
  transfer.handle = h;
  return handle;
}

CURLcode run(Transfer& transfer) {
  transfer.outcome = curl_easy_perform(transfer.handle);
  transfer.ended_with = transfer.status();
  double connected_s = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_CONNECT_TIME, &connected_s);
  transfer.was_connected = connected_s > 0;
  return transfer.outcome;
}

// An error of a callback, which does not know the address.
Error at(Error error, const std::string& url) {
  if (error.place.empty()) error.place = shown_url(url);
  return error;
}

Error curl_error(CURLcode code, const Transfer& transfer, const std::string& url) {
  const HttpOptions& options = *transfer.options;
  switch (code) {
    case CURLE_URL_MALFORMAT:
      if (transfer.ended_with != 0) return remote("the server redirects to something that is no address", url);
      return Error{ErrorCode::kUsage, "not a valid address", shown_url(url), {}};
    case CURLE_ABORTED_BY_CALLBACK:
      return Error{ErrorCode::kInterrupted, "the transfer was stopped", shown_url(url), {}};
    case CURLE_TOO_MANY_REDIRECTS:
      return remote(fmt::format("the server redirects more than {} times", options.max_redirects), url);
    case CURLE_UNSUPPORTED_PROTOCOL: return remote("the server redirects to a protocol that is not allowed", url);
    case CURLE_PARTIAL_FILE: return remote("the connection broke off before the whole answer had come", url);
    case CURLE_OPERATION_TIMEDOUT: {
      if (!transfer.was_connected) {
        return remote(fmt::format("no connection within {} ms", options.connect_timeout.count()), url);
      }
      double taken_s = 0;
      curl_easy_getinfo(transfer.handle, CURLINFO_TOTAL_TIME, &taken_s);
      constexpr double kClock = 0.1;  // libcurl's two clocks do not start at once
      if (transfer.bounded && taken_s + kClock >= static_cast<double>(options.answer_time.count())) {
        return remote(fmt::format("the answer was not whole after {} s", options.answer_time.count()), url);
      }
      return remote(fmt::format("the transfer stalled: less than {} bytes/s for {} s", options.stall_bytes_per_second,
                                options.stall_time.count()),
                    url);
    }
    default: return remote(curl_easy_strerror(code), url);
  }
}

// One attempt at a download. kRestart: the part on the disk is of no use, try once more without it.
class Download {
 public:
  enum class Outcome { kDone, kRestart };

  Download(const std::string& url, const std::filesystem::path& file, const DownloadOptions& options)
      : url_(url), options_(options), part_(file) {}

  Result<Outcome> perform() {
    transfer_.options = &options_;
    transfer_.on_body = [this](std::string_view bytes) { return stop_on(take(bytes)); };
    transfer_.on_progress = [this](std::uint64_t) { report(); };
    BH_TRY(const auto handle, open_handle(url_, transfer_));
    const ListPtr range = ask_for_rest();
    if (range) curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, range.get());
    const CURLcode code = run(transfer_);
    if (const auto outcome = settle_unsatisfiable_range()) return *outcome;
    if (transfer_.error) return with_kept(at(*transfer_.error, url_));
    if (!begun_ && transfer_.status() >= 400) return status_error(transfer_.status(), transfer_.last_hop, url_);
    if (code != CURLE_OK) return with_kept(curl_error(code, transfer_, url_));
    if (!begun_) BH_CHECK(begin());  // an empty body
    if (total_ && done_ != *total_) {
      return with_kept(remote(fmt::format("the answer ended after {} of {} bytes", done_, *total_), url_));
    }
    return finish();
  }

  [[nodiscard]] Downloaded result() const { return {done_, resumed_from_, transfer_.first_hop}; }
  [[nodiscard]] const Transfer& transfer() const noexcept { return transfer_; }
  [[nodiscard]] PartFile& part() noexcept { return part_; }

 private:
  ListPtr ask_for_rest() {
    const std::string etag = part_.etag();
    asked_from_ = etag.empty() ? 0 : part_.size();
    if (asked_from_ == 0) return nullptr;
    ListPtr headers(curl_slist_append(nullptr, fmt::format("Range: bytes={}-", asked_from_).c_str()));
    curl_slist_append(headers.get(), ("If-Range: " + etag).c_str());
    return headers;
  }

  // 416: the part is the whole file already, or longer than the file.
  std::optional<Outcome> settle_unsatisfiable_range() {
    if (asked_from_ == 0 || transfer_.status() != 416) return std::nullopt;
    const auto total = parse_content_range(header("content-range")).total;
    if (total != asked_from_ || (options_.expected_bytes && total != options_.expected_bytes)) return Outcome::kRestart;
    done_ = resumed_from_ = asked_from_;
    if (!part_.finish().ok()) return Outcome::kRestart;
    return Outcome::kDone;
  }

  Result<Outcome> finish() {
    BH_CHECK(part_.finish());
    total_ = done_;
    report();
    return Outcome::kDone;
  }

  // Called with the first byte of the body: now the headers are known.
  Result<void> begin() {
    begun_ = true;
    const long status = transfer_.status();
    if (status != 200 && status != 206) return status_error(status, transfer_.last_hop, url_);
    BH_CHECK(check_announced(status));
    BH_CHECK(part_.open());
    if (status == 200) return part_.restart(header("etag"));
    done_ = resumed_from_ = asked_from_;
    return {};
  }

  Result<void> check_announced(long status) {
    const auto length = parse_count(header("content-length"));
    std::optional<std::uint64_t> announced = length;
    if (status == 206) {
      const auto range = parse_content_range(header("content-range"));
      if (!range.start || *range.start != asked_from_ || asked_from_ == 0) {
        return remote(fmt::format("asked for the bytes from {}, the server answers with \"{}\"", asked_from_,
                                  header("content-range")),
                      url_);
      }
      announced = range.total;
      if (!announced && length) announced = asked_from_ + *length;
    }
    if (announced && options_.expected_bytes && announced != options_.expected_bytes) {
      return remote(fmt::format("the server announces {} bytes, the file has {}", *announced, *options_.expected_bytes),
                    url_);
    }
    total_ = options_.expected_bytes ? options_.expected_bytes : announced;
    if (total_ && !options_.expected_bytes && *total_ > options_.most_bytes) {
      return remote(fmt::format("the server announces {} bytes, at most {} are taken", *total_, options_.most_bytes),
                    url_);
    }
    if (!total_ && !end_is_marked()) {
      return remote("the server does not say how long the file is, so a broken-off transfer could not be told", url_);
    }
    return {};
  }

  // Without a length, only chunks and HTTP/2 frames tell a whole body from a broken-off one.
  [[nodiscard]] bool end_is_marked() const {
    long http = 0;
    curl_easy_getinfo(transfer_.handle, CURLINFO_HTTP_VERSION, &http);
    return lower(header("transfer-encoding")).find("chunked") != std::string::npos || http >= CURL_HTTP_VERSION_2_0;
  }

  Result<void> take(std::string_view bytes) {
    if (!begun_) BH_CHECK(begin());
    if (total_ && done_ + bytes.size() > *total_) {
      return remote(fmt::format("the server sends more than the {} bytes of the file", *total_), url_);
    }
    if (!total_ && done_ + bytes.size() > options_.most_unannounced_bytes) {
      return remote(fmt::format("the server sends more than {} bytes and does not say how many there will be",
                                options_.most_unannounced_bytes),
                    url_);
    }
    BH_CHECK(part_.append(bytes));
    done_ += bytes.size();
    return {};
  }

  bool stop_on(const Result<void>& result) {
    if (result.ok()) return true;
    transfer_.error = result.error();
    return false;
  }

  void report() const {
    if (begun_ && !transfer_.error && options_.progress) options_.progress(done_, total_.value_or(0));
  }

  [[nodiscard]] Error with_kept(Error error) const {
    const auto kept = part_.size();
    if (error.advice.empty() && kept > 0 && !part_.etag().empty()) {
      error.advice = fmt::format("{} bytes are kept; a second try goes on from there", kept);
    }
    return error;
  }

  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = transfer_.last_hop.find(name);
    return found == transfer_.last_hop.end() ? std::string() : found->second;
  }

  const std::string& url_;
  const DownloadOptions& options_;
  PartFile part_;
  Transfer transfer_;
  bool begun_ = false;
  std::uint64_t asked_from_ = 0;
  std::uint64_t resumed_from_ = 0;
  std::uint64_t done_ = 0;
  std::optional<std::uint64_t> total_;
};

// Whether another try may bring what this one did not.
bool is_passing(const Error& error, const Transfer& transfer) {
  if (error.code != ErrorCode::kRemote || transfer.handle == nullptr) return false;
  const long status = transfer.ended_with;
  constexpr std::array<long, 6> kPassing = {408, 429, 500, 502, 503, 504};
  if (status >= 400) return std::find(kPassing.begin(), kPassing.end(), status) != kPassing.end();
  constexpr std::array<CURLcode, 7> kBroken = {CURLE_PARTIAL_FILE,      CURLE_RECV_ERROR,   CURLE_SEND_ERROR,
                                               CURLE_GOT_NOTHING,       CURLE_HTTP2_STREAM, CURLE_HTTP2,
                                               CURLE_OPERATION_TIMEDOUT};
  return transfer.was_connected && std::find(kBroken.begin(), kBroken.end(), transfer.outcome) != kBroken.end();
}

// "120", or a date.
std::optional<std::chrono::seconds> retry_after(const Headers& headers) {
  const auto found = headers.find("retry-after");
  if (found == headers.end()) return std::nullopt;
  if (const auto seconds = parse_count(found->second)) {
    return std::chrono::seconds(std::min<std::uint64_t>(*seconds, INT32_MAX));
  }
  const auto date = curl_getdate(found->second.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::chrono::seconds(std::max<std::int64_t>(0, std::int64_t{date} - std::time(nullptr)));
}

// How often and after which pauses one call is tried again.
class Patience {
 public:
  explicit Patience(const HttpOptions& options) : options_(&options), pause_(options.retry.first_pause) {}

  // The last try brought enough to begin counting anew.
  void renew() {
    tries_ = 0;
    pause_ = options_->retry.first_pause;
  }

  // Waits, or gives `error` back when there is nothing to wait for. kInterrupted when stopped meanwhile.
  Result<void> pause_after(const Error& error, const Transfer& transfer) {
    if (++tries_ >= options_->retry.tries || !is_passing(error, transfer)) return error;
    const auto wanted = retry_after(transfer.last_hop);
    if (wanted && *wanted > options_->retry.longest_pause) {
      Error given_up = error;
      given_up.advice = fmt::format("the server asks to try again after {} s", wanted->count());
      return given_up;
    }
    const auto pause = std::min(options_->retry.longest_pause,
                                std::max(pause_, std::chrono::milliseconds(wanted.value_or(std::chrono::seconds(0)))));
    pause_ *= 2;
    if (options_->retry.pausing) options_->retry.pausing(error.message, pause);
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any().wait_for(lock, options_->stop, pause, [] { return false; });
    if (!options_->stop.stop_requested()) return {};
    return Error{ErrorCode::kInterrupted, "the transfer was stopped", error.place, {}};
  }

 private:
  const HttpOptions* options_;
  std::uint32_t tries_ = 0;  // in a row that brought nothing
  std::chrono::milliseconds pause_;
};

Result<HttpResponse> get_once(const std::string& url, std::uint64_t limit_bytes, Transfer& transfer) {
  HttpResponse response;
  transfer.on_body = [&](std::string_view bytes) {
    if (response.body.size() + bytes.size() > limit_bytes) {
      transfer.error = remote(fmt::format("the answer is larger than {} bytes", limit_bytes), url);
      return false;
    }
    response.body += bytes;
    return true;
  };
  BH_TRY(const auto handle, open_handle(url, transfer));
  curl_easy_setopt(handle.get(), CURLOPT_TIMEOUT, static_cast<long>(transfer.options->answer_time.count()));
  const CURLcode code = run(transfer);
  // The status says more than the trouble a long error page made.
  const long status = transfer.ended_with;
  if (status >= 400 && (code == CURLE_OK || transfer.error)) return status_error(status, transfer.last_hop, url);
  if (transfer.error) return at(*transfer.error, url);
  if (code != CURLE_OK) return curl_error(code, transfer, url);
  if (status != 200) return status_error(status, transfer.last_hop, url);
  const auto length = transfer.last_hop.find("content-length");
  if (!transfer.headers_ended || (length != transfer.last_hop.end() && !parse_count(length->second))) {
    return remote("the answer's headers make no sense, or break off", url);
  }
  const char* last_url = nullptr;
  curl_easy_getinfo(handle.get(), CURLINFO_EFFECTIVE_URL, &last_url);
  response.url = last_url != nullptr ? last_url : url;
  response.first_headers = std::move(transfer.first_hop);
  return response;
}

}  // namespace

Result<HttpResponse> get(const std::string& url, std::uint64_t limit_bytes, const HttpOptions& options) {
  Patience patience(options);
  for (;;) {
    Transfer transfer;
    transfer.options = &options;
    transfer.bounded = true;
    auto response = get_once(url, limit_bytes, transfer);
    if (response.ok()) return response;
    BH_CHECK(patience.pause_after(response.error(), transfer));
  }
}

Result<Downloaded> download(const std::string& url, const std::filesystem::path& file, const DownloadOptions& options) {
  Patience patience(options);
  bool started_anew = false;
  for (;;) {
    Download attempt(url, file, options);
    const std::uint64_t there = attempt.part().size();
    if (!options.resume) {
      attempt.part().discard();
    } else if (options.expected_bytes && there > 0 && there == *options.expected_bytes) {
      BH_CHECK(attempt.part().finish());
      return Downloaded{there, there, {}};
    }
    if (options.expected_bytes && there > *options.expected_bytes) attempt.part().discard();
    const auto outcome = attempt.perform();
    if (!outcome.ok()) {
      const auto now = attempt.part().size();
      if (now >= there + options.retry.fruitful_bytes) patience.renew();
      BH_CHECK(patience.pause_after(outcome.error(), attempt.transfer()));
      continue;
    }
    if (*outcome == Download::Outcome::kDone) return attempt.result();
    if (std::exchange(started_anew, true)) return remote("the server refuses to send the file from the beginning", url);
    attempt.part().discard();
  }
}

std::string escape_path(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        byte < 0x80 && (std::isalnum(byte) != 0 || std::string_view("-._~/").find(c) != std::string_view::npos);
    if (plain) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", static_cast<unsigned>(byte));
    }
  }
  return escaped;
}

namespace {

// Where in `url` "user:password@" stands: its begin and its length, 0 when there is none.
std::pair<std::size_t, std::size_t> login_place(std::string_view url) {
  const auto scheme = url.find("://");
  const auto begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const auto server = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  const auto at = server.rfind('@');
  return {begin, at == std::string_view::npos ? 0 : at + 1};
}

}  // namespace

std::string shown_url(std::string_view url) {
  const auto [begin, length] = login_place(url);
  std::string shown(url);
  shown.erase(begin, length);
  return shown.substr(0, shown.find_first_of("?#"));
}

std::string login_in(std::string_view url) {
  const auto [begin, length] = login_place(url);
  if (length == 0) return {};
  const auto text = url.substr(begin, length - 1);
  std::string login;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    const auto digits = text.substr(i + 1, 2);
    const auto* end = digits.data() + digits.size();
    if (text[i] == '%' && digits.size() == 2 && std::from_chars(digits.data(), end, byte, 16).ptr == end) {
      login += static_cast<char>(byte);
      i += 2;
    } else {
      login += text[i];
    }
  }
  return login;
}

}  // namespace bulkhead::net
