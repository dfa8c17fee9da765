// SPDX-License-Identifier: MIT
// Text of others (input, hubs, templates, models) as a terminal may show it.
#pragma once

#include <string>
#include <string_view>

namespace bulkhead {

enum class LineBreaks { kKeep, kEscape };

// `text` as valid UTF-8 without anything that steers a terminal or reorders what is read: control characters (C0, DEL,
// C1), bidirectional embeddings, overrides and isolates, line and paragraph separators, and byte order marks become
// \u and four digits, bytes that are no UTF-8 become \x and two. Tabs stay, and line breaks where `line_breaks` says
// so. For people to look at: a backslash of the text itself stays one, so this cannot be undone.
[[nodiscard]] std::string printable(std::string_view text, LineBreaks line_breaks = LineBreaks::kKeep);

// Of JSON: the same characters as escapes inside its strings, outside of which it has none. Invalid bytes stay.
[[nodiscard]] std::string escape_steering(std::string json);

}  // namespace bulkhead
