// SPDX-License-Identifier: MIT
#include "cli/transcript_file.h"

#include "base/utf8.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"
#include "store/folder_seal.h"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

namespace bulkhead::cli {
namespace {

// Hours of generation; a transcript is read whole.
constexpr std::uint64_t kMostBytes = 1ULL << 30U;
constexpr int kVersion = 1;

// What the transcript names as its model is another's word: nothing that would be waited for or read without end.
bool is_file_or_folder(const std::filesystem::path& path) {
  using std::filesystem::file_type;
  std::error_code problem;
  const auto type = std::filesystem::status(path, problem).type();
  return type == file_type::regular || type == file_type::directory || type == file_type::not_found;
}

}  // namespace

Json transcript_header(const ModelOptions& model, const std::string& model_sha256) {
  auto options = engine::to_json(model);
  if (!model.path.empty()) options["path"] = escape_bytes(std::filesystem::absolute(model.path).string());
  return {{"transcript_version", kVersion}, {"model_sha256", model_sha256}, {"model", std::move(options)}};
}

Result<TranscriptFile> read_transcript(const std::string& folder) {
  const auto path = (std::filesystem::path(folder) / "transcript.jsonl").string();
  BH_TRY(const auto seal, store::FolderSeal::read(folder));
  BH_TRY(const auto lines, seal.document("transcript.jsonl", kMostBytes));
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
  if (!is_file_or_folder(file.model.path)) {
    return header.fail("model.path is neither a file nor a folder", "name the model of the run with -m");
  }
  file.transcript = std::move(read.transcript);
  return file;
}

}  // namespace bulkhead::cli
