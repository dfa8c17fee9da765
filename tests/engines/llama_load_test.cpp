// SPDX-License-Identifier: MIT
// Model files that are missing, foreign, cut short, damaged or hostile: an error that names the damage, never an abort.
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
#include <limits>
#include <string>
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
