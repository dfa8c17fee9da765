// SPDX-License-Identifier: MIT
#include "engines/builtin.h"

#include "engines/fake/fake_engine.h"
#include "engines/llama/llama_engine.h"

namespace bulkhead::engines {

engine::Registry builtin_engines() {
  engine::Registry registry;
  registry.add({"llama", "libllama (llama.cpp), GGUF models", &llama::make_llama_engine});
  registry.add(
      {"fake", "next token is a hash of all visible tokens; for tests, needs no model", &fake::make_from_options});
  return registry;
}

}  // namespace bulkhead::engines
