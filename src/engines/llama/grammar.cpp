// SPDX-License-Identifier: MIT
#include "engines/llama/grammar.h"

#include "engines/llama/assertions.h"

#include <../src/llama-grammar.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>

namespace bulkhead::engines::llama {
namespace {

constexpr std::size_t kMostDepth = 64;
constexpr std::size_t kMostNameBytes = 128;
constexpr std::uint64_t kMostRepetitions = 2000;  // llama.cpp takes more for "any number"
constexpr std::uint64_t kMostElements = std::uint64_t{1} << 17U;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

Error broken(std::string_view text, std::size_t at, std::string_view why) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  return {ErrorCode::kBadInput, fmt::format("the grammar, line {}: {}", line, why), "grammar", {}};
}

// Looks at a text before llama.cpp's parser does, which recurses into parentheses and writes repetitions out without a
// limit on either. It goes from one token to the next as that parser does, up to the first error that it would find.
class Sizes {
 public:
  explicit Sizes(std::string_view text) : text_(text) {}

  Result<void> check() {
    while (at_ < text_.size()) {
      BH_CHECK(take(text_[at_]));
      if (elements_ > kMostElements) {
        return broken(text_, at_,
                      fmt::format("with repetitions written out it has more than {} elements", kMostElements));
      }
    }
    return {};
  }

 private:
  Result<void> take(char c) {
    if (is_word(c)) return take_word();
    const auto begin = at_++;
    switch (c) {
      case '#': skip_comment(); return {};
      case '"': take_quoted('"'); return {};
      case '[': take_quoted(']'); return {};
      case '.': take_item(1); return {};
      case '(':
        if (++depth_ > kMostDepth) {
          return broken(text_, begin, fmt::format("more than {} levels of parentheses", kMostDepth));
        }
        return {};
      case ')':
        depth_ -= depth_ > 0 ? 1U : 0U;
        take_item(1);
        return {};
      case '*':
      case '+':
      case '?': repeat(1); return {};
      case '{': count_ = 0; return {};
      case '}':
        repeat(count_.value_or(0));
        count_.reset();
        return {};
      case '<':
      case '!': return broken(text_, begin, "tokens by name or number are not supported");
      default: return {};
    }
  }

  Result<void> take_word() {
    const auto begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    const auto word = text_.substr(begin, at_ - begin);
    if (word.size() > kMostNameBytes) {
      return broken(text_, begin,
                    fmt::format("a name of {} characters, at most {} are allowed", word.size(), kMostNameBytes));
    }
    if (!count_) {
      take_item(1);
      return {};
    }
    std::uint64_t number = 0;
    for (const char c : word)
      number = std::min(number * 10 + static_cast<std::uint64_t>(c - '0'), 2 * kMostRepetitions);
    count_ = std::max(*count_, number);
    if (*count_ <= kMostRepetitions) return {};
    return broken(text_, begin, fmt::format("{} repetitions, at most {} are allowed", word, kMostRepetitions));
  }

  void skip_comment() {
    while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') ++at_;
  }

  void take_quoted(char end) {
    const auto begin = at_;
    while (at_ < text_.size() && text_[at_] != end) at_ += text_[at_] == '\\' ? 2U : 1U;
    take_item(std::min(at_, text_.size()) - begin);
    ++at_;
  }

  void take_item(std::uint64_t elements) {
    item_ = elements;
    elements_ += elements + 1;
  }

  // Of the last item: copies of it, or as many rules that hold it.
  void repeat(std::uint64_t times) {
    elements_ += (item_ + 3) * (times + 1);
    item_ *= times + 1;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t depth_ = 0;
  std::uint64_t item_ = 0;              // elements of the last one, at most
  std::uint64_t elements_ = 0;          // of all so far, at most
  std::optional<std::uint64_t> count_;  // inside of braces: the largest number
};

std::size_t first_rule(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() &&
         (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n' || text[at] == '#')) {
    at = text[at] == '#' ? std::min(text.find_first_of("\r\n", at), text.size()) : at + 1;
  }
  return at;
}

// What the parser says ends with the text from the error on: that becomes a line number.
Error in_our_words(std::string_view text, std::string_view said) {
  constexpr std::string_view kAt = " at ";
  const auto at = said.find(kAt);
  if (at == std::string_view::npos) return broken(text, text.size(), said);
  const auto rest = said.size() - at - kAt.size();
  return broken(text, text.size() - std::min(rest, text.size()), said.substr(0, at));
}

}  // namespace

// Takes over what llama.cpp's parser has made.
class GrammarReader {
 public:
  static Result<Grammar> read(const llama_grammar_parser& parser) {
    const auto root = parser.symbol_ids.find("root");
    if (root == parser.symbol_ids.end()) return missing("root");
    for (const auto& [name, id] : parser.symbol_ids) {
      if (id >= parser.rules.size() || parser.rules[id].empty()) return missing(name);
    }
    GrammarReader reader;
    reader.made_.root_ = root->second;
    for (const auto& rule : parser.rules) reader.add(rule);
    reader.made_.first_alternative_.push_back(static_cast<std::uint32_t>(reader.made_.alternatives_.size()));
    return std::move(reader.made_);
  }

 private:
  static Error missing(std::string_view name) {
    return {ErrorCode::kBadInput, fmt::format("the grammar has no rule \"{}\"", name), "grammar", "write one"};
  }

  void add(const llama_grammar_rule& rule) {
    made_.first_alternative_.push_back(static_cast<std::uint32_t>(made_.alternatives_.size()));
    begin_alternative();
    for (const auto& element : rule) {
      if (element.type == LLAMA_GRETYPE_END || element.type == LLAMA_GRETYPE_ALT) {
        made_.elements_.push_back({Grammar::Kind::kEnd});
        if (element.type == LLAMA_GRETYPE_ALT) begin_alternative();
      } else {
        add(element);
      }
    }
  }

  void add(const llama_grammar_element& element) {
    const auto ranges = static_cast<std::uint32_t>(made_.ranges_.size());
    switch (element.type) {
      case LLAMA_GRETYPE_RULE_REF: made_.elements_.push_back({Grammar::Kind::kRule, false, element.value, 0}); return;
      case LLAMA_GRETYPE_CHAR_ANY: made_.elements_.push_back({Grammar::Kind::kCharacter, true, ranges, 0}); return;
      case LLAMA_GRETYPE_CHAR:
      case LLAMA_GRETYPE_CHAR_NOT:
        made_.elements_.push_back({Grammar::Kind::kCharacter, element.type == LLAMA_GRETYPE_CHAR_NOT, ranges, 0});
        [[fallthrough]];
      case LLAMA_GRETYPE_CHAR_ALT:
        made_.ranges_.push_back({element.value, element.value});
        ++made_.elements_.back().count;
        return;
      case LLAMA_GRETYPE_CHAR_RNG_UPPER: made_.ranges_.back().high = element.value; return;
      default: return;  // tokens were refused, ends are no part of this
    }
  }

  void begin_alternative() { made_.alternatives_.push_back(static_cast<Grammar::Place>(made_.elements_.size())); }

  Grammar made_;
};

Result<Grammar> Grammar::parse(std::string_view text) {
  BH_CHECK(Sizes(text).check());
  const std::string whole(text);
  llama_grammar_parser parser;
  try {
    const AssertionScope assertions;
    // As its parse() does, which prints what it throws.
    const char* at = whole.c_str() + first_rule(whole);
    while (*at != '\0') at = parser.parse_rule(at);
  } catch (const std::exception& failure) {
    return in_our_words(text, failure.what());
  }
  return GrammarReader::read(parser);
}

std::span<const Grammar::Place> Grammar::alternatives(std::uint32_t rule) const {
  const auto begin = first_alternative_[rule];
  return std::span(alternatives_).subspan(begin, first_alternative_[rule + 1] - begin);
}

bool Grammar::matches(Place place, std::uint32_t character) const {
  const auto& element = elements_[place];
  const auto ranges = std::span(ranges_).subspan(element.first, element.count);
  const bool found = std::any_of(ranges.begin(), ranges.end(),
                                 [&](const Range& range) { return range.low <= character && character <= range.high; });
  return found != element.none_of;
}

namespace {

constexpr std::uint32_t kFirstSurrogate = 0xD800;
constexpr std::uint32_t kBehindSurrogates = 0xE000;

// `character`, or the first behind it that is one.
std::uint32_t no_surrogate(std::uint32_t character) {
  return character >= kFirstSurrogate && character < kBehindSurrogates ? kBehindSurrogates : character;
}

}  // namespace

bool Grammar::matches_any(Place place, std::uint32_t low, std::uint32_t high) const {
  const auto& element = elements_[place];
  const auto ranges = std::span(ranges_).subspan(element.first, element.count);
  if (!element.none_of) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const Range& range) {
      return no_surrogate(std::max(range.low, low)) <= std::min(range.high, high);
    });
  }
  // The first character that lies in no range. Each range is left behind once at most.
  auto next = no_surrogate(low);
  for (std::size_t left = ranges.size() + 1; left > 0 && next <= high; --left) {
    const auto hit = std::find_if(ranges.begin(), ranges.end(),
                                  [&](const Range& range) { return range.low <= next && next <= range.high; });
    if (hit == ranges.end()) return true;
    if (hit->high >= high) return false;
    next = no_surrogate(hit->high + 1);
  }
  return false;
}

}  // namespace bulkhead::engines::llama
