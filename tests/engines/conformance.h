// SPDX-License-Identifier: MIT
// What the conformance tests share: every kind of engine, and a fixture with the calls that they make again and again.
#pragma once

#include "engine/engine.h"

#include "base/hash.h"
#include "desk/desk.h"
#include "engines/builtin.h"
#include "engines/fake/fake_engine.h"
#include "engines/real_models.h"
#include "engines/tiny_model.h"
#include "paths.h"
#include "temporary_folder.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::testing {

using engine::Engine;
using engine::GenerateRequest;
using engine::GenerateResult;
using engine::SequenceId;
using engine::Token;

inline constexpr std::string_view kStory =
    "The lighthouse keeper counted the ships each evening. On Monday there were four, on Tuesday seven, and on "
    "Wednesday";
inline constexpr std::string_view kOther =
    "A recipe for bread needs flour, water, salt and yeast. First, mix the flour with";

enum class Base { kFake, kTiny, kWindowed, kRealModel, kTransformers, kMlx };

struct Kind {
  std::string name;
  Base base = Base::kFake;
  Grade grade = Grade::kBuffer;
  bool flash_attention = true;
  std::string family = {};  // of a checkpoint made by tiny_checkpoints.py
  bool desk = false;        // through a desk
};

// An engine of another framework on a tiny checkpoint.
inline Kind framework(Base base, const std::string& family, bool desk = false) {
  const std::string name = base == Base::kMlx ? "Mlx" : "Transformers";
  return {(desk ? "Desk" : "") + name + family, base, Grade::kBuffer, true, family, desk};
}

inline void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

inline Result<std::unique_ptr<Engine>> make_engine(const Kind& kind) {
  if (kind.desk) {
    auto plain = kind;
    plain.desk = false;
    BH_TRY(auto inside, make_engine(plain));
    return desk::Desk::open(std::move(inside))->client("somebody");
  }
  ::setenv("BULKHEAD_PROGRAM", (testing::build_folder() + "/src/bulkhead").c_str(), 1);
  if (kind.base == Base::kFake && kind.grade == Grade::kProcess) {
    ModelOptions options;
    options.engine = "fake";
    options.grade = kind.grade;
    return engines::builtin_engines().make(options);
  }
  if (kind.base == Base::kFake) return engines::fake::make_fake_engine({.grade = kind.grade, .faults = {}});
  ModelOptions options;
  options.grade = kind.grade;
  options.context_tokens = 2048;
  options.flash_attention = kind.flash_attention;
  if (kind.base == Base::kRealModel) return load_llama(kGemma, options);
  if (!kind.family.empty()) {
    options.engine = kind.base == Base::kMlx ? "mlx" : "transformers";
    options.path = testing::build_folder() + "/tiny_checkpoints/" + kind.family;
    options.threads = 1;
    return engines::builtin_engines().make(options);
  }
  // Workers read it whenever one starts.
  static const TemporaryFolder folder;
  options.path = folder / (kind.name + ".gguf");
  options.threads = 1;
  const auto window = kind.base == Base::kWindowed ? kTinyWindow : 0;
  // Once: another engine may have it open.
  const bool there = std::filesystem::exists(options.path);
  if (!there && !write_tiny_model(options.path, {.window = window}))
    return Error{ErrorCode::kInternal, "not written", {}, {}};
  return engines::builtin_engines().make(options);
}

// One engine per kind and process: loading takes longer than the tests. They are closed before main() ends, as a
// program's are: what a thread of theirs holds in libcrypto would leak after that.
class EnginesOfKinds : public ::testing::Environment {
 public:
  static std::map<std::string, std::unique_ptr<Engine>>& all() {
    static std::map<std::string, std::unique_ptr<Engine>> engines;
    return engines;
  }
  void TearDown() override { all().clear(); }
};
inline const ::testing::Environment* const kEnginesOfKinds = ::testing::AddGlobalTestEnvironment(new EnginesOfKinds);

inline Engine* engine_of(const Kind& kind) {
  auto& slot = EnginesOfKinds::all()[kind.name];
  if (slot) return slot.get();
  auto made = make_engine(kind);
  if (made.ok()) {
    slot = std::move(made).value();
  } else {
    ADD_FAILURE() << made.error().to_string();
  }
  return slot.get();
}

class Conformance : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam().base == Base::kRealModel) BULKHEAD_NEED_MODEL(kGemma);
    engine_ = engine_of(GetParam());
    ASSERT_NE(engine_, nullptr);
  }

  void TearDown() override {
    if (engine_ == nullptr) return;
    for (const auto id : opened_) static_cast<void>(engine_->close(id));
  }

  // Pages: a sequence takes what it holds, and gives back what a window has left.
  [[nodiscard]] bool paged() const { return engine_->facts().implementation.at("cache").starts_with("pages"); }

  SequenceId open(std::uint32_t capacity = 256) {
    const auto id = engine_->open({.capacity_tokens = capacity});
    EXPECT_TRUE(id.ok()) << (id.ok() ? "" : id.error().to_string());
    if (!id.ok()) return SequenceId(~0U);
    opened_.push_back(id.value());
    return id.value();
  }

  SequenceId fork(SequenceId source, std::uint32_t tokens, std::uint32_t capacity = 256) {
    const auto made = engine_->fork(source, tokens, {.capacity_tokens = capacity});
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    if (!made.ok()) return SequenceId(~0U);
    EXPECT_EQ(made.value().reused_tokens + made.value().prefilled_tokens, tokens);
    opened_.push_back(made.value().sequence);
    return made.value().sequence;
  }

  std::vector<Token> tokens(std::string_view text) {
    std::vector<Token> all;
    if (const auto bos = engine_->tokenizer().bos()) all.push_back(*bos);
    const auto words = engine_->tokenizer().tokenize(text);
    EXPECT_TRUE(words.ok());
    if (words.ok()) all.insert(all.end(), words.value().begin(), words.value().end());
    return all;
  }

  void prefill(SequenceId id, const std::vector<Token>& what) {
    const auto done = engine_->prefill(id, what);
    ASSERT_TRUE(done.ok()) << done.error().to_string();
    EXPECT_EQ(done.value().tokens, what.size());
  }

  SequenceId open_with(std::string_view text, std::uint32_t capacity = 256) {
    const auto id = open(capacity);
    prefill(id, tokens(text));
    return id;
  }

  static GenerateOptions greedy(std::uint32_t count) {
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.max_tokens = count;
    options.ignore_end = true;
    options.hash_logits = true;
    return options;
  }

  static GenerateOptions sampled(std::uint32_t count, std::uint32_t seed) {
    auto options = greedy(count);
    options.sampling.temperature = 1.0F;
    options.sampling.seed = seed;
    return options;
  }

  GenerateResult generate(SequenceId id, const GenerateOptions& options) {
    const GenerateRequest request{id, options};
    auto results = engine_->generate({&request, 1});
    EXPECT_EQ(results.size(), 1U);
    EXPECT_TRUE(results[0].ok()) << (results[0].ok() ? "" : results[0].error().to_string());
    return results[0].ok() ? std::move(results[0]).value() : GenerateResult{};
  }

  engine::SequenceState inspect(SequenceId id) {
    const auto state = engine_->inspect(id);
    EXPECT_TRUE(state.ok()) << (state.ok() ? "" : state.error().to_string());
    return state.ok() ? state.value() : engine::SequenceState{};
  }

  // In one shared buffer new tokens lie in other cells, so sums run in another order and last bits may differ.
  [[nodiscard]] bool same_bits() const { return GetParam().grade != Grade::kMask; }

  // SentencePiece writes a space as U+2581, so that one in the text becomes a space.
  [[nodiscard]] bool spells_spaces_as_marks() const {
    return GetParam().base != Base::kFake && GetParam().family != "qwen2";
  }

  Engine* engine_ = nullptr;
  std::vector<SequenceId> opened_;
};

inline std::string kind_name(const ::testing::TestParamInfo<Kind>& instance) {
  return instance.param.name;
}

}  // namespace bulkhead::testing

// All engines there are, for one suite of tests. By their names those that need a real model get the label "model",
// those of other frameworks the label "workers" (tests/CMakeLists.txt).
#define BULKHEAD_FOR_ALL_ENGINES(suite)                                                                            \
  INSTANTIATE_TEST_SUITE_P(Fake, suite, ::testing::Values(Kind{"Fake", Base::kFake}), kind_name);                  \
  INSTANTIATE_TEST_SUITE_P(                                                                                        \
      TinyLlama, suite,                                                                                            \
      ::testing::Values(Kind{"Buffer", Base::kTiny}, Kind{"BufferNoFlash", Base::kTiny, Grade::kBuffer, false},    \
                        Kind{"Mask", Base::kTiny, Grade::kMask}, Kind{"Window", Base::kWindowed},                  \
                        Kind{"WindowMask", Base::kWindowed, Grade::kMask}),                                        \
      kind_name);                                                                                                  \
  INSTANTIATE_TEST_SUITE_P(Desk, suite,                                                                            \
                           ::testing::Values(Kind{"DeskFake", Base::kFake, Grade::kBuffer, true, "", true},        \
                                             Kind{"DeskTiny", Base::kTiny, Grade::kBuffer, true, "", true},        \
                                             Kind{"DeskWindow", Base::kWindowed, Grade::kBuffer, true, "", true}), \
                           kind_name);                                                                             \
  INSTANTIATE_TEST_SUITE_P(Process, suite,                                                                         \
                           ::testing::Values(Kind{"ProcessFake", Base::kFake, Grade::kProcess},                    \
                                             Kind{"ProcessTiny", Base::kTiny, Grade::kProcess},                    \
                                             Kind{"ProcessWindow", Base::kWindowed, Grade::kProcess},              \
                                             Kind{"DeskProcess", Base::kTiny, Grade::kProcess, true, "", true}),   \
                           kind_name);                                                                             \
  INSTANTIATE_TEST_SUITE_P(                                                                                        \
      FrameworkTransformers, suite,                                                                                \
      ::testing::Values(framework(Base::kTransformers, "gemma2"), framework(Base::kTransformers, "gemma3"),        \
                        framework(Base::kTransformers, "llama"), framework(Base::kTransformers, "qwen2"),          \
                        framework(Base::kTransformers, "llama", true)),                                            \
      kind_name);                                                                                                  \
  INSTANTIATE_TEST_SUITE_P(FrameworkMlx, suite,                                                                    \
                           ::testing::Values(framework(Base::kMlx, "gemma2"), framework(Base::kMlx, "gemma3"),     \
                                             framework(Base::kMlx, "llama"), framework(Base::kMlx, "qwen2")),      \
                           kind_name);                                                                             \
  INSTANTIATE_TEST_SUITE_P(                                                                                        \
      ModelLlama, suite,                                                                                           \
      ::testing::Values(Kind{"GemmaBuffer", Base::kRealModel}, Kind{"GemmaMask", Base::kRealModel, Grade::kMask}), \
      kind_name)
