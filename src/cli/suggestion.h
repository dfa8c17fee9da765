// SPDX-License-Identifier: MIT
// What somebody may have meant who wrote a command or flag that there is not.
#pragma once

#include "base/result.h"

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace bulkhead::cli {

// The one of `known` that fewest typing mistakes (a letter missing, added, changed or swapped with the next) lead to
// `word`; empty where all would need more than a third of its letters.
[[nodiscard]] std::string nearest(const std::string& word, const std::vector<std::string>& known);

// kUsage for `word`, which is no command of `program`; hidden commands are not spoken of.
[[nodiscard]] Error unknown_command(const CLI::App& program, const std::string& word);
// kUsage for what `program` and the command it found could not place.
[[nodiscard]] Error unexpected_arguments(const CLI::App& program);

}  // namespace bulkhead::cli
