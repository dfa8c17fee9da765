// SPDX-License-Identifier: MIT
#include "measure/exact_answer.h"

#include "measure/answer_tokens.h"
#include "measure/words.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace bulkhead::measure {
namespace {

using Kind = AnswerToken::Kind;

// Where an answer stands, in tokens.
struct Span {
  std::size_t answer = 0;
  std::size_t first = 0;
  std::size_t count = 0;
};

std::vector<AnswerToken> answer_of(std::string_view text) {
  auto tokens = answer_tokens(text);
  constexpr std::array<std::string_view, 3> kArticles{"a", "an", "the"};
  // "A" alone is an answer.
  while (tokens.size() > 1 && tokens.front().kind == Kind::kWord &&
         std::ranges::count(kArticles, tokens.front().text) > 0)
    tokens.erase(tokens.begin());
  return tokens;
}

// Year, month and day: what the answer leaves open may be anything.
bool same_date(std::string_view text, std::string_view answer) {
  while (!answer.empty() && !text.empty()) {
    const auto part = [](std::string_view& date) {
      const std::size_t end = std::min(date.find('-'), date.size());
      const auto first = date.substr(0, end);
      date.remove_prefix(std::min(end + 1, date.size()));
      return first;
    };
    const auto given = part(text);
    const auto wanted = part(answer);
    if (wanted != "0" && wanted != given) return false;
  }
  return true;
}

bool same(const AnswerToken& text, const AnswerToken& answer) {
  if (text.kind != answer.kind) return false;
  if (text.kind == Kind::kDate) return same_date(text.text, answer.text);
  if (text.text == answer.text) return true;
  return text.kind == Kind::kWord && text.text.starts_with(answer.text) &&
         is_korean_ending(std::string_view(text.text).substr(answer.text.size()));
}

}  // namespace

std::vector<AnswerHit> find_answers(std::string_view text, std::span<const std::string> answers) {
  const auto tokens = answer_tokens(text);
  std::vector<Span> all;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto answer = answer_of(answers[i]);
    for (auto from = tokens.begin(); !answer.empty();) {
      const auto found = std::search(from, tokens.end(), answer.begin(), answer.end(), same);
      if (found == tokens.end()) break;
      if (!found->starts_word || !(found + static_cast<std::ptrdiff_t>(answer.size()) - 1)->ends_word) {
        from = found + 1;
        continue;
      }
      from = found + static_cast<std::ptrdiff_t>(answer.size());
      all.push_back({i, static_cast<std::size_t>(found - tokens.begin()), answer.size()});
    }
  }
  std::ranges::sort(all, [](const Span& a, const Span& b) {
    return std::tie(a.first, b.count, a.answer) < std::tie(b.first, a.count, b.answer);
  });
  std::vector<AnswerHit> hits;
  for (const auto& span : all) {
    const auto covers = [&](const Span& other) {
      return other.count > span.count && other.first <= span.first &&
             other.first + other.count >= span.first + span.count;
    };
    if (std::ranges::any_of(all, covers)) continue;
    hits.push_back({span.answer, tokens[span.first].begin, tokens[span.first + span.count - 1].end});
  }
  return hits;
}

bool contains_answer(std::string_view text, const std::string& answer) {
  return !find_answers(text, {&answer, 1}).empty();
}

}  // namespace bulkhead::measure
