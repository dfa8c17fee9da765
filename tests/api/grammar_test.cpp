// SPDX-License-Identifier: MIT
// Grammars on real models: what is drawn obeys the rules, and which others are drawn beside it changes no bit.
#include "api/public_surface.h"
#include "base/json.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bulkhead::testing {
namespace {

constexpr const char* kRecord = R"(root ::= "{\"city\": \"" [A-Za-z ]{1,12} "\", \"people\": " [1-9] [0-9]{0,3} "}")";
constexpr const char* kList = R"(root ::= "[" item (", " item){1,3} "]"
item ::= "\"" [a-z]{2,8} "\"")";

struct Case {
  std::string name;
  std::string prompt;
  std::string grammar;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {{"record", "The largest city of France, as JSON:\n", kRecord},
                                        {"list", "Three fruits that grow on trees, as a JSON list:\n", kList},
                                        {"free", "The pump failed at 3 bar. The cause was", ""},
                                        {"again", "A small town by the sea, as JSON:\n", kRecord}};
  return all;
}

GenerateOptions options_of(const Case& one) {
  return {.sampling = {.temperature = 0.8F, .seed = 11}, .max_tokens = 48, .hash_logits = true, .grammar = one.grammar};
}

class ModelGrammar : public ::testing::TestWithParam<Kind> {};

TEST_P(ModelGrammar, TextsObeyTheRulesWithTheBitsOfEachAlone) {
  BULKHEAD_LOAD(model, GetParam());
  std::vector<Generation> alone;
  for (const auto& one : cases()) {
    auto partition = open(model, one.name);
    ASSERT_TRUE(partition.prefill(one.prompt).ok());
    auto generated = partition.generate(options_of(one));
    ASSERT_TRUE(generated.ok()) << generated.error().to_string();
    alone.push_back(std::move(generated).value());
  }
  for (std::size_t i = 0; i < cases().size(); ++i) {
    if (cases()[i].grammar.empty()) continue;
    EXPECT_EQ(alone[i].finish, FinishReason::kEnd) << alone[i].text << ": the rules end, so the text does";
    const auto read = parse_json(alone[i].text);
    ASSERT_TRUE(read.ok()) << alone[i].text;
    EXPECT_EQ(read.value().is_array(), cases()[i].name == "list");
    if (read.value().is_object()) {
      EXPECT_TRUE(read.value().at("people").is_number());
    }
  }
  std::vector<Partition> partitions;
  std::vector<GenerateOptions> options;
  for (const auto& one : cases()) {
    partitions.push_back(open(model, one.name));
    ASSERT_TRUE(partitions.back().prefill(one.prompt).ok());
    options.push_back(options_of(one));
  }
  std::vector<Partition*> handles;
  for (auto& partition : partitions) handles.push_back(&partition);
  const auto together = model.generate(handles, options);
  for (std::size_t i = 0; i < cases().size(); ++i) {
    ASSERT_TRUE(together[i].ok());
    EXPECT_EQ(together[i]->tokens, alone[i].tokens) << cases()[i].name;
    EXPECT_EQ(together[i]->logit_hashes, alone[i].logit_hashes) << cases()[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ModelGrammar, ::testing::Values(gemma_kind(), qwen_kind()), kind_name);

}  // namespace
}  // namespace bulkhead::testing
