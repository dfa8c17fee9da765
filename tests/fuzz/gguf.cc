// SPDX-License-Identifier: MIT
// Model files, as far as they are checked before libllama sees them.
#include "fuzz/input.h"

#include "engines/llama/assertions.h"
#include "engines/llama/backend.h"
#include "engines/llama/gguf_check.h"

#include <fcntl.h>
#include <ggml.h>
#include <unistd.h>

#include <string>
#include <utility>

// In place of engines/llama/backend.cpp, which would bring our kernels along: what ggml logs is not looked at.
namespace bulkhead::engines::llama {

LoggedErrors::LoggedErrors() : outer_(nullptr) {}
LoggedErrors::~LoggedErrors() = default;
void LoggedErrors::add(std::string line) {
  lines_.push_back(std::move(line));
}
std::string LoggedErrors::text() const {
  return outer_ == nullptr && lines_.empty() ? "no reason given" : lines_.front();
}

}  // namespace bulkhead::engines::llama

namespace bulkhead::fuzz {
namespace {

// In memory, one for the whole process; gone with it.
class File {
 public:
  File() : path_("/dev/shm/bulkhead-fuzz-" + std::to_string(::getpid()) + ".gguf") {}
  ~File() { ::unlink(path_.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] const std::string& holding(const std::uint8_t* data, std::size_t size) const {
    const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(file >= 0 && ::write(file, data, size) == static_cast<ssize_t>(size));
    ::close(file);
    return path_;
  }

 private:
  std::string path_;
};

}  // namespace
}  // namespace bulkhead::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  static const fuzz::File file;
  static const bool started = [] {
    ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
    engines::llama::catch_assertions();
    return true;
  }();
  static_cast<void>(started);
  const auto summary = engines::llama::check_gguf(file.holding(data, size));
  if (!summary.ok()) fuzz::require(!summary.error().message.empty());
  return 0;
}
