// SPDX-License-Identifier: MIT
// The parent's side of one worker: starts it, shakes hands, sends requests, and notices when it dies, hangs or talks
// rubbish. Nothing that it says is believed before it is checked: an answer that was not asked for, is larger than what
// was asked for can be, or has another form ends it. A worker that failed once is ended and answers nothing any more:
// every call then gives the same error. Every wait has a limit.
#pragma once

#include "base/result.h"
#include "engines/worker/frame.h"
#include "subprocess/child_process.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::engines::worker {

struct WorkerCommand {
  std::vector<std::string> arguments;  // program and its arguments
  std::vector<std::pair<std::string, std::string>> variables = {};
  std::chrono::milliseconds handshake = std::chrono::seconds(10);  // until it says its version
  // Longest silence while it owes an answer. Events break it: a token drawn, a chunk of a prefill computed.
  std::chrono::milliseconds answer = std::chrono::minutes(10);
};

using RequestId = std::uint64_t;

// The most that may come back for a request. More is rubbish.
struct Expected {
  std::uint64_t json_bytes = std::uint64_t{1} << 20U;
  std::uint64_t tail_bytes = 0;
  std::uint64_t events = 0;  // tokens drawn or chunks computed that it tells of before it answers
};

// Where answers and events arrive, of one worker or of many. Any thread may put, one takes.
class Inbox {
 public:
  static constexpr std::size_t kNoTag = SIZE_MAX;

  struct Item {
    std::size_t tag = kNoTag;  // which request, in the words of who waits
    Result<Frame> frame;       // with one of "ok", "token" and "progress"
  };

  void put(Item item);
  // Only wakes the one who waits, or who will: with an item without a tag, behind all that are there.
  void nudge() noexcept;
  // Nothing when nothing came in time.
  [[nodiscard]] std::optional<Item> take(std::chrono::milliseconds patience);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  bool nudged_ = false;
};

class WorkerLink {
 public:
  // Starts the program and shakes hands. kRemote when it does not start, talks another version, dies or is silent;
  // kResource when there is no thread for it.
  [[nodiscard]] static Result<std::shared_ptr<WorkerLink>> start(const WorkerCommand& command);
  // Ends the worker: closing its stdin ends it, whatever it computes; SIGKILL does where that takes longer than 2 s.
  ~WorkerLink();
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  // One request and its one answer, a frame with "ok": read it with read_answer(). What the worker tells of its
  // progress meanwhile breaks the silence. Any thread.
  [[nodiscard]] Result<Frame> call(Json head, std::span<const std::byte> tail = {}, const Expected& expected = {});

  // A request whose events and answer go to `inbox`, under `tag`. The last item has "ok" in its head, or is an error.
  // Gives its id, for cancel(). Any thread.
  [[nodiscard]] RequestId begin(Json head, std::span<const std::byte> tail, const Expected& expected,
                                const std::shared_ptr<Inbox>& inbox, std::size_t tag);
  // Cancels a job that was begun. Any thread.
  void cancel(RequestId id) noexcept;

  // Ends the worker for an answer of another form, and gives the error. All that wait get it too.
  [[nodiscard]] Error reject(const Error& form);
  // Ends the worker for being silent too long; all that wait get the error.
  void give_up_waiting();
  [[nodiscard]] bool alive() const;
  [[nodiscard]] std::chrono::milliseconds patience() const { return command_.answer; }

 private:
  struct Waiting {
    std::shared_ptr<Inbox> inbox;
    std::size_t tag = 0;
    Expected left;
  };

  WorkerLink(WorkerCommand command, subprocess::ChildProcess child);
  [[nodiscard]] Result<void> shake_hands();
  [[nodiscard]] bool send(const Json& head, std::span<const std::byte> tail);
  void listen() noexcept;
  [[nodiscard]] std::string listen_to_the_end();
  [[nodiscard]] std::optional<std::string> read_output(FrameReader& reader);
  [[nodiscard]] FrameLimits limits() const;
  [[nodiscard]] Result<void> hand_over(Frame frame);
  [[nodiscard]] bool ends_by_itself();
  [[nodiscard]] std::string last_words();
  // What went wrong becomes the answer to all that wait. The listener's own: others call give_up().
  void fail(const std::string& what);
  // Has the listener do so, and gives the error. What has failed already fails for its own reason, which is given
  // `patience` to be noticed.
  Error give_up(std::string why, std::chrono::milliseconds patience = {});

  WorkerCommand command_;
  subprocess::ChildProcess child_;  // its descriptors: input under sending_, the others by the listener
  pid_t pid_;
  std::mutex sending_;
  mutable std::mutex mutex_;  // of what follows
  std::map<RequestId, Waiting> waiting_;
  RequestId next_id_ = 1;
  std::optional<std::string> given_up_;  // why
  std::optional<Error> failure_;
  std::condition_variable failed_;
  subprocess::ErrorTail errors_;  // the listener's own
  std::thread listener_;
};

// What `read` makes of the "ok" of an answer of `worker`. When that has another form, the worker is ended: kRemote.
template <typename Read>
[[nodiscard]] auto read_answer(WorkerLink& worker, const Frame& answer, const Read& read)
    -> decltype(read(answer.view())) {
  const auto ok = answer.view().at("ok");
  if (!ok.ok()) return worker.reject(ok.error());
  auto value = read(ok.value());
  if (!value.ok()) return worker.reject(value.error());
  return value;
}

}  // namespace bulkhead::engines::worker
