// SPDX-License-Identifier: MIT
// Are the token ids that outputs were generated from the same in every engine? By the hash in the results documents;
// where that differs, the tokens themselves are looked at.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "engine/transcript.h"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace bulkhead::compare {

struct Entry;

// Where tokens are looked up once a hash differs. Functions may be empty: then a difference has no place, or no words.
struct TokenSource {
  // Ids of the input of an output generated in `partition`, in the run-th run of the entry's document.
  std::function<Result<std::vector<engine::Token>>(std::size_t entry, std::size_t run, const std::string& partition)>
      input;
  // How the entry's model spells a token; "" when it cannot be asked.
  std::function<std::string(std::size_t entry, engine::Token token)> spelling;
};

// Tokens that stood in `partition` when the run-th generation in it began, counted from 0. kBadInput when the
// transcript has no such generation. Partitions keep their names from run to run.
[[nodiscard]] Result<std::vector<engine::Token>> input_in(const engine::Transcript& transcript,
                                                          const std::string& partition, std::size_t run);

// One row for each output of each run, entries compared with the first: `condition`, `label`, `seed`, `greedy`,
// `tokens` and `sha256` (one for each entry), `status`, and `differences`.
// status: "equal"; "other messages" (a message it received differs, and so must its tokens); "different".
// differences, of a "different" one: `engine`, `at` (index of the first other token), `tokens` and `spellings` (the
// first entry's, the other's; null where one has ended).
[[nodiscard]] Result<Json> check_tokens(const std::vector<Entry>& entries, const TokenSource& source);

// kBadInput, with the first difference of `rows` in its message, when there is one.
[[nodiscard]] Result<void> refuse_differences(const Json& rows, const std::vector<Entry>& entries);

}  // namespace bulkhead::compare
