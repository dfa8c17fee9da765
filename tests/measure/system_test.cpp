// SPDX-License-Identifier: MIT
#include "measure/machine.h"
#include "measure/process_memory.h"

#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <memory>

namespace bulkhead::measure {
namespace {

TEST(ProcessMemory, GrowsWithWhatIsTouchedAndKeepsItsPeak) {
  constexpr std::size_t kBytes = std::size_t{128} << 20U;
  const auto before = process_memory();
  EXPECT_GT(before.current_bytes, 0U);
  auto block = std::make_unique<unsigned char[]>(kBytes);
  for (std::size_t i = 0; i < kBytes; i += 1024) static_cast<volatile unsigned char*>(block.get())[i] = 1;
  const auto during = process_memory();
  EXPECT_GE(during.current_bytes, before.current_bytes + kBytes * 9 / 10);
  EXPECT_GE(during.peak_bytes, before.current_bytes + kBytes * 9 / 10);
  block.reset();
  EXPECT_GE(process_memory().peak_bytes, before.current_bytes + kBytes * 9 / 10) << "freeing lowers no peak";
}

TEST(Machine, NamesThisOne) {
  const auto machine = this_machine();
  EXPECT_FALSE(machine.cpu.empty());
  EXPECT_NE(machine.cpu, "unknown");
  EXPECT_GE(machine.cores, 1U);
  EXPECT_GT(machine.memory_bytes, process_memory().current_bytes);
  utsname names{};
  ASSERT_EQ(uname(&names), 0);
  EXPECT_NE(machine.os.find(names.release), std::string::npos) << machine.os;
  EXPECT_NE(machine.os.find(names.machine), std::string::npos) << machine.os;
}

}  // namespace
}  // namespace bulkhead::measure
