// SPDX-License-Identifier: MIT
#include "cli/transcript_file.h"

#include "base/utf8.h"
#include "engine/model_options_json.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

namespace bulkhead::cli {
namespace {

// Hours of generation; a transcript is read whole.
constexpr std::uint64_t kMostBytes = 1ULL << 30U;
constexpr int kVersion = 1;

Error bad_header(const std::string& path, std::string message) {
  return {ErrorCode::kBadInput, std::move(message), path + ", line 1", "use the bulkhead that wrote it"};
}

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
  TranscriptFile file;
  try {
    if (const auto version = read.header.at("transcript_version").get<int>(); version != kVersion) {
      return bad_header(path, fmt::format("the transcript has version {}, this program reads {}", version, kVersion));
    }
    read.header.at("model_sha256").get_to(file.model_sha256);
    file.model = engine::model_options_from(read.header.at("model"));
  } catch (const Json::exception& error) {
    return bad_header(path, fmt::format("the header is of another form: {}", error.what()));
  }
  file.transcript = std::move(read.transcript);
  return file;
}

}  // namespace bulkhead::cli
