// SPDX-License-Identifier: MIT
// What arrives from a worker, or from the parent of one: frames in pieces, and all values in them. The first byte says
// how large the pieces are, and how much a frame may hold.
#include "fuzz/input.h"

#include "engine/model_options_json.h"
#include "engines/worker/frame.h"
#include "engines/worker/values.h"

#include <algorithm>
#include <vector>

namespace bulkhead::fuzz {
namespace {

using namespace engines::worker;

constexpr std::uint32_t kVocabulary = 300;
constexpr std::uint32_t kContext = 64;

void read_values(const JsonView& view) {
  if (const auto facts = facts_from(view); facts.ok()) {
    require(facts->vocabulary > 0 && facts->context_tokens > 0);
  }
  Error error;
  if (read_error(view, error).ok()) {
    require(error.code != ErrorCode::kInterference);
    require(error.to_string().find('\x1b') == std::string::npos);
  }
  GenerateOptions options;
  options.max_tokens = kContext;
  options.hash_logits = true;
  if (const auto result = generate_result_from(view, options, kVocabulary); result.ok()) {
    require(result->tokens.size() <= kContext && result->tokens.size() == result->logit_hashes.size() &&
            result->tokens.size() == result->token_times.size());
    require(std::all_of(result->tokens.begin(), result->tokens.end(),
                        [](auto token) { return token >= 0 && static_cast<std::uint32_t>(token) < kVocabulary; }));
  }
  const engine::Job job{.sequence = engine::SequenceId(0),
                        .prefill = std::vector<engine::Token>(kContext / 2, 1),
                        .generate = options,
                        .cancel = {}};
  if (const auto result = job_result_from(view, job, kVocabulary); result.ok()) {
    require(result->prefill.tokens <= job.prefill.size() && result->generated.tokens.size() <= kContext);
  }
  options.logprobs = 2;
  if (const auto drawn = drawn_from(view, options, 3, kVocabulary); drawn.ok()) {
    require(drawn->index == 3 && drawn->token >= 0 && static_cast<std::uint32_t>(drawn->token) < kVocabulary);
    require(drawn->logprobs.has_value() && drawn->logprobs->top.size() <= 2);
  }
  if (const auto state = sequence_state_from(view, kContext); state.ok()) require(state->tokens <= kContext);
  static_cast<void>(generate_options_from(view));
  static_cast<void>(engine::model_options_from(view));
}

}  // namespace
}  // namespace bulkhead::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  if (size == 0) return 0;
  const std::size_t piece = 1 + data[0] % 64U;
  const engines::worker::FrameLimits limits{4096, data[0] < 128 ? 0U : 4096U};
  auto rest = std::as_bytes(std::span(data, size)).subspan(1);
  engines::worker::FrameReader reader("a frame");
  while (!rest.empty()) {
    const auto some = rest.first(std::min(piece, rest.size()));
    reader.add(some);
    rest = rest.subspan(some.size());
    for (;;) {
      const auto frame = reader.next(limits);
      if (!frame.ok()) return 0;
      if (!frame.value()) break;
      fuzz::require(frame.value()->head.text().size() <= limits.json_bytes);
      fuzz::require(frame.value()->tail.size() <= limits.tail_bytes);
      fuzz::read_values(frame.value()->view());
    }
  }
  return 0;
}
