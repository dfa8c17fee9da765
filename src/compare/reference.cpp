// SPDX-License-Identifier: MIT
#include "compare/reference.h"

#include "embedded/comparison_data.h"

#include <string>

namespace bulkhead::compare {

Result<Json> seed_report() {
  for (const auto& file : embedded::comparison_data()) {
    if (file.name != "seed_report.json") continue;
    BH_TRY(const auto document, JsonDocument::parse(std::string(file.content), "seed_report.json"));
    return document.root();
  }
  return Error{ErrorCode::kInternal, "the file seed_report.json was not compiled in", {}, {}};
}

}  // namespace bulkhead::compare
