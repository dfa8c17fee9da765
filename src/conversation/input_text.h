// SPDX-License-Identifier: MIT
// The text that a user names as input: a file, a pipe, a FIFO, or "-" for standard input.
#pragma once

#include "base/result.h"
#include "conversation/limits.h"

#include <cstdint>
#include <string>

namespace bulkhead::conversation {

// Reads all of it. A pipe is read to its end, so it can be read once. kBadInput when it cannot be read or has more than
// `limit_bytes`; what never ends is given up there. Blocks as long as nobody writes into a FIFO.
[[nodiscard]] Result<std::string> read_input(const std::string& path, std::uint64_t limit_bytes = kMaxInputBytes);

// What messages and results call it: "standard input", else the path, with U+FFFD for bytes that are not UTF-8.
[[nodiscard]] std::string input_name(const std::string& path);

// Whether `path` names a file, which gives the same text whenever it is read. A file that is not there counts as one.
[[nodiscard]] bool can_be_read_again(const std::string& path);

}  // namespace bulkhead::conversation
