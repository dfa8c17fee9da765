// SPDX-License-Identifier: MIT
#include "serve/http_server.h"

#include "base/console.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/http_impl.h"
#include "serve/unix_socket.h"

#include <fmt/format.h>

#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <exception>
#include <random>
#include <tuple>
#include <utility>

namespace bulkhead::serve {
namespace {

// In the same time whatever the texts are, as long as they are equally long.
bool equal_in_constant_time(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (static_cast<unsigned char>(one[i] ^ other[i])));
  }
  return difference == 0;
}

std::string owner_by(const std::string& key_hash) {
  return key_hash.substr(0, 16);
}

std::string key_of(const httplib::Request& request) {
  constexpr std::string_view kBearer = "Bearer ";
  const auto bearer = request.get_header_value("Authorization");
  if (bearer.starts_with(kBearer)) return bearer.substr(kBearer.size());
  return request.get_header_value("X-Api-Key");
}

// A browser says which page asks. What another site's page sends would be done although it never sees the answer.
// Without TLS here a proxy may have ended it, so that the scheme says nothing.
bool is_of_another_origin(const httplib::Request& request, bool tls) {
  const auto origin = request.get_header_value("Origin");
  if (origin.empty()) return false;
  const auto scheme = origin.find("://");
  if (scheme == std::string::npos || (tls && origin.substr(0, scheme) != "https")) return true;
  return origin.substr(scheme + 3) != request.get_header_value("Host");
}

// Whether a path is one of a pattern: a part that begins with ':' stands for any.
bool is_path_of(std::string_view pattern, std::string_view path) {
  for (;;) {
    const auto part = pattern.substr(0, pattern.find('/'));
    const auto its = path.substr(0, path.find('/'));
    if (!part.starts_with(':') && part != its) return false;
    const bool is_last = part.size() == pattern.size();
    if (is_last || its.size() == path.size()) return is_last && its.size() == path.size();
    pattern.remove_prefix(part.size() + 1);
    path.remove_prefix(its.size() + 1);
  }
}

// What httplib answers by itself, in words.
std::string reason_of_status(int status) {
  switch (status) {
    case 400: return "the request is no proper HTTP, or its headers are too large";
    case 404: return "there is no such route";
    case 405: return "this route does not take that method";
    case 413: return "the body is too large";
    case 414: return "the address is too long";
    case 431: return "the headers are too large";
    default: return httplib::status_message(status);
  }
}

bool is_unix_socket(const ServerOptions& options) {
  return options.host.ends_with(".sock");
}

// A key that is locked must not make OpenSSL ask whoever sits at the terminal.
constexpr const char* kNobodysPassword = " ";

std::unique_ptr<httplib::Server> make_listener(const ServerOptions& options) {
  if (options.tls_key.empty()) return std::make_unique<httplib::Server>();
  return std::make_unique<httplib::SSLServer>(options.tls_certificate.c_str(), options.tls_key.c_str(), nullptr,
                                              nullptr, kNobodysPassword);
}

// A file with a block of this kind in PEM.
Result<void> check_pem(const std::string& path, std::string_view kind) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 20U;
  BH_TRY(const auto text, read_text_file(path, kMost));
  const auto begin = text.find("-----BEGIN ");
  if (begin != std::string::npos && text.find(fmt::format("{}-----", kind), begin) != std::string::npos) return {};
  return Error{ErrorCode::kBadInput, fmt::format("there is no {} in PEM in this file", kind), path, {}};
}

}  // namespace

Identity identity_of(const httplib::Request& request, const Json& body) {
  const auto lower = [](std::string text) {
    for (auto& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  };
  return identify(
      [&](std::string_view name) -> std::optional<std::string> {
        for (const auto& [key, value] : request.headers) {
          if (lower(key) == name) return value;
        }
        return std::nullopt;
      },
      body);
}

HttpServer::Impl::Impl(Service& its_service, const Embedder* its_embedder, ServerOptions its_options)
    : service(its_service),
      embedder(its_embedder),
      options(std::move(its_options)),
      listener(make_listener(options)),
      http(*listener) {
  for (const auto& key : options.api_keys) key_hashes.push_back(sha256_hex(key));
  if (options.owner_bytes > 0) {
    const desk::Budget budget{.kv_bytes = options.owner_bytes};
    if (key_hashes.empty()) service.set_budget("", budget);
    for (const auto& hash : key_hashes) service.set_budget(owner_by(hash), budget);
  }
  std::random_device random;
  boot = fmt::format("{:08x}", random());
  add_limits();
  add_plain_routes();
  add_partition_routes();
  add_text_routes();
  add_response_routes();
  add_run_routes();
  add_page_routes();
}

std::optional<std::string> HttpServer::Impl::owner_of(const Request& request) const {
  if (key_hashes.empty()) return std::string();
  const auto hash = sha256_hex(key_of(request));
  std::optional<std::string> owner;
  for (const auto& known : key_hashes) {
    if (equal_in_constant_time(known, hash)) owner = owner_by(known);
  }
  return owner;
}

std::int64_t HttpServer::Impl::now() const {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

std::string HttpServer::Impl::new_id(std::string_view prefix) {
  return fmt::format("{}{}{}", prefix, boot, ++ids);
}

std::optional<ApiError> HttpServer::Impl::check_model(const std::string& name) const {
  if (name.empty() || name == "default" || name == options.model_name) return std::nullopt;
  if (std::find(options.aliases.begin(), options.aliases.end(), name) != options.aliases.end()) return std::nullopt;
  return ApiError{.status = 404,
                  .type = "not_found_error",
                  .message = fmt::format("there is no model '{}' here; there is '{}'", name, options.model_name),
                  .param = "model",
                  .more = {{"code", "model_not_found"}}};
}

void HttpServer::Impl::send(Response& response, const Json& body, int status) {
  response.status = status;
  response.set_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  response.set_content(json_text(body), "application/json; charset=utf-8");
}

void HttpServer::Impl::count(const ApiError& error, bool has_left) {
  auto& counters = service.counters();
  ++(has_left ? counters.cancelled : error.status < 500 ? counters.refused : counters.failed);
}

void HttpServer::Impl::send(const Request& request, Response& response, const ApiError& error) {
  const auto& form = request.path.starts_with("/v1/messages") ? messages_form() : chat_form();
  count(error, error.status == 503 && is_gone(request));
  if (error.status == 429) response.set_header("Retry-After", "1");
  send(response, form.error(error), error.status);
}

std::optional<Json> HttpServer::Impl::body_of(const Request& request, Response& response) {
  auto body = parse_json(request.body, "body");
  if (body.ok() && body.value().is_object()) return std::move(body).value();
  send(request, response, invalid_request(body.ok() ? "the body must be a JSON object" : body.error().to_string()));
  return std::nullopt;
}

// What comes before every route. False: it is answered.
bool HttpServer::Impl::admit(const Request& request, Response& response) {
  const auto named = request.get_header_value("X-Request-Id");
  constexpr std::size_t kLongestId = 256;
  response.set_header("X-Request-Id", named.empty() || named.size() > kLongestId ? new_id("req-") : named);
  const auto methods = allowed(request.path);
  if (request.method == "OPTIONS") {  // no other origin is allowed: browsers read that from what is not there
    response.status = 204;
    response.set_header("Allow", methods.empty() ? "GET, HEAD, POST, DELETE, OPTIONS" : methods);
    return false;
  }
  const bool page = is_page(request.path);  // the same for everybody; the frame of a report asks without an origin
  if (!page && is_of_another_origin(request, !options.tls_key.empty())) {
    send(request, response,
         ApiError{.status = 403, .type = "permission_error", .message = "pages of another origin may not ask here"});
    return false;
  }
  const bool open = page || request.path == "/health" || request.path == "/v1/health";
  if (!open && !owner_of(request)) {
    response.set_header("WWW-Authenticate", "Bearer");
    send(request, response, ApiError{.status = 401, .type = "authentication_error", .message = "invalid API key"});
    return false;
  }
  if (methods.empty() || (", " + methods + ',').find(", " + request.method + ',') != std::string::npos) return true;
  response.set_header("Allow", methods);
  send(request, response, ApiError{.status = 405, .type = "invalid_request_error", .message = reason_of_status(405)});
  return false;
}

void HttpServer::Impl::on_get(const std::string& path, httplib::Server::Handler handler) {
  routes.emplace_back(path, "GET, HEAD");
  http.Get(path, std::move(handler));
}

void HttpServer::Impl::on_post(const std::string& path, httplib::Server::Handler handler) {
  routes.emplace_back(path, "POST");
  http.Post(path, std::move(handler));
}

void HttpServer::Impl::on_delete(const std::string& path, httplib::Server::Handler handler) {
  routes.emplace_back(path, "DELETE");
  http.Delete(path, std::move(handler));
}

std::string HttpServer::Impl::allowed(std::string_view path) const {
  std::string methods;
  for (const auto& [pattern, method] : routes) {
    if (is_path_of(pattern, path)) methods += method + ", ";
  }
  return methods.empty() ? methods : methods + "OPTIONS";
}

void HttpServer::Impl::add_limits() {
  const auto threads = std::size_t{options.most_requests} + 64;
  http.new_task_queue = [threads] { return new httplib::ThreadPool(8, threads, threads); };  // NOLINT: httplib owns it
  // Not httplib's own, which let a second server take the same port.
  http.set_socket_options([](socket_t socket) { httplib::set_socket_opt(socket, SOL_SOCKET, SO_REUSEADDR, 1); });
  http.set_tcp_nodelay(true);  // else a token waits until the client has acknowledged the one before: up to 40 ms
  http.set_payload_max_length(options.body_bytes);
  http.set_read_timeout(std::min(options.timeout, std::chrono::seconds(30)));  // of a body that does not come
  http.set_write_timeout(options.timeout);
  http.set_default_headers({{"X-Content-Type-Options", "nosniff"},
                            {"Cache-Control", "no-store"},
                            {"Referrer-Policy", "no-referrer"},
                            {"X-Frame-Options", "DENY"},
                            {"Cross-Origin-Resource-Policy", "same-origin"}});
  http.set_pre_routing_handler([this](const Request& request, Response& response) {
    return admit(request, response) ? httplib::Server::HandlerResponse::Unhandled
                                    : httplib::Server::HandlerResponse::Handled;
  });
  http.set_error_handler([this](const Request& request, Response& response) {
    if (!response.body.empty()) return;
    const auto status = response.status;
    send(request, response,
         ApiError{.status = status,
                  .type = status < 500 ? "invalid_request_error" : "server_error",
                  .message = reason_of_status(status)});
  });
  http.set_exception_handler([this](const Request& request, Response& response, std::exception_ptr thrown) {
    try {
      std::rethrow_exception(std::move(thrown));
    } catch (const std::exception& failure) {
      log::get().error("a request failed: {}", failure.what());
    } catch (...) {
      log::get().error("a request failed");
    }
    send(request, response, ApiError{.message = "the server failed; its log says more"});
  });
  if (!options.log_requests) return;
  http.set_logger([](const Request& request, const Response& response) {
    console::say("{}", json_text({{"method", request.method},
                                  {"path", request.path},
                                  {"status", response.status},
                                  {"request_id", response.get_header_value("X-Request-Id")}}));
  });
}

Result<void> check_tls(const ServerOptions& options) {
  const auto& [certificate, key] = std::tie(options.tls_certificate, options.tls_key);
  if (certificate.empty() && key.empty()) return {};
  if (certificate.empty() || key.empty()) {
    return Error{ErrorCode::kUsage, "TLS needs a certificate and its key", "--ssl-cert-file, --ssl-key-file",
                 "name both files, or none"};
  }
  if (is_unix_socket(options)) {
    return Error{ErrorCode::kUsage, "a Unix socket is served without TLS", "--host", "leave out the certificate"};
  }
  BH_CHECK(check_pem(certificate, "CERTIFICATE"));
  BH_CHECK(check_pem(key, "PRIVATE KEY"));
  const httplib::SSLServer tried(certificate.c_str(), key.c_str(), nullptr, nullptr, kNobodysPassword);
  // httplib brings OpenSSL's functions. A key of another kind than the certificate's is found by this one alone.
  if (tried.is_valid() && SSL_CTX_check_private_key(static_cast<SSL_CTX*>(tried.tls_context())) == 1) return {};
  const auto code = tried.is_valid() ? ERR_get_error() : static_cast<unsigned>(tried.ssl_last_error());
  ERR_clear_error();
  const auto* reason = ERR_reason_error_string(code);
  const std::string_view why = reason == nullptr ? "OpenSSL refuses them" : reason;
  return Error{ErrorCode::kBadInput, fmt::format("certificate and key cannot be used together: {}", why), key,
               "they must belong to each other, and the key must have no password"};
}

HttpServer::HttpServer(Service& service, const Embedder* embedder, ServerOptions options)
    : impl_(std::make_unique<Impl>(service, embedder, std::move(options))) {}

HttpServer::~HttpServer() {
  stop();
  if (impl_->socket_path.empty()) return;
  // Its own by now, unless the next server has been there already.
  if (const auto folder = SocketFolder::hold(impl_->socket_path); folder.ok()) {
    static_cast<void>(folder.value().clear());
  }
}

Result<int> HttpServer::bind() {
  auto& http = impl_->http;
  const auto& host = impl_->options.host;
  BH_CHECK(check_tls(impl_->options));  // again: the files may have changed since
  if (!http.is_valid()) {
    return Error{ErrorCode::kBadInput, "the certificate or its key cannot be used", impl_->options.tls_key, {}};
  }
  if (is_unix_socket(impl_->options)) {
    BH_TRY(const auto folder, SocketFolder::hold(host));
    BH_CHECK(folder.clear());
    impl_->socket_path = host;
    http.set_address_family(AF_UNIX);
    if (http.bind_to_port(host, 80)) return 0;
  } else if (impl_->options.port == 0) {
    if (const int port = http.bind_to_any_port(host); port > 0) return port;
  } else if (http.bind_to_port(host, impl_->options.port)) {
    return impl_->options.port;
  }
  return Error{ErrorCode::kResource, fmt::format("cannot listen on {}:{}", host, impl_->options.port), "--host, --port",
               "take another port, or 0 for any free one"};
}

Result<void> HttpServer::serve() {
  if (impl_->http.listen_after_bind()) return {};
  return Error{ErrorCode::kInternal, "the server stopped listening", {}, {}};
}

void HttpServer::stop() {
  impl_->stopping.request_stop();
  impl_->http.stop();
}

}  // namespace bulkhead::serve
