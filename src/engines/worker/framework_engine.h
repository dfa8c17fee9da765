// SPDX-License-Identifier: MIT
// Engines of other frameworks, which live in Python: Hugging Face Transformers and mlx_lm (workers/). One child holds
// the model and all sequences, each with a cache object of its own: grade `buffer`. Engines of one process that load
// the same model with the same options share the child; it ends with the last of them.
//
// When the child dies, hangs or talks rubbish, all its sequences are poisoned (kRemote, with the end of its stderr, at
// the next call about each); the next open() or restore() starts another one and loads the model again.
#pragma once

#include "engine/engine.h"
#include "engines/worker/worker_link.h"

#include <bulkhead/options.h>

#include <memory>
#include <string_view>

namespace bulkhead::engines::worker {

// The command that runs `module` of workers/bulkhead_workers ("transformers_worker") in the workers' environment: the
// folder that the variable BULKHEAD_WORKERS names, else bulkhead/workers in the cache folder. kUsage, naming the script
// that makes it, when it is not there.
[[nodiscard]] Result<WorkerCommand> framework_command(std::string_view module);

// Starts the child and loads the model in it. kUnsupported for options that the framework does not have (each is
// named), kRemote when the child fails, errors of loading as the child gives them.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> make_framework_engine(const ModelOptions& options,
                                                                            const WorkerCommand& command);

// options.path: a folder with a checkpoint, or a GGUF file (dequantized).
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> make_transformers_engine(const ModelOptions& options);

// options.path: a folder with an MLX model or a checkpoint.
[[nodiscard]] Result<std::unique_ptr<engine::Engine>> make_mlx_engine(const ModelOptions& options);

}  // namespace bulkhead::engines::worker
