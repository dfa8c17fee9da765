// SPDX-License-Identifier: MIT
// A run folder's transcript.jsonl: its header says with which model and options the run can be made again.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "engine/transcript.h"

#include <bulkhead/options.h>

#include <string>

namespace bulkhead::cli {

[[nodiscard]] Json transcript_header(const ModelOptions& model, const std::string& model_sha256);

struct TranscriptFile {
  ModelOptions model;
  std::string model_sha256;  // empty: an engine without a model file
  engine::Transcript transcript;
};

// Reads FOLDER/transcript.jsonl. kBadInput names file, line and field; kCorrupt: it is not the document that the
// folder's manifest names.
[[nodiscard]] Result<TranscriptFile> read_transcript(const std::string& folder);

}  // namespace bulkhead::cli
