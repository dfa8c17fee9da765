// SPDX-License-Identifier: MIT
#include "report/results.h"

#include "report/document_form.h"
#include "report/provenance_form.h"

#include <fmt/format.h>

#include <string_view>

namespace bulkhead::report {
namespace {

// Plain arrays nest as the document does.
// NOLINTBEGIN(*-avoid-c-arrays,*-array-to-pointer-decay)
// docs/results-format.md as a table.
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
                             {"own_terms", Kind::kCountOrNull},
                             {"foreign_terms", Kind::kCountOrNull},
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
constexpr Field kTermSummary[] = {{"scenario", Kind::kText},
                                  {"label", Kind::kText},
                                  {"condition", Kind::kText},
                                  {"n", Kind::kCount},
                                  {"foreign_mean", Kind::kNumberOrNull},
                                  {"own_mean", Kind::kNumberOrNull}};
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
constexpr Field kForm("", Kind::kObject, kResults);
// NOLINTEND(*-avoid-c-arrays,*-array-to-pointer-decay)

constexpr std::string_view kFile = "results.json";

}  // namespace

Result<void> check_results(const Json& results) {
  if (!results.is_object()) return corrupt("expected an object", kFile, "");
  const auto version = results.find("format_version");
  if (version == results.end()) return corrupt("the field is missing", kFile, "format_version");
  if (!version->is_number_integer() || *version != kFormatVersion) {
    Error error = corrupt(fmt::format("format version {} is unknown; this program reads {}",
                                      json_text(*version, JsonForm::kAscii), kFormatVersion),
                          kFile, "format_version");
    error.advice = "draw the report with the program that made it";
    return error;
  }
  return check_form(results, kForm, kFile);
}

Result<Json> read_results(const std::filesystem::path& directory) {
  return read_document(directory, kFile, check_results);
}

}  // namespace bulkhead::report
