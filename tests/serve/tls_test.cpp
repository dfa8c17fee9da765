// SPDX-License-Identifier: MIT
// The server with TLS: who is answered, who refuses it, and that clients who leave are noticed through it as well.
#include "serve/certificates.h"
#include "serve/served.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace bulkhead::testing {
namespace {

class Tls : public ::testing::Test {
 protected:
  [[nodiscard]] serve::ServerOptions options() const {
    return {.tls_certificate = files.file("chain.pem"), .tls_key = files.file("key.pem")};
  }
  // One that knows the authority, or not.
  [[nodiscard]] httplib::Client client_of(const Served& served, bool knows = true,
                                          const std::string& host = "127.0.0.1") const {
    httplib::Client client("https://" + host + ':' + std::to_string(served.port()));
    client.set_address_family(AF_INET);
    if (knows) client.set_ca_cert_path(files.file("authority.pem"));
    return client;
  }
  // An answer of many tokens, computed for some seconds.
  static Json long_answer() {
    auto body = chat_body({"a very long one"}, 3900);
    body["n"] = 16;
    body["ignore_eos"] = true;
    return body;
  }

  Certificates files;
};

// Whether somebody who speaks no version above this one is answered.
bool is_answered_with(int version, int port) {
  const int connection = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  EXPECT_EQ(::connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
  SSL* session = SSL_new(context);
  SSL_set_fd(session, connection);
  const bool answered = SSL_connect(session) == 1;
  if (answered) SSL_shutdown(session);
  SSL_free(session);
  SSL_CTX_free(context);
  ::close(connection);
  return answered;
}

TEST_F(Tls, AnswersOnlyThoseWhoSpeakIt) {
  const Served served(options());
  auto client = client_of(served);
  const auto health = client.Get("/health");
  ASSERT_TRUE(health) << httplib::to_string(health.error());
  EXPECT_EQ(health->status, 200);
  const auto chat = client.Post("/v1/chat/completions", json_text(chat_body({"hi"})), "application/json");
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->status, 200) << chat->body;
  EXPECT_FALSE(httplib::Client("127.0.0.1", served.port()).Get("/health")) << "plain HTTP";
  EXPECT_FALSE(is_answered_with(TLS1_VERSION, served.port()));
  EXPECT_FALSE(is_answered_with(TLS1_1_VERSION, served.port()));
  EXPECT_TRUE(is_answered_with(TLS1_2_VERSION, served.port()));
  EXPECT_TRUE(is_answered_with(TLS1_3_VERSION, served.port()));
  ASSERT_TRUE(client.Get("/health")) << "the server goes on";
}

TEST_F(Tls, IsRefusedByClientsWhoDoNotKnowItsAuthority) {
  const Served served(options());
  const auto stranger = client_of(served, false).Get("/health");
  ASSERT_FALSE(stranger);
  EXPECT_EQ(stranger.error(), httplib::Error::SSLServerVerification) << httplib::to_string(stranger.error());
  const auto renamed = client_of(served, true, "localhost").Get("/health");
  ASSERT_FALSE(renamed) << "the certificate is for an address";
  EXPECT_EQ(renamed.error(), httplib::Error::SSLServerHostnameVerification) << httplib::to_string(renamed.error());
}

TEST_F(Tls, StreamsAndGoesOnWithAConversation) {
  const Served served(options());
  auto client = client_of(served);
  auto body = chat_body({"hi"}, 6);
  body["stream"] = true;
  std::string text;
  std::size_t pieces = 0;
  const auto streamed = client.Post("/v1/chat/completions", httplib::Headers{}, json_text(body), "application/json",
                                    [&](const char* data, std::size_t size) {
                                      text.append(data, size);
                                      ++pieces;
                                      return true;
                                    });
  ASSERT_TRUE(streamed);
  EXPECT_TRUE(text.ends_with("data: [DONE]\n\n")) << text;
  EXPECT_GT(pieces, 2U) << "as it comes";
  const auto first = client.Post("/v1/chat/completions", json_text(chat_body({"another"}, 6)), "application/json");
  ASSERT_TRUE(first);
  const auto answer = content_of(json_of(first->body));
  const auto second =
      client.Post("/v1/chat/completions", json_text(chat_body({"another", answer, "more"}, 6)), "application/json");
  ASSERT_TRUE(second);
  EXPECT_EQ(json_of(second->body)["bulkhead"]["reuse"]["reason"], "continues");
}

TEST_F(Tls, AClientThatLeavesEndsItsOwnRequest) {
  const Served served(options(), {.partitions = 64}, 4096);
  const auto& counters = served.service().counters();
  for (const bool stream : {true, false}) {
    const auto cancelled = counters.cancelled.load();
    auto body = long_answer();
    body["stream"] = stream;
    auto client = client_of(served);
    if (!stream) client.set_read_timeout(std::chrono::milliseconds(300));
    std::size_t pieces = 0;
    static_cast<void>(client.Post("/v1/chat/completions", httplib::Headers{}, json_text(body), "application/json",
                                  [&](const char*, std::size_t) { return ++pieces < 4; }));
    client.stop();  // says goodbye: bytes that nobody reads on the other side
    const auto begin = std::chrono::steady_clock::now();
    while (counters.in_flight > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << "stream " << stream;
    EXPECT_GT(counters.cancelled, cancelled) << "stream " << stream;
    EXPECT_EQ(counters.failed, 0U);
  }
}

TEST_F(Tls, OnlyItsOwnOriginMayAsk) {
  const Served served(options());
  const auto host = "127.0.0.1:" + std::to_string(served.port());
  auto client = client_of(served);
  for (const auto& [origin, status] :
       {std::pair{"https://" + host, 200}, {"http://" + host, 403}, {std::string("https://evil.example"), 403}}) {
    const auto reply = client.Get("/v1/models", httplib::Headers{{"Origin", origin}});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, status) << origin;
  }
}

TEST_F(Tls, FilesThatCannotBeUsedAreRefused) {
  const auto checked = [&](const std::string& certificate, const std::string& key) {
    const auto path = [&](const std::string& name) { return name.empty() ? name : files.file(name); };
    return serve::check_tls({.tls_certificate = path(certificate), .tls_key = path(key)});
  };
  EXPECT_TRUE(checked("chain.pem", "key.pem").ok());
  EXPECT_TRUE(checked("", "").ok()) << "no TLS";
  for (const auto& [certificate, key] : {std::pair{"chain.pem", ""}, {"", "key.pem"}}) {
    const auto done = checked(certificate, key);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, ErrorCode::kUsage) << done.error().to_string();
  }
  for (const auto& [certificate, key, place] : {std::tuple{"chain.pem", "missing.pem", "missing.pem"},
                                                {"missing.pem", "key.pem", "missing.pem"},
                                                {"text.pem", "key.pem", "text.pem"},
                                                {"chain.pem", "text.pem", "text.pem"},
                                                {"key.pem", "key.pem", "key.pem"},
                                                {"chain.pem", "chain.pem", "chain.pem"},
                                                {"chain.pem", "other.pem", "other.pem"},
                                                {"chain.pem", "rsa.pem", "rsa.pem"},
                                                {"chain.pem", "locked.pem", "locked.pem"}}) {
    const auto done = checked(certificate, key);
    ASSERT_FALSE(done.ok()) << certificate << ' ' << key;
    EXPECT_EQ(done.error().code, ErrorCode::kBadInput) << done.error().to_string();
    EXPECT_NE(done.error().to_string().find(place), std::string::npos) << done.error().to_string();
  }
  const auto unix_socket = serve::check_tls(
      {.host = files.file("a.sock"), .tls_certificate = files.file("chain.pem"), .tls_key = files.file("key.pem")});
  ASSERT_FALSE(unix_socket.ok());
  EXPECT_EQ(unix_socket.error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace bulkhead::testing
