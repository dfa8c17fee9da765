// SPDX-License-Identifier: MIT
// Looks after one request while it waits and is computed: it ends when its client has gone, when its time is up, or
// when the server stops. Only the files of the HTTP side include this one.
#pragma once

#include <cpp-httplib/httplib.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

namespace bulkhead::serve {

// Whether the client has closed its connection. What it may have sent before that, such as the goodbye of TLS, says
// nothing. Any thread, as long as the request is there.
[[nodiscard]] bool is_gone(const httplib::Request& request);

class Watch {
 public:
  // `deadline`: 0: none. `tick` is called from time to time, by a thread of the watch.
  Watch(const httplib::Request& request, std::stop_token stopping, std::chrono::seconds deadline,
        std::function<void()> tick = {});
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() = default;

  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }
  void stop() { stop_.request_stop(); }
  // It watches no more, and calls no tick.
  void end();
  [[nodiscard]] bool has_left() const { return left_; }  // the client
  [[nodiscard]] bool is_late() const { return late_; }

 private:
  struct Stop {
    std::stop_source* source;
    void operator()() const noexcept { source->request_stop(); }
  };

  std::stop_source stop_;
  std::stop_callback<Stop> stopped_;
  std::atomic<bool> left_ = false;
  std::atomic<bool> late_ = false;
  std::jthread thread_;  // last: all else is there when it starts
};

// The connection of a stream, for the thread that answers and the one that keeps it alive.
class EventSink {
 public:
  EventSink(httplib::DataSink& sink, std::chrono::seconds ping) : sink_(&sink), ping_(ping) {}

  // False: the client is gone.
  bool write(const std::string& text);
  // A comment, which no client takes for an event, when nothing was written for a while.
  void ping_if_quiet();

 private:
  httplib::DataSink* sink_;
  std::chrono::seconds ping_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point written_ = std::chrono::steady_clock::now();
  bool there_ = true;
};

}  // namespace bulkhead::serve
