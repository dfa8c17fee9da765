// SPDX-License-Identifier: MIT
// Models with random weights: stable bytes, and the engine runs each shape and format.
#include "random_gguf.h"

#include "base/hash.h"
#include "engines/builtin.h"
#include "paths.h"
#include "temporary_folder.h"

#include <fmt/format.h>
#include <gguf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>
#include <tuple>

namespace bulkhead {
namespace {

using bench::load_shape;
using bench::write_random_gguf;
using ::testing::HasSubstr;

const std::string kShapes = testing::source_folder() + "/bench/shapes.json";

std::string made_sha256(const std::string& shape_name, const std::string& quantization, std::uint32_t seed) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "model.gguf";
  const auto shape = load_shape(kShapes, shape_name);
  EXPECT_TRUE(shape.ok());
  EXPECT_TRUE(write_random_gguf(shape.value(), quantization, seed, path).ok());
  return sha256_of_file(path).value();
}

std::set<std::string> matrix_types(const std::filesystem::path& path) {
  const std::unique_ptr<gguf_context, void (*)(gguf_context*)> gguf(
      gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}), gguf_free);
  std::set<std::string> types;
  for (std::int64_t i = 0; i < gguf_get_n_tensors(gguf.get()); ++i) {
    types.insert(ggml_type_name(gguf_get_tensor_type(gguf.get(), i)));
  }
  return types;
}

TEST(RandomGguf, TheSameArgumentsGiveTheSameBytes) {
  EXPECT_EQ(made_sha256("tiny-llama", "Q4_K_M", 1), made_sha256("tiny-llama", "Q4_K_M", 1));
  EXPECT_NE(made_sha256("tiny-llama", "Q4_K_M", 1), made_sha256("tiny-llama", "Q4_K_M", 2));
}

// Without quantization nothing depends on compiler or processor: benches of two machines run the very same model.
TEST(RandomGguf, BytesOfUnquantizedWeightsArePinned) {
  EXPECT_EQ(made_sha256("tiny-llama", "F16", 1), "64b95a1baafe86bec28bcd6ff74a3d83154891f3c4265fbdca4f9a4c2e133412");
}

TEST(RandomGguf, AMixHoldsTheTypesOfLlamaCppsMix) {
  const testing::TemporaryFolder folder;
  const auto made = [&](const std::string& shape) {
    const auto path = folder.path() / shape;
    EXPECT_TRUE(write_random_gguf(load_shape(kShapes, shape).value(), "Q4_K_M", 1, path).ok());
    return matrix_types(path);
  };
  EXPECT_THAT(made("tiny-llama"), ::testing::UnorderedElementsAre("f32", "q4_K", "q6_K"));
  // Rows of 320 values do not divide into blocks of 256.
  EXPECT_THAT(made("tiny-gemma3"), ::testing::UnorderedElementsAre("f32", "q4_K", "q5_0", "q6_K", "q8_0"));
}

TEST(RandomGguf, SaysWhatItCannotMake) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "model.gguf";
  auto shape = load_shape(kShapes, "tiny-llama").value();
  const auto unknown = write_random_gguf(shape, "Q3_K", 1, path);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().advice, HasSubstr("Q4_K_M, Q4_K,"));
  shape.feed_forward = 500;
  const auto odd = write_random_gguf(shape, "Q8_0", 1, path);
  ASSERT_FALSE(odd.ok());
  EXPECT_THAT(odd.error().message, HasSubstr("blk.0.ffn_down.weight: rows of 500 values"));
  const auto nowhere =
      write_random_gguf(load_shape(kShapes, "tiny-llama").value(), "F16", 1, folder.path() / "no" / "m");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.error().code, ErrorCode::kResource);
}

TEST(RandomGguf, ShapesAreChecked) {
  EXPECT_THAT(load_shape(kShapes, "llama-9t").error().advice, HasSubstr("tiny-llama, tiny-qwen2"));
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "shapes.json";
  const auto refused = [&](const std::string& changed_field) {
    std::string fields =
        R"("architecture": "qwen2", "layers": 2, "embedding": 256, "feed_forward": 512, "heads": 4, "kv_heads": 2,
           "head": 64, "vocabulary": 512, "context": 4096, "window": 0, "rope_base": 10000, "tied_output": true)";
    const auto name = changed_field.substr(0, changed_field.find(':'));
    const auto from = fields.find(name);
    fields.replace(from, fields.find(',', from) - from, changed_field);
    std::ofstream(path) << "{\"odd\": {" << fields << "}}";
    const auto shape = load_shape(path, "odd");
    return shape.ok() ? std::string("accepted") : shape.error().to_string();
  };
  EXPECT_EQ(refused("\"layers\": 3"), "accepted");
  EXPECT_THAT(refused("\"architecture\": \"mamba\""), HasSubstr("architecture"));
  EXPECT_THAT(refused("\"kv_heads\": 3"), HasSubstr("multiple of kv_heads"));
  EXPECT_THAT(refused("\"head\": 32"), HasSubstr("heads times head"));
  EXPECT_THAT(refused("\"window\": 16"), HasSubstr("only gemma3"));
  EXPECT_THAT(refused("\"vocabulary\": 100"), HasSubstr("vocabulary"));
}

class EveryRandomModel : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(EveryRandomModel, LoadsTokenizesAndGenerates) {
  const auto& [shape_name, quantization] = GetParam();
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "model.gguf";
  const auto shape = load_shape(kShapes, shape_name).value();
  ASSERT_TRUE(write_random_gguf(shape, quantization, 3, path).ok());
  ModelOptions options;
  options.path = path.string();
  options.threads = 1;
  const auto loaded = engines::builtin_engines().make(options);
  ASSERT_TRUE(loaded.ok()) << loaded.error().to_string();
  auto& engine = *loaded.value();
  EXPECT_EQ(engine.facts().architecture, shape.architecture);
  EXPECT_EQ(engine.facts().vocabulary, shape.vocabulary);
  EXPECT_EQ(engine.facts().window_tokens, shape.window);
  const auto prompt = engine.tokenizer().tokenize("the hull, \xc3\xa9tanche").value();
  std::string read_back;
  for (const auto token : prompt) read_back += engine.tokenizer().piece(token);
  EXPECT_THAT(read_back, HasSubstr("the hull, \xc3\xa9tanche"));
  const auto sequence = engine.open({.capacity_tokens = 128}).value();
  ASSERT_TRUE(engine.prefill(sequence, prompt).ok());
  const engine::GenerateRequest request{sequence,
                                        {.sampling = {.temperature = 0}, .max_tokens = 16, .ignore_end = true}};
  const auto results = engine.generate(std::span(&request, 1));
  ASSERT_TRUE(results[0].ok()) << results[0].error().to_string();
  EXPECT_EQ(results[0].value().tokens.size(), 16U);
  // A model whose weights say nothing would repeat one token.
  EXPECT_GT(std::set(results[0].value().tokens.begin(), results[0].value().tokens.end()).size(), 2U);
}

INSTANTIATE_TEST_SUITE_P(RandomGguf, EveryRandomModel,
                         ::testing::Combine(::testing::Values("tiny-llama", "tiny-qwen2", "tiny-gemma3"),
                                            ::testing::Values("Q4_K_M", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q5_0", "Q4_0",
                                                              "F16", "BF16")),
                         [](const auto& instance) {
                           auto name = std::get<0>(instance.param) + "_" + std::get<1>(instance.param);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace bulkhead
