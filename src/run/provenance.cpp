// SPDX-License-Identifier: MIT
#include "run/provenance.h"

#include "embedded/commit.h"
#include "measure/machine.h"

#include <bulkhead/version.h>

#include <filesystem>

namespace bulkhead::run {

Json machine_json() {
  const auto machine = measure::this_machine();
  return {{"cpu", machine.cpu}, {"cores", machine.cores}, {"memory_bytes", machine.memory_bytes}, {"os", machine.os}};
}

Json workers_json(const engine::Engine& engine) {
  const auto memory = engine.worker_memory();
  if (!memory.ok()) return nullptr;
  return {{"processes", memory.value().processes},
          {"peak_rss_bytes", memory.value().peak_rss_bytes},
          {"peak_device_bytes", memory.value().peak_device_bytes}};
}

Json build_json() {
  return {{"version", BULKHEAD_VERSION}, {"commit", embedded::kCommit}};
}

Json model_json(const engine::Facts& facts, const std::string& sha256) {
  return {{"name", facts.model_name},
          {"path", std::filesystem::path(facts.model_path).filename().string()},
          {"sha256", sha256},
          {"architecture", facts.architecture},
          {"bytes", facts.model_bytes},
          {"context_tokens", facts.trained_context_tokens},
          {"window_tokens", facts.window_tokens}};
}

Json engine_json(const engine::Facts& facts) {
  return {{"name", facts.engine},
          {"build", facts.build},
          {"grade", engine::name(facts.grade)},
          {"kv_type_k", facts.kv_type_k},
          {"kv_type_v", facts.kv_type_v},
          {"kernels", facts.kernels},
          {"isolation", engine::name(facts.isolation)},
          {"batch_invariant", facts.batch_invariant},
          {"variance", facts.variance},
          {"flash_attention", facts.flash_attention},
          {"threads", facts.threads},
          {"clock", facts.clock},
          {"kv_bytes_per_token", facts.kv_bytes_per_token},
          {"implementation", facts.implementation}};
}

}  // namespace bulkhead::run
