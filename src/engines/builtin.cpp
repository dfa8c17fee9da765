// SPDX-License-Identifier: MIT
#include "engines/builtin.h"

#include "engines/fake/fake_engine.h"
#include "engines/llama/llama_engine.h"
#include "engines/process/process_engine.h"
#include "engines/worker/framework_engine.h"

namespace bulkhead::engines {

namespace {

// Grade `process` is not for an engine to give: any of them runs in workers.
template <engine::Factory kMake>
Result<std::unique_ptr<engine::Engine>> make_in_any_grade(const ModelOptions& options) {
  return options.grade == Grade::kProcess ? process::make_process_engine(options) : kMake(options);
}

}  // namespace

engine::Registry builtin_engines() {
  engine::Registry registry;
  registry.add({"llama", "libllama (llama.cpp), GGUF models", &make_in_any_grade<&llama::make_llama_engine>});
  registry.add({"transformers", "Hugging Face Transformers in a worker; checkpoint folders, GGUF models",
                &make_in_any_grade<&worker::make_transformers_engine>});
  registry.add(
      {"mlx", "mlx_lm in a worker; MLX models, checkpoint folders", &make_in_any_grade<&worker::make_mlx_engine>});
  registry.add({"fake", "next token is a hash of all visible tokens; for tests, needs no model",
                &make_in_any_grade<&fake::make_from_options>});
  return registry;
}

}  // namespace bulkhead::engines
