// SPDX-License-Identifier: MIT
// SHA-256 sums of files, computed here and kept: reading a big file takes seconds.
//
// A sum is kept in the cache folder under the identity of the file that was read (base/file_identity.h). Nothing that
// lies beside a model is believed: whoever gives a model away could write there.
//
// Thread rule: callable from any thread.
#pragma once

#include "base/file_identity.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace bulkhead::models {

struct KnownSum {
  std::string sha256;
  bool verified = false;  // it was equal to a promised sum when the file was pulled
};

// The sum of the file at `path`, a symbolic link to one included, read anew only when it is not kept. kResource when
// there is no such file or it cannot be read; a FIFO is not waited for. `progress` (may be empty) gets the bytes read.
[[nodiscard]] Result<KnownSum> sum_of_file(const std::filesystem::path& path,
                                           const std::function<void(std::uint64_t)>& progress = {});

// Keeps, where possible, that the file which now lies at `path` has this sum.
void keep_sum(const std::filesystem::path& path, const KnownSum& sum);

}  // namespace bulkhead::models
