// SPDX-License-Identifier: MIT
// Which file a path names now, and whether it is still the one it was: a look at the directory, not at the content.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead {

// Device, inode, bytes, and seconds and nanoseconds of the last change of the content and of the entry. The last one
// nobody can set: it tells a file whose content was changed and whose time of change was put back.
using FileIdentity = std::array<std::uint64_t, 7>;

// Follows symbolic links. Nothing when there is no such file.
[[nodiscard]] std::optional<FileIdentity> file_identity(const std::filesystem::path& path);
// Of an open file, whatever lies under its name by now.
[[nodiscard]] std::optional<FileIdentity> file_identity(int descriptor);

// Bytes of the file that it is of.
[[nodiscard]] inline std::uint64_t bytes_of(const FileIdentity& identity) {
  return identity[2];
}

// Which part of how many a file is by its name, which ends like "-00001-of-00003.gguf"; nothing for a whole model, as
// one of one part is too.
struct ModelPart {
  unsigned number = 0;
  unsigned count = 0;
};
[[nodiscard]] std::optional<ModelPart> model_part(std::string_view name);
// `name`, which is that of a part, with another part's number.
[[nodiscard]] std::string name_of_part(std::string_view name, unsigned number);

// The files of the model that `first` begins, in their order: `first` alone, or all parts of a split GGUF model where
// its name ends like "-00001-of-00003.gguf". Looks at the name only: a part may be missing.
[[nodiscard]] std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& first);

// What a model is, as far as the directory tells: the identity of each of its files.
using ModelIdentity = std::vector<FileIdentity>;

// Nothing when one of files_of_model() is not there.
[[nodiscard]] std::optional<ModelIdentity> model_identity(const std::filesystem::path& first);

// Bytes of all its files.
[[nodiscard]] std::uint64_t bytes_of(const ModelIdentity& identity);

}  // namespace bulkhead
