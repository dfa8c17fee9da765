// SPDX-License-Identifier: MIT
#include "store/sealed_folder.h"
#include "json_of.h"

#include "sealed.h"
#include "store/folder_seal.h"
#include "temporary_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

// The calls that change names, and fsync, count here. At the given one the process is killed, or the call fails.
int calls_left = -1;
bool fails = false;

bool step() {
  if (calls_left < 0 || calls_left-- > 0) return false;
  if (!fails) ::raise(SIGKILL);
  errno = EIO;
  return true;
}

}  // namespace

// Of this test program: the linker takes these in place of the C library's.
extern "C" {
int rename(const char* from, const char* to) noexcept {
  return step() ? -1 : static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int mkdir(const char* path, mode_t mode) noexcept {
  return step() ? -1 : static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}
int unlink(const char* path) noexcept {
  return step() ? -1 : static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}
int fsync(int descriptor) {
  // No power is cut here, and hundreds of them take their time.
  return step() || ::fcntl(descriptor, F_GETFD) < 0 ? -1 : 0;
}
}

namespace bulkhead::store {
namespace {

using bulkhead::testing::read_file;
using bulkhead::testing::TemporaryFolder;
using bulkhead::testing::write_file;
using ::testing::HasSubstr;
using Documents = std::map<std::string, std::string>;
using Existing = SealedFolder::Existing;

const Documents kFirst = {{"results.json", "first results"}, {"samples.jsonl", "first samples"}, {"old.md", "first"}};
const Documents kSecond = {
    {"results.json", "second results"}, {"samples.jsonl", "second samples"}, {"new.md", "second"}};

// The documents that a reader finds, who looks without mending anything. Fails when they do not belong together.
Documents documents_in(const std::filesystem::path& folder) {
  const auto seal = FolderSeal::read(folder);
  if (!seal.ok()) {
    ADD_FAILURE() << seal.error().to_string();
    return {};
  }
  EXPECT_TRUE(seal->check().ok()) << seal->check().error().to_string();
  Documents documents;
  for (const auto& [name, sum] : seal->sums()) {
    if (const auto bytes = seal->document(name, 1000); bytes.ok()) documents[name] = bytes.value();
  }
  return documents;
}

SealedFolder with_first(const std::filesystem::path& path) {
  auto folder = SealedFolder::open(path, "run", Existing::kRefuse);
  EXPECT_TRUE(folder.ok()) << folder.error().to_string();
  EXPECT_TRUE(folder->replace(kFirst, {{"seed", 1}}).ok());
  return std::move(folder).value();
}

// In a child, whose call number `calls` is its last one (or fails). Its exit status; -1: it was killed.
int in_child(int calls, bool failing, const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    calls_left = calls;
    fails = failing;
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::set<std::string> entries_of(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

TEST(SealedFolder, NamesTheSumsOfItsDocuments) {
  const TemporaryFolder folder;
  static_cast<void>(with_first(folder / "run"));
  const auto manifest = testing::json_of(read_file(folder / "run/manifest.json"));
  EXPECT_EQ(manifest["kind"], "run");
  EXPECT_EQ(manifest["seed"], 1);
  EXPECT_EQ(manifest["documents"]["results.json"], sha256_hex("first results"));
  EXPECT_EQ(documents_in(folder / "run"), kFirst);
}

TEST(SealedFolder, AChangedDocumentIsNamed) {
  const TemporaryFolder folder;
  static_cast<void>(with_first(folder / "run"));
  for (const auto& [name, bytes] : kFirst) {
    write_file(folder / "run" / name, "forged");
    const auto seal = FolderSeal::read(folder / "run");
    ASSERT_TRUE(seal.ok());
    for (const auto& error : {seal->check().error(), seal->document(name, 1000).error()}) {
      EXPECT_EQ(error.code, ErrorCode::kCorrupt);
      EXPECT_THAT(error.place, HasSubstr(name));
    }
    write_file(folder / "run" / name, bytes);
  }
  auto manifest = read_file(folder / "run/manifest.json");
  manifest.replace(manifest.find("\"seed\": 1"), 9, "\"seed\": 2");
  write_file(folder / "run/manifest.json", manifest);
  const auto seal = FolderSeal::read(folder / "run");
  ASSERT_FALSE(seal.ok());
  EXPECT_EQ(seal.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(seal.error().place, HasSubstr("manifest.json"));
}

TEST(SealedFolder, AManifestOfAnotherFormIsRefused) {
  const TemporaryFolder folder;
  for (const std::string text : {"", "{", "[]", "{}", R"({"name": "a web app"})",
                                 R"({"kind": "run", "documents": {"../x": "0"}, "sha256": "0"})"}) {
    write_file(folder / "manifest.json", text);
    EXPECT_EQ(FolderSeal::read(folder.path()).error().code, ErrorCode::kCorrupt) << text;
  }
  for (const std::string name : {"../outside", ".hidden", "/etc/passwd", "manifest.json", ""}) {
    write_file(folder / "manifest.json", sealed_manifest("run", {}, {{name, std::string(64, '0')}}));
    EXPECT_EQ(FolderSeal::read(folder.path()).error().code, ErrorCode::kCorrupt) << name;
  }
}

TEST(SealedFolder, AddKeepsTheOthersAndReplaceDoesNot) {
  const TemporaryFolder folder;
  auto run = with_first(folder / "run");
  ASSERT_TRUE(run.add({{"report.md", "drawn"}}).ok());
  auto all = kFirst;
  all["report.md"] = "drawn";
  EXPECT_EQ(documents_in(folder / "run"), all);
  EXPECT_EQ(FolderSeal::read(folder / "run")->manifest()["seed"], 1);
  ASSERT_TRUE(run.replace(kSecond, {{"seed", 2}}).ok());
  EXPECT_EQ(documents_in(folder / "run"), kSecond);
  EXPECT_EQ(entries_of(folder / "run"),
            (std::set<std::string>{"results.json", "samples.jsonl", "new.md", "manifest.json", ".bulkhead-lock"}));
}

TEST(SealedFolder, RefusesWhatIsNotOursAndTouchesNothing) {
  const TemporaryFolder folder;
  write_file(folder / "mine" / "report.md", "my own report");
  const auto before = entries_of(folder / "mine");
  for (const auto existing : {Existing::kRefuse, Existing::kReplace, Existing::kContinue}) {
    const auto opened = SealedFolder::open(folder / "mine", "run", existing);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, ErrorCode::kUsage);
    EXPECT_THAT(opened.error().message, HasSubstr("report.md"));
  }
  EXPECT_EQ(entries_of(folder / "mine"), before);
  write_file(folder / "web" / "manifest.json", R"({"name": "a web app"})");
  EXPECT_FALSE(SealedFolder::open(folder / "web", "run", Existing::kReplace).ok());
  EXPECT_EQ(read_file(folder / "web/manifest.json"), R"({"name": "a web app"})");
}

TEST(SealedFolder, ReplacesAnotherRunOnlyWhenAllowedAndNoOtherKind) {
  const TemporaryFolder folder;
  static_cast<void>(with_first(folder / "run"));
  const auto refused = SealedFolder::open(folder / "run", "run", Existing::kRefuse);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_THAT(refused.error().advice, HasSubstr("--force"));
  EXPECT_EQ(SealedFolder::open(folder / "run", "evaluation", Existing::kReplace).error().code, ErrorCode::kUsage);
  EXPECT_EQ(documents_in(folder / "run"), kFirst);
  auto allowed = SealedFolder::open(folder / "run", "run", Existing::kReplace);
  ASSERT_TRUE(allowed.ok()) << allowed.error().to_string();
  EXPECT_EQ(documents_in(folder / "run"), kFirst) << "until there is something to put in its place";
  ASSERT_TRUE(allowed->replace(kSecond, {}).ok());
  EXPECT_EQ(documents_in(folder / "run"), kSecond);
}

TEST(SealedFolder, AFolderInWhichNothingWasFinishedIsAsGoodAsNew) {
  const TemporaryFolder folder;
  ASSERT_TRUE(SealedFolder::open(folder / "run", "run", Existing::kRefuse).ok());
  ASSERT_TRUE(SealedFolder::open(folder / "run", "run", Existing::kRefuse).ok());
}

TEST(SealedFolder, IsForOneWriterAtATimeAndADeadOneDoesNotBlock) {
  const TemporaryFolder folder;
  {
    const auto first = with_first(folder / "run");
    const auto second = SealedFolder::open(folder / "run", "run", Existing::kReplace);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, ErrorCode::kResource);
    EXPECT_THAT(second.error().message, HasSubstr(std::to_string(::getpid())));
  }
  EXPECT_EQ(in_child(-1, false,
                     [&] {
                       const auto held = SealedFolder::open(folder / "run", "run", Existing::kReplace);
                       if (!held.ok()) return 1;
                       ::raise(SIGKILL);
                       return 2;
                     }),
            -1);
  EXPECT_TRUE(SealedFolder::open(folder / "run", "run", Existing::kReplace).ok());
}

TEST(SealedFolder, UniqueNamesAreUniqueForProcessesThatStartAtOnce) {
  const TemporaryFolder folder;
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto made = SealedFolder::create_unique(folder / "runs/20261129-120000", "run");
      ::_exit(made.ok() && made->replace({{"results.json", std::to_string(::getpid())}}, {}).ok() ? 0 : 1);
    }
    children.push_back(child);
  }
  std::set<std::string> expected;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    expected.insert(std::to_string(child));
  }
  std::set<std::string> found;
  for (const auto& name : entries_of(folder / "runs")) {
    found.insert(documents_in(folder / "runs" / name)["results.json"]);
  }
  EXPECT_EQ(found, expected);
}

// A kill, and a failing disk, at each call: a reader finds the first documents or the second ones, never some of both,
// and the next writer goes on and leaves nothing behind.
TEST(SealedFolder, StoppedAtAnyPointItHoldsOneGeneration) {
  for (const bool failing : {false, true}) {
    int first = 0;
    int second = 0;
    bool ended = false;
    for (int call = 0; !ended; ++call) {
      const TemporaryFolder folder;
      const auto run = folder / "run";
      static_cast<void>(with_first(run));
      const int status = in_child(call, failing, [&] {
        const int at = std::exchange(calls_left, -1);
        auto opened = SealedFolder::open(run, "run", Existing::kReplace);
        if (!opened.ok()) return 1;
        calls_left = at;
        const auto replaced = opened->replace(kSecond, {{"seed", 2}});
        if (calls_left >= 0) return 0;
        return replaced.ok() ? 2 : 3;
      });
      ended = status == 0;
      const auto found = documents_in(run);
      const bool is_second = found == kSecond;
      auto without_old = kFirst;
      without_old.erase("old.md");
      EXPECT_TRUE(is_second || found == kFirst || found == without_old) << "call " << call;
      EXPECT_EQ(FolderSeal::read(run)->manifest()["seed"], is_second ? 2 : 1);
      ++(is_second ? second : first);
      auto next = SealedFolder::open(run, "run", Existing::kContinue);
      ASSERT_TRUE(next.ok()) << next.error().to_string();
      EXPECT_EQ(documents_in(run), found) << "call " << call;
      ASSERT_TRUE(next->replace(kSecond, {}).ok());
      EXPECT_EQ(entries_of(run),
                (std::set<std::string>{"results.json", "samples.jsonl", "new.md", "manifest.json", ".bulkhead-lock"}))
          << "call " << call;
    }
    EXPECT_GT(first, 8);
    EXPECT_GT(second, 4) << "stops after the switch too";
  }
}

TEST(SealedFolder, KilledBeforeAnythingWasWrittenItIsAsGoodAsNew) {
  bool ended = false;
  for (int call = 0; !ended; ++call) {
    const TemporaryFolder folder;
    const auto run = folder / "run";
    const int status = in_child(
        call, false, [&] { return SealedFolder::open(run, "run", Existing::kRefuse).ok() && calls_left >= 0 ? 0 : 1; });
    ended = status == 0;
    const auto again = SealedFolder::open(run, "run", Existing::kRefuse);
    EXPECT_TRUE(again.ok()) << "call " << call << ": " << again.error().to_string();
    EXPECT_EQ(entries_of(run), (std::set<std::string>{"manifest.json", ".bulkhead-lock"})) << "call " << call;
  }
}

TEST(SealedFolder, FollowsNoLinkWhereItsOwnFoldersShouldBe) {
  const TemporaryFolder folder;
  static_cast<void>(with_first(folder / "run"));
  write_file(folder / "elsewhere" / "results.json", "kept");
  for (const char* const name : {".bulkhead-next", ".bulkhead-switch"}) {
    std::filesystem::create_symlink(folder / "elsewhere", folder / "run" / name);
  }
  EXPECT_EQ(documents_in(folder / "run"), kFirst);
  auto run = SealedFolder::open(folder / "run", "run", Existing::kReplace);
  ASSERT_TRUE(run.ok()) << run.error().to_string();
  ASSERT_TRUE(run->replace(kSecond, {}).ok());
  EXPECT_EQ(documents_in(folder / "run"), kSecond);
  EXPECT_EQ(read_file(folder / "elsewhere/results.json"), "kept");
  EXPECT_EQ(entries_of(folder / "elsewhere").size(), 1U);
}

}  // namespace
}  // namespace bulkhead::store
