// SPDX-License-Identifier: MIT
#include "report/document_form.h"

#include "store/folder_seal.h"

#include <fmt/format.h>

#include <cstdint>
#include <system_error>
#include <utility>

namespace bulkhead::report {
namespace {

bool is_count(const Json& value) {
  return value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
}

template <typename Check>
bool all_of(const Json& values, Check check) {
  for (const auto& value : values) {
    if (!check(value)) return false;
  }
  return true;
}

bool is_interval(const Json& value) {
  return value.is_array() && value.size() == 2 && all_of(value, [](const Json& bound) { return bound.is_number(); });
}

bool has_kind(const Json& value, Kind kind) {
  switch (kind) {
    case Kind::kText: return value.is_string();
    case Kind::kTextOrNull: return value.is_string() || value.is_null();
    case Kind::kFlag: return value.is_boolean();
    case Kind::kNumber: return value.is_number();
    case Kind::kNumberOrNull: return value.is_number() || value.is_null();
    case Kind::kInteger: return value.is_number_integer();
    case Kind::kCount: return is_count(value);
    case Kind::kCountOrNull: return is_count(value) || value.is_null();
    case Kind::kObject: return value.is_object();
    case Kind::kObjectOrNull: return value.is_object() || value.is_null();
    case Kind::kObjects: return value.is_array();
    case Kind::kTexts: return value.is_array() && all_of(value, [](const Json& item) { return item.is_string(); });
    case Kind::kCounts: return value.is_array() && all_of(value, is_count);
    case Kind::kTally: return value.is_object() && all_of(value, is_count);
    case Kind::kMembers: return value.is_object();
    case Kind::kInterval: return is_interval(value);
    case Kind::kIntervalOrNull: return value.is_null() || is_interval(value);
  }
  return false;
}

std::string_view words_for(Kind kind) {
  switch (kind) {
    case Kind::kText: return "a string";
    case Kind::kTextOrNull: return "a string or null";
    case Kind::kFlag: return "true or false";
    case Kind::kNumber: return "a number";
    case Kind::kNumberOrNull: return "a number or null";
    case Kind::kInteger: return "an integer";
    case Kind::kCount: return "an integer of 0 or more";
    case Kind::kCountOrNull: return "an integer of 0 or more, or null";
    case Kind::kObject: return "an object";
    case Kind::kObjectOrNull: return "an object or null";
    case Kind::kObjects: return "a list of objects";
    case Kind::kTexts: return "a list of strings";
    case Kind::kCounts: return "a list of integers of 0 or more";
    case Kind::kTally: return "an object of integers of 0 or more";
    case Kind::kMembers: return "an object of objects";
    case Kind::kInterval: return "a list of two numbers";
    case Kind::kIntervalOrNull: return "a list of two numbers, or null";
  }
  return "";
}

Result<void> check_members(const Json& object, const Field& form, std::string_view file, const std::string& path);

// The objects that a field holds: itself, or its items or members.
Result<void> check_held(const Json& value, const Field& field, std::string_view file, const std::string& place) {
  if (value.is_null() || field.member_count == 0) return {};
  if (field.kind == Kind::kObjects) {
    for (std::size_t item = 0; item < value.size(); ++item) {
      BH_CHECK(check_members(value[item], field, file, fmt::format("{}[{}]", place, item)));
    }
  } else if (field.kind == Kind::kMembers) {
    for (const auto& [key, member] : value.items()) {
      BH_CHECK(check_members(member, field, file, fmt::format("{}.{}", place, key)));
    }
  } else {
    BH_CHECK(check_members(value, field, file, place));
  }
  return {};
}

Result<void> check_members(const Json& object, const Field& form, std::string_view file, const std::string& path) {
  if (!object.is_object()) return corrupt("expected an object", file, path);
  for (std::size_t i = 0; i < form.member_count; ++i) {
    const Field& field = form.members[i];
    const std::string place = path.empty() ? std::string(field.name) : fmt::format("{}.{}", path, field.name);
    const auto found = object.find(field.name);
    if (found == object.end()) return corrupt("the field is missing", file, place);
    if (!has_kind(*found, field.kind)) return corrupt(fmt::format("expected {}", words_for(field.kind)), file, place);
    BH_CHECK(check_held(*found, field, file, place));
  }
  return {};
}

}  // namespace

Error corrupt(std::string message, std::string_view file, std::string_view path) {
  return Error{ErrorCode::kCorrupt, std::move(message),
               path.empty() ? std::string(file) : fmt::format("{}: {}", file, path),
               "run again; see docs/results-format.md"};
}

Result<void> check_form(const Json& object, const Field& form, std::string_view file) {
  return check_members(object, form, file, {});
}

Result<Json> read_document(const std::filesystem::path& directory, std::string_view file,
                           const std::function<Result<void>(const Json&)>& check) {
  constexpr std::uint64_t kLimitBytes = 1ULL << 30U;
  const auto path = directory / file;
  const auto seal = store::FolderSeal::read(directory);
  const bool absent = !seal.ok() && seal.error().code == ErrorCode::kBadInput;
  std::error_code problem;
  if (absent && std::filesystem::exists(path, problem)) {
    return Error{ErrorCode::kCorrupt, "there is no manifest.json beside it, which says what belongs together",
                 path.string(), "take the whole folder from where it came, or run again"};
  }
  if (absent || (seal.ok() && !seal->sums().contains(std::string(file)))) {
    return Error{ErrorCode::kBadInput, fmt::format("there is no {}", file), directory.string(),
                 "name the folder of a run or an evaluation"};
  }
  if (!seal.ok()) return seal.error();
  BH_TRY(auto text, seal->document(std::string(file), kLimitBytes));
  auto document = JsonDocument::parse(std::move(text), path.string());
  if (!document) {
    Error error = document.error();
    error.code = ErrorCode::kCorrupt;
    error.advice = "the file is damaged; run again";
    return error;
  }
  auto checked = check(document->root());
  if (!checked) {
    Error error = checked.error();
    error.place = (directory / error.place).string();
    return error;
  }
  return document->root();
}

}  // namespace bulkhead::report
