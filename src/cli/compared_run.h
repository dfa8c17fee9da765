// SPDX-License-Identifier: MIT
// One engine's part of `bulkhead compare`: what `--on` says, and its run in a process of its own.
//
// Each engine runs as `bulkhead run` in a child: its memory is its own, is measured as its own, and is given back
// before the next engine starts.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "cli/run_flags.h"

#include <CLI/CLI.hpp>

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::cli {

// "ENGINE[:MODEL][,FLAG[=VALUE]]...", MODEL being what -m takes, or hf:USER/REPO[:QUANT].
struct ComparedEngine {
  std::string text;                // as typed
  std::string engine;              // "llama"
  std::string model;               // empty: the engine's default
  std::string hub;                 // in place of `model`
  std::vector<std::string> flags;  // of `run`, for this one only: "--dtype=bf16", "--leaky"
  std::string name;  // for tables and its folder: letters, digits, "._-"; unique among those parsed together
};

// kUsage names the part that is wrong: an unknown engine, no model after a colon, the same name as a flag of `compare`
// that it may not set.
[[nodiscard]] Result<std::vector<ComparedEngine>> parse_compared(const std::vector<std::string>& texts);

// The arguments of `bulkhead` that run `one` into `folder`: those of `command` that were typed, the engine's own.
[[nodiscard]] std::vector<std::string> run_arguments(const CLI::App& command, const ComparedEngine& one,
                                                     const std::string& scenario, const std::string& folder);

// The results in `folder` if they are whole and were made by these arguments of a scenario with this sum; null when
// there are none, or they are not whole. kUsage when another run lies there.
[[nodiscard]] Result<Json> finished_run(const std::string& folder, const std::vector<std::string>& arguments,
                                        const std::string& scenario_sha256);

// Runs it, handing each line of its stderr to `line`. kInterrupted after `stop`; else a failure has the code and the
// last line of the child.
[[nodiscard]] Result<void> run_compared(const std::vector<std::string>& arguments,
                                        const std::function<void(std::string_view)>& line, const std::stop_token& stop);

}  // namespace bulkhead::cli
