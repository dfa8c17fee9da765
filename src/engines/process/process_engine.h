// SPDX-License-Identifier: MIT
// Grade `process`: every sequence in a child process of its own with its own set of weights, the baseline of many
// agents. A child is the program `bulkhead worker` with any registered engine inside; it is never used for a second
// sequence.
//
// What differs from an engine in this process: a child that dies, hangs or talks rubbish poisons its own sequence
// (kRemote, with the end of its stderr) and no other. A fork is a snapshot that a new child restores: what it reports
// as reused, the restore may have computed anew (engine/engine.h, restore()). The first child also answers for the
// tokenizer, and lives as long as the engine for that.
#pragma once

#include "engine/engine.h"
#include "engines/worker/worker_link.h"

#include <bulkhead/options.h>

#include <memory>
#include <string>

namespace bulkhead::engines::process {

using worker::WorkerCommand;

// The command that starts a worker: this very program where it is bulkhead, else the one that the environment variable
// BULKHEAD_PROGRAM names. kUsage when there is neither.
[[nodiscard]] Result<WorkerCommand> worker_command();

// Starts the first worker and loads the model in it. options.engine is the engine inside; options.grade must be
// kProcess. Errors of worker_command(), of starting a worker (kRemote), and of loading the model.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> make_process_engine(const ModelOptions& options,
                                                                          const WorkerCommand& command);
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> make_process_engine(const ModelOptions& options);

}  // namespace bulkhead::engines::process
