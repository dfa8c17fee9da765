// SPDX-License-Identifier: MIT
// The program `bulkhead`: its commands and flags over the library's rooms.
#pragma once

namespace bulkhead::cli {

// Parses the command line, runs the command, and gives the exit code (docs/exit-codes.md). Data goes to stdout,
// progress and errors to stderr.
int run_program(int argc, const char* const* argv);

}  // namespace bulkhead::cli
