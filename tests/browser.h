// SPDX-License-Identifier: MIT
// A page in a real browser: chromium draws it without a window and prints what it has made. Skipped, and says so, where
// there is no chromium (Debian: apt-get install chromium; BULKHEAD_CHROMIUM names another one).
#pragma once

#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

namespace bulkhead::testing {

class Browser : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::string& name :
         {from_environment(), std::string("chromium"), std::string("chromium-browser"), std::string("google-chrome")}) {
      if (!name.empty() && std::system(("command -v '" + name + "' >/dev/null 2>&1").c_str()) == 0) {
        program_ = name;
        return;
      }
    }
    GTEST_SKIP() << "no chromium on this machine: the report was not tried in a browser";
  }

  // The page's elements after its scripts ran.
  [[nodiscard]] std::string drawn(const std::string& page, const std::string& options = {}) const {
    std::ofstream(folder_ / "report.html", std::ios::binary) << page;
    // Time is virtual: the page is printed when its timers are done, however slow the machine is.
    const std::string command =
        "'" + program_ +
        "' --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking" +
        " --disable-component-update --disable-sync --no-first-run --virtual-time-budget=5000 --user-data-dir='" +
        (folder_ / "profile").string() + "' " + options + " --dump-dom 'file://" + (folder_ / "report.html").string() +
        "' 2>/dev/null </dev/null";
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
    EXPECT_NE(pipe, nullptr);
    std::string out;
    char part[4096];
    for (std::size_t n = 0; pipe && (n = fread(part, 1, sizeof(part), pipe.get())) > 0;) out.append(part, n);
    return out;
  }

 private:
  static std::string from_environment() {
    const char* name = std::getenv("BULKHEAD_CHROMIUM");
    return name == nullptr ? std::string() : std::string(name);
  }

  std::string program_;
  TemporaryFolder folder_;
};

// The visible part: what stands before the data and the scripts.
inline std::string body_of(const std::string& dom) {
  const auto begin = dom.find("<main");
  return begin == std::string::npos ? std::string() : dom.substr(begin, dom.find("</main>") - begin);
}

}  // namespace bulkhead::testing
