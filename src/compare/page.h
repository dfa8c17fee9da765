// SPDX-License-Identifier: MIT
// The report of a comparison as blocks, so that Markdown and HTML say the same.
#pragma once

#include "base/json.h"
#include "report/marks.h"

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

namespace bulkhead::compare {

// All texts are plain: the form they are drawn in escapes them.
struct Heading {
  int level = 2;
  std::string text;
};
struct Paragraph {
  std::string text;
};
struct Points {
  std::vector<std::string> items;
};
struct Table {
  std::vector<std::string> titles;
  std::size_t right = 0;  // how many columns at the end are numbers
  std::vector<std::vector<std::string>> rows = {};
};
// What a model wrote, with the terms of its own and of foreign topics marked.
struct Quote {
  std::string title;
  std::vector<report::Segment> segments;
};

using Block = std::variant<Heading, Paragraph, Points, Table, Quote>;

struct Page {
  std::string title;
  std::vector<Block> blocks;
};

// The seed report's sections, filled from a document of compare() alone.
[[nodiscard]] Page page_of(const Json& comparison);

// comparison.md: CommonMark with tables; foreign terms are bold.
[[nodiscard]] std::string to_markdown(const Page& page);

// comparison.html: one self-contained page without scripts; its content security policy forbids every request.
// kInternal when its assets were not compiled in.
[[nodiscard]] Result<std::string> to_html(const Page& page);

}  // namespace bulkhead::compare
