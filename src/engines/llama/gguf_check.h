// SPDX-License-Identifier: MIT
// Looks at a model file before libllama does, so that a damaged one gives an error that names the damage.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>

namespace bulkhead::engines::llama {

struct GgufSummary {
  std::string architecture;
  std::string name;               // as the model calls itself; else the file's name
  std::uint64_t bytes = 0;        // size of all its files
  bool shares_embedding = false;  // no output matrix of its own: the token embedding is used in its place
};

// Reads the headers only, of all parts of a split model. kUsage: no such file, or another part than the first;
// kCorrupt: another kind of file, a damaged header, or fewer bytes than a header promises. Needs start_backend().
[[nodiscard]] Result<GgufSummary> check_gguf(const std::string& path);

}  // namespace bulkhead::engines::llama
