// SPDX-License-Identifier: MIT
// The page: files that were compiled in, for everybody who can connect. What it shows it asks for with the key of who
// looks at it.
#include "embedded/page_files.h"
#include "report/html.h"
#include "serve/http_impl.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace bulkhead::serve {
namespace {

struct PageFile {
  std::string_view path;
  std::string_view name;  // in page/dist
  std::string_view type;
};
constexpr std::array kPageFiles = {
    PageFile{"/", "index.html", "text/html; charset=utf-8"},
    PageFile{"/page.js", "page.js", "text/javascript; charset=utf-8"},
    PageFile{"/page.css", "page.css", "text/css; charset=utf-8"},
    PageFile{"/icon.svg", "icon.svg", "image/svg+xml"},
    PageFile{"/report-frame", "report_frame.html", "text/html; charset=utf-8"},
    PageFile{"/report_frame.js", "report_frame.js", "text/javascript; charset=utf-8"},
};
constexpr std::string_view kFramePath = "/report-frame";
constexpr std::string_view kFrameScript = "/report_frame.js";

std::string_view content_of(std::string_view name) {
  for (const auto& file : embedded::page_files()) {
    if (file.name == name) return file.content;
  }
  return {};
}

// Scripts, styles and requests of this origin only, no markup from texts, and nobody may frame it.
constexpr std::string_view kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'";

// A report is drawn where it can reach nothing: an origin of its own, no request, no script but its own ones and the
// one that takes it in. Its charts write styles of their own.
std::string frame_policy() {
  const auto sources = report::script_sources();
  return fmt::format(
      "default-src 'none'; script-src 'self' {}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
      "frame-ancestors 'self'; sandbox allow-scripts",
      sources.ok() ? sources.value() : std::string());
}

}  // namespace

bool HttpServer::Impl::is_page(std::string_view path) {
  for (const auto& file : kPageFiles) {
    if (file.path == path) return true;
  }
  return false;
}

void HttpServer::Impl::add_page_routes() {
  for (const auto& file : kPageFiles) {
    const bool is_frame = file.path == kFramePath;
    const auto policy = is_frame ? frame_policy() : std::string(kPagePolicy);
    on_get(std::string(file.path), [file, is_frame, policy](const Request&, Response& response) {
      // In place of what all other answers have.
      const auto set = [&](const std::string& name, const std::string& value) {
        response.headers.erase(name);
        response.set_header(name, value);
      };
      set("Content-Security-Policy", policy);
      set("Cross-Origin-Opener-Policy", "same-origin");
      if (is_frame) set("X-Frame-Options", "SAMEORIGIN");
      // The frame's origin is nobody's, so its script comes from another one.
      if (file.path == kFrameScript) set("Cross-Origin-Resource-Policy", "cross-origin");
      const auto content = content_of(file.name);
      response.set_content(content.data(), content.size(), std::string(file.type));
    });
  }
}

}  // namespace bulkhead::serve
