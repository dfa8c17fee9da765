// SPDX-License-Identifier: MIT
// The commands. Each adds itself to the program with its flags; the returned function runs it and gives the exit code.
#pragma once

#include "cli/flags.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <vector>

namespace bulkhead::cli {

// What every command knows of the program it runs in.
struct Invocation {
  std::vector<std::string> arguments;  // as typed
};

using Command = std::function<int()>;

Command add_run(CLI::App& program, const Invocation& invocation);
Command add_compare(CLI::App& program);
Command add_plan(CLI::App& program);
Command add_validate(CLI::App& program);
Command add_pull(CLI::App& program);
Command add_models(CLI::App& program);
Command add_convert(CLI::App& program);
Command add_report(CLI::App& program);
Command add_verify(CLI::App& program);
Command add_eval(CLI::App& program, const Invocation& invocation);
Command add_judge(CLI::App& program, const Invocation& invocation);
Command add_cache(CLI::App& program);
Command add_serve(CLI::App& program);
Command add_worker(CLI::App& program);
Command add_chat(CLI::App& program);
Command add_doctor(CLI::App& program);
Command add_completion(CLI::App& program);

}  // namespace bulkhead::cli
