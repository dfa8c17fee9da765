// SPDX-License-Identifier: MIT
#include "measure/answer_scanner.h"

#include "measure/words.h"

#include <algorithm>
#include <array>
#include <utility>

namespace bulkhead::measure {
namespace {

using Kind = AnswerToken::Kind;

constexpr std::string_view kMinusSign = "\xE2\x88\x92";
constexpr std::string_view kEnDash = "\xE2\x80\x93";
constexpr std::string_view kCurlyApostrophe = "\xE2\x80\x99";
constexpr std::array<std::string_view, 6> kThousands{",",           "'", kCurlyApostrophe, "\xC2\xA0", "\xE2\x80\xAF",
                                                     "\xE2\x80\x89"};
constexpr std::array<std::string_view, 6> kJoiners{"-", "/", ":", ".", ",", kEnDash};
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kSigns{{{"%", "percent"},
                                                                               {"$", "dollar"},
                                                                               {"\xE2\x82\xAC", "euro"},
                                                                               {"\xC2\xA3", "pound"},
                                                                               {"\xC2\xA5", "yen"},
                                                                               {"\xC2\xB0"
                                                                                "C",
                                                                                "celsius"},
                                                                               {"\xC2\xB0"
                                                                                "F",
                                                                                "fahrenheit"},
                                                                               {"\xC2\xB0", "degree"}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The zero of a day or an hour says nothing; those of a code do.
std::string without_zero(std::string number) {
  if (number.size() == 2 && number.front() == '0') number.erase(0, 1);
  return number;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::vector<ScannedToken> scan() {
    while (at_ < text_.size()) {
      const bool point = text_[at_] == '.' && digit_at(at_ + 1) && stands_free(at_);
      if (digit_at(at_) || point) {
        number();
      } else if (letter_length(at_) > 0) {
        word();
      } else if (!sign()) {
        if (text_[at_] == '/' && behind_letter(at_)) add(Kind::kUnit, "/", at_, at_ + 1);
        ++at_;
      }
    }
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] std::string_view rest(std::size_t at) const { return text_.substr(std::min(at, text_.size())); }
  [[nodiscard]] bool digit_at(std::size_t at) const { return at < text_.size() && is_digit(text_[at]); }

  // Bytes of the letter at `at`; 0 when there is none. Outside ASCII everything is one but punctuation and signs.
  [[nodiscard]] std::size_t letter_length(std::size_t at) const {
    const auto byte = [&](std::size_t i) { return i < text_.size() ? static_cast<unsigned char>(text_[i]) : 0U; };
    const unsigned first = byte(at);
    const unsigned second = byte(at + 1);
    if (first < 0x80) return (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') ? 1 : 0;
    if (first < 0xC2) return 0;
    if (first == 0xC2) return second == 0xB5 || second == 0xAA || second == 0xBA ? 2 : 0;  // micro and the two ordinals
    if (first == 0xC3 && (second == 0x97 || second == 0xB7)) return 0;                     // times, divided by
    if (first == 0xE2 || (first == 0xE3 && second == 0x80)) return 0;                      // U+2000 to U+303F
    if (first == 0xEF && (second == 0xBC || second == 0xBB)) return 0;                     // full width signs, U+FEFF
    const std::size_t bytes = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    return std::min(bytes, text_.size() - at);
  }

  [[nodiscard]] bool behind_letter(std::size_t at) const {
    return !tokens_.empty() && tokens_.back().token.end == at && tokens_.back().token.kind == Kind::kWord;
  }

  [[nodiscard]] bool stands_free(std::size_t at) const {
    return at == 0 || std::string_view(" \n\t([$").find(text_[at - 1]) != std::string_view::npos;
  }

  // Whether a minus ends at `at` that belongs to what stands there.
  [[nodiscard]] bool minus_before(std::size_t at) const {
    const auto before = text_.substr(0, at);
    const std::size_t bytes = before.ends_with('-') ? 1 : before.ends_with(kMinusSign) ? kMinusSign.size() : 0;
    return bytes > 0 && stands_free(at - bytes);
  }

  void add(Kind kind, std::string text, std::size_t begin, std::size_t end) {
    tokens_.push_back({{kind, std::move(text), begin, end}, minus_before(begin), false});
  }

  bool sign() {
    for (const auto& [spelling, name] : kSigns) {
      if (!rest(at_).starts_with(spelling)) continue;
      add(Kind::kUnit, std::string(name), at_, at_ + spelling.size());
      at_ += spelling.size();
      return true;
    }
    return false;
  }

  std::string digits() {
    const std::size_t begin = at_;
    while (digit_at(at_)) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  // Bytes of a thousands separator here, with a group of just three digits behind it.
  [[nodiscard]] std::size_t thousands() const {
    for (const auto separator : kThousands) {
      const std::size_t group = at_ + separator.size();
      const bool three = digit_at(group) && digit_at(group + 1) && digit_at(group + 2) && !digit_at(group + 3);
      if (three && rest(at_).starts_with(separator)) return separator.size();
    }
    return 0;
  }

  std::string whole_number() {
    std::string number = digits();
    if (number.size() > 3 || number.starts_with('0')) return number;
    while (const std::size_t separator = thousands()) {
      at_ += separator;
      number += digits();
    }
    return number;
  }

  // Bytes of a joiner here, with a digit behind it.
  [[nodiscard]] std::size_t joiner() const {
    for (const auto mark : kJoiners)
      if (rest(at_).starts_with(mark) && digit_at(at_ + mark.size())) return mark.size();
    return 0;
  }

  void number() {
    const std::size_t begin = at_;
    const bool behind_word =
        begin > 0 && (text_[begin - 1] == '-' || text_[begin - 1] == '_') && behind_letter(begin - 1);
    std::string text = text_[at_] == '.' ? "0" : without_zero(whole_number());
    bool decimal = false;
    bool joined = false;
    while (const std::size_t bytes = joiner()) {
      const bool point = text_[at_] == '.';
      joined = joined || decimal || !point;
      decimal = decimal || point;
      text += bytes > 1 ? '-' : text_[at_];  // an en dash joins as a hyphen does
      at_ += bytes;
      text += joined ? without_zero(digits()) : digits();
    }
    if (decimal && !joined) {
      text.erase(text.find_last_not_of('0') + 1);
      if (text.ends_with('.')) text.pop_back();
    }
    add(joined || behind_word ? Kind::kJoined : Kind::kNumber, std::move(text), begin, at_);
  }

  void word() {
    const std::size_t begin = at_;
    const bool glued =
        !tokens_.empty() && tokens_.back().token.end == begin && tokens_.back().token.kind != Kind::kUnit;
    std::string text;
    for (bool more = true; more;) {
      const std::size_t curly = rest(at_).starts_with(kCurlyApostrophe) ? kCurlyApostrophe.size() : 0;
      const std::size_t apostrophe = rest(at_).starts_with('\'') ? 1 : curly;
      const std::size_t bytes = digit_at(at_) ? 1 : letter_length(at_);
      more = bytes > 0 || (apostrophe > 0 && letter_length(at_ + apostrophe) > 0);
      if (!more) break;
      text += bytes > 0 ? text_.substr(at_, bytes) : "'";
      at_ += bytes > 0 ? bytes : apostrophe;
    }
    if (add_parts(begin)) return;
    if (text.ends_with("'s")) text.resize(text.size() - 2);
    add(Kind::kWord, std::move(text), begin, at_);
    tokens_.back().glued = glued;
  }

  // Letters of a script without spaces, or of Hangul, at [begin, at_): a change of such a script ends a word. False:
  // there are none.
  bool add_parts(std::size_t begin) {
    const auto run = text_.substr(begin, at_ - begin);
    if (std::ranges::all_of(run, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) return false;
    const auto parts = words_of(run).list;
    const auto is_part = [](const Word& word) { return word.without_spaces || word.is_hangul; };
    if (std::ranges::none_of(parts, is_part)) return false;
    for (const auto& part : parts) {
      const bool spaced = !is_part(part);
      if (spaced && part.begin > 0) {  // a word or a number of its own
        at_ = begin + part.begin;
        return true;
      }
      add(Kind::kWord, spaced ? std::string(run.substr(0, part.end)) : part.normal, begin + part.begin,
          begin + part.end);
      tokens_.back().token.starts_word = part.starts_word;
      tokens_.back().token.ends_word = part.ends_word;
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<ScannedToken> tokens_;
};

}  // namespace

std::vector<ScannedToken> scan_answer(std::string_view text) {
  return Scanner(text).scan();
}

}  // namespace bulkhead::measure
