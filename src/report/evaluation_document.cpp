// SPDX-License-Identifier: MIT
#include "report/evaluation_document.h"

#include "report/document_form.h"
#include "report/provenance_form.h"
#include "report/view.h"
#include "store/folder_seal.h"

#include <fmt/format.h>

namespace bulkhead::report {
namespace {

// docs/evaluation.md as a table. Plain arrays nest as the document does.
// NOLINTBEGIN(*-avoid-c-arrays,*-array-to-pointer-decay)
constexpr Field kDataset[] = {{"file", Kind::kText}, {"sha256", Kind::kText}, {"conversations", Kind::kCount}};
constexpr Field kMade[] = {{"bulkhead", Kind::kObject, kBulkhead}, {"machine", Kind::kObject, kMachine},
                           {"model", Kind::kObject, kModel},       {"engine", Kind::kObject, kEngine},
                           {"dataset", Kind::kObject, kDataset},   {"command", Kind::kTexts},
                           {"peak_rss_bytes", Kind::kCount}};
constexpr Field kConfiguration[] = {{"dataset_sha256", Kind::kText}, {"model_sha256", Kind::kText},
                                    {"format", Kind::kText},         {"format_sha256", Kind::kText},
                                    {"engine", Kind::kText},         {"seed", Kind::kCount}};
constexpr Field kCounts[] = {{"questions", Kind::kCount},
                             {"correct", Kind::kCount},
                             {"accuracy", Kind::kNumberOrNull},
                             {"intrusions", Kind::kCount},
                             {"intrusion_rate", Kind::kNumberOrNull}};
constexpr Field kReference[] = {
    {"texts", Kind::kCount}, {"tokens", Kind::kCount}, {"nll_per_token", Kind::kNumberOrNull}};
constexpr Field kMean[] = {{"items", Kind::kCount}, {"mean", Kind::kNumberOrNull}};
constexpr Field kEndpoints[] = {{"intrusions", Kind::kObject, kMean},
                                {"accuracy", Kind::kObject, kMean},
                                {"absent", Kind::kObject, kMean},
                                {"messages", Kind::kObject, kMean},
                                {"nll", Kind::kObject, kMean}};
constexpr Field kFacet[] = {{"facet", Kind::kText},
                            {"group", Kind::kText},
                            {"conversations", Kind::kCount},
                            {"cells", Kind::kCount},
                            {"primary", Kind::kObject, kCounts},
                            {"reference", Kind::kObject, kReference},
                            {"contexts", Kind::kCount},
                            {"context_tokens", Kind::kCount},
                            {"item_tokens", Kind::kCount},
                            {"item_seconds", Kind::kNumber}};
constexpr Field kEvaluatedCondition[] = {{"name", Kind::kText},
                                         {"title", Kind::kText},
                                         {"separates", Kind::kText},
                                         {"asks", Kind::kText},
                                         {"conversations", Kind::kCount},
                                         {"cells", Kind::kCount},
                                         {"primary", Kind::kObject, kCounts},
                                         {"primary_by_total", Kind::kObject, kCounts},
                                         {"reference", Kind::kObject, kReference},
                                         {"contexts", Kind::kCount},
                                         {"context_tokens", Kind::kCount},
                                         {"item_tokens", Kind::kCount},
                                         {"item_seconds", Kind::kNumber},
                                         {"endpoints", Kind::kObject, kEndpoints},
                                         {"kinds", Kind::kMembers, kCounts},
                                         {"facets", Kind::kObjects, kFacet}};
constexpr Field kPlan[] = {{"sha256", Kind::kText},  {"dataset_sha256", Kind::kText}, {"model", Kind::kText},
                           {"alpha", Kind::kNumber}, {"resamples", Kind::kCount},     {"draws", Kind::kCount},
                           {"seed", Kind::kCount}};
constexpr Field kStatistics[] = {{"interval", Kind::kInterval},
                                 {"interval_method", Kind::kText},
                                 {"p", Kind::kNumber},
                                 {"p_wilcoxon", Kind::kNumber},
                                 {"d_z", Kind::kNumberOrNull},
                                 {"rank_biserial", Kind::kNumber},
                                 {"conversations_above", Kind::kCount},
                                 {"conversations_equal", Kind::kCount},
                                 {"conversations_below", Kind::kCount}};
constexpr Field kComparison[] = {{"endpoint", Kind::kText},
                                 {"unit", Kind::kText},
                                 {"better", Kind::kText},
                                 {"condition", Kind::kText},
                                 {"against", Kind::kText},
                                 {"items", Kind::kCount},
                                 {"conversations", Kind::kCount},
                                 {"mean", Kind::kNumber},
                                 {"mean_against", Kind::kNumber},
                                 {"difference", Kind::kNumber},
                                 {"statistics", Kind::kObjectOrNull, kStatistics}};
constexpr Field kHypothesis[] = {{"endpoint", Kind::kText},
                                 {"lower", Kind::kText},
                                 {"higher", Kind::kText},
                                 {"outcome", Kind::kText},
                                 {"comparison", Kind::kObjectOrNull, kComparison}};
constexpr Field kNoWorse[] = {{"endpoint", Kind::kText},
                              {"condition", Kind::kText},
                              {"than", Kind::kText},
                              {"margin", Kind::kNumber},
                              {"outcome", Kind::kText},
                              {"conversations", Kind::kCount},
                              {"better_by", Kind::kNumberOrNull},
                              {"interval", Kind::kIntervalOrNull},
                              {"p", Kind::kNumberOrNull}};
constexpr Field kFacetDifference[] = {{"facet", Kind::kText},        {"group", Kind::kText},
                                      {"endpoint", Kind::kText},     {"condition", Kind::kText},
                                      {"items", Kind::kCount},       {"conversations", Kind::kCount},
                                      {"mean", Kind::kNumber},       {"mean_against", Kind::kNumber},
                                      {"difference", Kind::kNumber}, {"interval", Kind::kIntervalOrNull}};
constexpr Field kAnalysis[] = {{"plan", Kind::kObject, kPlan},
                               {"comparisons", Kind::kObjects, kComparison},
                               {"hypotheses", Kind::kObjects, kHypothesis},
                               {"no_worse", Kind::kObjects, kNoWorse},
                               {"facets", Kind::kObjects, kFacetDifference}};
constexpr Field kEvaluation[] = {{"made", Kind::kObject, kMade},
                                 {"configuration", Kind::kObject, kConfiguration},
                                 {"complete", Kind::kFlag},
                                 {"cells", Kind::kCount},
                                 {"conditions", Kind::kObjects, kEvaluatedCondition},
                                 {"analysis", Kind::kObject, kAnalysis}};
constexpr Field kEvaluationForm("", Kind::kObject, kEvaluation);
// NOLINTEND(*-avoid-c-arrays,*-array-to-pointer-decay)

constexpr std::string_view kEvaluationFile = "summary.json";

}  // namespace

bool holds_evaluation(const std::filesystem::path& directory) {
  if (const auto seal = store::FolderSeal::read(directory); seal.ok())
    return seal->sums().contains(std::string(kEvaluationFile));
  std::error_code problem;
  return std::filesystem::exists(directory / kEvaluationFile, problem);
}

Result<void> check_evaluation(const Json& evaluation) {
  if (!evaluation.is_object()) return corrupt("expected an object", kEvaluationFile, "");
  const auto schema = evaluation.find("schema");
  if (schema == evaluation.end()) return corrupt("the field is missing", kEvaluationFile, "schema");
  if (text(evaluation, "schema") != kEvaluationSchema) {
    Error error = corrupt(fmt::format("schema {} is unknown; this program reads {}",
                                      json_text(*schema, JsonForm::kAscii), kEvaluationSchema),
                          kEvaluationFile, "schema");
    error.advice = "give the same `bulkhead eval` again: it writes the summary anew from its cells";
    return error;
  }
  return check_form(evaluation, kEvaluationForm, kEvaluationFile);
}

Result<Json> read_evaluation(const std::filesystem::path& directory) {
  return read_document(directory, kEvaluationFile, check_evaluation);
}

}  // namespace bulkhead::report
