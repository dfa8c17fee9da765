// SPDX-License-Identifier: MIT
// The form of a document as a table of fields, and the check of a document against it.
#pragma once

#include "base/json.h"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace bulkhead::report {

enum class Kind {
  kText,
  kTextOrNull,
  kFlag,
  kNumber,  // finite; JSON has no other
  kNumberOrNull,
  kInteger,
  kCount,  // integer, not negative
  kCountOrNull,
  kObject,
  kObjectOrNull,
  kObjects,   // list of objects
  kMembers,   // object whose members are objects of the field's form
  kTexts,     // list of texts
  kCounts,    // list of counts
  kTally,     // object whose members are counts
  kInterval,  // list of two numbers, low and high
  kIntervalOrNull,
};

// Plain arrays: they know their length, and nest as the document does.
// NOLINTBEGIN(*-avoid-c-arrays,*-array-to-pointer-decay)
struct Field {
  constexpr Field(std::string_view field_name, Kind field_kind) : name(field_name), kind(field_kind) {}
  template <std::size_t N>
  constexpr Field(std::string_view field_name, Kind field_kind, const Field (&fields)[N])
      : name(field_name), kind(field_kind), members(fields), member_count(N) {}

  std::string_view name;
  Kind kind;
  const Field* members = nullptr;
  std::size_t member_count = 0;
};
// NOLINTEND(*-avoid-c-arrays,*-array-to-pointer-decay)

// A document that breaks its form: kCorrupt, placed "FILE: path"; `file` alone where `path` is empty.
[[nodiscard]] Error corrupt(std::string message, std::string_view file, std::string_view path);

// Whether `object` has the `form`'s members (an object's of a Field), nested ones too. kCorrupt names the first that is
// missing or of another type ("results.json: runs[0].seed"). Members that the form does not know are allowed.
[[nodiscard]] Result<void> check_form(const Json& object, const Field& form, std::string_view file);

// Reads DIRECTORY/file and checks it. kBadInput: there is no such file; kCorrupt: it is not the document that the
// folder's manifest.json names (a file that was cut off, say), not JSON, or what `check` says, placed in the directory.
[[nodiscard]] Result<Json> read_document(const std::filesystem::path& directory, std::string_view file,
                                         const std::function<Result<void>(const Json&)>& check);

}  // namespace bulkhead::report
