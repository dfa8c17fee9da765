// SPDX-License-Identifier: MIT
#include "cli/help_formatter.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace bulkhead::cli {

std::string wrapped(const std::string& text, std::size_t columns) {
  std::string result;
  std::size_t line = 0;  // characters in the last line
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find_first_of(" \n", begin), text.size());
    const auto word = end - begin;
    if (line > 0 && line + 1 + word > columns) {
      result += '\n';
      line = 0;
    } else if (line > 0) {
      result += ' ';
      ++line;
    }
    result.append(text, begin, word);
    line += word;
    if (end < text.size() && text[end] == '\n') {
      result += '\n';
      line = 0;
    }
    begin = end + 1;
  }
  return result;
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string name) const {
  return wrapped(Formatter::make_usage(app, std::move(name)), kHelpColumns);
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
  return wrapped(Formatter::make_description(app), kHelpColumns);
}

std::string HelpFormatter::make_footer(const CLI::App* app) const {
  return wrapped(Formatter::make_footer(app), kHelpColumns);
}

std::string HelpFormatter::make_subcommand(const CLI::App* sub) const {
  std::ostringstream out;
  const auto about = wrapped(sub->get_description(), kHelpColumns - get_column_width());
  CLI::detail::format_help(out, sub->get_display_name(true), about, get_column_width());
  return out.str();
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  return wrapped(Formatter::make_option_desc(option), kHelpColumns - get_column_width());
}

// The values that a flag takes stand behind its name, from the second line on below it.
std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  const auto plain = Formatter::make_option_opts(option);
  if (!plain.starts_with(' ')) return plain;
  std::string result = " ";
  for (const char c : wrapped(plain.substr(1), kHelpColumns - get_column_width() - 1)) {
    result += c;
    if (c == '\n') result.append(6, ' ');
  }
  return result;
}

}  // namespace bulkhead::cli
