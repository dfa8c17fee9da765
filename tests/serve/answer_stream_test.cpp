// SPDX-License-Identifier: MIT
// What is told of an answer while it comes adds up to what it says.
#include "serve/answer_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace bulkhead::serve {
namespace {

using engine::AnswerParts;
using engine::AnswerReader;

// "text!name(arguments)!name(arguments)"; "?" anywhere is no answer.
class ToyReader final : public AnswerReader {
 public:
  [[nodiscard]] Result<AnswerParts> read(std::string_view text, bool more_may_come) const override {
    if (text.find('?') != std::string_view::npos) return Error{ErrorCode::kBadInput, "no answer", {}, {}};
    AnswerParts parts{.content = std::string(text.substr(0, text.find('!')))};
    for (auto at = text.find('!'); at != std::string_view::npos; at = text.find('!')) {
      text.remove_prefix(at + 1);
      const auto end = std::min(text.find('!'), text.size());
      const auto call = text.substr(0, end);
      const auto open = call.find('(');
      if (open == std::string_view::npos) {
        if (!more_may_come) return Error{ErrorCode::kBadInput, "no whole call", {}, {}};
        parts.calls.emplace_back();
        continue;
      }
      parts.calls.push_back({.name = std::string(call.substr(0, open)),
                             .arguments = std::string(call.substr(open + 1, call.find(')') - open - 1))});
    }
    return parts;
  }
};

AnswerStream stream_of(std::shared_ptr<const AnswerReader> reader, const std::vector<std::string>& stops = {}) {
  return {stops, std::move(reader), [number = 0]() mutable { return "id-" + std::to_string(++number); }};
}

// All that was told, put together.
AnswerParts told(AnswerStream& stream, const std::string& text, std::size_t piece) {
  AnswerParts all;
  const auto take = [&](const Delta& delta) {
    all.content += delta.text;
    for (const auto& call : delta.calls) {
      EXPECT_EQ(call.begins, call.index == all.calls.size());
      if (call.begins) all.calls.push_back({.id = call.id, .name = call.name, .arguments = {}});
      all.calls[call.index].arguments += call.arguments;
    }
  };
  for (std::size_t at = 0; at < text.size(); at += piece) take(stream.append(text.substr(at, piece)));
  take(stream.finish(text));
  return all;
}

TEST(AnswerStream, WhatIsToldAddsUpWhateverThePieces) {
  const std::string text = "two calls!lamp({\"on\": true})!gauge({})";
  for (const std::size_t piece : {1U, 2U, 3U, 7U, 100U}) {
    auto stream = stream_of(std::make_shared<ToyReader>());
    const auto all = told(stream, text, piece);
    EXPECT_EQ(all.content, "two calls");
    ASSERT_EQ(all.calls.size(), 2U);
    EXPECT_EQ(all.calls[0].id, "id-1");
    EXPECT_EQ(all.calls[0].name, "lamp");
    EXPECT_EQ(all.calls[0].arguments, "{\"on\": true}");
    EXPECT_EQ(all.calls[1].id, "id-2");
    EXPECT_EQ(all.calls[1].arguments, "{}");
    EXPECT_EQ(stream.answer().content, all.content);
    EXPECT_EQ(stream.answer().calls[1].name, "gauge");
  }
}

TEST(AnswerStream, AllComesAtTheEndWhereNobodyListened) {
  auto stream = stream_of(std::make_shared<ToyReader>());
  const auto rest = stream.finish("so!lamp({})");
  EXPECT_EQ(rest.text, "so");
  ASSERT_EQ(rest.calls.size(), 1U);
  EXPECT_TRUE(rest.calls[0].begins);
}

TEST(AnswerStream, ACallThatIsCutIsToldAsFarAsItGoes) {
  auto stream = stream_of(std::make_shared<ToyReader>());
  const auto all = told(stream, "!lamp({\"on\": tr", 4);
  ASSERT_EQ(all.calls.size(), 1U);
  EXPECT_EQ(all.calls[0].arguments, "{\"on\": tr");
}

TEST(AnswerStream, WhatIsNoAnswerOfItsFormIsAText) {
  auto stream = stream_of(std::make_shared<ToyReader>());
  EXPECT_EQ(told(stream, "why?", 2).content, "why?");
  auto plain = stream_of(nullptr);
  EXPECT_EQ(told(plain, "why!no(call)?", 3).content, "why!no(call)?");
}

TEST(AnswerStream, StopStringsAreHeldBackInBothKinds) {
  for (const auto& reader :
       {std::shared_ptr<const AnswerReader>(), std::shared_ptr<const AnswerReader>(std::make_shared<ToyReader>())}) {
    auto stream = stream_of(reader, {"END"});
    EXPECT_EQ(stream.append("so E").text, "so ");
    EXPECT_EQ(stream.append("N").text, "");
    EXPECT_EQ(stream.append("D").text, "");
    EXPECT_EQ(stream.finish("so ").text, "");
    EXPECT_EQ(stream.answer().content, "so ");
  }
}

}  // namespace
}  // namespace bulkhead::serve
