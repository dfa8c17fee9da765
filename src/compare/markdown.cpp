// SPDX-License-Identifier: MIT
#include "compare/page.h"
#include "report/markdown_quote.h"
#include "report/markdown_table.h"

#include <fmt/format.h>

namespace bulkhead::compare {
namespace {

using report::markdown_cell;

std::vector<std::string> cells(const std::vector<std::string>& texts) {
  std::vector<std::string> escaped;
  escaped.reserve(texts.size());
  for (const auto& text : texts) escaped.push_back(markdown_cell(text));
  return escaped;
}

struct MarkdownDrawing {
  std::string operator()(const Heading& heading) const {
    return fmt::format("{} {}\n", std::string(static_cast<std::size_t>(heading.level), '#'),
                       markdown_cell(heading.text));
  }
  std::string operator()(const Paragraph& paragraph) const { return markdown_cell(paragraph.text) + "\n"; }
  std::string operator()(const Points& points) const {
    std::string out;
    for (const auto& item : points.items) out += "- " + markdown_cell(item) + "\n";
    return out;
  }
  std::string operator()(const Table& table) const {
    std::string out = report::table_head(cells(table.titles), table.right);
    for (const auto& row : table.rows) out += report::table_row(cells(row));
    return out;
  }
  std::string operator()(const Quote& quote) const {
    std::string words;
    for (const auto& segment : quote.segments) {
      const auto escaped = report::markdown_escaped(segment.text);
      // Bold across a line break would leave the quote.
      const bool bold = segment.mark == report::Mark::kForeign && escaped.find('\n') == std::string::npos;
      words += bold ? "**" + escaped + "**" : escaped;
    }
    return fmt::format("{}:\n\n{}", markdown_cell(quote.title), report::markdown_quote(words));
  }
};

}  // namespace

std::string to_markdown(const Page& page) {
  std::string out = "# " + markdown_cell(page.title) + "\n";
  for (const auto& block : page.blocks) out += "\n" + std::visit(MarkdownDrawing{}, block);
  return out;
}

}  // namespace bulkhead::compare
