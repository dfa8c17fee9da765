// SPDX-License-Identifier: MIT
#include "cli/transcript_file.h"

#include "engine/engine.h"

#include <array>
#include <filesystem>
#include <limits>
#include <utility>

namespace bulkhead::cli {
namespace {

// Hours of generation; a transcript is read whole.
constexpr std::uint64_t kMostBytes = 1ULL << 30U;
constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
constexpr std::array kGrades = {Grade::kProcess, Grade::kBuffer, Grade::kMask, Grade::kClaimed};

Result<std::string> text(const JsonView& object, std::string_view key) {
  BH_TRY(const auto field, object.at(key));
  return field.string();
}

Result<bool> flag(const JsonView& object, std::string_view key) {
  BH_TRY(const auto field, object.at(key));
  return field.boolean();
}

Result<std::int64_t> number(const JsonView& object, std::string_view key, std::int64_t low) {
  BH_TRY(const auto field, object.at(key));
  return field.integer(low, kMost);
}

Result<Grade> grade_of(const JsonView& object) {
  BH_TRY(const auto field, object.at("grade"));
  BH_TRY(const auto word, field.string());
  for (const auto grade : kGrades) {
    if (engine::name(grade) == word) return grade;
  }
  return field.fail("unknown grade \"" + word + "\"");
}

Result<ModelOptions> options_of(const JsonView& object) {
  ModelOptions options;
  BH_TRY(options.path, text(object, "path"));
  BH_TRY(options.engine, text(object, "engine"));
  BH_TRY(options.grade, grade_of(object));
  BH_TRY(const auto context, number(object, "context_tokens", 0));
  options.context_tokens = static_cast<std::uint32_t>(context);
  BH_TRY(const auto threads, number(object, "threads", 0));
  options.threads = static_cast<std::uint32_t>(threads);
  BH_TRY(const auto layers, number(object, "gpu_layers", -1));
  options.gpu_layers = static_cast<std::int32_t>(layers);
  BH_TRY(options.flash_attention, flag(object, "flash_attention"));
  BH_TRY(options.full_window_cache, flag(object, "full_window_cache"));
  BH_TRY(options.kv_type_k, text(object, "kv_type_k"));
  BH_TRY(options.kv_type_v, text(object, "kv_type_v"));
  BH_TRY(options.kernels, text(object, "kernels"));
  BH_TRY(const auto strict, flag(object, "strict"));
  options.isolation = strict ? Isolation::kStrict : Isolation::kFast;
  return options;
}

}  // namespace

Json transcript_header(const ModelOptions& model, const std::string& model_sha256) {
  return {{"transcript_version", 1},
          {"model_sha256", model_sha256},
          {"model",
           {{"path", model.path.empty() ? "" : std::filesystem::absolute(model.path).string()},
            {"engine", model.engine},
            {"grade", engine::name(model.grade)},
            {"context_tokens", model.context_tokens},
            {"threads", model.threads},
            {"gpu_layers", model.gpu_layers},
            {"flash_attention", model.flash_attention},
            {"full_window_cache", model.full_window_cache},
            {"kv_type_k", model.kv_type_k},
            {"kv_type_v", model.kv_type_v},
            {"kernels", model.kernels},
            {"strict", model.isolation == Isolation::kStrict}}}};
}

Result<TranscriptFile> read_transcript(const std::string& folder) {
  const auto path = (std::filesystem::path(folder) / "transcript.jsonl").string();
  BH_TRY(const auto lines, read_text_file(path, kMostBytes));
  BH_TRY(auto read, engine::transcript_from_json_lines(lines, path));
  BH_TRY(const auto document, JsonDocument::parse(read.header.dump(), path + ", line 1"));
  const JsonView header(document);
  BH_TRY([[maybe_unused]] const auto version, number(header, "transcript_version", 1));
  if (version != 1) return header.fail("this transcript is of a later version", "use the bulkhead that wrote it");
  TranscriptFile file;
  BH_TRY(file.model_sha256, text(header, "model_sha256"));
  BH_TRY(const auto model, header.at("model"));
  BH_TRY(file.model, options_of(model));
  file.transcript = std::move(read.transcript);
  return file;
}

}  // namespace bulkhead::cli
