// SPDX-License-Identifier: MIT
#include "cli/progress_line.h"

#include "base/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

namespace bulkhead::cli {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kPlain = std::chrono::seconds(10);

std::string amount(std::uint64_t value, std::string_view unit) {
  return unit == "bytes" ? fmt::format("{:.1f} MB", static_cast<double>(value) / 1e6)
                         : fmt::format("{} {}", value, unit);
}

}  // namespace

ProgressLine::ProgressLine(Mode mode) : enabled_(mode == Mode::kAuto), terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  finish();
}

void ProgressLine::finish() {
  if (dirty_) console::end_line();
  dirty_ = false;
  last_ = {};
}

void ProgressLine::update(std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit) {
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  const bool complete = terminal_ && total != 0 && done >= total;
  if (!complete && now - last_ < (terminal_ ? std::chrono::duration_cast<std::chrono::milliseconds>(kRedraw) : kPlain))
    return;
  last_ = now;
  const double share = total == 0 ? 0.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  if (!terminal_) {
    console::say("{}: {}{}", what, amount(done, unit), total == 0 ? "" : fmt::format(" of {}", amount(total, unit)));
    return;
  }
  const auto filled = static_cast<std::size_t>(share * kBarWidth);
  const auto bar = std::string(filled, '#') + std::string(kBarWidth - filled, '.');
  console::redraw(fmt::format("[{}] {:3.0f} % {} {}", bar, share * 100, amount(done, unit), what));
  dirty_ = true;
}

}  // namespace bulkhead::cli
