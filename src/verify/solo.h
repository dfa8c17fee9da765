// SPDX-License-Identifier: MIT
// Non-interference in its replay form: what a partition shows among others equals what it shows when only its own
// actions are run, in a fresh engine, with the literal bytes of the messages it received.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "engine/engine.h"
#include "verify/trace.h"
#include "verify/trace_run.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::verify {

// An engine on which nothing has ever been open.
using MakeEngine = std::function<Result<std::unique_ptr<engine::Engine>>()>;

// Runs a trace where nothing has ever been open, and closes everything.
using RunTrace = std::function<Result<Record>(const Trace&, const TraceRunOptions&)>;

// On the engine seam, each time in a new engine.
[[nodiscard]] RunTrace on_engines(MakeEngine make_engine);

// A partition's own actions, and for a fork those of its ancestors up to the fork, prefill call by prefill call.
struct Projection {
  Trace trace;
  std::vector<std::size_t> origin;  // [n_actions] index in the whole trace
};

// `record` is of the run of `trace`: it knows which bytes crossed, and when a cancelled call cut a partition off. What
// comes from outside in that way becomes literal in the projection.
[[nodiscard]] Projection project(const Trace& trace, const Record& record, std::uint32_t partition);

// The first thing that `partition` shows otherwise than alone.
struct Difference {
  std::uint32_t partition = 0;
  std::size_t action = 0;  // index in the whole trace
  std::string field;       // see Fact
  std::uint32_t step = 0;
  std::string in_trace;  // "(nothing)" where one side shows less
  std::string alone;

  // "partition 2, action 7 (generate), logits of step 3: 51ce... in the trace, 8d02... alone"
  [[nodiscard]] std::string to_string(const Trace& trace) const;
};

[[nodiscard]] Json to_json(const Difference& difference);

// Compares what `partition` shows, in order; `compared` grows by the facts that were looked at.
[[nodiscard]] std::optional<Difference> first_difference(const Record& in_trace, const Record& alone,
                                                         const Projection& projection, std::uint32_t partition,
                                                         std::uint64_t& compared);

// A trace held against the solo runs of all its partitions, and against the two further witnesses.
struct TraceVerdict {
  std::optional<Difference> difference;  // of the first partition that has one
  std::vector<Objection> books;
  std::vector<Objection> respect;
  std::uint64_t solo_runs = 0;
  std::uint64_t facts_compared = 0;
  std::uint64_t books_checked = 0;
  std::uint64_t respect_checked = 0;
  std::uint64_t respect_unreadable = 0;
  bool leaked = false;

  [[nodiscard]] bool clean() const { return !difference && books.empty() && respect.empty(); }
};

// Runs `trace` once with all partitions and once for each alone. The leak of the options, if asked for, is planted in
// the run with all. `alone` does the solo runs; empty: `run` does. Both must be of the same model and options.
[[nodiscard]] Result<TraceVerdict> check_trace(const Trace& trace, const RunTrace& run, const TraceRunOptions& options,
                                               const RunTrace& alone = {});

}  // namespace bulkhead::verify
