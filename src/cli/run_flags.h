// SPDX-License-Identifier: MIT
// The flags of `run`, which `compare` passes on.
#pragma once

#include "cli/flags.h"
#include "cli/session.h"

#include <cstdint>
#include <string>

namespace bulkhead::cli {

struct RunFlags {
  CommonFlags common;
  ModelFlags model;
  ExperimentFlags experiment;
  SamplingOptions sampling;
  std::uint32_t repeat = 1;
  std::uint32_t parallel = 16;
  bool ignore_end = false;
  bool no_speculation = false;
  std::string folder;
  bool force = false;
};

void add_run_flags(CLI::App& app, RunFlags& flags);

}  // namespace bulkhead::cli
