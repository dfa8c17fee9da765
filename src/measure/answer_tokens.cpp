// SPDX-License-Identifier: MIT
#include "measure/answer_tokens.h"

#include "measure/answer_scanner.h"
#include "measure/unit_name.h"
#include "measure/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace bulkhead::measure {
namespace {

using Kind = AnswerToken::Kind;

std::string in_lower_case(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

// Apostrophes are parts of words here: they are kept.
std::string without_case(const std::string& word) {
  std::string normal;
  for (std::size_t begin = 0; begin <= word.size();) {
    const auto end = std::min(word.find('\'', begin), word.size());
    normal += normal_form(std::string_view(word).substr(begin, end - begin));
    if (end < word.size()) normal += '\'';
    begin = end + 1;
  }
  return normal;
}

// 1 to 12; 0 when `word` is no English month. "may" and "march" are words of their own unless they begin large.
int month_number(std::string_view word) {
  constexpr std::array<std::string_view, 12> kMonths{"january",   "february", "march",    "april",
                                                     "may",       "june",     "july",     "august",
                                                     "september", "october",  "november", "december"};
  const std::string lower = in_lower_case(std::string(word));
  if ((lower == "may" || lower == "march") && word == lower) return 0;
  for (std::size_t i = 0; i < kMonths.size(); ++i)
    if (lower == kMonths.at(i) || lower == kMonths.at(i).substr(0, 3) || (i == 8 && lower == "sept"))
      return static_cast<int>(i) + 1;
  return 0;
}

// The number that `digits` is, when it is nothing but up to four digits; else -1.
int small_number(std::string_view digits) {
  int number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool all = digits.size() <= 4 && error == std::errc() && end == digits.data() + digits.size();
  return all && number >= 0 ? number : -1;
}

// "2024-5-3" of 2024-05-03, 2024/05/03 and 3.5.2024.
std::optional<std::string> date_of(std::string_view joined) {
  std::array<int, 3> parts{};
  const char separator = joined.find('.') != std::string_view::npos   ? '.'
                         : joined.find('/') != std::string_view::npos ? '/'
                                                                      : '-';
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t end = std::min(joined.find(separator), joined.size());
    parts.at(i) = small_number(joined.substr(0, end));
    if ((i == 2) != (end == joined.size())) return std::nullopt;
    joined.remove_prefix(std::min(end + 1, joined.size()));
  }
  if (separator == '.') std::swap(parts[0], parts[2]);
  if (parts[0] < 1000 || parts[1] < 1 || parts[1] > 12 || parts[2] < 1 || parts[2] > 31) return std::nullopt;
  return fmt::format("{}-{}-{}", parts[0], parts[1], parts[2]);
}

// `number` times ten to the power of `zeros`.
std::string scaled(std::string number, std::size_t zeros) {
  const std::size_t point = number.find('.');
  const std::size_t decimals = point == std::string::npos ? 0 : number.size() - point - 1;
  if (point != std::string::npos) number.erase(point, 1);
  if (zeros >= decimals) {
    number.append(zeros - decimals, '0');
  } else {
    number.insert(number.size() - (decimals - zeros), ".");
  }
  number.erase(0, std::min(number.find_first_not_of('0'), number.size() - 1));
  return number.starts_with('.') ? "0" + number : number;
}

std::size_t zeros_of_scale(std::string_view word, bool money) {
  if (word == "thousand" || (money && (word == "k" || word == "K"))) return 3;
  if (word == "million" || (money && (word == "m" || word == "M" || word == "mn"))) return 6;
  return word == "billion" || (money && (word == "bn" || word == "B")) ? 9 : 0;
}

// Joins what was scanned to numbers with units, and to dates.
class Combiner {
 public:
  explicit Combiner(std::vector<ScannedToken> scanned) : in_(std::move(scanned)) {}

  std::vector<AnswerToken> combine() {
    while (at_ < in_.size()) {
      if (date()) continue;
      const auto currency = unit_at(at_);
      const bool behind_number = at_ > 0 && is(at_ - 1, Kind::kNumber);
      if (is_currency(currency) && is(at_ + 1, Kind::kNumber) && !behind_number) {
        ++at_;
        number(currency);
      } else if (is(at_, Kind::kNumber)) {
        number({});
      } else if (is(at_, Kind::kJoined)) {
        add(Kind::kJoined, in_[at_].token.text, at_, at_);
        ++at_;
        unit();
      } else {
        if (in_[at_].token.text != "/") add(in_[at_].token.kind, compared(in_[at_].token), at_, at_);
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool is(std::size_t i, Kind kind) const { return i < in_.size() && in_[i].token.kind == kind; }
  [[nodiscard]] std::string_view word_at(std::size_t i) const {
    return is(i, Kind::kWord) ? std::string_view(in_[i].token.text) : std::string_view();
  }
  // Name of the unit at `i`, written as a word or a sign; empty when there is none.
  [[nodiscard]] std::string_view unit_at(std::size_t i) const {
    if (is(i, Kind::kUnit) && in_[i].token.text != "/") return in_[i].token.text;
    return unit_name(word_at(i));
  }

  static std::string compared(const AnswerToken& token) {
    return token.kind == Kind::kWord ? without_case(token.text) : in_lower_case(token.text);
  }

  void add(Kind kind, std::string text, std::size_t first, std::size_t last) {
    out_.push_back({kind, std::move(text), in_[first].token.begin, in_[last].token.end, in_[first].token.starts_word,
                    in_[last].token.ends_word});
  }

  // The number at at_, behind a currency or not, with its scale and unit.
  void number(std::string_view currency) {
    const std::size_t first = currency.empty() ? at_ : at_ - 1;
    std::string text = in_[at_].token.text;
    const bool minus = in_[at_].minus || in_[first].minus;
    ++at_;
    if (const std::size_t zeros = zeros_of_scale(word_at(at_), !currency.empty()); zeros > 0) {
      text = scaled(std::move(text), zeros);
      ++at_;
    } else if (at_ < in_.size() && in_[at_].glued && unit_at(at_).empty()) {
      add(Kind::kWord, in_lower_case(text + in_[at_].token.text), at_ - 1, at_);
      ++at_;
      return;
    }
    add(Kind::kNumber, (minus ? "-" : "") + text, first, at_ - 1);
    if (currency.empty()) {
      unit();
    } else {
      add(Kind::kUnit, std::string(currency), first, at_ - 1);
    }
  }

  // The unit at at_, if there is one, and what it is per.
  void unit() {
    auto name = unit_at(at_);
    if (name.empty()) return;
    const std::size_t first = at_++;
    if (const auto scale = unit_at(at_); name == "degree" && (scale == "celsius" || scale == "fahrenheit")) {
      name = scale;
      ++at_;
    }
    add(Kind::kUnit, std::string(name), first, at_ - 1);
    const bool per = word_at(at_) == "per" || (is(at_, Kind::kUnit) && in_[at_].token.text == "/");
    if (!per || unit_at(at_ + 1).empty()) return;
    add(Kind::kUnit, "per", at_, at_);
    add(Kind::kUnit, std::string(unit_at(at_ + 1)), at_ + 1, at_ + 1);
    at_ += 2;
  }

  // Tokens of a day of a month at `i`: "3", "3rd". 0 when there is none, or what follows makes it a quantity.
  [[nodiscard]] std::size_t day_tokens(std::size_t i) const {
    if (!is(i, Kind::kNumber) || in_[i].minus) return 0;
    const int day = small_number(in_[i].token.text);
    if (day < 1 || day > 31) return 0;
    if (i + 1 >= in_.size() || !in_[i + 1].glued) return unit_at(i + 1).empty() ? 1 : 0;
    constexpr std::array<std::string_view, 4> kOrdinals{"st", "nd", "rd", "th"};
    return std::ranges::count(kOrdinals, word_at(i + 1)) > 0 ? 2 : 0;
  }

  [[nodiscard]] int year_at(std::size_t i) const {
    const bool alone = i + 1 >= in_.size() || !in_[i + 1].glued;
    const int year = is(i, Kind::kNumber) && alone ? small_number(in_[i].token.text) : 0;
    return year >= 1000 && year < 3000 ? year : 0;
  }

  // A date at at_.
  bool date() {
    if (is(at_, Kind::kJoined)) {
      auto text = date_of(in_[at_].token.text);
      if (!text) return false;
      add(Kind::kDate, std::move(*text), at_, at_);
      ++at_;
      return true;
    }
    std::size_t next = at_;
    int day = 0;
    const auto read_day = [&] {
      const std::size_t tokens = day_tokens(next);
      if (tokens > 0) day = small_number(in_[next].token.text);
      next += tokens;
    };
    read_day();
    if (day > 0 && word_at(next) == "of") ++next;
    const int month = month_number(word_at(next));
    if (month == 0) return false;
    ++next;
    if (day == 0) read_day();
    const int year = year_at(next);
    if (year > 0) ++next;
    if (day == 0 && year == 0) return false;
    add(Kind::kDate, fmt::format("{}-{}-{}", year, month, day), at_, next - 1);
    at_ = next;
    return true;
  }

  std::vector<ScannedToken> in_;
  std::size_t at_ = 0;
  std::vector<AnswerToken> out_;
};

}  // namespace

std::vector<AnswerToken> answer_tokens(std::string_view text) {
  return Combiner(scan_answer(text)).combine();
}

}  // namespace bulkhead::measure
