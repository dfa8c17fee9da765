// SPDX-License-Identifier: MIT
#include "measure/words.h"

#include "measure/utf8_character.h"
#include "measure/whitespace.h"

#include <unicode/brkiter.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>

namespace bulkhead::measure {
namespace {

enum class Spacing { kSpaces, kHangul, kNone };

struct PlacedCharacter {
  UChar32 code = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
};

PlacedCharacter placed_character(std::string_view text, std::size_t at) {
  const auto [code, bytes] = character_at(text, at);
  return {static_cast<UChar32>(code), at, at + bytes};
}

bool is_ascii_word(UChar32 code) {
  return (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

// Letters, marks and digits, without those among punctuation, symbols and pictures (a superscript 2, a variation
// selector), which belong to no word.
bool is_word(UChar32 code) {
  constexpr UChar32 kSoftHyphen = 0xAD;
  constexpr UChar32 kNonJoiner = 0x200C;
  constexpr UChar32 kJoiner = 0x200D;
  if (code < 0x80) return is_ascii_word(code);
  if (code == kSoftHyphen || code == kNonJoiner || code == kJoiner) return true;
  if (code < 0xC0) return code == 0xAA || code == 0xB5 || code == 0xBA;
  if (code >= 0x2000 && code <= 0x2BFF) return false;
  if (code >= 0xFE00 && code <= 0xFE6F) return false;
  if (code >= 0x1F000 && code <= 0x1FAFF) return false;
  return (U_GET_GC_MASK(code) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) != 0;
}

// Han for what is written together with it.
UScriptCode script_of(UChar32 code) {
  UErrorCode problem = U_ZERO_ERROR;
  const auto script = uscript_getScript(code, &problem);
  const bool kana = script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA || script == USCRIPT_BOPOMOFO ||
                    (script == USCRIPT_COMMON && uscript_hasScript(code, USCRIPT_KATAKANA) != 0);
  return kana ? USCRIPT_HAN : script;
}

bool has_dictionary(UScriptCode script) {
  return script == USCRIPT_HAN || script == USCRIPT_THAI || script == USCRIPT_LAO || script == USCRIPT_KHMER ||
         script == USCRIPT_MYANMAR;
}

// ICU's line breaking class of letters that need a dictionary: "complex context".
bool needs_dictionary(UChar32 code) {
  return u_getIntPropertyValue(code, UCHAR_LINE_BREAK) == U_LB_COMPLEX_CONTEXT;
}

std::string in_utf8(const icu::UnicodeString& text) {
  std::string bytes;
  text.toUTF8String(bytes);
  return bytes;
}

class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {
    UErrorCode problem = U_ZERO_ERROR;
    normalizer_ = icu::Normalizer2::getNFKCCasefoldInstance(problem);
    if (U_FAILURE(problem) != 0) normalizer_ = nullptr;
  }

  Words split() {
    if (text_.size() > INT32_MAX) {
      words_.obstacle = "the text is too long";
      return std::move(words_);
    }
    for (std::size_t at = 0; at < text_.size();) {
      const auto character = placed_character(text_, at);
      at = is_word(character.code) ? add_run(character) : character.end;
    }
    return std::move(words_);
  }

 private:
  // The characters from `first` on that are spaced alike. Marks go with what they stand behind.
  std::size_t add_run(PlacedCharacter first) {
    std::vector<PlacedCharacter> run;
    const auto spacing = spacing_of(first.code, Spacing::kSpaces);
    bool ascii = true;
    for (auto next = first; is_word(next.code) && spacing_of(next.code, spacing) == spacing;) {
      note_script(next.code);
      ascii = ascii && next.code < 0x80;
      run.push_back(next);
      if (next.end == text_.size()) break;
      next = placed_character(text_, next.end);
    }
    const auto end = run.back().end;
    if (spacing == Spacing::kNone) {
      add_characters(run);
    } else {
      add({.normal = normal_form(text_.substr(first.begin, end - first.begin), ascii),
           .begin = first.begin,
           .end = end,
           .is_hangul = spacing == Spacing::kHangul});
    }
    return end;
  }

  static Spacing spacing_of(UChar32 code, Spacing before) {
    if (code < 0x80) return Spacing::kSpaces;
    const auto script = script_of(code);
    if (script == USCRIPT_INHERITED) return before;
    if (script == USCRIPT_HANGUL) return Spacing::kHangul;
    return has_dictionary(script) || needs_dictionary(code) ? Spacing::kNone : Spacing::kSpaces;
  }

  void note_script(UChar32 code) {
    const auto script = code < 0x80 ? (code > '9' ? USCRIPT_LATIN : USCRIPT_COMMON) : script_of(code);
    if (script == USCRIPT_COMMON || script == USCRIPT_INHERITED || script == last_script_) return;
    last_script_ = script;
    words_.scripts.insert(uscript_getShortName(script));
    if (!has_dictionary(script) && code >= 0x80 && needs_dictionary(code)) {
      words_.obstacle =
          std::string(uscript_getName(script)) + " has no spaces between words, and there is no dictionary of it";
    }
  }

  std::string normal_form(std::string_view text, bool ascii) {
    if (ascii) {
      std::string lower(text);
      std::ranges::transform(lower, lower.begin(),
                             [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
      return lower;
    }
    return normal_form(icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int>(text.size()))));
  }

  std::string normal_form(const icu::UnicodeString& text) {
    UErrorCode problem = U_ZERO_ERROR;
    auto normal = normalizer_ == nullptr ? text : normalizer_->normalize(text, problem);
    if (normalizer_ == nullptr || U_FAILURE(problem) != 0) {
      words_.obstacle = "ICU has no tables of equal characters here";
      normal = text;
    }
    return in_utf8(normal);
  }

  void add(Word word) {
    if (!word.normal.empty()) words_.list.push_back(std::move(word));
  }

  // Of a script without spaces. A character comes with the marks that are composed with it.
  void add_characters(const std::vector<PlacedCharacter>& run) {
    icu::UnicodeString all;
    std::vector<std::int32_t> offsets;  // of each character in `all`
    for (const auto& character : run) {
      offsets.push_back(all.length());
      all.append(character.code);
    }
    offsets.push_back(all.length());
    auto* const breaks = word_breaks(all);
    const auto is_break = [&](std::size_t i) {
      return i == 0 || i == run.size() || breaks == nullptr || breaks->isBoundary(offsets[i]) != 0;
    };
    for (std::size_t i = 0; i < run.size();) {
      std::size_t next = i + 1;
      while (next < run.size() && normalizer_ != nullptr && normalizer_->hasBoundaryBefore(run[next].code) == 0) ++next;
      add({.normal = normal_form(all.tempSubStringBetween(offsets[i], offsets[next])),
           .begin = run[i].begin,
           .end = run[next - 1].end,
           .starts_word = is_break(i),
           .ends_word = is_break(next),
           .without_spaces = true});
      i = next;
    }
  }

  // Null when ICU has no rules, which is an obstacle.
  icu::BreakIterator* word_breaks(const icu::UnicodeString& text) {
    thread_local std::unique_ptr<icu::BreakIterator> breaks;  // dear to make
    UErrorCode problem = U_ZERO_ERROR;
    if (breaks == nullptr) breaks.reset(icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), problem));
    if (breaks == nullptr || U_FAILURE(problem) != 0) {
      breaks.reset();
      words_.obstacle = "ICU has no dictionaries here";
      return nullptr;
    }
    breaks->setText(text);
    return breaks.get();
  }

  std::string_view text_;
  const icu::Normalizer2* normalizer_ = nullptr;
  UScriptCode last_script_ = USCRIPT_COMMON;
  Words words_;
};

}  // namespace

Words words_of(std::string_view text) {
  return Splitter(text).split();
}

std::string normal_form(std::string_view word) {
  std::string normal;
  for (const auto& part : words_of(word).list) normal += part.normal;
  return normal;
}

bool is_korean_ending(std::string_view text) {
  constexpr std::array<std::string_view, 45> kParticles = {
      "\uC740",       "\uB294",       "\uC774",       "\uAC00",
      "\uC744",       "\uB97C",       "\uC758",       "\uC5D0",
      "\uC5D0\uC11C", "\uC5D0\uAC8C", "\uAED8",       "\uAED8\uC11C",
      "\uD55C\uD14C", "\uC640",       "\uACFC",       "\uB791",
      "\uC774\uB791", "\uD558\uACE0", "\uB3C4",       "\uB9CC",
      "\uAE4C\uC9C0", "\uBD80\uD130", "\uBCF4\uB2E4", "\uCC98\uB7FC",
      "\uAC19\uC774", "\uB85C",       "\uC73C\uB85C", "\uB85C\uC11C",
      "\uB85C\uC368", "\uB9C8\uB2E4", "\uC870\uCC28", "\uB9C8\uC800",
      "\uBC16\uC5D0", "\uC774\uB098", "\uB4E4",       "\uC774\uB2E4",
      "\uC774\uBA70", "\uC774\uACE0", "\uC778",       "\uB77C\uB294",
      "\uC774\uB77C", "\uC600\uB2E4", "\uC774\uC5C8", "\uC785\uB2C8\uB2E4",
      "\uC5C8\uB2E4"};
  if (text.empty()) return true;
  return std::any_of(kParticles.begin(), kParticles.end(), [&](std::string_view particle) {
    return text.starts_with(particle) && is_korean_ending(text.substr(particle.size()));
  });
}

std::vector<std::string_view> words_as_written(std::string_view text) {
  std::vector<std::string_view> words;
  for (const auto part : split_at_whitespace(text)) {
    const auto split = words_of(part);
    std::size_t begin = 0;
    for (std::size_t i = 1; i < split.list.size(); ++i) {
      const auto& before = split.list[i - 1];
      const auto& word = split.list[i];
      const bool within_word = !before.ends_word && !word.starts_word;
      const bool spaces = !before.without_spaces && !word.without_spaces;
      if (within_word || spaces) continue;
      words.push_back(part.substr(begin, word.begin - begin));
      begin = word.begin;
    }
    words.push_back(part.substr(begin));
  }
  return words;
}

}  // namespace bulkhead::measure
