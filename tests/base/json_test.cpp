// SPDX-License-Identifier: MIT
#include "base/json.h"

#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace bulkhead {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using testing::write_file;

Error parse_error(const std::string& text) {
  const auto document = JsonDocument::parse(text, "file.json");
  EXPECT_FALSE(document.ok()) << text;
  return document.ok() ? Error{} : document.error();
}

JsonDocument parsed(const std::string& text) {
  auto document = JsonDocument::parse(text, "file.json");
  if (!document.ok()) ADD_FAILURE() << document.error().to_string();
  return std::move(document).value();
}

template <typename T>
void expect_fails(const Result<T>& result, const std::string& place, const std::string& words) {
  ASSERT_FALSE(result.ok()) << place;
  EXPECT_EQ(result.error().code, ErrorCode::kBadInput);
  EXPECT_EQ(result.error().place, place);
  EXPECT_THAT(result.error().to_string(), HasSubstr(words));
}

TEST(JsonDocument, ASyntaxErrorComesWithItsLine) {
  EXPECT_EQ(parse_error("{\n\"a\": 1,\n\"b\": }\n").place, "file.json:3");
  EXPECT_EQ(parse_error("").place, "file.json:1");
  EXPECT_EQ(parse_error("{\"a\": 1").place, "file.json:1");
  EXPECT_EQ(parse_error("[1, 2]\n\nx").place, "file.json:3");
  EXPECT_EQ(parse_error("{\"a\": 01}").code, ErrorCode::kBadInput);
}

TEST(JsonDocument, InvalidUtf8ComesWithByteAndLine) {
  const auto error = parse_error("{\n\"a\": \"x\xFF\"}");
  EXPECT_EQ(error.place, "file.json:2");
  EXPECT_THAT(error.message, HasSubstr("byte 9 is not valid UTF-8"));
}

TEST(JsonDocument, AKeyTwiceInOneObjectIsNamed) {
  const auto error = parse_error("{\"x\": {\"a\": 1,\n\"b\": 2,\n\"a\": 3}}");
  EXPECT_EQ(error.code, ErrorCode::kBadInput);
  EXPECT_THAT(error.message, HasSubstr("\"a\" stands twice"));
  EXPECT_TRUE(JsonDocument::parse("{\"a\": {\"a\": 1}, \"b\": [{\"a\": 1}, {\"a\": 2}]}", "file.json").ok());
}

TEST(JsonDocument, NumbersOutOfRangeAndDeepNestingAreNoCrash) {
  EXPECT_EQ(parse_error("{\"a\": 1e999}").code, ErrorCode::kBadInput);
  EXPECT_EQ(parse_error(std::string(200'000, '[')).code, ErrorCode::kBadInput);
  EXPECT_TRUE(JsonDocument::parse(std::string(200'000, '[') + std::string(200'000, ']'), "file.json").ok());
}

TEST(JsonView, GettersNameLineAndPathOfAWrongType) {
  const auto document =
      parsed("{\n\"turns\": [\n{\"role\": 7, \"id\": \"x\", \"on\": 1, \"n\": \"1.5\",\n\"list\": [\"a\", 2]}]}");
  const JsonView root(document);
  const auto turn = root.at("turns")->items()->at(0);
  expect_fails(turn.at("role")->string(), "file.json:3: turns[0].role", "expected a string, found an integer");
  expect_fails(turn.at("id")->integer(0, 9), "file.json:3: turns[0].id", "expected an integer, found a string");
  expect_fails(turn.at("on")->boolean(), "file.json:3: turns[0].on", "expected true or false, found an integer");
  expect_fails(turn.at("n")->number(), "file.json:3: turns[0].n", "expected a number, found a string");
  expect_fails(turn.at("list")->strings(), "file.json:4: turns[0].list[1]", "expected a string, found an integer");
  expect_fails(turn.at("role")->items(), "file.json:3: turns[0].role", "expected a list");
  expect_fails(turn.at("role")->members(), "file.json:3: turns[0].role", "expected an object");
  expect_fails(root.at("turns")->at("x"), "file.json:2: turns", "expected an object, found a list");
  expect_fails(turn.at("text"), "file.json:3: turns[0]", "\"text\" is missing");
}

TEST(JsonView, IntegersKeepTheirLimits) {
  const auto document = parsed(
      R"({"n": 5, "big": 18446744073709551615, "max": 9223372036854775807, "min": -9223372036854775808, "f": 5.0})");
  const JsonView root(document);
  EXPECT_EQ(*root.at("n")->integer(5, 5), 5);
  expect_fails(root.at("n")->integer(6, 9), "file.json:1: n", "5 is outside 6 to 9");
  expect_fails(root.at("n")->integer(0, 4), "file.json:1: n", "5 is outside 0 to 4");
  expect_fails(root.at("big")->integer(INT64_MIN, INT64_MAX), "file.json:1: big", "18446744073709551615 is outside");
  EXPECT_EQ(*root.at("max")->integer(INT64_MIN, INT64_MAX), INT64_MAX);
  EXPECT_EQ(*root.at("min")->integer(INT64_MIN, INT64_MAX), INT64_MIN);
  expect_fails(root.at("f")->integer(0, 9), "file.json:1: f", "expected an integer, found a number");
  EXPECT_DOUBLE_EQ(*root.at("n")->number(), 5.0);
}

TEST(JsonView, UnknownFieldsAreRefusedWithTheKnownOnes) {
  const auto document = parsed("{\"a\": 1,\n\"wrong\": 2}");
  const JsonView root(document);
  expect_fails(root.only({"a", "b"}), "file.json:2: wrong", "unknown field \"wrong\" (known here: a, b)");
  EXPECT_TRUE(root.only({"wrong", "a"}).ok());
}

TEST(JsonView, OptionalFieldsMayBeAbsentOrNullButNotWrong) {
  const auto document = parsed(R"({"text": "x", "nothing": null, "on": true, "number": 1})");
  const JsonView root(document);
  EXPECT_EQ(*root.string_or("text", "y"), "x");
  EXPECT_EQ(*root.string_or("nothing", "y"), "y");
  EXPECT_EQ(*root.string_or("absent", "y"), "y");
  EXPECT_TRUE(*root.boolean_or("on", false));
  EXPECT_TRUE(*root.boolean_or("absent", true));
  expect_fails(root.string_or("number", "y"), "file.json:1: number", "expected a string");
  EXPECT_TRUE(root.has("text"));
  EXPECT_FALSE(root.has("nothing"));
  EXPECT_FALSE(root.has("absent"));
}

TEST(JsonView, MembersComeInFileOrder) {
  const auto document = parsed(R"({"z": 1, "a": 2, "m": 3})");
  std::vector<std::string> keys;
  const auto members = JsonView(document).members();
  ASSERT_TRUE(members.ok());
  for (const auto& [key, view] : *members) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("z", "a", "m"));
}

TEST(ReadTextFile, KeepsItsLimitAndNamesTheFile) {
  const TemporaryFolder folder;
  const auto path = (folder / "text").string();
  write_file(path, std::string("a\0b\r\n", 5));
  EXPECT_EQ(*read_text_file(path), std::string("a\0b\r\n", 5));
  EXPECT_TRUE(read_text_file(path, 5).ok());
  expect_fails(read_text_file(path, 4), path, "5 bytes; the limit is 4");
  expect_fails(read_text_file(path + ".missing"), path + ".missing", "cannot read");
  expect_fails(read_text_file(folder.path().string()), folder.path().string(), "cannot read");
}

}  // namespace
}  // namespace bulkhead
