// SPDX-License-Identifier: MIT
// Generations: the files of a folder are replaced all together or not at all, also when the program is killed.
//
// The new files are written into FOLDER/.bulkhead-next. One rename to FOLDER/.bulkhead-switch makes them the current
// ones; then they are moved into FOLDER one by one, the manifest last. So the current file of a name is that in
// .bulkhead-switch where there is one, at every moment, and a move that was interrupted is finished by the next writer.
//
// Thread rule: one writer at a time (sealed_folder.h holds a lock); readers beside it may see files of two generations.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <map>
#include <string>

namespace bulkhead::store {

// Whether a folder of this name is one of the two.
[[nodiscard]] bool is_aside(const std::string& name);

// Where the current file `name` lies.
[[nodiscard]] std::filesystem::path current_path(const std::filesystem::path& folder, const std::string& name);

// Puts `files` (name -> bytes; manifest.json is among them) into `folder`; files of other names stay. kResource: disk
// full or not writable. Then what was there is still what is current, or, if only the moving failed, the new files are,
// and finish_generation() goes on with it.
[[nodiscard]] Result<void> write_generation(const std::filesystem::path& folder,
                                            const std::map<std::string, std::string>& files);

// Finishes the move of a writer that was killed, and removes what one left before its files were current.
[[nodiscard]] Result<void> finish_generation(const std::filesystem::path& folder);

}  // namespace bulkhead::store
