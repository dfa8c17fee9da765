// SPDX-License-Identifier: MIT
// JSON for every room: nlohmann behind one alias, plus checked reading that names file, line and field.
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

namespace bulkhead {

using Json = nlohmann::ordered_json;

// A parsed document with its text and name. Must outlive every JsonView into it. Read-only, so shareable.
class JsonDocument {
 public:
  // kBadInput with "name:line: message" when `text` is not JSON, not UTF-8, or holds a key twice.
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

// Reads a whole file. kBadInput when it cannot be read or is larger than `limit_bytes`.
[[nodiscard]] Result<std::string> read_text_file(const std::string& path, std::uint64_t limit_bytes = 64ULL << 20U);

}  // namespace bulkhead
