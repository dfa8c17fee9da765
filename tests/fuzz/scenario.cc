// SPDX-License-Identifier: MIT
// Scenario files: what is read is written, and reads as the same again.
#include "fuzz/input.h"

#include "conversation/scenario.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  const auto scenario = conversation::parse_scenario(std::string(fuzz::text(data, size)), "input.json");
  if (!scenario.ok()) {
    fuzz::require(scenario.error().code == ErrorCode::kBadInput);
    return 0;
  }
  const auto json = conversation::to_json(scenario.value());
  const auto again = conversation::parse_scenario(json_text(json), "input.json");
  fuzz::require(again.ok());
  fuzz::require(conversation::to_json(again.value()) == json);
  return 0;
}
