// SPDX-License-Identifier: MIT
// Text from scenarios and models in HTML: it can become no markup.
#pragma once

#include <string>
#include <string_view>

namespace bulkhead::report {

// `value` for the text of an element, or an attribute in double quotes. What is not UTF-8 is replaced.
[[nodiscard]] std::string html_escaped(std::string_view value);

}  // namespace bulkhead::report
