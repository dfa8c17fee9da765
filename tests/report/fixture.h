// SPDX-License-Identifier: MIT
// tests/data/results_fixture.json, and folders to put results into.
#pragma once

#include "base/json.h"
#include "json_of.h"
#include "paths.h"
#include "report/html.h"
#include "report/results.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace bulkhead::report {

// An empty folder that goes away with the object.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "bulkhead-report-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
  }

 private:
  std::filesystem::path path_;
};

inline std::string fixture_text() {
  auto content = read_text_file(testing::source_folder() + "/tests/data/results_fixture.json");
  EXPECT_TRUE(content.ok());
  return content ? *content : std::string();
}

inline Json fixture() {
  return testing::json_of(fixture_text());
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

inline std::string page_of(const Json& results) {
  auto page = to_html(results);
  EXPECT_TRUE(page.ok());
  return page ? *page : std::string();
}

}  // namespace bulkhead::report
