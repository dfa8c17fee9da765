// SPDX-License-Identifier: MIT
// Real models in all engines: the same tokens of every text, and from the same weights the same greedy texts and nearly
// the same log probabilities. The weights are those of Gemma 3 270M, dequantized once (bulkhead convert, f32).
#include "engines/builtin.h"
#include "engines/real_models.h"
#include "paths.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::testing {
namespace {

using engine::ChatMessage;
using engine::Engine;
using engine::Token;

const std::string kConverted = testing::build_folder() + "/converted";

std::unique_ptr<Engine> make(const std::string& engine, const std::string& path) {
  ModelOptions options;
  options.engine = engine;
  options.path = path;
  options.context_tokens = 4096;
  auto made = engines::builtin_engines().make(options);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
  return made.ok() ? std::move(made).value() : nullptr;
}

// Runs of spaces longer than Gemma's longest token of spaces, 31, become one space; texts() says why.
std::string without_long_runs(const std::string& text) {
  std::string kept;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find_first_not_of(' ', at), text.size());
    const auto spaces = end - at;
    kept.append(spaces > 31 ? 1 : spaces, ' ');
    at = end;
    while (at < text.size() && text[at] != ' ') kept.push_back(text[at++]);
  }
  return kept;
}

// Prose, code, tables, JSON, and what tokenizers stumble over.
std::vector<std::string> texts() {
  std::vector<std::string> all = {
      "",
      " leading and trailing ",
      "\n\n  tabs\t\tand\r\nlines\n\n\n\n\n",
      // The longest token of spaces has 31 in Gemma. A longer run is split in other places by libllama (best score
      // first) than by the tokenizer that transformers makes from the same GGUF; docs/worker-protocol.md says so.
      "                             many spaces",
      "Gr\xc3\xbc\xc3\x9f"
      "e, \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x9a\xa2\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa e\xcc\x81",
      "1234567890 3.14159 0x1F 1e-9",
      "it's we'll THEY'RE don't",
      "<start_of_turn>user\nhello<end_of_turn><eos><bos></s><|im_start|><|endoftext|><unused7>",
      "<table><tr><td>html</td></tr></table><strong>tokens</strong>",
  };
  for (const auto* folder : {"scenarios", "docs", "src/engines/worker"}) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(testing::source_folder()) / folder)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) all.push_back(without_long_runs(read_file(file)));
  }
  return all;
}

void expect_the_same_tokens(const Engine& llama, const Engine& other) {
  const auto& one = llama.tokenizer();
  const auto& two = other.tokenizer();
  EXPECT_EQ(one.bos(), two.bos());
  std::size_t compared = 0;
  for (const auto& text : texts()) {
    const auto expected = one.tokenize(text);
    const auto got = two.tokenize(text);
    ASSERT_TRUE(expected.ok() && got.ok()) << text.substr(0, 60);
    const auto [a, b] =
        std::mismatch(expected.value().begin(), expected.value().end(), got.value().begin(), got.value().end());
    ASSERT_TRUE(expected.value() == got.value())
        << "first difference at token " << a - expected.value().begin() << " of " << expected.value().size() << ": "
        << (a == expected.value().end() ? "(end)" : one.spelling(*a)) << " in llama, "
        << (b == got.value().end() ? "(end)" : two.spelling(*b)) << " in " << other.facts().engine << "; text begins "
        << text.substr(0, 60);
    compared += expected.value().size();
  }
  EXPECT_GT(compared, 20'000U);
  ASSERT_EQ(llama.facts().vocabulary, other.facts().vocabulary);
  std::size_t pieces = 0;
  for (std::uint32_t i = 0; i < llama.facts().vocabulary; ++i) {
    const auto token = static_cast<Token>(i);
    EXPECT_EQ(one.ends_generation(token), two.ends_generation(token)) << one.spelling(token);
    // Rows that only fill up the matrix have no bytes in libllama; transformers shows them as [PAD151665].
    if (one.piece(token) == two.piece(token) || one.piece(token).empty()) continue;
    if (++pieces <= 5) ADD_FAILURE() << i << ": \"" << one.piece(token) << "\", \"" << two.piece(token) << "\"";
  }
  EXPECT_EQ(pieces, 0U) << "tokens that stand for other bytes";
}

std::string joined(const std::vector<engine::ChatPart>& parts, bool from_template) {
  std::string text;
  for (const auto& part : parts) text += part.from_template == from_template ? part.text : "|";
  return text;
}

void expect_the_same_chat(const Engine& llama, const Engine& other) {
  const std::vector<std::vector<ChatMessage>> chats = {
      {{"user", "Hello"}},
      {{"system", "Be brief."}, {"user", " What is 2 + 2? "}, {"assistant", "4"}, {"user", "And <|im_end|> now?\n"}},
  };
  for (const auto& chat : chats) {
    for (const bool open : {true, false}) {
      const auto expected = llama.tokenizer().render_chat(chat, open);
      const auto got = other.tokenizer().render_chat(chat, open);
      ASSERT_TRUE(expected.ok() && got.ok()) << (got.ok() ? "" : got.error().to_string());
      EXPECT_EQ(joined(expected.value(), true), joined(got.value(), true));
      EXPECT_EQ(joined(expected.value(), false), joined(got.value(), false));
    }
  }
}

std::vector<Token> begun(const Engine& engine, std::string_view text) {
  std::vector<Token> all;
  if (const auto bos = engine.tokenizer().bos()) all.push_back(*bos);
  const auto words = engine.tokenizer().tokenize(text).value();
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

constexpr std::string_view kPrompts[] = {
    "The lighthouse keeper counted the ships each evening. On Monday there were four, on Tuesday seven, and on",
    "The pump failed at 3 bar. The cause was",
    "def fibonacci(n):\n    \"\"\"Returns the n-th number.\"\"\"\n",
};
constexpr std::string_view kScored =
    " Wednesday twelve. The harbour master wrote the numbers into his book, and nobody asked him what he did with it.";

struct Told {
  std::vector<Token> tokens;
  std::vector<double> scores;
};

std::vector<Told> run(Engine& engine, std::uint32_t count) {
  std::vector<Told> all;
  for (const auto prompt : kPrompts) {
    const auto id = engine.open({.capacity_tokens = 256}).value();
    EXPECT_TRUE(engine.prefill(id, begun(engine, prompt)).ok());
    const auto size = engine.inspect(id).value().tokens;
    const auto scored = engine.fork(id, size, {.capacity_tokens = 256}).value().sequence;
    Told told;
    told.scores = engine.score(scored, engine.tokenizer().tokenize(kScored).value()).value();
    engine::GenerateRequest request{id, {}};
    request.options.sampling.temperature = 0;
    request.options.max_tokens = count;
    request.options.ignore_end = true;
    told.tokens = engine.generate({&request, 1})[0].value().tokens;
    all.push_back(std::move(told));
    EXPECT_TRUE(engine.close(id).ok() && engine.close(scored).ok());
  }
  return all;
}

// The largest difference of a log probability.
double worst(const std::vector<Told>& one, const std::vector<Told>& two) {
  double most = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].scores.size(), two[i].scores.size());
    for (std::size_t k = 0; k < one[i].scores.size(); ++k) {
      most = std::max(most, std::abs(one[i].scores[k] - two[i].scores[k]));
    }
  }
  return most;
}

void expect_the_same_texts(const std::vector<Told>& one, const std::vector<Told>& two) {
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_EQ(one[i].tokens, two[i].tokens) << kPrompts[i];
}

TEST(FrameworkModels, TheSameTokensOfEveryTextInGemma) {
  const auto llama = make("llama", kConverted + "/model-f32.gguf");
  const auto transformers = make("transformers", kConverted + "/checkpoint-f32");
  ASSERT_TRUE(llama && transformers);
  expect_the_same_tokens(*llama, *transformers);
}

TEST(FrameworkModels, TheSameTokensAndChatsInQwenReadFromItsGguf) {
  BULKHEAD_NEED_MODEL(kQwen);
  const auto llama = make("llama", model_file(kQwen).string());
  const auto transformers = make("transformers", model_file(kQwen).string());
  ASSERT_TRUE(llama && transformers);
  expect_the_same_tokens(*llama, *transformers);
  expect_the_same_chat(*llama, *transformers);
}

// f32 weights and sums in all three. libllama keeps its cache in f16, whose 11 bits are an error of 2^-11 in every
// cell; transformers keeps f32. mlx_lm scales Gemma's embeddings by the square root of their size in bf16 (25.25
// for 25.298), which is more than all the rest: on tiny models, where that root is 8, it agrees within 1e-5
// (test_networks.py).
TEST(FrameworkModels, TheSameTextsAndLogProbabilitiesFromTheSameWeights) {
  constexpr std::uint32_t kTokens = 32;
  const auto run_on = [](const std::string& engine, const std::string& folder) {
    const auto made = make(engine, kConverted + folder);
    return made ? run(*made, kTokens) : std::vector<Told>();
  };
  const auto llama = run_on("llama", "/model-f32.gguf");
  const auto transformers = run_on("transformers", "/checkpoint-f32");
  const auto mlx = run_on("mlx", "/mlx-f32");
  ASSERT_TRUE(llama.size() == 3 && transformers.size() == 3 && mlx.size() == 3);
  expect_the_same_texts(llama, transformers);
  expect_the_same_texts(llama, mlx);
  std::cout << fmt::format(
      "  largest difference of a log probability: llama and transformers {:.2g}, llama and mlx "
      "{:.2g}, transformers and mlx {:.2g}\n",
      worst(llama, transformers), worst(llama, mlx), worst(transformers, mlx));
  EXPECT_LT(worst(llama, transformers), 0.01);
  EXPECT_LT(worst(llama, mlx), 0.05);
  EXPECT_LT(worst(transformers, mlx), 0.05);
}

}  // namespace
}  // namespace bulkhead::testing
