// SPDX-License-Identifier: MIT
// The clock of an engine: the one moment that chat templates which print the date take for now. It is taken once, when
// the engine is made, so that a run over midnight assembles the same prompts before and after.
//
// A clock is a text, "2026-11-29T23:20:05": what the wall shows, without a time zone. So it says the same prompt on
// every machine.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace bulkhead::engine {

// `text`, a date or a date with a time, as a clock; a date alone is its midnight. Empty: the local time now. kUsage for
// anything else.
[[nodiscard]] Result<std::string> clock_from(std::string_view text);

// Seconds from 1970-01-01T00:00:00 to a clock of clock_from(), as if it were UTC.
[[nodiscard]] std::int64_t seconds_of(const std::string& clock);

}  // namespace bulkhead::engine
