// SPDX-License-Identifier: MIT
// Lines that somebody types: edited and remembered on a terminal (libedit), as they come from anything else.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace bulkhead::cli {

// Thread rule: one thread at a time. One per process: it reads standard input.
class LineReader {
 public:
  LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;
  ~LineReader();

  [[nodiscard]] bool on_terminal() const noexcept { return on_terminal_; }
  // The next line without its end; nothing at the end of the input. The prompt is shown on a terminal only.
  [[nodiscard]] std::optional<std::string> read(const std::string& prompt);

 private:
  struct Editor;
  bool on_terminal_;
  std::unique_ptr<Editor> editor_;  // null: no terminal
};

}  // namespace bulkhead::cli
