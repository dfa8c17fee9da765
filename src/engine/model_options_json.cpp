// SPDX-License-Identifier: MIT
#include "engine/model_options_json.h"

#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/json_fields.h"
#include "engine/option_bounds.h"

#include <array>
#include <string>

namespace bulkhead::engine {

Grade grade_from(std::string_view text) {
  constexpr std::array kGrades = {Grade::kProcess, Grade::kBuffer, Grade::kMask, Grade::kClaimed};
  for (const auto grade : kGrades) {
    if (name(grade) == text) return grade;
  }
  return Grade::kClaimed;
}

Isolation isolation_from(std::string_view text) {
  if (text == name(Isolation::kAuto)) return Isolation::kAuto;
  return text == name(Isolation::kStrict) ? Isolation::kStrict : Isolation::kFast;
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
          {"positions", options.positions},
          {"clock", options.clock}};
}

Result<ModelOptions> model_options_from(const JsonView& json) {
  ModelOptions options;
  BH_TRY(const auto path, text(json, "path"));
  options.path = unescape_bytes(path);
  BH_TRY(options.engine, text(json, "engine"));
  BH_TRY(const auto grade, text(json, "grade"));
  options.grade = grade_from(grade);
  BH_TRY(options.context_tokens, number<std::uint32_t>(json, "context_tokens"));
  BH_TRY(options.threads, number<std::uint32_t>(json, "threads"));
  BH_TRY(options.gpu_layers, number<std::int32_t>(json, "gpu_layers", -1));
  BH_TRY(options.flash_attention, flag(json, "flash_attention"));
  BH_TRY(options.full_window_cache, flag(json, "full_window_cache"));
  // Documents of earlier versions lack some fields.
  BH_TRY(options.dtype, json.string_or("dtype", options.dtype));
  BH_TRY(options.kv_type_k, text(json, "kv_type_k"));
  BH_TRY(options.kv_type_v, text(json, "kv_type_v"));
  BH_TRY(options.kernels, text(json, "kernels"));
  BH_TRY(options.keep_packed, json.boolean_or("keep_packed", options.keep_packed));
  BH_TRY(const auto isolation, text(json, "isolation"));
  options.isolation = isolation_from(isolation);
  BH_TRY(options.leaky, json.boolean_or("leaky", false));
  BH_TRY(options.attention, json.string_or("attention", options.attention));
  BH_TRY(options.positions, json.string_or("positions", options.positions));
  BH_TRY(options.clock, json.string_or("clock", options.clock));
  if (const auto within = check_bounds(options); !within.ok()) return json.fail(within.error().to_string());
  return options;
}

}  // namespace bulkhead::engine
