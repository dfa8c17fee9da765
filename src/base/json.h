// SPDX-License-Identifier: MIT
// JSON for every room: nlohmann behind one alias, one parser with limits, one writer that takes any bytes, and checked
// reading that names file, line and field. No other file parses or writes JSON (tests/structure/hygiene_test.py).
#pragma once

#include "base/result.h"

// Values remember where they stood in the text, so that an error can name the line.
#define JSON_DIAGNOSTIC_POSITIONS 1
#include <nlohmann/json.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// Compiled once, in json.cpp, and not in every file that holds a Json: that is most of what such a file costs.
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
extern template class nlohmann::detail::serializer<nlohmann::ordered_json>;

namespace bulkhead {

using Json = nlohmann::ordered_json;

// A value of a document lies in at most so many lists and objects. Walking, copying and writing recurse: some 80,000
// levels end the process. Documents of people and programs have about ten.
inline constexpr std::size_t kMostJsonDepth = 256;
// Each value takes some 32 bytes, also where the text takes two.
inline constexpr std::size_t kMostJsonValues = 10'000'000;

// Parses one JSON text (RFC 8259) as it stands: a UTF-8 mark at the very beginning is skipped, integers beyond 64 bits
// become the nearest double. kBadInput, in place "name:line" (empty without a name), for anything else: trailing text,
// a NUL byte, invalid UTF-8 or half a surrogate pair, a key twice in one object, a number that no double holds, more
// depth or values than above, or objects so wide that finding their keys would take minutes.
[[nodiscard]] Result<Json> parse_json(std::string_view text, std::string_view name = {});

enum class JsonForm {
  kLine,    // without line breaks
  kPretty,  // over many lines, indented by one space; no line break at the end
  kAscii,   // kLine with every other character escaped
};

// The JSON text of `json`; never fails on bytes. Invalid UTF-8 becomes U+FFFD (names that must be found again pass
// through escape_bytes() of base/utf8.h first), NaN and infinities become null. What could steer a terminal stands
// escaped (\u009b), so it is there for who parses the text and harmless for who looks at it.
[[nodiscard]] std::string json_text(const Json& json, JsonForm form = JsonForm::kLine);

// A parsed document with its text and name. Must outlive every JsonView into it. Read-only, so shareable.
class JsonDocument {
 public:
  // Fails as parse_json() does.
  [[nodiscard]] static Result<JsonDocument> parse(std::string text, std::string name);

  [[nodiscard]] const Json& root() const noexcept { return root_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  // 1-based line on which `value`, a value inside root(), begins.
  [[nodiscard]] std::size_t line_of(const Json& value) const noexcept;

 private:
  JsonDocument(std::string text, std::string name, Json root)
      : text_(std::move(text)), name_(std::move(name)), root_(std::move(root)) {}
  std::string text_;
  std::string name_;
  Json root_;
};

// One value of a document, with the path that led to it. Every getter fails with kBadInput and a place such as
// "scenario.json:12: turns[3].role".
class JsonView {
 public:
  explicit JsonView(const JsonDocument& document) : document_(&document), value_(&document.root()) {}

  [[nodiscard]] const Json& json() const noexcept { return *value_; }
  [[nodiscard]] Error fail(std::string message, std::string advice = {}) const;

  [[nodiscard]] bool has(std::string_view key) const;                                   // there and not null
  [[nodiscard]] Result<JsonView> at(std::string_view key) const;                        // required field of an object
  [[nodiscard]] Result<std::vector<JsonView>> items() const;                            // of an array
  [[nodiscard]] Result<std::vector<std::pair<std::string, JsonView>>> members() const;  // of an object, in file order
  // kBadInput naming the first member whose name is not in `allowed`.
  [[nodiscard]] Result<void> only(std::initializer_list<std::string_view> allowed) const;

  [[nodiscard]] Result<std::string> string() const;
  [[nodiscard]] Result<std::int64_t> integer(std::int64_t low, std::int64_t high) const;
  [[nodiscard]] Result<double> number() const;
  [[nodiscard]] Result<bool> boolean() const;
  [[nodiscard]] Result<std::vector<std::string>> strings() const;

  // The field `key` if it is there and not null, else `otherwise`.
  [[nodiscard]] Result<std::string> string_or(std::string_view key, std::string otherwise) const;
  [[nodiscard]] Result<bool> boolean_or(std::string_view key, bool otherwise) const;

 private:
  JsonView(const JsonDocument& document, const Json& value, std::string path)
      : document_(&document), value_(&value), path_(std::move(path)) {}
  [[nodiscard]] std::string path_to(std::string_view key) const;

  const JsonDocument* document_;
  const Json* value_;
  std::string path_;
};

// Reads a whole file, which may be a pipe. kBadInput when it cannot be read or is larger than `limit_bytes`.
[[nodiscard]] Result<std::string> read_text_file(const std::string& path, std::uint64_t limit_bytes = 64ULL << 20U);

}  // namespace bulkhead
