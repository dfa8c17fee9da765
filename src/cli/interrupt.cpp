// SPDX-License-Identifier: MIT
#include "cli/interrupt.h"

#include <pthread.h>
#include <csignal>

#include <atomic>
#include <cstdlib>
#include <thread>

namespace bulkhead::cli {
namespace {

std::atomic<int> received{0};  // NOLINT(*-global-variables): signals come to the process

bool is_ignored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

std::stop_token stop_on_signal() {
  // A waiting thread may do what a handler may not: take locks and run stop callbacks.
  static const std::stop_source source;
  static const bool installed = [] {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (!is_ignored(SIGHUP)) sigaddset(&signals, SIGHUP);  // nohup ignores it: to go on without the terminal
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::thread([signals] {
      for (;;) {
        int number = 0;
        if (sigwait(&signals, &number) != 0) return;
        int none = 0;
        const bool first = received.compare_exchange_strong(none, number);
        // A terminal that closes sends SIGHUP, and so does its shell: nobody asked twice.
        if (!first && number != SIGHUP) std::_Exit(128 + number);
        source.request_stop();
      }
    }).detach();
    return true;
  }();
  static_cast<void>(installed);
  return source.get_token();
}

int signal_exit_code() noexcept {
  const int number = received.load();
  return number == 0 ? 0 : 128 + number;
}

}  // namespace bulkhead::cli
