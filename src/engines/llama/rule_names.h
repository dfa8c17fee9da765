// SPDX-License-Identifier: MIT
// Names of rules in GBNF that llama.cpp's converters have made.
#pragma once

#include <string>
#include <string_view>

namespace bulkhead::engines::llama {

// The same rules with short names in place of those of more than 40 characters: a converter names a rule for the whole
// way to its place in a schema, which soon is longer than Grammar::parse() takes. `rules`: one a line, "NAME ::= ...".
[[nodiscard]] std::string with_short_names(std::string_view rules);

}  // namespace bulkhead::engines::llama
