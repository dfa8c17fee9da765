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
  std::uint64_t bytes = 0;        // size of the file
  bool shares_embedding = false;  // no output matrix of its own: the token embedding is used in its place
};

// Reads the header only. kUsage: no such file; kCorrupt: another kind of file, a damaged header, or fewer bytes than
// the header promises. Needs start_backend().
[[nodiscard]] Result<GgufSummary> check_gguf(const std::string& path);

}  // namespace bulkhead::engines::llama
