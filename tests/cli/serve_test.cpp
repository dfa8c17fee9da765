// SPDX-License-Identifier: MIT
// The real program as a server: it says where it listens, answers, and ends when it is told to.
#include "base/json.h"
#include "cli/real_program.h"
#include "json_of.h"
#include "serve/certificates.h"
#include "temporary_folder.h"

#include <cpp-httplib/httplib.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

namespace bulkhead {
namespace {

using testing::run_program;
using testing::TemporaryFolder;

class ServeProgram : public ::testing::Test {
 protected:
  // Starts it on the fake engine; `listening_` is what it says then.
  void start(const std::string& arguments) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const auto line = "exec " + testing::program() + " serve --engine fake --json " + arguments + " 2>" +
                      (folder_ / "stderr.txt").string();
    child_ = ::fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    std::string said;
    for (char c = 0; ::read(ends[0], &c, 1) == 1 && c != '\n';) said += c;
    ::close(ends[0]);
    ASSERT_FALSE(said.empty()) << testing::read_file(folder_ / "stderr.txt");
    listening_ = testing::json_of(said)["listening"].get<std::string>();
  }

  // Its exit code, 128 and more for a signal.
  int end(int signal) {
    ::kill(child_, signal);
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void TearDown() override {
    if (child_ > 0) end(SIGKILL);
  }

  TemporaryFolder folder_;
  pid_t child_ = -1;
  std::string listening_;
};

constexpr auto kPrompt = R"({"prompt": "one two three", "max_tokens": 4})";

TEST_F(ServeProgram, SaysWhereItListensAndEndsWellWhenToldTo) {
  for (const int signal : {SIGTERM, SIGINT}) {
    start("--port 0 --alias small");
    ASSERT_TRUE(listening_.starts_with("http://127.0.0.1:")) << listening_;
    httplib::Client client(listening_);
    const auto reply = client.Post("/v1/completions", kPrompt, "application/json");
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200) << reply->body;
    EXPECT_EQ(testing::json_of(reply->body)["model"], "small");
    EXPECT_EQ(end(signal), 0);
    const auto said = testing::read_file(folder_ / "stderr.txt");
    EXPECT_NE(said.find("no API key"), std::string::npos);
    EXPECT_NE(said.find("stopped"), std::string::npos);
  }
}

TEST_F(ServeProgram, ServesAgainAtOnceAfterItWasKilled) {
  start("--port 0");
  const auto port = listening_.substr(listening_.rfind(':') + 1);
  EXPECT_EQ(end(SIGKILL), 128 + SIGKILL);
  start("--port " + port);
  const auto reply = httplib::Client(listening_).Get("/health");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST_F(ServeProgram, TakesKeysFromAFileAndFromTheEnvironment) {
  std::ofstream(folder_ / "keys.txt") << "# of the team\none\n\ntwo\r\n";
  ::setenv("LLAMA_API_KEY", "three", 1);
  start("--port 0 --log-requests --api-key-file " + (folder_ / "keys.txt").string());
  ::unsetenv("LLAMA_API_KEY");
  httplib::Client client(listening_);
  for (const auto& [key, status] :
       {std::pair{"one", 200}, {"two", 200}, {"three", 200}, {"four", 401}, {"# of the team", 401}}) {
    const auto reply = client.Get("/v1/models", httplib::Headers{{"Authorization", std::string("Bearer ") + key}});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, status) << key;
  }
  EXPECT_EQ(end(SIGTERM), 0);
  const auto said = testing::read_file(folder_ / "stderr.txt");
  EXPECT_NE(said.find(R"("status":401)"), std::string::npos);
  for (const auto* secret : {"three", "four", "Bearer"}) EXPECT_EQ(said.find(secret), std::string::npos) << said;
}

TEST_F(ServeProgram, ListensOnAUnixSocket) {
  const auto path = (folder_ / "bulkhead.sock").string();
  start("--host " + path);
  EXPECT_EQ(listening_, "unix:" + path);
  httplib::Client client(path);
  client.set_address_family(AF_UNIX);
  const auto reply = client.Get("/health");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST_F(ServeProgram, ServesWithTlsByFlagsAndByTheEnvironment) {
  const testing::Certificates files;
  const auto answered = [&] {
    EXPECT_TRUE(listening_.starts_with("https://127.0.0.1:")) << listening_;
    httplib::Client client(listening_);
    client.set_ca_cert_path(files.file("authority.pem"));
    const auto reply = client.Post("/v1/completions", kPrompt, "application/json");
    EXPECT_EQ(end(SIGTERM), 0);
    return reply && reply->status == 200;
  };
  start("--port 0 --ssl-cert-file " + files.file("chain.pem") + " --ssl-key-file " + files.file("key.pem"));
  EXPECT_TRUE(answered());
  ::setenv("LLAMA_ARG_SSL_CERT_FILE", files.file("chain.pem").c_str(), 1);
  ::setenv("LLAMA_ARG_SSL_KEY_FILE", files.file("key.pem").c_str(), 1);
  start("--port 0");
  ::unsetenv("LLAMA_ARG_SSL_KEY_FILE");
  EXPECT_TRUE(answered());
  // Before the model: one that is not there is not looked for.
  const auto refused = [&](const std::string& arguments) {
    return run_program(folder_.path(), "serve -m no-such-model " + arguments, "timeout 60");
  };
  EXPECT_EQ(refused("").code, 2) << "the certificate alone, by the environment";
  EXPECT_NE(refused("").err.find("--ssl-key-file"), std::string::npos);
  ::unsetenv("LLAMA_ARG_SSL_CERT_FILE");
  EXPECT_EQ(refused("--ssl-key-file " + files.file("key.pem")).code, 2);
  const auto mixed =
      refused("--ssl-cert-file " + files.file("chain.pem") + " --ssl-key-file " + files.file("other.pem"));
  EXPECT_EQ(mixed.code, 3);
  EXPECT_NE(mixed.err.find("other.pem"), std::string::npos) << mixed.err;
  EXPECT_EQ(refused("--ssl-cert-file /nowhere --ssl-key-file " + files.file("key.pem")).code, 3);
}

TEST_F(ServeProgram, RefusesWhatItCannotDoBeforeOrInsteadOfServing) {
  start("--port 0");
  const auto port = listening_.substr(listening_.rfind(':') + 1);
  const auto serve = [&](const std::string& arguments) {
    return run_program(folder_.path(), "serve --engine fake " + arguments, "timeout 60");
  };
  EXPECT_EQ(serve("--port " + port).code, 5) << "somebody listens there";
  EXPECT_EQ(serve("--port 70000").code, 2);
  EXPECT_EQ(serve("--partitions 0").code, 2);
  EXPECT_EQ(serve("--api-key-file /nowhere").code, 3);
  EXPECT_EQ(serve("--embedding-model no-such-model").code, 2);
  std::ofstream(folder_ / "empty.txt") << "# nothing\n";
  EXPECT_EQ(serve("--api-key-file " + (folder_ / "empty.txt").string()).code, 3) << "never open by mistake";
  EXPECT_EQ(run_program(folder_.path(), "serve -m no-such-model").code, 2);
  const auto line = "timeout 60 " + testing::program() + " serve --engine fake --port 0 >/dev/full 2>/dev/null";
  const int status = std::system(line.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 5) << "nobody could know where it listens";
}

}  // namespace
}  // namespace bulkhead
