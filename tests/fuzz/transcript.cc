// SPDX-License-Identifier: MIT
// Transcripts, and the options of the model in their header: what is read is written, and reads as the same again.
#include "fuzz/input.h"

#include "engine/model_options_json.h"
#include "engine/option_bounds.h"
#include "engine/transcript.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  const auto read = engine::transcript_from_json_lines(std::string(fuzz::text(data, size)), "input.jsonl");
  if (!read.ok()) return 0;
  const auto lines = engine::to_json_lines(read->transcript, read->header.root());
  const auto again = engine::transcript_from_json_lines(lines, "input.jsonl");
  fuzz::require(again.ok());
  fuzz::require(engine::to_json_lines(again->transcript, again->header.root()) == lines);
  const JsonView header(read->header);
  if (!header.has("model")) return 0;
  const auto options = engine::model_options_from(header.at("model").value());
  if (options.ok()) fuzz::require(engine::check_bounds(options.value()).ok());
  return 0;
}
