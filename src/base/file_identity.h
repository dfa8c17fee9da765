// SPDX-License-Identifier: MIT
// Which file a path names now, and whether it is still the one it was: a look at the directory, not at the content.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>

namespace bulkhead {

// Device, inode, bytes, seconds and nanoseconds of the last change of the content.
using FileIdentity = std::array<std::uint64_t, 5>;

// Follows symbolic links. Nothing when there is no such file.
[[nodiscard]] std::optional<FileIdentity> file_identity(const std::filesystem::path& path);

}  // namespace bulkhead
