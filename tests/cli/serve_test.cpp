// SPDX-License-Identifier: MIT
// The real program as a server: it says where it listens, answers, and ends when it is told to.
#include "base/json.h"
#include "cli/real_program.h"
#include "engines/tiny_model.h"
#include "json_of.h"
#include "serve/certificates.h"
#include "temporary_folder.h"

#include <cpp-httplib/httplib.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace bulkhead {
namespace {

using testing::run_program;
using testing::TemporaryFolder;

class ServeProgram : public ::testing::Test {
 protected:
  // Starts it on the fake engine, or another that `arguments` name; `listening_` is what it says then.
  void start(const std::string& arguments) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const auto* engine = arguments.find("-m ") == std::string::npos ? "--engine fake " : "";
    const auto line = "exec " + testing::program() + " serve --json " + engine + arguments + " 2>" +
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

  // A further one, which is expected to end by itself.
  [[nodiscard]] testing::Outcome serve_at(const std::string& socket) const {
    return run_program(folder_.path(), "serve --engine fake --host " + socket, "timeout 60");
  }

  void TearDown() override {
    if (child_ > 0) end(SIGKILL);
  }

  // A model that computes long answers for some seconds.
  [[nodiscard]] std::string tiny_model() const {
    const auto path = (folder_ / "tiny.gguf").string();
    EXPECT_TRUE(testing::write_tiny_model(path, {}));
    return "-m " + path + " -c 4096 -t 1 ";
  }
  static std::string long_answer(bool stream) {
    return json_text(
        {{"prompt", "one two three"}, {"max_tokens", 3900}, {"n", 16}, {"ignore_eos", true}, {"stream", stream}});
  }

  TemporaryFolder folder_;
  pid_t child_ = -1;
  std::string listening_;
};

// What a client hears of one answer, on a thread of its own.
class Listener {
 public:
  Listener(httplib::Client client, const std::string& body)
      : thread_([this, client = std::make_shared<httplib::Client>(std::move(client)), body] {
          client->set_read_timeout(std::chrono::seconds(60));
          const auto reply = client->Post("/v1/completions", httplib::Headers{}, body, "application/json",
                                          [this](const char* data, std::size_t size) {
                                            text_.append(data, size);
                                            has_begun_ = true;
                                            return true;
                                          });
          status_ = reply ? reply->status : 0;
        }) {}

  void wait_for_its_beginning() const {
    while (!has_begun_) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  // All that came; its status, 0 for a connection that broke.
  std::pair<int, std::string> whole() {
    if (thread_.joinable()) thread_.join();
    return {status_, text_};
  }

 private:
  std::atomic<bool> has_begun_ = false;
  std::string text_;
  int status_ = 0;
  std::jthread thread_;
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

TEST_F(ServeProgram, AnswersThatRunEndWellWhenItIsToldToEnd) {
  start(tiny_model() + "--port 0");
  Listener stream(httplib::Client(listening_), long_answer(true));
  stream.wait_for_its_beginning();
  Listener whole(httplib::Client(listening_), long_answer(false));
  const auto run = [&] {
    const auto metrics = httplib::Client(listening_).Get("/metrics");
    return metrics && metrics->body.find("\nbulkhead_jobs_running 32\n") != std::string::npos;
  };
  while (!run()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_EQ(end(SIGTERM), 0);
  const auto [status, text] = stream.whole();
  EXPECT_EQ(status, 200);
  EXPECT_TRUE(text.ends_with("data: [DONE]\n\n")) << text.substr(text.size() - std::min<std::size_t>(text.size(), 200));
  EXPECT_NE(text.find(R"("finish_reason":"length")"), std::string::npos);
  const auto [its_status, its_text] = whole.whole();
  EXPECT_EQ(its_status, 200) << its_text;
  const auto reply = testing::json_of(its_text);
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "length");
  EXPECT_LT(reply["usage"]["completion_tokens"], 16 * 3900) << "it was cancelled";
  EXPECT_NE(testing::read_file(folder_ / "stderr.txt").find("cancelled"), std::string::npos) << "and says so";
}

TEST_F(ServeProgram, ServesAgainAtOnceAfterItWasKilled) {
  for (const auto& where : {std::string("--port 0"), "--host " + (folder_ / "killed.sock").string()}) {
    const auto client = [&] {
      const bool unix_socket = listening_.starts_with("unix:");
      httplib::Client made(unix_socket ? listening_.substr(5) : listening_);
      if (unix_socket) made.set_address_family(AF_UNIX);
      return made;
    };
    start(tiny_model() + where);
    Listener stream(client(), long_answer(true));
    stream.wait_for_its_beginning();
    EXPECT_EQ(end(SIGKILL), 128 + SIGKILL);
    const auto [status, text] = stream.whole();
    EXPECT_EQ(text.find("[DONE]"), std::string::npos) << "it was killed in the middle";
    const auto port = where.starts_with("--port") ? "--port " + listening_.substr(listening_.rfind(':') + 1) : where;
    start(tiny_model() + port);
    const auto reply = client().Post("/v1/completions", kPrompt, "application/json");
    ASSERT_TRUE(reply) << where;
    EXPECT_EQ(reply->status, 200);
    EXPECT_EQ(end(SIGTERM), 0);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "killed.sock")) << "one that ends well leaves nothing there";
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
  EXPECT_EQ(serve_at(path).code, 5) << "somebody listens there";
  ASSERT_TRUE(client.Get("/health")) << "and still does";
}

TEST_F(ServeProgram, NoFileButADeadServersSocketIsEverTouched) {
  const auto path = [&](const std::string& name) { return (folder_ / name).string(); };
  std::ofstream(path("file.sock")) << "somebody's notes";
  std::filesystem::create_directory(path("folder.sock"));
  std::filesystem::create_symlink(path("file.sock"), path("link.sock"));
  std::filesystem::create_symlink(path("nowhere"), path("broken.sock"));
  for (const auto* name : {"file.sock", "folder.sock", "link.sock", "broken.sock"}) {
    const auto refused = serve_at(path(name));
    EXPECT_EQ(refused.code, 3) << name << refused.err;
    EXPECT_NE(refused.err.find(name), std::string::npos) << refused.err;
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::symlink_status(path(name)))) << name;
  }
  EXPECT_EQ(testing::read_file(path("file.sock")), "somebody's notes");
  EXPECT_FALSE(std::filesystem::exists(path("nowhere")));
  EXPECT_EQ(serve_at("/no/such/folder/a.sock").code, 5);
  EXPECT_EQ(serve_at(path(std::string(120, 'a') + ".sock")).code, 5) << "longer than such a path may be";
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
