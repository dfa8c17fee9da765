// SPDX-License-Identifier: MIT
// Flags shared by the commands, declared once, spelled as in llama.cpp.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "cli/progress_line.h"

#include <bulkhead/options.h>

#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::cli {

// The command line with llama.cpp's long flags of one dash (-hf, -ngl, -fa, -ctk, -ctv) written with two, which is what
// the parser knows. The first element is the program's name, as in argv.
[[nodiscard]] std::vector<std::string> normalize_arguments(int argc, const char* const* argv);

struct CommonFlags {
  bool json = false;
  std::string output = "table";  // table, json, md, csv
  bool quiet = false;
  int verbose = 0;
  std::string progress = "auto";
};

struct ModelFlags {
  std::string model;
  std::string hub;
  ModelOptions options;
  std::string grade = "buffer";
  std::string isolation = "auto";
  std::string guard = "none";
  std::string flash_attention = "on";

  // The options with the model's file found. kUsage with advice when it is not there.
  [[nodiscard]] Result<ModelOptions> resolve() const;
};

void add_common_flags(CLI::App& app, CommonFlags& flags);
// Those of them that a command without other outputs has: -q and --progress.
void add_progress_flags(CLI::App& app, CommonFlags& flags);
[[nodiscard]] ProgressLine::Mode progress_mode(const CommonFlags& flags);
void add_model_flags(CLI::App& app, ModelFlags& flags);
void add_sampling_flags(CLI::App& app, SamplingOptions& sampling);

// Prints an error on stderr, or as JSON on stdout with --json, and gives its exit code.
int print_error(const Error& error, const CommonFlags& flags);
// One line on stderr, "bulkhead: TEXT", whatever stands in it.
void say_failure(std::string_view text);

}  // namespace bulkhead::cli
