// SPDX-License-Identifier: MIT
// One image with its pieces as one file, for another machine: "BHEXPRT1", u64 length of the image, the image (image.h),
// then the bytes of its pieces in their order, each that is named several times once.
#pragma once

#include "base/result.h"
#include "vault/vault.h"

#include <filesystem>

namespace bulkhead::vault {

// Writes the new file `path`, whole or not at all. kUsage: something lies there; else as verify().
[[nodiscard]] Result<void> export_image(const Shelf& shelf, const HexName& owner, const HexName& name,
                                        const std::filesystem::path& path);

// Puts the image of such a file in, for the owner that it names. kBadInput: there is no such file, or it is of a newer
// version; kCorrupt: damaged, cut or grown; else as Vault::save(). After a failure the vault is as before.
[[nodiscard]] Result<SavedImage> import_image(Vault& vault, const std::filesystem::path& path);

}  // namespace bulkhead::vault
