// SPDX-License-Identifier: MIT
#include "cli/command.h"
#include "engines/builtin.h"
#include "engines/process/worker.h"

#include <unistd.h>

namespace bulkhead::cli {

// Not for people: engines/process starts it, and speaks docs/worker-protocol.md with it.
Command add_worker(CLI::App& program) {
  auto* command = program.add_subcommand("worker", "Serve an engine over stdin and stdout.");
  command->group("");  // hidden
  return []() -> int {
    // Whatever else is printed goes to stderr: stdout speaks the protocol only.
    const int out = ::dup(STDOUT_FILENO);
    if (out < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return exit_code(ErrorCode::kInternal);
    engines::process::serve(STDIN_FILENO, out, engines::builtin_engines());
  };
}

}  // namespace bulkhead::cli
