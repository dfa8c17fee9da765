// SPDX-License-Identifier: MIT
// A worker that does one thing wrong: bulkhead_evil_worker MISBEHAVIOUR MARK. It is an honest one with the fake engine
// in it, whose answers pass through here. Where the file MARK exists already it is honest altogether, so that of many
// children one is evil; "honest" in place of a misbehaviour is always so.
#include "base/bytes.h"
#include "engines/fake/fake_engine.h"
#include "engines/process/misbehaviours.h"
#include "engines/process/worker.h"
#include "engines/worker/frame.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace bulkhead::testing {
namespace {

using engines::worker::Frame;
using engines::worker::FrameReader;

engine::Registry fake_only() {
  engine::Registry registry;
  registry.add({"fake", "", &engines::fake::make_from_options});
  return registry;
}

void write_all(int to, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto wrote = ::write(to, bytes.data(), bytes.size());
    if (wrote <= 0) std::_Exit(0);  // nobody hears it
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
  }
}

void write_all(int to, std::string_view text) {
  write_all(to, std::as_bytes(std::span(text)));
}

// Until the other side is gone, or wants us to be.
[[noreturn]] void wait_for_the_end() {
  std::array<char, 4096> ignored{};
  while (::read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
  }
  std::_Exit(0);
}

[[noreturn]] void wait_for_ever() {
  for (;;) ::pause();
}

std::vector<std::byte> header(std::uint32_t json, std::uint64_t tail) {
  ByteWriter writer;
  writer.text("BHWP");
  writer.number(json);
  writer.number(tail);
  return std::move(writer).take();
}

[[noreturn]] void flood(int to) {
  const std::string spaces(std::size_t{1} << 20U, ' ');
  for (;;) write_all(to, spaces);
}

[[noreturn]] void start_badly(std::string_view name) {
  constexpr int kOut = STDOUT_FILENO;
  if (name == "garbage") write_all(kOut, "hello, I am a prompt >>> ");
  if (name == "half_a_magic") write_all(kOut, "BHW");
  if (name == "ends_well") std::_Exit(0);
  if (name == "ends_badly") {
    write_all(STDERR_FILENO, "my last words\n");
    std::_Exit(77);
  }
  if (name == "last_words_that_move_the_cursor") {
    write_all(STDERR_FILENO, "\x1b[2Jgone\n");
    std::_Exit(1);
  }
  if (name == "floods_stderr") flood(STDERR_FILENO);
  if (name == "closes_stdout") {
    ::close(kOut);
    wait_for_ever();
  }
  if (name == "closes_stdin") {
    ::close(STDIN_FILENO);
    wait_for_ever();
  }
  if (name == "leaves_a_child_with_its_stdout") {
    if (::fork() == 0) {
      ::setsid();
      std::this_thread::sleep_for(std::chrono::seconds(20));
      std::_Exit(0);
    }
    std::_Exit(5);
  }
  if (name == "endless_json") {
    write_all(kOut, header(std::uint32_t{1} << 28U, 0));
    flood(kOut);
  }
  if (name == "endless_tail") {
    write_all(kOut, header(2, std::uint64_t{1} << 38U));
    flood(kOut);
  }
  if (name == "lengths_that_wrap") write_all(kOut, header(std::uint32_t{1} << 28U, UINT64_MAX));
  if (name == "does_not_end") {
    std::signal(SIGTERM, SIG_IGN);
    wait_for_ever();
  }
  wait_for_the_end();
}

// Between the parent and an honest worker in this process.
class Middle {
 public:
  Middle(const Misbehaviour& misbehaviour, int to_worker, int from_worker)
      : misbehaviour_(&misbehaviour), to_worker_(to_worker), from_worker_(from_worker) {}

  void pass_requests_on() {
    each_frame(STDIN_FILENO, [&](const Frame& frame) {
      {
        const std::lock_guard lock(mutex_);
        const auto id = frame.head.root()["id"].get<std::uint64_t>();
        asked_.emplace(id, name_of(frame.head.root()));
        if (frame.head.root()["do"] == "job") last_job_ = id;
      }
      write_all(to_worker_, engines::worker::encode(frame.head.root(), frame.tail));
    });
    std::_Exit(0);
  }

  void pass_answers_on() {
    each_frame(from_worker_, [&](const Frame& frame) {
      Said said{.head = frame.head.root(), .tail = frame.tail, .last_job = last_job_};
      if (is_the_one(said.head)) misbehaviour_->act(said);
      say(said);
    });
  }

 private:
  static void each_frame(int from, const auto& use) {
    FrameReader reader("frame");
    std::array<std::byte, 4096> buffer{};
    for (;;) {
      const auto got = ::read(from, buffer.data(), buffer.size());
      if (got <= 0) return;
      reader.add(std::span(buffer).first(static_cast<std::size_t>(got)));
      for (auto frame = reader.next(); frame.ok() && frame.value(); frame = reader.next()) use(*frame.value());
    }
  }

  // A job goes by what it wants.
  static std::string name_of(const Json& request) {
    if (request["do"] != "job") return request["do"];
    const bool prefills = !request["tokens"].empty();
    const bool generates = !request["options"].is_null();
    if (prefills) return generates ? "prefill and generate" : "prefill";
    return "generate";
  }

  [[nodiscard]] bool is_the_one(const Json& head) {
    const std::lock_guard lock(mutex_);
    const bool event = head.contains("token") || head.contains("progress");
    return event == misbehaviour_->event && asked_[head["id"].get<std::uint64_t>()] == misbehaviour_->request;
  }

  static void say(const Said& said) {
    const auto json = said.json ? *said.json : said.head.dump();
    auto bytes =
        header(static_cast<std::uint32_t>(json.size()), said.claimed_tail > 0 ? said.claimed_tail : said.tail.size());
    const auto text = std::as_bytes(std::span(json));
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.insert(bytes.end(), said.tail.begin(), said.tail.end());
    if (said.late_by.count() > 0) std::this_thread::sleep_for(said.late_by);
    for (std::size_t i = 0; i < said.times; ++i) {
      write_all(STDOUT_FILENO, std::span(bytes).first(std::min(said.cut, bytes.size())));
      if (said.cut < bytes.size()) std::_Exit(9);
    }
    if (said.then) say({.head = *said.then, .tail = {}});
    if (said.hangs) wait_for_ever();
  }

  const Misbehaviour* misbehaviour_;
  int to_worker_;
  int from_worker_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::string> asked_;
  std::atomic<std::uint64_t> last_job_ = 0;
};

[[noreturn]] void run(const Misbehaviour& misbehaviour) {
  if (misbehaviour.request == "start") start_badly(misbehaviour.name);
  std::array<int, 2> requests{};
  std::array<int, 2> answers{};
  if (::pipe(requests.data()) != 0 || ::pipe(answers.data()) != 0) std::_Exit(1);
  Middle middle(misbehaviour, requests[1], answers[0]);
  std::thread([&] { middle.pass_requests_on(); }).detach();
  std::thread([&] { middle.pass_answers_on(); }).detach();
  engines::process::serve(requests[0], answers[1], fake_only());
}

int run_named(std::string_view name, const char* mark) {
  const bool first = ::open(mark, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0;
  const bool honest = name.starts_with("second") ? first : !first;
  if (honest || name == "honest") engines::process::serve(STDIN_FILENO, STDOUT_FILENO, fake_only());
  for (const auto& list : {misbehaviours(), misbehaviours_in_jobs(), misbehaviours_of_many()}) {
    for (const auto& misbehaviour : list) {
      if (misbehaviour.name == name) run(misbehaviour);
    }
  }
  return 2;
}

}  // namespace
}  // namespace bulkhead::testing

int main(int argc, char** argv) {
  return argc == 3 ? bulkhead::testing::run_named(argv[1], argv[2]) : 2;
}
