// SPDX-License-Identifier: MIT
// What the commands take as input: conversations in any format of docs/conversation-formats.md.
#pragma once

#include "conversation/scenario.h"
#include "dataset/dataset.h"

#include <memory>
#include <string>
#include <vector>

namespace bulkhead::cli {

// Help on the argument, for all commands that read conversations.
inline constexpr const char* kInputHelp =
    "scenario files, data sets, OpenAI messages, ShareGPT or ChatGPT exports; - reads standard input";

// Reads `path` and warns of what was left out: the first few by place, the others by number.
[[nodiscard]] Result<dataset::Dataset> read_conversations(const std::string& path);

// The scenarios of all paths, in order. kBadInput for a conversation that names no topics, since these commands keep
// topics apart. Scenarios of one id and other contents are two; one that is given twice is taken once, with a warning.
[[nodiscard]] Result<std::vector<std::shared_ptr<const conversation::Scenario>>> read_scenarios(
    const std::vector<std::string>& paths);

}  // namespace bulkhead::cli
