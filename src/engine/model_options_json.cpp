// SPDX-License-Identifier: MIT
#include "engine/model_options_json.h"

#include "base/utf8.h"
#include "engine/engine.h"

#include <array>
#include <string>

namespace bulkhead::engine {

Grade grade_from(const Json& json) {
  constexpr std::array kGrades = {Grade::kProcess, Grade::kBuffer, Grade::kMask, Grade::kClaimed};
  const auto text = json.get<std::string>();
  for (const auto grade : kGrades) {
    if (name(grade) == text) return grade;
  }
  return Grade::kClaimed;
}

Isolation isolation_from(const Json& json) {
  return json.get<std::string>() == name(Isolation::kStrict) ? Isolation::kStrict : Isolation::kFast;
}

Json to_json(const ModelOptions& options) {
  return {{"path", escape_bytes(options.path)},
          {"engine", options.engine},
          {"grade", name(options.grade)},
          {"context_tokens", options.context_tokens},
          {"threads", options.threads},
          {"gpu_layers", options.gpu_layers},
          {"flash_attention", options.flash_attention},
          {"full_window_cache", options.full_window_cache},
          {"dtype", options.dtype},
          {"kv_type_k", options.kv_type_k},
          {"kv_type_v", options.kv_type_v},
          {"kernels", options.kernels},
          {"keep_packed", options.keep_packed},
          {"isolation", name(options.isolation)},
          {"leaky", options.leaky},
          {"attention", options.attention},
          {"positions", options.positions}};
}

ModelOptions model_options_from(const Json& json) {
  ModelOptions options;
  options.path = unescape_bytes(json.at("path").get<std::string>());
  json.at("engine").get_to(options.engine);
  options.grade = grade_from(json.at("grade"));
  json.at("context_tokens").get_to(options.context_tokens);
  json.at("threads").get_to(options.threads);
  json.at("gpu_layers").get_to(options.gpu_layers);
  json.at("flash_attention").get_to(options.flash_attention);
  json.at("full_window_cache").get_to(options.full_window_cache);
  options.dtype = json.value("dtype", options.dtype);  // documents of version 0.1 have none
  json.at("kv_type_k").get_to(options.kv_type_k);
  json.at("kv_type_v").get_to(options.kv_type_v);
  json.at("kernels").get_to(options.kernels);
  options.keep_packed = json.value("keep_packed", options.keep_packed);
  options.isolation = isolation_from(json.at("isolation"));
  options.leaky = json.value("leaky", false);
  options.attention = json.value("attention", options.attention);
  options.positions = json.value("positions", options.positions);
  return options;
}

}  // namespace bulkhead::engine
