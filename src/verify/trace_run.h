// SPDX-License-Identifier: MIT
// Runs a trace on an engine and writes down what every partition shows. Two further witnesses look on while it runs:
//   books           what the engine says a partition holds is what the trace put into it
//   local respect   the stored state of every partition that an action is not about is bit for bit what it was
#pragma once

#include "base/result.h"
#include "engine/engine.h"
#include "verify/trace.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::verify {

// One value that a partition shows: "token" 3 = "17", "logits" 3 = hash, "outcome" = "ok" or an error's name.
struct Fact {
  std::string_view field;  // a literal
  std::uint32_t step = 0;
  std::string value;
  friend bool operator==(const Fact&, const Fact&) = default;
};

// All that one partition shows of one of its actions. Times, addresses and engine ids are no part of it.
struct Shown {
  std::size_t action = 0;  // index in the trace
  std::uint32_t partition = 0;
  std::vector<Fact> facts;
  std::string received = {};                       // kReceive: the text that crossed
  std::optional<std::uint32_t> cancelled_after{};  // kGenerate: ended by a cancellation after so many tokens
};

// One witness's objection.
struct Objection {
  std::size_t action = 0;
  std::uint32_t partition = 0;  // the one whose state is not what it should be
  std::string reason;
};

struct Record {
  std::vector<Shown> shown;  // in the order of actions; members of a batch in their order
  std::vector<Objection> books;
  std::vector<Objection> respect;
  std::uint64_t books_checked = 0;
  std::uint64_t respect_checked = 0;
  std::uint64_t respect_unreadable = 0;  // states the engine could not give at that moment
  bool leaked = false;                   // the planted leak happened
};

struct TraceRunOptions {
  bool watch = false;  // be a witness of books and local respect
  // The positive control: the first text prefilled while another partition is open also goes into that one, behind the
  // back of the trace. Whoever looks for leaks must see it.
  bool leak = false;
};

// Runs `trace` on `engine`, on which nothing may be open, and closes everything. Room is reserved for the partitions
// that are open at once, so that later ones get the rooms of those that were closed. Errors: what reserve() gives.
[[nodiscard]] Result<Record> run_trace(const Trace& trace, engine::Engine& engine, const TraceRunOptions& options = {});

}  // namespace bulkhead::verify
