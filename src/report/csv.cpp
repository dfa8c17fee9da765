// SPDX-License-Identifier: MIT
#include "report/csv.h"

#include "report/csv_line.h"
#include "report/view.h"

#include <fmt/format.h>

#include <vector>

namespace bulkhead::report {
namespace {

// "latency (cluster_1) x2; redis (cluster_1) x1"
std::string foreign_list(const Json& output) {
  std::vector<std::string> words;
  for (const auto& foreign : list(output, "foreign")) {
    words.push_back(
        fmt::format("{} ({}) x{}", text(foreign, "term"), text(foreign, "cluster"), count(foreign, "count")));
  }
  return fmt::format("{}", fmt::join(words, "; "));
}

// Of the context that the output was generated from: its partition, or the one that was forked for it ("all/A" of
// "all").
std::uint64_t context_tokens(const Json& condition, const std::string& partition) {
  for (const auto& entry : list(condition, "partitions")) {
    const std::string name = text(entry, "name");
    if (name == partition || partition.starts_with(name + "/")) return count(entry, "context_tokens");
  }
  return 0;
}

// Empty where there is no such time: an output of one token has none between tokens.
std::string milliseconds(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? std::string() : fmt::format("{:.3f}", number(object, key));
}

std::vector<std::string> record_of(const Json& run, const Json& condition, const Json& output) {
  const Json& latency = member(output, "itl_ms");
  return {text(member(run, "scenario"), "id"),
          std::to_string(count(run, "seed")),
          flag(run, "greedy") ? "true" : "false",
          text(condition, "name"),
          flag(member(condition, "isolation"), "achieved") ? "true" : "false",
          text(output, "label"),
          text(output, "cluster"),
          text(output, "partition"),
          std::to_string(context_tokens(condition, text(output, "partition"))),
          std::to_string(count(output, "tokens")),
          text(output, "finish"),
          terms_words(output, "own_terms"),
          terms_words(output, "foreign_terms"),
          foreign_list(output),
          milliseconds(output, "ttft_ms"),
          milliseconds(output, "prefill_ms"),
          milliseconds(output, "decode_ms"),
          milliseconds(latency, "median"),
          milliseconds(latency, "p95"),
          text(output, "logit_hash")};
}

}  // namespace

std::string to_csv(const Json& results) {
  std::string out = csv_line({"scenario",   "seed",      "greedy",        "condition",      "isolation_achieved",
                              "label",      "cluster",   "partition",     "context_tokens", "tokens",
                              "finish",     "own_terms", "foreign_terms", "foreign",        "ttft_ms",
                              "prefill_ms", "decode_ms", "itl_median_ms", "itl_p95_ms",     "logit_hash"});
  for (const auto& run : list(results, "runs")) {
    for (const auto& condition : list(run, "conditions")) {
      for (const auto& output : list(condition, "outputs")) out += csv_line(record_of(run, condition, output));
    }
  }
  return out;
}

}  // namespace bulkhead::report
