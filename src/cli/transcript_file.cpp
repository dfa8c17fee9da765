// SPDX-License-Identifier: MIT
#include "cli/transcript_file.h"

#include "base/utf8.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

namespace bulkhead::cli {
namespace {

// Hours of generation; a transcript is read whole.
constexpr std::uint64_t kMostBytes = 1ULL << 30U;
constexpr int kVersion = 1;

}  // namespace

Json transcript_header(const ModelOptions& model, const std::string& model_sha256) {
  auto options = engine::to_json(model);
  if (!model.path.empty()) options["path"] = escape_bytes(std::filesystem::absolute(model.path).string());
  return {{"transcript_version", kVersion}, {"model_sha256", model_sha256}, {"model", std::move(options)}};
}

Result<TranscriptFile> read_transcript(const std::string& folder) {
  const auto path = (std::filesystem::path(folder) / "transcript.jsonl").string();
  BH_TRY(const auto lines, read_text_file(path, kMostBytes));
  BH_TRY(auto read, engine::transcript_from_json_lines(lines, path));
  const JsonView header(read.header);
  TranscriptFile file;
  BH_TRY(const auto version, engine::number<int>(header, "transcript_version"));
  if (version != kVersion) {
    return header.fail(fmt::format("the transcript has version {}, this program reads {}", version, kVersion),
                       "use the bulkhead that wrote it");
  }
  BH_TRY(file.model_sha256, engine::text(header, "model_sha256"));
  BH_TRY(const auto model, header.at("model"));
  BH_TRY(file.model, engine::model_options_from(model));
  file.transcript = std::move(read.transcript);
  return file;
}

}  // namespace bulkhead::cli
