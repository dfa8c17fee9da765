// SPDX-License-Identifier: MIT
// Plain files under names that anybody may have put there: a symbolic link is not followed, a FIFO or a device never
// waited for.
//
// Thread rule: may be called from any thread.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace bulkhead::store {

// kResource: "`doing`: what errno `error` means", placed at `path`, with advice.
[[nodiscard]] Error file_error(std::string_view doing, const std::filesystem::path& path, int error);

// A descriptor of the plain file `path`, closed on exec; the caller closes it. `flags` as of open(2). kBadInput: there
// is no such file; kResource: it is something else than a plain file, or cannot be opened.
[[nodiscard]] Result<int> open_plain_file(const std::filesystem::path& path, int flags);

// The whole plain file. Errors as of open_plain_file(); kBadInput also when it is larger than `limit_bytes`.
[[nodiscard]] Result<std::string> read_plain_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

// SHA-256 of the whole plain file, read in pieces. Errors as of open_plain_file().
[[nodiscard]] Result<std::string> sha256_of_plain_file(const std::filesystem::path& path);

}  // namespace bulkhead::store
