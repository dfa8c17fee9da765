// SPDX-License-Identifier: MIT
#include "engine/clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <optional>

namespace bulkhead::engine {
namespace {

constexpr std::string_view kForm = "0000-00-00T00:00:00";
constexpr std::size_t kDateLength = 10;

std::string local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, std::min(parts.tm_sec, 59));
}

// Digits where the form has zeros, else its very characters.
bool has_form(std::string_view text) {
  return text.size() == kForm.size() && std::equal(text.begin(), text.end(), kForm.begin(), [](char one, char form) {
           return form == '0' ? one >= '0' && one <= '9' : one == form;
         });
}

// Of a text that has_form(); nothing when there is no such day or time.
std::optional<std::int64_t> seconds_in(std::string_view text) {
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (const char digit : text.substr(at, digits)) value = value * 10 + (digit - '0');
    return value;
  };
  const std::chrono::year_month_day day(std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2))));
  const int hours = number(11, 2);
  const int minutes = number(14, 2);
  const int seconds = number(17, 2);
  if (!day.ok() || hours > 23 || minutes > 59 || seconds > 59) return std::nullopt;
  const auto moment = std::chrono::sys_days(day) + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
                      std::chrono::seconds(seconds);
  return moment.time_since_epoch() / std::chrono::seconds(1);
}

}  // namespace

Result<std::string> clock_from(std::string_view text) {
  if (text.empty()) return local_time();
  std::string clock(text);
  if (clock.size() == kDateLength) clock += "T00:00:00";
  if (has_form(clock) && seconds_in(clock)) return clock;
  return Error{ErrorCode::kUsage, fmt::format("\"{}\" is no date", text), "--clock",
               "write 2026-11-29, or 2026-11-29T23:20:05"};
}

std::int64_t seconds_of(const std::string& clock) {
  return has_form(clock) ? seconds_in(clock).value_or(0) : 0;
}

}  // namespace bulkhead::engine
