// SPDX-License-Identifier: MIT
// Where tests find real models: the folder BULKHEAD_MODELS, else the cache folder that `bulkhead pull` fills.
#pragma once

#include "engine/engine.h"
#include "engines/builtin.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

namespace bulkhead::testing {

inline const std::string kGemma = "gemma-3-270m-q4_k_m.gguf";
inline const std::string kQwen = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";
inline const std::string kLargeQwen = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf";

inline std::filesystem::path model_file(const std::string& name) {
  const auto variable = [](const char* key) {
    const char* value = std::getenv(key);
    return std::string(value == nullptr ? "" : value);
  };
  if (const auto folder = variable("BULKHEAD_MODELS"); !folder.empty()) return std::filesystem::path(folder) / name;
  const auto cache = variable("XDG_CACHE_HOME");
  const std::filesystem::path base =
      cache.empty() ? std::filesystem::path(variable("HOME")) / ".cache" : std::filesystem::path(cache);
  return base / "bulkhead" / "models" / name;
}

inline bool have_model(const std::string& name) {
  return std::filesystem::exists(model_file(name));
}

inline Result<std::unique_ptr<engine::Engine>> load_llama(const std::string& name, ModelOptions options = {}) {
  options.path = model_file(name).string();
  options.engine = "llama";
  return engines::builtin_engines().make(options);
}

}  // namespace bulkhead::testing

// Skips the test, aloud, when the model is not there.
#define BULKHEAD_NEED_MODEL(name)                                                             \
  if (!bulkhead::testing::have_model(name)) {                                                 \
    GTEST_SKIP() << "needs " << bulkhead::testing::model_file(name) << "; see bulkhead pull"; \
  }
