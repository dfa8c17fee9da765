// SPDX-License-Identifier: MIT
// Reading answers of a worker, which may be of any form: a wrong one is an error, not an exception.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <string>

namespace bulkhead::engines::worker {

[[nodiscard]] inline Error other_form(std::string what) {
  return {ErrorCode::kRemote, "the worker gave an answer of another form: " + std::move(what), {}, {}};
}

// What `read` gives; kRemote when it throws a Json::exception.
template <typename Read>
[[nodiscard]] auto read_form(const Read& read) -> decltype(read()) {
  try {
    return read();
  } catch (const Json::exception& error) {
    return other_form(error.what());
  }
}

}  // namespace bulkhead::engines::worker
