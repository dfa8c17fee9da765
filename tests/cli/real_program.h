// SPDX-License-Identifier: MIT
// Runs the real program `bulkhead` of this build, in a shell, and keeps what it printed.
#pragma once

#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace bulkhead::testing {

inline const std::string kScenario = source_folder() + "/scenarios/hospital_pharmacy.json";
inline const std::string kBenchData = source_folder() + "/datasets/bulkhead-bench";

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

inline std::string program() {
  return testing::build_folder() + "/src/bulkhead";
}

// `before` is shell text in front of the program: variables, a ulimit, a timeout.
inline Outcome run_program(const std::filesystem::path& folder, const std::string& arguments,
                           const std::string& before = {}) {
  const auto out = folder / "stdout.txt";
  const auto err = folder / "stderr.txt";
  const auto line = before + " " + program() + " " + arguments + " >" + out.string() + " 2>" + err.string();
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out), read_file(err)};
}

// Sends SIGINT once stderr shows `sign` (two minutes at most: then the outcome tells).
inline Outcome run_program_and_interrupt(const std::filesystem::path& folder, const std::string& arguments,
                                         const std::string& sign, const std::string& signal = "INT") {
  const auto out = folder / "stdout.txt";
  const auto err = folder / "stderr.txt";
  const auto line = program() + " " + arguments + " >" + out.string() + " 2>" + err.string() +
                    " & for i in $(seq 1200); do grep -q '" + sign + "' " + err.string() +
                    " && break; sleep 0.1; done; kill -" + signal + " $!; wait $!";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out), read_file(err)};
}

inline std::string model_file(const std::string& name) {
  std::filesystem::path folder;
  if (const char* models = std::getenv("BULKHEAD_MODELS"))
    folder = models;
  else if (const char* cache = std::getenv("XDG_CACHE_HOME"))
    folder = std::filesystem::path(cache) / "bulkhead" / "models";
  else
    folder = std::filesystem::path(std::getenv("HOME")) / ".cache" / "bulkhead" / "models";
  return (folder / name).string();
}

}  // namespace bulkhead::testing
