// SPDX-License-Identifier: MIT
#include "report/results.h"

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace bulkhead::report {
namespace {

enum class Kind {
  kText,
  kTextOrNull,
  kFlag,
  kNumber,  // finite; JSON has no other
  kNumberOrNull,
  kInteger,
  kCount,  // integer, not negative
  kObject,
  kObjects,  // list of objects
  kTexts,    // list of texts
  kCounts,   // list of counts
  kTally,    // object whose members are counts
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

// docs/results-format.md as a table.
constexpr Field kBulkhead[] = {{"version", Kind::kText}, {"commit", Kind::kText}};
constexpr Field kMachine[] = {
    {"cpu", Kind::kText}, {"cores", Kind::kCount}, {"memory_bytes", Kind::kCount}, {"os", Kind::kText}};
constexpr Field kModel[] = {{"name", Kind::kText},          {"path", Kind::kText},   {"sha256", Kind::kText},
                            {"architecture", Kind::kText},  {"bytes", Kind::kCount}, {"context_tokens", Kind::kCount},
                            {"window_tokens", Kind::kCount}};
constexpr Field kEngine[] = {{"name", Kind::kText},      {"build", Kind::kText},
                             {"grade", Kind::kText},     {"kv_type_k", Kind::kText},
                             {"kv_type_v", Kind::kText}, {"kernels", Kind::kText},
                             {"isolation", Kind::kText}, {"batch_invariant", Kind::kFlag},
                             {"variance", Kind::kText},  {"flash_attention", Kind::kFlag},
                             {"threads", Kind::kCount},  {"kv_bytes_per_token", Kind::kCount}};
constexpr Field kSampling[] = {{"temperature", Kind::kNumber},
                               {"top_k", Kind::kInteger},
                               {"top_p", Kind::kNumber},
                               {"min_p", Kind::kNumber},
                               {"repeat_penalty", Kind::kNumber}};
constexpr Field kSettings[] = {
    {"format", Kind::kText}, {"format_sha256", Kind::kText},         {"prompt_set", Kind::kTextOrNull},
    {"seed", Kind::kCount},  {"sampling", Kind::kObject, kSampling}, {"conditions", Kind::kTexts}};
constexpr Field kMemory[] = {{"peak_rss_bytes", Kind::kCount}, {"kv_bytes_allocated", Kind::kCount}};
constexpr Field kPart[] = {{"reason", Kind::kText}, {"tokens", Kind::kInteger}};
constexpr Field kDifference[] = {{"condition", Kind::kText},
                                 {"other_format", Kind::kText},
                                 {"this_tokens", Kind::kCount},
                                 {"other_tokens", Kind::kCount},
                                 {"parts", Kind::kObjects, kPart}};
constexpr Field kTurn[] = {
    {"id", Kind::kInteger}, {"cluster", Kind::kText}, {"role", Kind::kText}, {"text", Kind::kText}};
constexpr Field kCluster[] = {{"id", Kind::kText},
                              {"label", Kind::kText},
                              {"topic", Kind::kText},
                              {"turns", Kind::kCounts},
                              {"depends_on", Kind::kTexts},
                              {"terminology", Kind::kTexts},
                              {"expected_output", Kind::kText}};
constexpr Field kScenario[] = {
    {"id", Kind::kText},     {"domain", Kind::kText},          {"file", Kind::kText},
    {"sha256", Kind::kText}, {"turns", Kind::kObjects, kTurn}, {"clusters", Kind::kObjects, kCluster}};
constexpr Field kIsolation[] = {{"achieved", Kind::kFlag}, {"reasons", Kind::kTexts}};
constexpr Field kMessage[] = {
    {"label", Kind::kText}, {"from", Kind::kText}, {"sha256", Kind::kText}, {"tokens", Kind::kCount}};
constexpr Field kPartition[] = {{"name", Kind::kText},
                                {"clusters", Kind::kTexts},
                                {"turns", Kind::kCounts},
                                {"context_tokens", Kind::kCount},
                                {"shared_prefix_tokens", Kind::kCount},
                                {"prefilled_tokens", Kind::kCount},
                                {"reused_tokens", Kind::kCount},
                                {"generated_tokens", Kind::kCount},
                                {"messages", Kind::kObjects, kMessage},
                                {"kv_bytes_used", Kind::kCount},
                                {"kv_bytes_allocated", Kind::kCount},
                                {"prefill_ms", Kind::kNumber},
                                {"token_sha256", Kind::kText},
                                {"origins", Kind::kTally}};
constexpr Field kLatency[] = {{"median", Kind::kNumberOrNull}, {"p95", Kind::kNumberOrNull}};
constexpr Field kForeign[] = {{"term", Kind::kText}, {"cluster", Kind::kText}, {"count", Kind::kCount}};
constexpr Field kOutput[] = {{"label", Kind::kText},
                             {"cluster", Kind::kText},
                             {"partition", Kind::kText},
                             {"prompt", Kind::kText},
                             {"text", Kind::kText},
                             {"tokens", Kind::kCount},
                             {"finish", Kind::kText},
                             {"ttft_ms", Kind::kNumber},
                             {"prefill_ms", Kind::kNumber},
                             {"decode_ms", Kind::kNumber},
                             {"itl_ms", Kind::kObject, kLatency},
                             {"logit_hash", Kind::kText},
                             {"own_terms", Kind::kCount},
                             {"foreign_terms", Kind::kCount},
                             {"foreign", Kind::kObjects, kForeign}};
constexpr Field kCondition[] = {{"name", Kind::kText},
                                {"title", Kind::kText},
                                {"separates", Kind::kText},
                                {"isolation", Kind::kObject, kIsolation},
                                {"wall_ms", Kind::kNumber},
                                {"prefill_ms", Kind::kNumber},
                                {"decode_ms", Kind::kNumber},
                                {"partitions", Kind::kObjects, kPartition},
                                {"outputs", Kind::kObjects, kOutput}};
constexpr Field kRun[] = {{"scenario", Kind::kObject, kScenario},
                          {"seed", Kind::kCount},
                          {"greedy", Kind::kFlag},
                          {"wall_ms", Kind::kNumber},
                          {"first_request_to_last_token_ms", Kind::kNumber},
                          {"conditions", Kind::kObjects, kCondition}};
constexpr Field kTermSummary[] = {{"scenario", Kind::kText},       {"label", Kind::kText},
                                  {"condition", Kind::kText},      {"n", Kind::kCount},
                                  {"foreign_mean", Kind::kNumber}, {"own_mean", Kind::kNumber}};
constexpr Field kResults[] = {{"complete", Kind::kFlag},
                              {"incomplete_reason", Kind::kTextOrNull},
                              {"bulkhead", Kind::kObject, kBulkhead},
                              {"machine", Kind::kObject, kMachine},
                              {"model", Kind::kObject, kModel},
                              {"engine", Kind::kObject, kEngine},
                              {"settings", Kind::kObject, kSettings},
                              {"memory", Kind::kObject, kMemory},
                              {"count_differences", Kind::kObjects, kDifference},
                              {"runs", Kind::kObjects, kRun},
                              {"term_summary", Kind::kObjects, kTermSummary}};
// NOLINTEND(*-avoid-c-arrays,*-array-to-pointer-decay)

Error corrupt(std::string message, std::string_view path) {
  return Error{ErrorCode::kCorrupt, std::move(message),
               path.empty() ? "results.json" : fmt::format("results.json: {}", path),
               "run again; see docs/results-format.md"};
}

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

bool has_kind(const Json& value, Kind kind) {
  switch (kind) {
    case Kind::kText: return value.is_string();
    case Kind::kTextOrNull: return value.is_string() || value.is_null();
    case Kind::kFlag: return value.is_boolean();
    case Kind::kNumber: return value.is_number();
    case Kind::kNumberOrNull: return value.is_number() || value.is_null();
    case Kind::kInteger: return value.is_number_integer();
    case Kind::kCount: return is_count(value);
    case Kind::kObject: return value.is_object();
    case Kind::kObjects: return value.is_array();
    case Kind::kTexts: return value.is_array() && all_of(value, [](const Json& item) { return item.is_string(); });
    case Kind::kCounts: return value.is_array() && all_of(value, is_count);
    case Kind::kTally: return value.is_object() && all_of(value, is_count);
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
    case Kind::kObject: return "an object";
    case Kind::kObjects: return "a list of objects";
    case Kind::kTexts: return "a list of strings";
    case Kind::kCounts: return "a list of integers of 0 or more";
    case Kind::kTally: return "an object of integers of 0 or more";
  }
  return "";
}

Result<void> check_members(const Json& object, const Field* fields, std::size_t field_count, const std::string& path) {
  if (!object.is_object()) return corrupt("expected an object", path);
  for (std::size_t i = 0; i < field_count; ++i) {
    const Field& field = fields[i];
    const std::string place = path.empty() ? std::string(field.name) : fmt::format("{}.{}", path, field.name);
    const auto found = object.find(field.name);
    if (found == object.end()) return corrupt("the field is missing", place);
    if (!has_kind(*found, field.kind)) return corrupt(fmt::format("expected {}", words_for(field.kind)), place);
    if (field.kind == Kind::kObject) BH_CHECK(check_members(*found, field.members, field.member_count, place));
    if (field.kind == Kind::kObjects) {
      for (std::size_t item = 0; item < found->size(); ++item) {
        BH_CHECK(check_members((*found)[item], field.members, field.member_count, fmt::format("{}[{}]", place, item)));
      }
    }
  }
  return {};
}

}  // namespace

Result<void> check_results(const Json& results) {
  if (!results.is_object()) return corrupt("expected an object", "");
  const auto version = results.find("format_version");
  if (version == results.end()) return corrupt("the field is missing", "format_version");
  if (!version->is_number_integer() || *version != kFormatVersion) {
    Error error = corrupt(fmt::format("format version {} is unknown; this program reads {}",
                                      version->dump(-1, ' ', true, Json::error_handler_t::replace), kFormatVersion),
                          "format_version");
    error.advice = "draw the report with the program that made it";
    return error;
  }
  return check_members(results, &kResults[0], std::size(kResults), "");
}

Result<Json> read_results(const std::filesystem::path& directory) {
  constexpr std::uint64_t kLimitBytes = 1ULL << 30U;
  const auto path = directory / "results.json";
  std::error_code problem;
  if (!std::filesystem::is_regular_file(path, problem)) {
    return Error{ErrorCode::kBadInput, "there is no results.json", directory.string(), "name the folder of a run"};
  }
  BH_TRY(auto text, read_text_file(path.string(), kLimitBytes));
  auto document = JsonDocument::parse(std::move(text), path.string());
  if (!document) {
    Error error = document.error();
    error.code = ErrorCode::kCorrupt;
    error.advice = "the file is damaged; run again";
    return error;
  }
  auto checked = check_results(document->root());
  if (!checked) {
    Error error = checked.error();
    error.place = (directory / error.place).string();
    return error;
  }
  return document->root();
}

}  // namespace bulkhead::report
