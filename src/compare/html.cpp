// SPDX-License-Identifier: MIT
#include "compare/page.h"
#include "embedded/comparison_data.h"
#include "report/html_text.h"

#include <fmt/format.h>

#include <string_view>

namespace bulkhead::compare {
namespace {

using report::html_escaped;

std::string cell(std::string_view element, const std::string& text, bool number) {
  return fmt::format("<{0}{1}>{2}</{0}>", element, number ? " class=\"number\"" : "", html_escaped(text));
}

std::string row(std::string_view element, const std::vector<std::string>& texts, std::size_t right) {
  std::string out = "<tr>";
  for (std::size_t i = 0; i < texts.size(); ++i) out += cell(element, texts[i], i + right >= texts.size());
  return out + "</tr>\n";
}

struct HtmlDrawing {
  std::string operator()(const Heading& heading) const {
    return fmt::format("<h{0}>{1}</h{0}>\n", heading.level, html_escaped(heading.text));
  }
  std::string operator()(const Paragraph& paragraph) const {
    return fmt::format("<p>{}</p>\n", html_escaped(paragraph.text));
  }
  std::string operator()(const Points& points) const {
    std::string out = "<ul>\n";
    for (const auto& item : points.items) out += fmt::format("<li>{}</li>\n", html_escaped(item));
    return out + "</ul>\n";
  }
  std::string operator()(const Table& table) const {
    std::string out =
        "<div class=\"wide\"><table>\n<thead>" + row("th", table.titles, table.right) + "</thead>\n<tbody>\n";
    for (const auto& texts : table.rows) out += row("td", texts, table.right);
    return out + "</tbody>\n</table></div>\n";
  }
  std::string operator()(const Quote& quote) const {
    std::string words;
    for (const auto& segment : quote.segments) {
      const auto escaped = html_escaped(segment.text);
      if (segment.mark == report::Mark::kPlain) {
        words += escaped;
      } else {
        words += fmt::format("<mark class=\"{}\" title=\"{}\">{}</mark>",
                             segment.mark == report::Mark::kForeign ? "foreign" : "own", html_escaped(segment.cluster),
                             escaped);
      }
    }
    return fmt::format("<details><summary>{}</summary><pre>{}</pre></details>\n", html_escaped(quote.title), words);
  }
};

}  // namespace

Result<std::string> to_html(const Page& page) {
  for (const auto& file : embedded::comparison_data()) {
    if (file.name != "comparison.html") continue;
    std::string body;
    for (const auto& block : page.blocks) body += std::visit(HtmlDrawing{}, block);
    std::string out(file.content);
    // The body first: it may hold anything, and stands behind the other places.
    const auto put = [&out](std::string_view place, const std::string& words) {
      if (const auto at = out.find(place); at != std::string::npos) out.replace(at, place.size(), words);
    };
    put("{{body}}", body);
    put("{{title}}", html_escaped(page.title));
    put("{{heading}}", html_escaped(page.title));
    return out;
  }
  return Error{ErrorCode::kInternal, "comparison.html was not compiled in", {}, {}};
}

}  // namespace bulkhead::compare
