// SPDX-License-Identifier: MIT
#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>

namespace bulkhead {
namespace {

TEST(ErrorCodes, HaveTheDocumentedExitCodesAndNamesOfTheirOwn) {
  const std::pair<ErrorCode, int> expected[] = {
      {ErrorCode::kInternal, 1},    {ErrorCode::kClosed, 1},        {ErrorCode::kUsage, 2},
      {ErrorCode::kUnsupported, 2}, {ErrorCode::kBadInput, 3},      {ErrorCode::kCorrupt, 4},
      {ErrorCode::kResource, 5},    {ErrorCode::kRemote, 6},        {ErrorCode::kInterference, 7},
      {ErrorCode::kIncomplete, 8},  {ErrorCode::kInterrupted, 130},
  };
  std::set<std::string> names;
  for (const auto& [code, number] : expected) {
    EXPECT_EQ(exit_code(code), number) << name(code);
    names.insert(std::string(name(code)));
  }
  EXPECT_EQ(names.size(), std::size(expected));
  EXPECT_EQ(name(ErrorCode::kBadInput), "bad_input");
}

TEST(Error, TextLeavesOutWhatIsEmpty) {
  EXPECT_EQ((Error{ErrorCode::kUsage, "what", "where", "do this"}).to_string(), "where: what (do this)");
  EXPECT_EQ((Error{ErrorCode::kUsage, "what", "", "do this"}).to_string(), "what (do this)");
  EXPECT_EQ((Error{ErrorCode::kUsage, "what", "where", ""}).to_string(), "where: what");
  EXPECT_EQ((Error{ErrorCode::kUsage, "what", "", ""}).to_string(), "what");
}

Result<int> half(int number) {
  if (number % 2 != 0) return Error{ErrorCode::kBadInput, "odd", {}, {}};
  return number / 2;
}

Result<int> quarter(int number) {
  BH_TRY(const int first, half(number));
  BH_TRY(const int second, half(first));
  return second;
}

Result<void> must_be_even(int number) {
  BH_CHECK(half(number));
  return {};
}

TEST(Result, PassesValuesAndErrorsOn) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_EQ(quarter(7).error().code, ErrorCode::kBadInput);
  EXPECT_TRUE(must_be_even(2).ok());
  EXPECT_EQ(must_be_even(3).error().message, "odd");
}

TEST(Result, CarriesMoveOnlyValues) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 7);
}

TEST(Result, AnErrorMayBeTheValueOfNoOtherKind) {
  const Result<std::string> text(std::string("text"));
  EXPECT_TRUE(static_cast<bool>(text));
  EXPECT_EQ(text->size(), 4U);
}

TEST(ResultDeathTest, ReadingTheSideThatIsNotThereEndsTheProgram) {
  const Result<int> good(1);
  const Result<int> bad(Error{ErrorCode::kInternal, "x", {}, {}});
  const Result<void> nothing;
  EXPECT_DEATH(static_cast<void>(good.error()), "");
  EXPECT_DEATH(static_cast<void>(bad.value()), "");
  EXPECT_DEATH(static_cast<void>(nothing.error()), "");
}

}  // namespace
}  // namespace bulkhead
