// SPDX-License-Identifier: MIT
#include "engines/worker/worker_link.h"

#include "engines/worker/values.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace bulkhead::engines::worker {
namespace {

using std::chrono::milliseconds;

// What it says last and how it ended arrive a moment after its stdout closed.
constexpr milliseconds kLastWords{1000};
constexpr std::chrono::seconds kGrace{2};
// How often the listener looks whether somebody has given the worker up.
constexpr int kLookMilliseconds = 200;

#if defined(MSG_NOSIGNAL)
constexpr int kNoSignal = MSG_NOSIGNAL;
#else
constexpr int kNoSignal = 0;  // the socket itself was told
#endif

// What a worker tells of a request before it answers.
bool is_event(const Json& head) {
  return head.contains("token") || head.contains("progress");
}

std::optional<std::uint32_t> tokens_done(const Json& head) {
  const auto progress = head.find("progress");
  if (progress == head.end() || !progress->is_object()) return std::nullopt;
  const auto tokens = progress->find("tokens");
  if (tokens == progress->end() || !tokens->is_number_unsigned()) return std::nullopt;
  return tokens->get<std::uint32_t>();
}

}  // namespace

void Inbox::put(Item item) {
  const std::lock_guard lock(mutex_);
  items_.push_back(std::move(item));
  changed_.notify_one();
}

std::optional<Inbox::Item> Inbox::take(milliseconds patience) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [&] { return !items_.empty(); })) return std::nullopt;
  auto item = std::move(items_.front());
  items_.pop_front();
  return item;
}

Result<std::shared_ptr<WorkerLink>> WorkerLink::start(const WorkerCommand& command) {
  BH_TRY(auto child,
         subprocess::ChildProcess::start(
             {.arguments = command.arguments, .variables = command.variables, .append_output_to = {}, .talks = true}));
  const std::shared_ptr<WorkerLink> link(new WorkerLink(command, std::move(child)));
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
  listener_ = std::thread([this] { listen(); });
}

WorkerLink::~WorkerLink() {
  {
    const std::lock_guard lock(sending_);
    ::shutdown(child_.input.get(), SHUT_WR);
  }
  // Reading ends when it ends; one that does not is made to.
  {
    std::unique_lock lock(mutex_);
    failed_.wait_for(lock, kGrace, [&] { return failure_.has_value(); });
  }
  if (alive()) give_up("does not end");
  listener_.join();
}

Result<void> WorkerLink::shake_hands() {
  const auto inbox = std::make_shared<Inbox>();
  static_cast<void>(begin({{"do", "hello"}, {"protocol", kProtocolVersion}}, {}, inbox, 0));
  const auto item = inbox->take(command_.handshake);
  if (!item) return give_up(fmt::format("did not say its version within {} ms", command_.handshake.count()));
  BH_CHECK(item->frame);
  const auto& ok = item->frame.value().head["ok"];
  const auto version = ok.is_object() ? ok.value("protocol", 0U) : 0U;
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
  for (std::size_t done = 0; done < bytes.size();) {
    const auto sent = ::send(child_.input.get(), bytes.data() + done, bytes.size() - done, kNoSignal);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    done += static_cast<std::size_t>(sent);
  }
  return true;
}

RequestId WorkerLink::begin(Json head, std::span<const std::byte> tail, const std::shared_ptr<Inbox>& inbox,
                            std::size_t tag) {
  RequestId id = 0;
  {
    const std::lock_guard lock(mutex_);
    id = next_id_++;
    if (failure_) {
      inbox->put({tag, *failure_});
      return id;
    }
    waiting_[id] = {inbox, tag};
  }
  head["id"] = id;
  // A worker that is gone is noticed by the listener, which knows its last words; one that does not read, here.
  if (!send(head, tail) && (errno == EAGAIN || errno == EWOULDBLOCK)) give_up("does not read what it is sent");
  return id;
}

void WorkerLink::tell(RequestId id, std::string_view what) {
  static_cast<void>(send({{"do", what}, {"id", id}}, {}));
}

void WorkerLink::cancel(RequestId id, std::size_t generation) {
  static_cast<void>(send({{"do", "cancel"}, {"id", id}, {"request", generation}}, {}));
}

Result<Frame> WorkerLink::call(Json head, std::span<const std::byte> tail, const std::stop_token& cancel,
                               const std::function<void(std::uint32_t tokens)>& progress) {
  const auto inbox = std::make_shared<Inbox>();
  if (cancel.stop_requested()) head["cancelled"] = true;
  const auto id = begin(std::move(head), tail, inbox, 0);
  const std::stop_callback pass_on(cancel, [&] { tell(id, "cancel"); });
  for (;;) {
    auto item = inbox->take(command_.answer);
    if (!item) {
      give_up_waiting();
      item = inbox->take(command_.answer);
    }
    BH_CHECK(item->frame);
    auto frame = std::move(item->frame).value();
    if (is_event(frame.head)) {
      if (const auto done = tokens_done(frame.head); done && progress) progress(*done);
      continue;
    }
    frame.head = Json(frame.head["ok"]);
    return frame;
  }
}

void WorkerLink::give_up_waiting() {
  give_up(fmt::format("has been silent for {} ms", command_.answer.count()));
}

void WorkerLink::listen() {
  FrameReader reader;
  while (read_some(reader)) {
  }
}

// False when there will be nothing more to read.
bool WorkerLink::read_some(FrameReader& reader) {
  std::array<pollfd, 2> ready = {{{child_.output.get(), POLLIN, 0}, {child_.errors.get(), POLLIN, 0}}};
  const int found = ::poll(ready.data(), ready.size(), kLookMilliseconds);
  if (found < 0) return errno == EINTR;
  if (found == 0) {
    const std::unique_lock lock(mutex_);
    if (!given_up_) return true;
  }
  if ((ready[1].revents & POLLIN) != 0) errors_.read_from(child_.errors.get(), 0);
  if (found > 0 && (ready[0].revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
    // Its stderr is closed: that is always ready, do not spin on it.
    if ((ready[1].revents & POLLIN) == 0) ::poll(ready.data(), 1, kLookMilliseconds);
    return true;
  }
  if (found == 0) {
    fail("ended");
    return false;
  }
  std::array<std::byte, std::size_t{1} << 16U> buffer{};
  const auto got = ::read(child_.output.get(), buffer.data(), buffer.size());
  if (got < 0 && errno == EINTR) return true;
  if (got <= 0) {
    fail(reader.unfinished() ? "ended in the middle of an answer" : "ended");
    return false;
  }
  reader.add(std::span(buffer).first(static_cast<std::size_t>(got)));
  for (;;) {
    auto frame = reader.next();
    if (!frame.ok()) {
      fail("does not keep to the protocol: " + frame.error().message);
      return false;
    }
    if (!frame.value()) return true;
    hand_over(std::move(*frame.value()));
  }
}

void WorkerLink::hand_over(Frame frame) {
  const auto id =
      frame.head.contains("id") && frame.head["id"].is_number_unsigned() ? frame.head["id"].get<RequestId>() : 0;
  const bool event = is_event(frame.head);
  const std::lock_guard lock(mutex_);
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;  // of a request that nobody waits for any more
  const auto [inbox, tag] = found->second;
  if (!event) waiting_.erase(found);
  if (!frame.head.contains("error")) return inbox->put({tag, std::move(frame)});
  try {
    inbox->put({tag, error_from(frame.head["error"])});
  } catch (const Json::exception& broken) {
    inbox->put({tag, Error{ErrorCode::kRemote, fmt::format("an error of another form: {}", broken.what()), {}, {}}});
  }
}

// How it ended, and the end of what it wrote on stderr. By then it is ending; one that is not is made to.
std::string WorkerLink::last_words() {
  const auto deadline = std::chrono::steady_clock::now() + kLastWords;
  while (!child_.exit_code() && std::chrono::steady_clock::now() < deadline) errors_.read_from(child_.errors.get(), 5);
  child_.kill();
  while (errors_.read_from(child_.errors.get(), 0)) {
  }
  std::string said = errors_.text();
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return fmt::format("exit code {}; {}", child_.exit_code().value_or(1),
                     said.empty() ? "it said nothing on stderr" : "it said last: " + said);
}

void WorkerLink::fail(std::string what) {
  const auto ending = last_words();
  const std::lock_guard lock(mutex_);
  failure_ = Error{ErrorCode::kRemote,
                   fmt::format("the worker (process {}) {} ({})", pid_, given_up_ ? *given_up_ : what, ending),
                   command_.arguments.front(), "the other partitions go on; look at what it said"};
  for (const auto& [id, waiting] : waiting_) waiting.inbox->put({waiting.tag, *failure_});
  waiting_.clear();
  failed_.notify_all();
}

Error WorkerLink::give_up(std::string why) {
  std::unique_lock lock(mutex_);
  if (!failure_) {
    if (!given_up_) given_up_ = std::move(why);
    ::kill(-pid_, SIGKILL);
  }
  failed_.wait(lock, [&] { return failure_.has_value(); });
  return *failure_;
}

}  // namespace bulkhead::engines::worker
