// SPDX-License-Identifier: MIT
// All that a process says on stdout and stderr. What it says there may not arrive (a full disk, a closed pipe or
// terminal): that ends no work; whether data on stdout arrived is asked at the end.
//
// Safe from any thread; one call is one write where the system allows it.
#pragma once

#include "base/result.h"

#include <fmt/format.h>

#include <exception>
#include <string_view>

namespace bulkhead::console {

// Call once, first in main: SIGPIPE is ignored, so that a closed pipe is a failed write, and where stdin, stdout or
// stderr are closed a descriptor stands in on which every read or write fails. Without it the next file opened, a
// database or a results file, would be stdout.
void prepare();

void say_line(std::string_view text) noexcept;
void print_text(std::string_view text) noexcept;
void nothing_printed(std::string_view why) noexcept;

// A line on stderr, for people: made printable() with its line breaks kept, and ended with one. Failures are ignored.
template <typename... Values>
void say(fmt::format_string<Values...> format, Values&&... values) noexcept {
  try {
    say_line(fmt::format(format, std::forward<Values>(values)...));
  } catch (const std::exception& error) {
    say_line(error.what());
  }
}

// The same line of a terminal again, with `text` in place of what stood there; end_line() goes to the next.
void redraw(std::string_view text) noexcept;
void end_line() noexcept;

// Text for people on stdout, made printable() with its line breaks kept.
template <typename... Values>
void print(fmt::format_string<Values...> format, Values&&... values) noexcept {
  try {
    print_text(fmt::format(format, std::forward<Values>(values)...));
  } catch (const std::exception& error) {
    nothing_printed(error.what());
  }
}

// Data on stdout, byte for byte: JSON, CSV, a script.
void print_data(std::string_view data) noexcept;
// A path on a line of stdout: byte for byte where a program reads it, printable() on a terminal.
void print_path(std::string_view path) noexcept;
// kResource when anything printed on stdout so far did not arrive.
[[nodiscard]] Result<void> arrived();

}  // namespace bulkhead::console
