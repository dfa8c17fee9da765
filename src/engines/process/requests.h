// SPDX-License-Identifier: MIT
// The requests of the worker protocol that go to an engine: each calls the seam and puts the outcome into a frame.
#pragma once

#include "base/result.h"
#include "engine/engine.h"
#include "engines/worker/frame.h"
#include "engines/worker/values.h"

#include <fmt/format.h>

#include <cstddef>
#include <exception>
#include <new>
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

// Facts and capabilities: the answer to "load".
[[nodiscard]] Answer describe(const engine::Engine& engine);

// Requests that are answered at once, on any thread: those of the tokenizer, and how much memory this process has had.
[[nodiscard]] bool is_asked_any_time(std::string_view what);
[[nodiscard]] Result<Answer> answer_any_time(std::string_view what, const Frame& frame, const engine::Engine& engine);

// A job as it is asked for, without its stop token.
[[nodiscard]] Result<engine::Job> job_from(const Frame& frame, const engine::Engine& engine);

// What one step may do.
[[nodiscard]] Result<engine::StepLimits> limits_from(const JsonView& request);

// What `call` gives, or the error that its exception is: the worker would end, and with it a sequence that may be well.
template <typename Call>
[[nodiscard]] auto guarded(std::string_view what, const Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kInternal, "out of memory", {}, {}};
  } catch (const std::exception& error) {
    return Error{ErrorCode::kInternal, fmt::format("request \"{}\": {}", what, error.what()), {}, {}};
  }
}

// All others. kUsage for a request that there is not, kBadInput, naming the field, for one of another form: nothing of
// a request is believed before it is checked.
[[nodiscard]] Result<Answer> answer(std::string_view what, const Frame& frame, engine::Engine& engine);

}  // namespace bulkhead::engines::process
