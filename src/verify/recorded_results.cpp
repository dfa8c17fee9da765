// SPDX-License-Identifier: MIT
#include "verify/recorded_results.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::verify {
namespace {

using engine::Call;
using engine::CallKind;

// Partition -> its generations, in the order of the runs: each run opens partitions of the same names.
std::map<std::string, std::vector<const Call*>> generations_in(const engine::Transcript& transcript) {
  std::map<std::uint32_t, std::string> names;
  std::map<std::string, std::vector<const Call*>> found;
  for (const auto& call : transcript.calls) {
    if (!call.partition.empty()) names[call.sequence] = call.partition;
    if (call.kind == CallKind::kGenerate && call.outcome == "ok") found[names[call.sequence]].push_back(&call);
  }
  return found;
}

std::string last_hash(const Call& call) {
  return call.logit_hashes.empty() ? std::string() : fmt::format("{:016x}", call.logit_hashes.back());
}

// The first field in which the output differs from the generation; empty: none.
std::string_view difference(const Json& output, const Call& call) {
  if (const auto ids = output.find("token_ids"); ids != output.end() && *ids != Json(call.tokens)) return "token_ids";
  if (output["tokens"] != call.tokens.size()) return "tokens";
  if (output["finish"] != call.finish) return "finish";
  if (output["logit_hash"] != last_hash(call)) return "logit_hash";
  return {};
}

}  // namespace

Result<void> check_recorded_results(const Json& results, const engine::Transcript& transcript) {
  if (results["complete"] != true) return {};
  auto generations = generations_in(transcript);
  std::map<std::string, std::size_t> taken;
  for (const auto& run : results["runs"]) {
    for (const auto& condition : run["conditions"]) {
      for (const auto& output : condition["outputs"]) {
        const auto partition = output["partition"].get<std::string>();
        const auto& made = generations[partition];
        const auto next = taken[partition]++;
        const auto field = next < made.size() ? difference(output, *made[next]) : std::string_view("partition");
        if (field.empty()) continue;
        return Error{ErrorCode::kCorrupt,
                     fmt::format("output {} of seed {}: its {} is not what the transcript says", partition,
                                 run["seed"].get<std::int64_t>(), field),
                     "results.json", "results and transcript are of different runs, or one was changed"};
      }
    }
  }
  return {};
}

}  // namespace bulkhead::verify
