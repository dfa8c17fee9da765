// SPDX-License-Identifier: MIT
#include "cli/interrupt.h"

#include <pthread.h>
#include <csignal>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace bulkhead::cli {
namespace {

// NOLINTBEGIN(*-global-variables): signals come to the process
std::atomic<int> received{0};
std::atomic<bool> wanted{false};  // somebody holds a token of stop_on_signal()
std::mutex taker_mutex;
std::optional<std::stop_source> taker;  // of SIGINT
// NOLINTEND(*-global-variables)

bool is_ignored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// As if nobody waited for it: it ends the process, unless whoever started the process had it ignored.
void take_as_usual(int number) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, number);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  std::raise(number);
  pthread_sigmask(SIG_BLOCK, &one, nullptr);
}

bool goes_to_taker() {
  const std::lock_guard lock(taker_mutex);
  if (!taker) return false;
  taker->request_stop();
  return true;
}

// A waiting thread may do what a handler may not: take locks and run stop callbacks.
void wait_for(const sigset_t& signals, std::stop_source to_stop) {
  for (;;) {
    int number = 0;
    if (sigwait(&signals, &number) != 0) return;
    if (number == SIGINT && goes_to_taker()) continue;
    if (!wanted.load()) {
      take_as_usual(number);
      continue;
    }
    int none = 0;
    const bool first = received.compare_exchange_strong(none, number);
    // A terminal that closes sends SIGHUP, and so does its shell: nobody asked twice.
    if (!first && number != SIGHUP) std::_Exit(128 + number);
    to_stop.request_stop();
  }
}

const std::stop_source& source() {
  static const std::stop_source only;
  return only;
}

}  // namespace

void catch_signals() {
  static const bool caught = [] {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (!is_ignored(SIGHUP)) sigaddset(&signals, SIGHUP);  // nohup ignores it: to go on without the terminal
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::thread(wait_for, signals, source()).detach();
    return true;
  }();
  static_cast<void>(caught);
}

std::stop_token stop_on_signal() {
  catch_signals();
  wanted = true;
  return source().get_token();
}

InterruptsGoTo::InterruptsGoTo(std::stop_source source) {
  catch_signals();
  const std::lock_guard lock(taker_mutex);
  taker = std::move(source);
}

InterruptsGoTo::~InterruptsGoTo() {
  const std::lock_guard lock(taker_mutex);
  taker.reset();
}

int signal_exit_code() noexcept {
  const int number = received.load();
  return number == 0 ? 0 : 128 + number;
}

}  // namespace bulkhead::cli
