// SPDX-License-Identifier: MIT
// Model files that are missing, foreign, cut short, damaged or hostile: an error that names the damage, never an abort.
#include "engines/llama/assertions.h"
#include "engines/llama/backend.h"
#include "engines/llama/gguf_check.h"
#include "engines/llama/llama_engine.h"
#include "engines/real_models.h"
#include "engines/tiny_model.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engines::llama {
namespace {

using testing::TemporaryFolder;

class LlamaLoad : public ::testing::Test {
 protected:
  void SetUp() override { start_backend(); }

  std::string tiny() {
    const auto path = folder_ / "tiny.gguf";
    EXPECT_TRUE(testing::write_tiny_model(path));
    return path.string();
  }
  std::string file(std::string_view content) {
    const auto path = folder_ / "file.gguf";
    testing::write_file(path, content);
    return path.string();
  }
  static Error failure(const std::string& path, ModelOptions options = {}) {
    options.path = path;
    const auto made = make_llama_engine(options);
    EXPECT_FALSE(made.ok());
    return made.ok() ? Error{} : made.error();
  }

  TemporaryFolder folder_;
};

TEST_F(LlamaLoad, MissingFileIsAUsageError) {
  const auto error = failure((folder_ / "no.gguf").string());
  EXPECT_EQ(error.code, ErrorCode::kUsage);
  EXPECT_EQ(error.place, (folder_ / "no.gguf").string());
  EXPECT_EQ(failure(folder_.path().string()).code, ErrorCode::kUsage);
}

TEST_F(LlamaLoad, AnotherKindOfFileIsNamedByItsFirstBytes) {
  const auto error = failure(file("PK\x03\x04 a zip file"));
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_NE(error.message.find("PK\\x03\\x04"), std::string::npos) << error.message;
  EXPECT_EQ(failure(file("")).code, ErrorCode::kCorrupt);
}

TEST_F(LlamaLoad, AFileCutAnywhereIsCorrupt) {
  const auto path = tiny();
  const auto whole = std::filesystem::file_size(path);
  std::filesystem::resize_file(path, whole - 100);
  const auto error = failure(path);
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_NE(error.message.find(fmt::format("has {} bytes", whole - 100)), std::string::npos) << error.message;
  for (auto length = whole - 1; length > 0; length -= std::min(length, length > 20'000 ? std::uintmax_t{9973} : 13)) {
    std::filesystem::resize_file(path, length);
    const auto checked = check_gguf(path);
    ASSERT_FALSE(checked.ok()) << "cut at " << length << " of " << whole;
    EXPECT_EQ(checked.error().code, ErrorCode::kCorrupt) << length;
  }
}

TEST_F(LlamaLoad, HostileHeadersAreRefused) {
  const auto whole = testing::read_file(tiny());
  const auto with = [&](std::size_t offset, std::uint64_t value) {
    auto spoiled = whole;
    std::memcpy(spoiled.data() + offset, &value, sizeof(value));
    return spoiled;
  };
  for (const std::uint64_t value : {~0ULL, 1ULL << 62U, 1ULL << 40U, 1ULL << 31U}) {
    EXPECT_FALSE(check_gguf(file(with(8, value))).ok()) << "tensor count " << value;
    EXPECT_FALSE(check_gguf(file(with(16, value))).ok()) << "key count " << value;
    EXPECT_FALSE(check_gguf(file(with(24, value))).ok()) << "length of the first key " << value;
  }
}

// Bytes of the settings spoiled in turn: either the file is refused, or it still is a model.
TEST_F(LlamaLoad, FlippedHeaderBytesNeverAbort) {
  const auto path = tiny();
  const auto whole = testing::read_file(path);
  const auto end_of_settings = whole.find("tokenizer.ggml.tokens");
  ASSERT_NE(end_of_settings, std::string::npos);
  std::size_t refused = 0;
  std::fstream out(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](std::size_t at, char byte) {
    out.seekp(static_cast<std::streamoff>(at));
    out.put(byte);
    out.flush();
  };
  for (std::size_t i = 0; i < end_of_settings; i += 2) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      put(i, static_cast<char>(whole[i] ^ flip));
      ModelOptions options;
      options.path = path;
      options.threads = 1;
      refused += make_llama_engine(options).ok() ? 0U : 1U;
    }
    put(i, whole[i]);
  }
  EXPECT_GT(refused, end_of_settings / 2);
}

class LlamaMetadata : public LlamaLoad {
 protected:
  // The error of a whole model of which `bend` changes the metadata.
  Error bent(const std::function<void(gguf_context*)>& bend) {
    const auto path = folder_ / "bent.gguf";
    EXPECT_TRUE(testing::write_tiny_model(path, {}, bend));
    ModelOptions options;
    options.threads = 2;
    return failure(path.string(), options);
  }

  // A file with a header only.
  std::string header(const auto& fill) {
    const auto path = folder_ / "header.gguf";
    auto* gguf = gguf_init_empty();
    fill(gguf);
    EXPECT_TRUE(gguf_write_to_file(gguf, path.c_str(), false));
    gguf_free(gguf);
    return path.string();
  }
};

TEST_F(LlamaMetadata, CountsOutOfRangeAreCorrupt) {
  for (const auto* key : {"block_count", "embedding_length", "attention.head_count", "context_length"}) {
    for (const std::uint32_t value : {0U, 4'000'000'000U}) {
      if (value == 0 && std::string_view(key) == "attention.head_count") continue;  // layers without attention
      const auto error = failure(header([&](gguf_context* gguf) {
        gguf_set_val_str(gguf, "general.architecture", "llama");
        gguf_set_val_u32(gguf, (std::string("llama.") + key).c_str(), value);
      }));
      EXPECT_EQ(error.code, ErrorCode::kCorrupt);
      EXPECT_NE(error.message.find(key), std::string::npos) << error.message;
    }
    const auto error = failure(header([&](gguf_context* gguf) {
      gguf_set_val_str(gguf, "general.architecture", "llama");
      gguf_set_val_str(gguf, (std::string("llama.") + key).c_str(), "many");
    }));
    EXPECT_NE(error.message.find("of type str"), std::string::npos) << error.message;
  }
}

// libllama asserts them, which once ended the process.
TEST_F(LlamaMetadata, WhatLibllamaAssertsIsAnErrorOfTheFile) {
  const auto asserted = [&](const char* key, std::uint32_t value) {
    return bent([&](gguf_context* gguf) { gguf_set_val_u32(gguf, key, value); });
  };
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, std::uint32_t>>{{"gemma3.expert_count", 1},
                                                          {"gemma3.expert_count", 65535},
                                                          {"gemma3.expert_used_count", 1},
                                                          {"gemma3.expert_group_count", 1},
                                                          {"gemma3.nextn_predict_layers", 7},
                                                          {"gemma3.rope.dimension_count", 65535},
                                                          {"gemma3.rope.dimension_count", 1},
                                                          {"general.alignment", 1}}) {
    const auto error = asserted(key, value);
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << key << " " << value << ": " << error.message;
    EXPECT_NE(error.message, "");
  }
  const auto scaling =
      bent([](gguf_context* gguf) { gguf_set_val_str(gguf, "gemma3.rope.scaling.type", "no such scaling"); });
  EXPECT_EQ(scaling.code, ErrorCode::kCorrupt);
  EXPECT_NE(scaling.message.find("GGML_ASSERT"), std::string::npos) << scaling.message;
  EXPECT_EQ(scaling.message.find("/src/"), std::string::npos) << "a path of whoever built it: " << scaling.message;
  // The process is as able as before.
  ModelOptions options;
  options.path = tiny();
  EXPECT_TRUE(make_llama_engine(options).ok());
}

TEST_F(LlamaMetadata, ATokenizerThatDoesNotFitTheVocabularyEndsNothing) {
  for (const auto* kind : {"bert", "gpt2", "t5", "rwkv", "plamo2", "gemma4", "hybriddna", "test", "none", "no such"}) {
    const auto path = folder_ / "bent.gguf";
    ASSERT_TRUE(testing::write_tiny_model(
        path, {}, [&](gguf_context* gguf) { gguf_set_val_str(gguf, "tokenizer.ggml.model", kind); }));
    ModelOptions options;
    options.path = path.string();
    options.threads = 2;
    const auto made = make_llama_engine(options);
    if (!made.ok()) continue;
    const auto tokens = made.value()->tokenizer().tokenize("the thin man");
    EXPECT_TRUE(tokens.ok() || tokens.error().code == ErrorCode::kBadInput) << kind;
  }
}

TEST(AssertionScope, ThrowsOnItsThreadWhileOneLives) {
  start_backend();
  const auto assert_it = [] { ggml_abort("/some/where/llama.cpp", 7, "%s failed", "it"); };
  const AssertionScope outer;
  {
    const AssertionScope inner;
    EXPECT_THROW(assert_it(), AssertionFailed);
  }
  try {
    assert_it();
    ADD_FAILURE() << "the outer scope is still there";
  } catch (const AssertionFailed& failed) {
    EXPECT_STREQ(failed.what(), "llama.cpp:7: it failed");
  }
}

TEST(AssertionScopeDeathTest, OutsideOfOneItEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        start_backend();
        { const AssertionScope closed; }
        ggml_abort("llama.cpp", 7, "%s failed", "it");
      },
      "llama.cpp:7: it failed");
}

class SplitModel : public LlamaLoad {
 protected:
  // The log probabilities of a few tokens.
  static std::vector<double> scores(engine::Engine& engine) {
    const auto tokens = engine.tokenizer().tokenize("the thin man").value();
    const auto id = engine.open({.capacity_tokens = 64}).value();
    EXPECT_TRUE(engine.prefill(id, tokens, {}, {}).ok());
    auto scored = engine.score(id, tokens).value();
    EXPECT_TRUE(engine.close(id).ok());
    return scored;
  }
  static std::unique_ptr<engine::Engine> load(const std::filesystem::path& first) {
    ModelOptions options;
    options.path = first.string();
    options.threads = 1;
    auto made = make_llama_engine(options);
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return made.ok() ? std::move(made).value() : nullptr;
  }

  std::filesystem::path first_ = testing::write_split_tiny_model(folder_.path(), "m");
  std::filesystem::path second_ = folder_ / "m-00002-of-00002.gguf";
};

TEST_F(SplitModel, IsTheWholeModelOfAllItsParts) {
  const auto split = load(first_);
  const auto whole = load(tiny());
  ASSERT_TRUE(split && whole);
  EXPECT_EQ(scores(*split), scores(*whole));
  const auto bytes = std::filesystem::file_size(first_) + std::filesystem::file_size(second_);
  EXPECT_EQ(split->facts().model_bytes, bytes);
}

// Weights are shared in a process, snapshots kept: neither may take a model of which another part was put there.
TEST_F(SplitModel, WithAnotherPartIsAnotherModel) {
  const auto before = load(first_);
  ASSERT_TRUE(before);
  const auto tokens = before->tokenizer().tokenize("the thin man").value();
  const auto id = before->open({.capacity_tokens = 64}).value();
  ASSERT_TRUE(before->prefill(id, tokens, {}, {}).ok());
  const auto snapshot = before->snapshot(id);
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().to_string();
  EXPECT_TRUE(load(first_)->restore(*snapshot, {.capacity_tokens = 64}).ok()) << "the same model";
  std::filesystem::create_directory(folder_ / "other");
  const auto other = testing::write_split_tiny_model(folder_ / "other", "m", 8);
  std::filesystem::rename(folder_ / "other/m-00002-of-00002.gguf", second_);
  const auto after = load(first_);
  ASSERT_TRUE(after);
  EXPECT_NE(scores(*after), scores(*before));
  const auto refused = after->restore(*snapshot, {.capacity_tokens = 64});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kBadInput) << refused.error().to_string();
}

TEST_F(SplitModel, ThatIsNotWholeIsRefusedByTheNameOfThePart) {
  const auto later = failure(second_.string());
  EXPECT_EQ(later.code, ErrorCode::kUsage);
  EXPECT_NE(later.message.find("part 2 of 2"), std::string::npos) << later.message;
  std::filesystem::copy_file(first_, folder_ / "alone.gguf");
  EXPECT_EQ(failure((folder_ / "alone.gguf").string()).code, ErrorCode::kCorrupt) << "the name tells of one part";
  std::filesystem::copy_file(tiny(), folder_ / "tiny-00001-of-00002.gguf");
  EXPECT_FALSE(check_gguf((folder_ / "tiny-00001-of-00002.gguf").string()).ok()) << "the name tells of two";
  const auto size = std::filesystem::file_size(second_);
  std::filesystem::resize_file(second_, size - 100);
  const auto cut = failure(first_.string());
  EXPECT_EQ(cut.code, ErrorCode::kCorrupt);
  EXPECT_EQ(cut.place, second_.string());
  EXPECT_NE(cut.message.find("100 are missing"), std::string::npos) << cut.message;
  std::filesystem::remove(second_);
  const auto missing = failure(first_.string());
  EXPECT_EQ(missing.code, ErrorCode::kUsage);
  EXPECT_EQ(missing.place, second_.string());
}

TEST_F(LlamaMetadata, TablesMustFitTheVocabulary) {
  const auto with = [&](const auto& change) {
    return failure(header([&](gguf_context* gguf) {
      gguf_set_val_str(gguf, "general.architecture", "llama");
      change(gguf);
    }));
  };
  std::array<const char*, 3> words = {"one", "two", "one"};
  const auto twice =
      with([&](gguf_context* gguf) { gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", words.data(), 3); });
  EXPECT_EQ(twice.code, ErrorCode::kCorrupt);
  EXPECT_NE(twice.message.find("\"one\" twice"), std::string::npos) << twice.message;
  const std::array<std::int32_t, 2> numbers = {1, 2};
  for (const auto* key : {"tokenizer.ggml.scores", "tokenizer.ggml.token_type"}) {
    for (const std::size_t count : {std::size_t{1}, std::size_t{2}}) {
      const auto type = count == 1 ? GGUF_TYPE_INT32 : GGUF_TYPE_UINT32;  // too few, or of another type
      const auto error = with([&](gguf_context* gguf) {
        gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", words.data(), 2);
        gguf_set_arr_data(gguf, key, type, numbers.data(), count);
      });
      EXPECT_EQ(error.code, ErrorCode::kCorrupt);
      EXPECT_NE(error.message.find(key), std::string::npos) << error.message;
    }
  }
  const auto no_list = with([&](gguf_context* gguf) { gguf_set_val_u32(gguf, "tokenizer.ggml.tokens", 3); });
  EXPECT_NE(no_list.message.find("not a list"), std::string::npos) << no_list.message;
}

TEST_F(LlamaMetadata, EpsilonMustBeAPositiveNumber) {
  for (const float value : {-1.0F, std::numeric_limits<float>::quiet_NaN(), 2.0F}) {
    const auto error = failure(header([&](gguf_context* gguf) {
      gguf_set_val_str(gguf, "general.architecture", "llama");
      gguf_set_val_f32(gguf, "llama.attention.layer_norm_rms_epsilon", value);
    }));
    EXPECT_EQ(error.code, ErrorCode::kCorrupt);
    EXPECT_NE(error.message.find("epsilon"), std::string::npos) << error.message;
  }
}

TEST_F(LlamaMetadata, ArchitectureMustBeThereAndKnown) {
  EXPECT_EQ(failure(header([](gguf_context* gguf) { gguf_set_val_u32(gguf, "general.architecture", 3); })).code,
            ErrorCode::kCorrupt);
  const auto unknown =
      failure(header([](gguf_context* gguf) { gguf_set_val_str(gguf, "general.architecture", "abacus"); }));
  EXPECT_EQ(unknown.code, ErrorCode::kUnsupported);
  EXPECT_NE(unknown.message.find("abacus"), std::string::npos) << unknown.message;
  EXPECT_EQ(failure(header([](gguf_context* gguf) { gguf_set_val_str(gguf, "general.architecture", "llama"); })).code,
            ErrorCode::kCorrupt)
      << "a header without a model";
}

TEST_F(LlamaLoad, OptionsAreCheckedFirst) {
  const auto path = tiny();
  ModelOptions options;
  options.kv_type_k = "q5_1";
  EXPECT_EQ(failure(path, options).code, ErrorCode::kUsage);
  options = {};
  options.kv_type_v = "q8_0";
  options.flash_attention = false;
  const auto error = failure(path, options);
  EXPECT_EQ(error.code, ErrorCode::kUsage);
  EXPECT_NE(error.message.find("flash attention"), std::string::npos);
  options = {};
  options.grade = Grade::kProcess;
  EXPECT_EQ(failure(path, options).code, ErrorCode::kUsage);
  options = {};
  options.context_tokens = testing::kTinyContext + 4;
  const auto longer = failure(path, options);
  EXPECT_EQ(longer.code, ErrorCode::kResource);
  EXPECT_NE(longer.message.find("4 more"), std::string::npos) << longer.message;
}

TEST(ModelLlamaLoad, AGemmaFileCutAtATensorIsCorrupt) {
  BULKHEAD_NEED_MODEL(testing::kGemma);
  start_backend();
  const TemporaryFolder folder;
  const auto copy = folder / "cut.gguf";
  std::filesystem::copy_file(testing::model_file(testing::kGemma), copy);
  auto length = std::filesystem::file_size(copy);
  for (const std::uintmax_t keep : {length - 1, length / 2, std::uintmax_t{20'000'000}, std::uintmax_t{1'000'000}}) {
    std::filesystem::resize_file(copy, keep);
    ModelOptions options;
    options.path = copy.string();
    const auto made = make_llama_engine(options);
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(made.error().message.find(std::to_string(keep)), std::string::npos) << made.error().message;
  }
}

}  // namespace
}  // namespace bulkhead::engines::llama
