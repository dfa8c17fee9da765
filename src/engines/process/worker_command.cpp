// SPDX-License-Identifier: MIT
#include "engines/process/process_engine.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#if defined(__APPLE__)
#include <mach-o/dyld.h>

#include <array>
#endif

namespace bulkhead::engines::process {
namespace {

std::filesystem::path this_program() {
#if defined(__APPLE__)
  std::array<char, 4096> path{};
  std::uint32_t size = path.size();
  return _NSGetExecutablePath(path.data(), &size) == 0 ? std::filesystem::path(path.data()) : std::filesystem::path();
#else
  std::error_code problem;
  return std::filesystem::read_symlink("/proc/self/exe", problem);
#endif
}

}  // namespace

Result<WorkerCommand> worker_command() {
  std::string program;
  if (const auto own = this_program(); own.filename() == "bulkhead") {
    program = own.string();
  } else if (const char* named = std::getenv("BULKHEAD_PROGRAM"); named != nullptr && *named != '\0') {
    program = named;
  } else {
    return Error{ErrorCode::kUsage, "grade process starts the program bulkhead, and this program is another one",
                 "BULKHEAD_PROGRAM", "let this environment variable name it"};
  }
  WorkerCommand command;
  command.arguments = {program, "worker"};
  // Threads of one worker that wait must not keep the cores from the others.
  command.variables = {{"OMP_WAIT_POLICY", "passive"}};
  return command;
}

}  // namespace bulkhead::engines::process
