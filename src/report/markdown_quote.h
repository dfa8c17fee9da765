// SPDX-License-Identifier: MIT
// What a model wrote, as a block quote in Markdown.
#pragma once

#include <string>

namespace bulkhead::report {

// `markdown` (escaped already) as a block quote that keeps the line breaks; "(nothing)" when it is empty.
[[nodiscard]] std::string markdown_quote(const std::string& markdown);

}  // namespace bulkhead::report
