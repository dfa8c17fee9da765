// SPDX-License-Identifier: MIT
// What belongs to the whole process: libllama's start-up, its log, and the machine it runs on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {

// Starts ggml, plugs our kernels in, sends libllama's log to ours (level debug) and its assertions to assertions.h.
// Does its work once; call before anything of libllama.
void start_backend();

// Collects the warnings and errors that libllama logs on this thread while the object lives. Nests.
class LoggedErrors {
 public:
  LoggedErrors();
  ~LoggedErrors();
  LoggedErrors(const LoggedErrors&) = delete;
  LoggedErrors& operator=(const LoggedErrors&) = delete;

  // The last lines, joined; "no reason given" when there are none.
  [[nodiscard]] std::string text() const;
  void add(std::string line);

 private:
  LoggedErrors* outer_;
  std::vector<std::string> lines_;
};

// Physical cores this process may run on; at least 1.
[[nodiscard]] std::uint32_t physical_cores();

}  // namespace bulkhead::engines::llama
