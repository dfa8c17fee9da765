// SPDX-License-Identifier: MIT
// The requests of the worker protocol that go to an engine: each calls the seam and puts the outcome into a frame.
#pragma once

#include "base/result.h"
#include "engine/engine.h"
#include "engines/worker/frame.h"
#include "engines/worker/values.h"

#include <cstddef>
#include <functional>
#include <stop_token>
#include <string_view>
#include <vector>

namespace bulkhead::engines::process {

using worker::Frame;

// What is said on the way back.
// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann's move cannot throw
struct Answer {
  Json head = Json::object();
  std::vector<std::byte> tail = {};
};

struct Asked {
  const Frame& frame;
  std::vector<std::stop_token> cancels;  // one for each generation that is asked for; for other requests, one
  // Called for every token of a generation, with the place of its request in the call; false ends that one.
  std::function<bool(std::size_t, const TokenEvent&)> on_token;
  engine::PrefillProgress on_progress;
};

// Facts and capabilities: the answer to "load".
[[nodiscard]] Answer describe(const engine::Engine& engine);

// Requests of the tokenizer, which any thread may make at any time.
[[nodiscard]] bool is_asked_any_time(std::string_view what);
[[nodiscard]] Result<Answer> answer_any_time(std::string_view what, const Frame& frame, const engine::Engine& engine);

// All others. kUsage for a request that there is not, kBadInput, naming the field, for one of another form: nothing of
// a request is believed before it is checked.
[[nodiscard]] Result<Answer> answer(std::string_view what, const Asked& asked, engine::Engine& engine);

}  // namespace bulkhead::engines::process
