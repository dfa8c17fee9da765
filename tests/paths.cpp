// SPDX-License-Identifier: MIT
#include "paths.h"

namespace bulkhead::testing {

const std::string& source_folder() {
  static const std::string folder = BULKHEAD_SOURCE_DIR;
  return folder;
}

const std::string& build_folder() {
  static const std::string folder = BULKHEAD_BINARY_DIR;
  return folder;
}

const std::string& llama_folder() {
  static const std::string folder = BULKHEAD_LLAMA_FOLDER;
  return folder;
}

}  // namespace bulkhead::testing
