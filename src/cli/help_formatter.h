// SPDX-License-Identifier: MIT
// --help within 100 columns.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <string>

namespace bulkhead::cli {

inline constexpr std::size_t kHelpColumns = 100;

// `text` with line breaks in place of blanks, so that no line has more than `columns` characters where its words allow
// it. Line breaks that are there stay.
[[nodiscard]] std::string wrapped(const std::string& text, std::size_t columns);

// CLI11's own form, its texts wrapped.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_description(const CLI::App* app) const override;
  std::string make_footer(const CLI::App* app) const override;
  std::string make_subcommand(const CLI::App* sub) const override;
  std::string make_option_desc(const CLI::Option* option) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
};

}  // namespace bulkhead::cli
