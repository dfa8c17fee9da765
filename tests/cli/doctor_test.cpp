// SPDX-License-Identifier: MIT
#include "base/json.h"
#include "cli/real_program.h"
#include "engines/llama/kernels/instruction_set.h"
#include "temporary_folder.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace bulkhead {
namespace {

using testing::run_program;
using testing::TemporaryFolder;

class Doctor : public ::testing::Test {
 protected:
  // What it says of each thing, on a machine with nothing but what lies in folder_.
  std::map<std::string, Json> findings() {
    const auto done =
        run_program(folder_.path(), "doctor --json", "XDG_CACHE_HOME=" + folder_.path().string() + " env");
    EXPECT_EQ(done.code, 0) << done.err;
    std::map<std::string, Json> all;
    const auto document = parse_json(done.out);
    EXPECT_TRUE(document.ok()) << done.out;
    if (!document.ok()) return all;
    for (const auto& finding : document.value()) all[finding.at("about").get<std::string>()] = finding;
    return all;
  }

  TemporaryFolder folder_;
};

TEST_F(Doctor, SaysWhatAnEmptyMachineLacksAndWhatToDo) {
  const auto all = findings();
  EXPECT_FALSE(all.at("models").at("good").get<bool>());
  EXPECT_NE(all.at("models").at("advice").get<std::string>().find("bulkhead pull"), std::string::npos);
  EXPECT_FALSE(all.at("engine transformers").at("good").get<bool>());
  EXPECT_NE(all.at("engine transformers").at("advice").get<std::string>().find("install_workers.sh"),
            std::string::npos);
  EXPECT_TRUE(all.at("engine llama").at("good").get<bool>());
  EXPECT_FALSE(all.contains("cache models"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "bulkhead")) << "it only looks";
}

TEST_F(Doctor, NamesTheKernelsThatRun) {
  const auto best = std::string(name(engines::llama::kernels::available().front()));
  EXPECT_TRUE(findings().at("kernels").at("said").get<std::string>().starts_with(best + " run"));
}

TEST_F(Doctor, ListsModelsAndWhatTheyTake) {
  const auto models = folder_.path() / "bulkhead" / "models";
  std::filesystem::create_directories(models);
  std::ofstream(models / "mine.gguf") << std::string(60'000'000, 'x');
  const auto all = findings();
  EXPECT_TRUE(all.at("models").at("good").get<bool>());
  EXPECT_NE(all.at("models").at("said").get<std::string>().find("mine"), std::string::npos);
  EXPECT_TRUE(all.at("cache models").at("said").get<std::string>().starts_with("0.1 GB in "));
}

TEST_F(Doctor, SeesThatThePortIsTaken) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(socket, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(8080);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Where somebody else has it, it is taken all the same.
  static_cast<void>(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address));
  static_cast<void>(::listen(socket, 1));
  EXPECT_FALSE(findings().at("port 8080").at("good").get<bool>());
  ::close(socket);
}

TEST_F(Doctor, SpeaksToPeopleInLines) {
  const auto done = run_program(folder_.path(), "doctor", "XDG_CACHE_HOME=" + folder_.path().string() + " env");
  EXPECT_EQ(done.code, 0);
  EXPECT_NE(done.out.find("machine "), std::string::npos);
  EXPECT_NE(done.out.find("-> bulkhead pull"), std::string::npos) << done.out;
}

}  // namespace
}  // namespace bulkhead
