// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/session.h"
#include "engines/builtin.h"
#include "serve/http_server.h"
#include "serve/service.h"

#include <bulkhead/embedder.h>

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <stop_token>
#include <utility>

namespace bulkhead::cli {
namespace {

struct ServeFlags {
  CommonFlags common;
  ModelFlags model;
  serve::ServerOptions server;
  serve::Limits limits;
  std::string key_file;
  std::string embedding_model;
  std::int64_t timeout = 600;
  std::int64_t ping = 30;
  std::int64_t deadline = 0;
  std::uint64_t owner_memory = 0;  // MiB
  bool json_log = false;
};

Result<void> read_key_file(const std::string& path, std::vector<std::string>& keys) {
  BH_TRY(const auto text, read_text_file(path, std::uint64_t{1} << 20U));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && line.front() != '#') keys.push_back(line);
  }
  if (!keys.empty()) return {};
  return Error{ErrorCode::kBadInput, "the file holds no key", path, "one key a line"};
}

std::string address_of(const serve::ServerOptions& options, int port) {
  if (options.host.ends_with(".sock")) return "unix:" + options.host;
  const bool is_v6 = options.host.find(':') != std::string::npos;
  const auto* scheme = options.tls_key.empty() ? "http" : "https";
  return fmt::format("{}://{}:{}", scheme, is_v6 ? '[' + options.host + ']' : options.host, port);
}

Result<void> serve(ServeFlags& flags) {
  auto& options = flags.server;
  std::erase(options.api_keys, "");  // an empty variable is none
  if (!flags.key_file.empty()) BH_CHECK(read_key_file(flags.key_file, options.api_keys));
  BH_CHECK(serve::check_tls(options));
  options.timeout = std::chrono::seconds(flags.timeout);
  options.ping = flags.ping < 0 ? std::chrono::hours(24) : std::chrono::seconds(flags.ping);
  options.deadline = std::chrono::seconds(flags.deadline);
  options.owner_bytes = flags.owner_memory << 20U;
  options.log_requests = flags.json_log;
  if (!options.aliases.empty()) {
    options.model_name = options.aliases.front();
    options.aliases.erase(options.aliases.begin());
  }
  BH_TRY(const auto model, flags.model.resolve());
  if (options.model_name.empty()) options.model_name = std::filesystem::path(model.path).stem().string();
  if (options.model_name.empty()) options.model_name = model.engine;
  std::optional<Embedder> embedder;
  if (!flags.embedding_model.empty()) {
    BH_TRY(auto loaded, Embedder::load(flags.embedding_model, model.threads));
    embedder.emplace(std::move(loaded));
  }
  BH_TRY(auto engine, engines::builtin_engines().make(model));
  serve::Service service(std::move(engine), flags.limits);
  serve::HttpServer server(service, embedder ? &*embedder : nullptr, options);
  BH_TRY(const auto port, server.bind());
  const std::stop_callback on_signal(stop_on_signal(), [&] { server.stop(); });
  if (options.api_keys.empty()) console::say("no API key is set: everybody who can connect is the same owner");
  // The one line of stdout: whoever started the server waits for it.
  const auto address = address_of(options, port);
  console::print_data(flags.common.json ? json_text({{"listening", address}, {"model", options.model_name}}) + '\n'
                                        : fmt::format("listening on {}\n", address));
  BH_CHECK(console::arrived());
  BH_CHECK(server.serve());
  if (stop_on_signal().stop_requested()) console::say("stopped: requests that were running were cancelled");
  return {};
}

void add_serve_flags(CLI::App& app, ServeFlags& flags) {
  auto& server = flags.server;
  app.add_option("--host", server.host, "address to listen on, or a path that ends in .sock (127.0.0.1)")
      ->envname("LLAMA_ARG_HOST");
  app.add_option("--port", server.port, "port to listen on; 0: any free one (8080)")
      ->envname("LLAMA_ARG_PORT")
      ->check(CLI::Range(0, 65535));
  app.add_option("--api-key", server.api_keys, "keys, each of them an owner; none: one owner without a key")
      ->envname("LLAMA_API_KEY")
      ->delimiter(',');
  app.add_option("--api-key-file", flags.key_file, "a file with one key a line")->envname("LLAMA_ARG_API_KEY_FILE");
  app.add_option("--ssl-cert-file", server.tls_certificate, "TLS: a file in PEM with the certificate and its chain")
      ->envname("LLAMA_ARG_SSL_CERT_FILE");
  app.add_option("--ssl-key-file", server.tls_key, "TLS: a file in PEM with the key, which has no password")
      ->envname("LLAMA_ARG_SSL_KEY_FILE");
  app.add_option("-a,--alias", server.aliases, "names of the model; the first is told to clients (the file's name)")
      ->envname("LLAMA_ARG_ALIAS")
      ->delimiter(',');
  app.add_option("--embedding-model", flags.embedding_model, "a GGUF file or name that answers /v1/embeddings");
  app.add_option("--partitions", flags.limits.partitions, "most partitions of one owner (64)")
      ->check(CLI::Range(1U, 1U << 16U));
  app.add_option("--owner-memory", flags.owner_memory, "MiB of cache that one owner may take at a time; 0: any (0)")
      ->check(CLI::Range(0U, 1U << 24U));
  app.add_option("--requests", server.most_requests, "most requests that wait or run; more get status 429 (256)")
      ->check(CLI::Range(1U, 4096U));
  app.add_option("--timeout", flags.timeout, "seconds until a client that does not read is given up (600)")
      ->envname("LLAMA_ARG_TIMEOUT")
      ->check(CLI::Range(1, 86400));
  app.add_option("--sse-ping-interval", flags.ping, "seconds until a quiet stream gets a comment; -1: never (30)")
      ->envname("LLAMA_ARG_SSE_PING_INTERVAL")
      ->check(CLI::Range(-1, 86400));
  app.add_option("--deadline", flags.deadline, "seconds that an answer may take: it ends as it is then; 0: any (0)")
      ->check(CLI::Range(0, 86400));
  app.add_flag("--log-requests", flags.json_log, "a JSON line on stderr for each request, without texts and keys");
}

}  // namespace

Command add_serve(CLI::App& program) {
  auto* command =
      program.add_subcommand("serve", "Serve a model over HTTP: each conversation in a partition of its own.");
  auto flags = std::make_shared<ServeFlags>();
  add_common_flags(*command, flags->common);
  add_model_flags(*command, flags->model);
  add_serve_flags(*command, *flags);
  command->footer("Routes, identity of requests and limits: docs/serving.md.");
  return [flags]() -> int {
    apply_verbosity(flags->common);
    const auto done = serve(*flags);
    if (!done.ok()) return print_error(done.error(), flags->common);
    return 0;  // a signal is how a server is meant to end
  };
}

}  // namespace bulkhead::cli
