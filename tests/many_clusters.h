// SPDX-License-Identifier: MIT
// A scenario of any number of clusters, and a tokenizer that counts its work: for tests of how work grows.
#pragma once

#include "conversation/scenario.h"
#include "engine/engine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::testing {

// Two turns a cluster; the last cluster receives the outputs of all others.
inline std::shared_ptr<const conversation::Scenario> scenario_of(int count) {
  std::string clusters;
  std::string turns;
  for (int i = 1; i <= count; ++i) {
    const char* const comma = i == count ? "" : ",";
    clusters += fmt::format(R"("cluster_{}": {{"task_type": "{}", "turns": [{}, {}], "terminology": ["word{}"]}}{})", i,
                            i == count ? "synthesis" : "topic", 2 * i - 1, 2 * i, i, comma);
    turns += fmt::format(
        R"({{"turn_id": {}, "cluster": {}, "role": "user", "type": "instruction", "instruction": "Look at word{}."}},
           {{"turn_id": {}, "cluster": {}, "role": "user", "type": "context", "content": "It is number {}."}}{})",
        2 * i - 1, i, i, 2 * i, i, i, comma);
  }
  auto parsed = conversation::parse_scenario(
      fmt::format(R"({{"id": "many", "domain": "test", "semantic_clusters": {{{}}}, "turns": [{}]}})", clusters, turns),
      "many.json");
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().to_string());
  return std::make_shared<const conversation::Scenario>(std::move(parsed).value());
}

// Counts the bytes it is asked to tokenize, whoever asks.
class CountingTokenizer final : public engine::Tokenizer {
 public:
  explicit CountingTokenizer(const engine::Tokenizer& inner) : inner_(inner) {}

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  [[nodiscard]] Result<std::vector<engine::Token>> tokenize(std::string_view text) const override {
    bytes_ += text.size();
    return inner_.tokenize(text);
  }
  [[nodiscard]] Result<std::vector<engine::Token>> tokenize_template(std::string_view text) const override {
    bytes_ += text.size();
    return inner_.tokenize_template(text);
  }
  [[nodiscard]] std::optional<engine::Token> bos() const override { return inner_.bos(); }
  [[nodiscard]] std::string piece(engine::Token token) const override { return inner_.piece(token); }
  [[nodiscard]] std::string spelling(engine::Token token) const override { return inner_.spelling(token); }
  [[nodiscard]] bool ends_generation(engine::Token token) const override { return inner_.ends_generation(token); }
  [[nodiscard]] Result<std::vector<engine::ChatPart>> render_chat(std::span<const engine::ChatMessage> messages,
                                                                  bool open_assistant_turn) const override {
    return inner_.render_chat(messages, open_assistant_turn);
  }

 private:
  const engine::Tokenizer& inner_;
  mutable std::uint64_t bytes_ = 0;
};

}  // namespace bulkhead::testing
