// SPDX-License-Identifier: MIT
// Where the checkout and its build folder lie. Compiled in one file, so that test sources do not depend on the place of
// the checkout and another clone finds them compiled (ccache).
#pragma once

#include <string>

namespace bulkhead::testing {

[[nodiscard]] const std::string& source_folder();  // the root of the checkout
[[nodiscard]] const std::string& build_folder();   // the build folder of the preset under test
[[nodiscard]] const std::string& llama_folder();   // the pinned llama.cpp sources, without our patches

}  // namespace bulkhead::testing
