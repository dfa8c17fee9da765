// SPDX-License-Identifier: MIT
// Where Bulkhead keeps what it could make or fetch again: deleting it is always safe.
#pragma once

#include <filesystem>

namespace bulkhead {

// XDG_CACHE_HOME (passed over when not absolute, as the XDG rules say), else .cache in the home folder; "bulkhead"
// below it. Reads variables and the user's entry only, makes nothing. Callable from any thread that does not meet a
// setenv().
[[nodiscard]] std::filesystem::path cache_folder();

}  // namespace bulkhead
