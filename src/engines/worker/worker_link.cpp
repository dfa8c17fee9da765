// SPDX-License-Identifier: MIT
#include "engines/worker/worker_link.h"

#include "engine/json_fields.h"
#include "engines/worker/values.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <system_error>

namespace bulkhead::engines::worker {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// How it ended is known a moment after its stdout closed.
constexpr milliseconds kLastWords{1000};
constexpr std::chrono::seconds kGrace{2};
// How often the listener looks whether somebody has given the worker up.
constexpr int kLookMilliseconds = 50;

#if defined(MSG_NOSIGNAL)
constexpr int kNoSignal = MSG_NOSIGNAL;
#else
constexpr int kNoSignal = 0;  // the socket itself was told
#endif

constexpr std::array<std::string_view, 4> kKinds = {"ok", "error", "token", "progress"};

// The one thing that a frame of a worker tells.
Result<std::string_view> kind_of(const JsonView& frame) {
  std::string_view kind;
  for (const auto one : kKinds) {
    if (!frame.has(one)) continue;
    if (!kind.empty()) return frame.fail(fmt::format("both \"{}\" and \"{}\"", kind, one));
    kind = one;
  }
  if (kind.empty()) return frame.fail("none of \"ok\", \"error\", \"token\" and \"progress\"");
  return kind;
}

}  // namespace

void Inbox::put(Item item) {
  const std::lock_guard lock(mutex_);
  items_.push_back(std::move(item));
  changed_.notify_one();
}

void Inbox::nudge() noexcept {
  const std::lock_guard lock(mutex_);
  nudged_ = true;
  changed_.notify_one();
}

std::optional<Inbox::Item> Inbox::take(milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [&] { return nudged_ || !items_.empty(); })) return std::nullopt;
  if (items_.empty()) {
    nudged_ = false;
    return Item{kNoTag, Error{}};
  }
  auto item = std::move(items_.front());
  items_.pop_front();
  return item;
}

Result<std::shared_ptr<WorkerLink>> WorkerLink::start(const WorkerCommand& command) {
  BH_TRY(auto child,
         subprocess::ChildProcess::start(
             {.arguments = command.arguments, .variables = command.variables, .append_output_to = {}, .talks = true}));
  const std::shared_ptr<WorkerLink> link(new WorkerLink(command, std::move(child)));
  try {
    link->listener_ = std::thread([&worker = *link] { worker.listen(); });
  } catch (const std::system_error& problem) {
    return Error{ErrorCode::kResource, fmt::format("no thread for a worker: {}", problem.what()), {}, {}};
  }
  BH_CHECK(link->shake_hands());
  return link;
}

WorkerLink::WorkerLink(WorkerCommand command, subprocess::ChildProcess child)
    : command_(std::move(command)), child_(std::move(child)), pid_(child_.pid()) {
  // A worker that does not read must not stop us for ever.
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(command_.answer);
  const auto rest = std::chrono::duration_cast<std::chrono::microseconds>(command_.answer - seconds);
  const timeval limit{seconds.count(), static_cast<suseconds_t>(rest.count())};
  ::setsockopt(child_.input.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

WorkerLink::~WorkerLink() {
  if (!listener_.joinable()) return;  // there was no thread for it; the child ends with its owner
  ::shutdown(child_.input.get(), SHUT_WR);
  {
    // Reading ends when it ends; one that does not is made to.
    std::unique_lock lock(mutex_);
    const bool ended = failed_.wait_for(lock, kGrace, [&] { return failure_.has_value(); });
    if (!ended && !given_up_) given_up_ = "does not end";
  }
  listener_.join();
}

Result<void> WorkerLink::shake_hands() {
  const auto inbox = std::make_shared<Inbox>();
  static_cast<void>(begin({{"do", "hello"}, {"protocol", kProtocolVersion}}, {}, {}, inbox, 0));
  auto item = inbox->take(command_.handshake);
  if (!item) return give_up(fmt::format("did not say its version within {} ms", command_.handshake.count()));
  BH_TRY(const auto answer, std::move(item->frame));
  BH_TRY(const auto version,
         read_answer(*this, answer, [](const JsonView& ok) { return engine::number<std::uint32_t>(ok, "protocol"); }));
  if (version == kProtocolVersion) return {};
  return give_up(
      fmt::format("speaks version {} of the worker protocol, this program speaks {}", version, kProtocolVersion));
}

bool WorkerLink::alive() const {
  const std::lock_guard lock(mutex_);
  return !failure_;
}

bool WorkerLink::send(const Json& head, std::span<const std::byte> tail) {
  const auto bytes = encode(head, tail);
  const std::lock_guard lock(sending_);
  const auto deadline = Clock::now() + command_.answer;
  for (std::size_t done = 0; done < bytes.size();) {
    const auto sent = ::send(child_.input.get(), bytes.data() + done, bytes.size() - done, kNoSignal);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    done += static_cast<std::size_t>(sent);
    // One that reads a byte now and then is not waited for either.
    if (done < bytes.size() && Clock::now() > deadline) {
      errno = EAGAIN;
      return false;
    }
  }
  return true;
}

RequestId WorkerLink::begin(Json head, std::span<const std::byte> tail, const Expected& expected,
                            const std::shared_ptr<Inbox>& inbox, std::size_t tag) {
  RequestId id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = next_id_++;
    if (failure_) {
      inbox->put({tag, *failure_});
      return id;
    }
    waiting_[id] = {inbox, tag, expected};
  }
  head["id"] = id;
  if (!send(head, tail)) {
    const bool full = errno == EAGAIN || errno == EWOULDBLOCK;
    // A worker that is gone is noticed by the listener, which knows its last words.
    give_up(full ? "does not read what it is sent" : "has closed its stdin", full ? milliseconds(0) : kLastWords);
  }
  return id;
}

// Without memory, a worker is not told, and its silence counts.
void WorkerLink::cancel(RequestId id) noexcept {
  try {
    static_cast<void>(send({{"do", "cancel"}, {"id", id}}, {}));
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
  }
}

Result<Frame> WorkerLink::call(Json head, std::span<const std::byte> tail, const Expected& expected) {
  const auto inbox = std::make_shared<Inbox>();
  static_cast<void>(begin(std::move(head), tail, expected, inbox, 0));
  std::uint32_t done = 0;
  for (;;) {
    auto item = inbox->take(command_.answer);
    if (!item) {
      give_up_waiting();
      item = inbox->take(command_.answer);
    }
    if (!item) return give_up("has been silent");
    if (!item->frame.ok()) {
      const auto& error = item->frame.error();
      if (error.code != ErrorCode::kInterrupted) return error;
      return reject({error.code, "it says that it was interrupted, and nobody did that", {}, {}});
    }
    if (item->frame->view().has("ok")) return std::move(item->frame);
    const auto told = item->frame->view().at("progress");
    // Each tells of more than the one before, and of no more than there is.
    const auto tokens = told.ok() ? engine::number<std::uint32_t>(told.value(), "tokens", std::int64_t{done} + 1,
                                                                  static_cast<std::int64_t>(expected.events))
                                  : Result<std::uint32_t>(told.error());
    if (!tokens.ok()) return reject(tokens.error());
    done = tokens.value();
  }
}

void WorkerLink::give_up_waiting() {
  give_up(fmt::format("has been silent for {} ms", command_.answer.count()));
}

Error WorkerLink::reject(const Error& form) {
  return give_up(fmt::format("gave an answer of another form: {}", shown(form.to_string(), 400)));
}

void WorkerLink::listen() noexcept {
  try {
    try {
      fail(listen_to_the_end());
    } catch (const std::exception& problem) {
      fail(fmt::format("could not be listened to: {}", problem.what()));
    }
  } catch (const std::exception&) {  // no memory even for that
    const std::lock_guard lock(mutex_);
    failure_ = Error{ErrorCode::kRemote, {}, {}, {}};
    failed_.notify_all();
  }
}

// Why there will be nothing more to read.
std::string WorkerLink::listen_to_the_end() {
  FrameReader reader("its answer");
  bool hears_errors = true;
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (given_up_) return *given_up_;
    }
    // Asked first: what it wrote before it ended is there to be read then.
    const bool ended = child_.exit_code().has_value();
    std::array<pollfd, 2> ready = {
        {{child_.output.get(), POLLIN, 0}, {hears_errors ? child_.errors.get() : -1, POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), ended ? 0 : kLookMilliseconds) < 0 && errno != EINTR) {
      return fmt::format("cannot be heard: {}", std::strerror(errno));
    }
    // A closed pipe is always ready: it is looked at once.
    if (ready[1].revents != 0) hears_errors = errors_.read_from(child_.errors.get(), 0);
    if (ready[0].revents != 0) {
      if (auto over = read_output(reader)) return *over;
    } else if (ended) {
      return "ended";  // though somebody that it started holds its stdout open
    }
  }
}

// Why that was the last, if it was.
std::optional<std::string> WorkerLink::read_output(FrameReader& reader) {
  std::array<std::byte, std::size_t{1} << 16U> buffer{};
  const auto got = ::read(child_.output.get(), buffer.data(), buffer.size());
  if (got < 0 && errno == EINTR) return std::nullopt;
  if (got <= 0) {
    if (!ends_by_itself()) return "has closed its stdout";
    return reader.unfinished() ? "ended in the middle of an answer" : "ended";
  }
  reader.add(std::span(buffer).first(static_cast<std::size_t>(got)));
  for (;;) {
    auto frame = reader.next(limits());
    if (frame.ok() && !frame.value()) return std::nullopt;
    const auto handed = frame.ok() ? hand_over(std::move(*frame.value())) : Result<void>(frame.error());
    if (!handed.ok()) return fmt::format("does not keep to the protocol: {}", shown(handed.error().to_string(), 400));
  }
}

// What is owed decides how long a frame may be.
FrameLimits WorkerLink::limits() const {
  const std::lock_guard lock(mutex_);
  const FrameLimits most;
  FrameLimits now{Expected().json_bytes, 0};
  for (const auto& [id, waiting] : waiting_) {
    now.json_bytes = std::clamp(waiting.left.json_bytes, now.json_bytes, most.json_bytes);
    now.tail_bytes = std::clamp(waiting.left.tail_bytes, now.tail_bytes, most.tail_bytes);
  }
  return now;
}

Result<void> WorkerLink::hand_over(Frame frame) {
  const auto view = frame.view();
  BH_TRY(const auto kind, kind_of(view));
  BH_TRY(const auto id, engine::number<RequestId>(view, "id"));
  const std::lock_guard lock(mutex_);
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return view.fail(fmt::format("request {} awaits no answer", id));
  auto& waiting = found->second;
  const auto most = kind == "ok" ? waiting.left.tail_bytes : 0;
  if (frame.tail.size() > most) {
    return view.fail(fmt::format("{} bytes behind it, at most {} are expected", frame.tail.size(), most));
  }
  if (kind == "token" || kind == "progress") {
    if (waiting.left.events == 0) return view.fail(fmt::format("more events of request {} than it can have", id));
    --waiting.left.events;
    waiting.inbox->put({waiting.tag, std::move(frame)});
    return {};
  }
  if (kind == "error") {
    BH_TRY(const auto told, view.at("error"));
    Error error;
    BH_CHECK(read_error(told, error));
    waiting.inbox->put({waiting.tag, std::move(error)});
  } else {
    waiting.inbox->put({waiting.tag, std::move(frame)});
  }
  waiting_.erase(found);
  return {};
}

bool WorkerLink::ends_by_itself() {
  const auto deadline = Clock::now() + kLastWords;
  while (!child_.exit_code() && Clock::now() < deadline) {
    if (!errors_.read_from(child_.errors.get(), 5)) ::poll(nullptr, 0, 5);  // a closed pipe is always ready
  }
  return child_.exit_code().has_value();
}

// How it ended, and the end of what it wrote on stderr. One that runs still is made to end.
std::string WorkerLink::last_words() {
  child_.kill();
  errors_.read_rest(child_.errors.get());
  std::string_view said = errors_.text();
  while (said.ends_with('\n')) said.remove_suffix(1);
  return fmt::format("exit code {}; {}", child_.exit_code().value_or(1),
                     said.empty() ? "it said nothing on stderr" : "it said last: " + shown(said));
}

void WorkerLink::fail(const std::string& what) {
  const auto ending = last_words();
  const std::lock_guard lock(mutex_);
  failure_ = Error{ErrorCode::kRemote, fmt::format("the worker (process {}) {} ({})", pid_, what, ending),
                   command_.arguments.front(), "the other partitions go on; look at what it said"};
  for (const auto& [id, waiting] : waiting_) waiting.inbox->put({waiting.tag, *failure_});
  waiting_.clear();
  failed_.notify_all();
}

Error WorkerLink::give_up(std::string why, milliseconds patience) {
  std::unique_lock lock(mutex_);
  const auto is_over = [&] { return failure_.has_value(); };
  if (!failed_.wait_for(lock, patience, is_over) && !given_up_) given_up_ = std::move(why);
  failed_.wait(lock, is_over);  // the listener looks, and its waits have limits
  return *failure_;
}

}  // namespace bulkhead::engines::worker
