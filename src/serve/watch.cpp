// SPDX-License-Identifier: MIT
#include "serve/watch.h"

#include <poll.h>

#include <condition_variable>
#include <string_view>
#include <utility>

namespace bulkhead::serve {
namespace {

constexpr std::chrono::milliseconds kTick{100};

// What a socket says once the other side sends no more.
#ifdef POLLRDHUP
constexpr short kClosed = POLLRDHUP;
#else
constexpr short kClosed = 0;
#endif

}  // namespace

bool is_gone(const httplib::Request& request) {
  if (request.ssl == nullptr) return request.is_connection_closed();
  // TLS says goodbye before it closes, and httplib takes bytes that nobody has read for life. The session belongs to
  // the thread that writes: only the socket is asked.
  const int socket = SSL_get_fd(static_cast<const SSL*>(request.ssl));
  if (socket < 0) return true;
  pollfd asked{.fd = socket, .events = kClosed, .revents = 0};
  return ::poll(&asked, 1, 0) > 0 && (asked.revents & (kClosed | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

Watch::Watch(const httplib::Request& request, std::stop_token stopping, std::chrono::seconds deadline,
             std::function<void()> tick)
    : stopped_(std::move(stopping), Stop{&stop_}),
      thread_([this, &request, deadline, tick = std::move(tick)](const std::stop_token& done) {
        const auto begin = std::chrono::steady_clock::now();
        std::mutex mutex;
        std::condition_variable_any ended;
        std::unique_lock lock(mutex);
        while (!ended.wait_for(lock, done, kTick, [&] { return done.stop_requested(); })) {
          if (is_gone(request)) {
            left_ = true;
            stop_.request_stop();
          }
          if (deadline.count() > 0 && std::chrono::steady_clock::now() - begin >= deadline) {
            late_ = true;
            stop_.request_stop();
          }
          if (tick) tick();
        }
      }) {}

void Watch::end() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

bool EventSink::write(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (text.empty()) {
    there_ = there_ && sink_->is_writable();
    return there_;
  }
  written_ = std::chrono::steady_clock::now();
  there_ = there_ && sink_->write(text.data(), text.size());
  return there_;
}

void EventSink::ping_if_quiet() {
  const std::unique_lock lock(mutex_, std::try_to_lock);  // one who writes is not quiet
  if (!lock.owns_lock() || !there_ || std::chrono::steady_clock::now() - written_ < ping_) return;
  constexpr std::string_view kPing = ": ping\n\n";
  written_ = std::chrono::steady_clock::now();
  there_ = sink_->write(kPing.data(), kPing.size());
}

}  // namespace bulkhead::serve
