// SPDX-License-Identifier: MIT
#include "base/json.h"

#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <thread>

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

std::string nested(std::size_t depth, char open, char close, const std::string& inside) {
  return std::string(depth, open) + inside + std::string(depth, close);
}

TEST(ParseJson, DepthHasALimitThatIsExact) {
  EXPECT_TRUE(parse_json(nested(kMostJsonDepth, '[', ']', "1")).ok());
  const auto deep = parse_json(nested(kMostJsonDepth + 1, '[', ']', "1"), "file.json");
  expect_fails(deep, "file.json:1", "nested more than 256 deep");
  expect_fails(parse_json("[\n" + nested(200'000, '[', ']', ""), "file.json"), "file.json:2", "nested more than");
  expect_fails(parse_json(std::string(200'000, '['), "file.json"), "file.json:1", "nested more than");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  expect_fails(parse_json(objects, "file.json"), "file.json:1", "nested more than");
  EXPECT_TRUE(parse_json("[\"" + std::string(1000, '[') + "\"]").ok()) << "brackets in text are no depth";
  EXPECT_TRUE(parse_json("[" + nested(255, '[', ']', "") + "," + nested(255, '[', ']', "") + "]").ok());
}

TEST(ParseJson, ManyValuesAndVeryWideObjectsAreRefusedInSeconds) {
  std::string many = "[";
  for (std::size_t i = 0; i < kMostJsonValues; ++i) many += "1,";
  expect_fails(parse_json(many + "1]", "file.json"), "file.json:1", "more than 10000000 values");
  std::string wide = "{";
  for (int i = 0; i < 1'000'000; ++i) wide += "\"" + std::to_string(i) + "\":1,";
  expect_fails(parse_json(wide + "\"x\":1}", "file.json"), "file.json:1", "keys in one object are too many");
  wide = "{";
  for (int i = 0; i < 20'000; ++i) wide += "\"" + std::to_string(i) + "\":1,";
  const auto read = parse_json(wide + "\"x\":1}");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->size(), 20'001U);
}

TEST(ParseJson, NothingIsTakenForTheEndButTheEnd) {
  const std::string nul(1, '\0');
  expect_fails(parse_json("{\"a\": 1}" + nul, "f"), "f:1", "byte 8 is NUL");
  expect_fails(parse_json("{\"a\": 1}\n" + nul + "{\"b\": 2}", "f"), "f:2", "byte 9 is NUL");
  expect_fails(parse_json("{\"a\": \"x" + nul + "y\"}", "f"), "f:1", "is NUL");
  expect_fails(parse_json(nul, "f"), "f:1", "is NUL");
  expect_fails(parse_json("{} {}", "f"), "f:1", "not valid JSON");
  expect_fails(parse_json("[1] x", "f"), "f:1", "not valid JSON");
  expect_fails(parse_json("[1] // x", "f"), "f:1", "not valid JSON");
  expect_fails(parse_json("", "f"), "f:1", "not valid JSON");
  expect_fails(parse_json(" \n ", "f"), "f:2", "not valid JSON");
  EXPECT_EQ(parse_json("\"a\\u0000b\"")->get<std::string>(), std::string("a\0b", 3)) << "an escaped one is text";
}

TEST(ParseJson, AUtf8MarkIsSkippedAtTheBeginningOnly) {
  EXPECT_EQ(parse_json("\xEF\xBB\xBF{\"a\": 1}").value()["a"], 1);
  EXPECT_FALSE(parse_json("{\"a\": \xEF\xBB\xBF 1}").ok());
  EXPECT_FALSE(parse_json("\xEF\xBB\xBF").ok());
}

TEST(ParseJson, NumbersKeepTheirValueOrAreRefused) {
  EXPECT_EQ(parse_json("18446744073709551615")->get<std::uint64_t>(), UINT64_MAX);
  const auto beyond = parse_json("18446744073709551616");
  EXPECT_TRUE(beyond->is_number_float());
  EXPECT_DOUBLE_EQ(beyond->get<double>(), 18446744073709551616.0);
  EXPECT_EQ(parse_json("1e-999")->get<double>(), 0.0);
  expect_fails(parse_json("{\n\"a\": 1e999}", "f"), "f:2", "number overflow");
  for (const auto* wrong : {"NaN", "Infinity", "-", "01", "+1", "1.", ".5", "0x10", "1e"}) {
    EXPECT_FALSE(parse_json(wrong).ok()) << wrong;
  }
  EXPECT_FALSE(parse_json("\"\\ud800\"").ok()) << "half a surrogate pair";
}

TEST(ParseJson, AKeyTwiceIsRefusedWhereItStandsTheSecondTime) {
  expect_fails(parse_json("{\"a\": {\"b\": 1},\n\"c\": {\"b\": 1, \"c\": 2,\n\"b\": 3}}", "f"), "f:3",
               "\"b\" stands twice");
  expect_fails(parse_json("{\"a\": 1, \"\\u0061\": 2}", "f"), "f:1", "\"a\" stands twice");
}

TEST(ParseJson, MessagesQuoteLittleOfTheText) {
  const auto error = parse_json("{\"a\": \"" + std::string(1'000'000, 'x'), "f").error();
  EXPECT_LT(error.message.size(), 400U);
}

TEST(JsonText, NeverFailsOnBytes) {
  for (int byte = 1; byte < 256; ++byte) {
    const std::string bytes = {'a', static_cast<char>(byte), 'b'};
    const auto line = json_text(Json{{bytes, bytes}});
    const auto back = parse_json(line);
    ASSERT_TRUE(back.ok()) << byte << ": " << line;
    const auto expected = byte < 0x80 ? bytes : std::string("a\xEF\xBF\xBD") + "b";
    EXPECT_EQ((*back)[expected], expected) << line;
  }
  EXPECT_EQ(json_text(Json{{"a", "\xC3"}}), "{\"a\":\"\xEF\xBF\xBD\"}");
  EXPECT_EQ(json_text(std::nan("")), "null");
}

TEST(JsonText, HasTheFormAskedFor) {
  const Json json = {{"a", Json::array({1, "\xC3\xA9"})}};
  EXPECT_EQ(json_text(json), "{\"a\":[1,\"\xC3\xA9\"]}");
  EXPECT_EQ(json_text(json, JsonForm::kPretty), "{\n \"a\": [\n  1,\n  \"\xC3\xA9\"\n ]\n}");
  EXPECT_EQ(json_text(json, JsonForm::kAscii), "{\"a\":[1,\"\\u00e9\"]}");
}

TEST(JsonText, WhatSteersATerminalStandsEscapedAndComesBack) {
  const std::string steering =
      "\x1b[31m\x7f\xC2\x9B"
      "31m \xE2\x80\xAE right \xE2\x81\xA6 \xEF\xBB\xBF";
  const auto text = json_text(Json{{steering, steering}}, JsonForm::kPretty);
  EXPECT_THAT(text, HasSubstr("\\u001b[31m\\u007f\\u009b31m \\u202e right \\u2066 \\ufeff"));
  for (const auto* raw : {"\x1b", "\x7f", "\xC2\x9B", "\xE2\x80\xAE", "\xE2\x81\xA6", "\xEF\xBB\xBF"}) {
    EXPECT_EQ(text.find(raw), std::string::npos) << text;
  }
  EXPECT_EQ(parse_json(text).value()[steering], steering);
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
  expect_fails(read_text_file("/dev/zero", 1000), "/dev/zero", "more than 1000 bytes; the limit is 1000");
  expect_fails(read_text_file(path + ".missing"), path + ".missing", "cannot read");
  expect_fails(read_text_file(folder.path().string()), folder.path().string(), "cannot read");
}

TEST(ReadTextFile, APipeIsReadToItsEnd) {
  const TemporaryFolder folder;
  const auto path = (folder / "pipe").string();
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const std::string text(300'000, 'x');
  std::thread writer([&] { write_file(path, text); });
  const auto read = read_text_file(path);
  writer.join();
  ASSERT_TRUE(read.ok()) << read.error().to_string();
  EXPECT_EQ(*read, text);
}

}  // namespace
}  // namespace bulkhead
