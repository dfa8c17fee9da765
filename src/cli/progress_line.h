// SPDX-License-Identifier: MIT
// Progress on stderr: a line that redraws itself on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace bulkhead::cli {

class ProgressLine {
 public:
  enum class Mode { kAuto, kNever };
  explicit ProgressLine(Mode mode);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine();  // ends the line

  // `total` 0: unknown. `unit` "tokens" or "bytes" (shown as MB).
  void update(std::string_view what, std::uint64_t done, std::uint64_t total, std::string_view unit);
  // Leaves the current line standing; the next update begins a new one.
  void finish();

 private:
  bool enabled_;
  bool terminal_;
  bool dirty_ = false;  // something stands on the current line
  std::string last_what_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace bulkhead::cli
