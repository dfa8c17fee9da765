// SPDX-License-Identifier: MIT
// A whole GGUF model of some 200 kB with random weights: libllama runs it like any other, in milliseconds. Its
// text is noise, but depends on every token it can see.
#pragma once

#include <fmt/format.h>
#include <ggml.h>
#include <gguf.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::testing {

inline constexpr std::uint32_t kTinyWindow = 32;
inline constexpr std::uint32_t kTinyContext = 4096;

struct TinyModelOptions {
  std::uint32_t window = 0;  // 0: every layer sees everything; else five of six layers see this many tokens
  std::string chat_template =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
};

namespace tiny {

inline constexpr std::int64_t kEmbedding = 64;
inline constexpr std::int64_t kHead = 64;  // a multiple of the quantized blocks
inline constexpr std::int64_t kFeedForward = 64;
inline constexpr std::uint32_t kLayers = 6;

struct Vocabulary {
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<std::int32_t> types;

  void add(std::string text, float score, std::int32_t type) {
    texts.push_back(std::move(text));
    scores.push_back(score);
    types.push_back(type);
  }
};

inline Vocabulary vocabulary() {
  constexpr std::int32_t kNormal = 1;
  constexpr std::int32_t kUnknown = 2;
  constexpr std::int32_t kControl = 3;
  constexpr std::int32_t kByte = 6;
  Vocabulary all;
  all.add("<unk>", 0, kUnknown);
  all.add("<s>", 0, kControl);
  all.add("</s>", 0, kControl);
  for (int byte = 0; byte < 256; ++byte) all.add(fmt::format("<0x{:02X}>", byte), 0, kByte);
  all.add("<|im_start|>", 0, kControl);
  all.add("<|im_end|>", 0, kControl);
  // Merging plain pieces leads to this control token.
  for (const char* piece : {"<e", "os", "os>"}) all.add(piece, -1, kNormal);
  all.add("<eos>", -1, kControl);
  for (char letter = '!'; letter <= '~'; ++letter) all.add(std::string(1, letter), -2, kNormal);
  all.add("\xe2\x96\x81", -2, kNormal);  // how SentencePiece writes a space
  for (const char* piece : {"th", "he", "the", "in", "er", "an", "\xe2\x96\x81the"}) all.add(piece, -1, kNormal);
  return all;
}

inline void set_metadata(gguf_context* gguf, const TinyModelOptions& options, const Vocabulary& words) {
  gguf_set_val_str(gguf, "general.architecture", "gemma3");
  gguf_set_val_str(gguf, "general.name", "tiny");
  gguf_set_val_u32(gguf, "gemma3.context_length", kTinyContext);
  gguf_set_val_u32(gguf, "gemma3.embedding_length", static_cast<std::uint32_t>(kEmbedding));
  gguf_set_val_u32(gguf, "gemma3.block_count", kLayers);
  gguf_set_val_u32(gguf, "gemma3.feed_forward_length", static_cast<std::uint32_t>(kFeedForward));
  gguf_set_val_u32(gguf, "gemma3.attention.head_count", 1);
  gguf_set_val_u32(gguf, "gemma3.attention.head_count_kv", 1);
  gguf_set_val_u32(gguf, "gemma3.attention.key_length", static_cast<std::uint32_t>(kHead));
  gguf_set_val_u32(gguf, "gemma3.attention.value_length", static_cast<std::uint32_t>(kHead));
  gguf_set_val_f32(gguf, "gemma3.attention.layer_norm_rms_epsilon", 1e-6F);
  if (options.window > 0) gguf_set_val_u32(gguf, "gemma3.attention.sliding_window", options.window);
  std::vector<const char*> texts;
  for (const auto& text : words.texts) texts.push_back(text.c_str());
  gguf_set_val_str(gguf, "tokenizer.ggml.model", "llama");
  gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", texts.data(), texts.size());
  gguf_set_arr_data(gguf, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, words.scores.data(), words.scores.size());
  gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, words.types.data(), words.types.size());
  gguf_set_val_u32(gguf, "tokenizer.ggml.bos_token_id", 1);
  gguf_set_val_u32(gguf, "tokenizer.ggml.eos_token_id", 2);
  gguf_set_val_u32(gguf, "tokenizer.ggml.unknown_token_id", 0);
  if (!options.chat_template.empty()) {
    gguf_set_val_str(gguf, "tokenizer.chat_template", options.chat_template.c_str());
  }
}

class Weights {
 public:
  explicit Weights(gguf_context* gguf) : gguf_(gguf), context_(ggml_init({16U << 20U, nullptr, false})) {}
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;
  ~Weights() { ggml_free(context_); }

  void ones(const std::string& name, std::int64_t size) {
    float* data = add(name, ggml_new_tensor_1d(context_, GGML_TYPE_F32, size));
    std::fill(data, data + size, 1.0F);
  }
  float* random(const std::string& name, std::int64_t columns, std::int64_t rows, float spread) {
    float* data = add(name, ggml_new_tensor_2d(context_, GGML_TYPE_F32, columns, rows));
    for (std::int64_t i = 0; i < columns * rows; ++i) data[i] = spread * noise();
    return data;
  }

 private:
  // The same on every system, unlike the standard distributions: a sum of uniforms, about normal.
  float noise() {
    float sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(generator_()) / 4294967296.0F - 0.5F;
    return sum * 1.7F;
  }
  float* add(const std::string& name, ggml_tensor* tensor) {
    ggml_set_name(tensor, name.c_str());
    gguf_add_tensor(gguf_, tensor);
    return ggml_get_data_f32(tensor);
  }

  gguf_context* gguf_;
  ggml_context* context_;
  std::mt19937 generator_{7};
};

inline void add_weights(Weights& weights, const Vocabulary& words) {
  const auto size = static_cast<std::int64_t>(words.texts.size());
  weights.random("token_embd.weight", kEmbedding, size, 0.1F);
  weights.ones("output_norm.weight", kEmbedding);
  float* output = weights.random("output.weight", kEmbedding, size, 0.25F);
  // Logit 0 for everything that is not printable text: greedy text is ASCII.
  for (std::int64_t token = 0; token < size; ++token) {
    const auto index = static_cast<std::size_t>(token);
    if (words.types[index] != 1) std::fill_n(output + token * kEmbedding, kEmbedding, 0.0F);
  }
  const float spread = 1.0F / std::sqrt(static_cast<float>(kEmbedding));
  for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
    const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}.weight", layer, part); };
    for (const auto* norm : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"}) {
      weights.ones(name(norm), kEmbedding);
    }
    weights.ones(name("attn_q_norm"), kHead);
    weights.ones(name("attn_k_norm"), kHead);
    weights.random(name("attn_q"), kEmbedding, kHead, spread);
    weights.random(name("attn_k"), kEmbedding, kHead, spread);
    weights.random(name("attn_v"), kEmbedding, kHead, spread);
    weights.random(name("attn_output"), kHead, kEmbedding, spread);
    weights.random(name("ffn_gate"), kEmbedding, kFeedForward, spread);
    weights.random(name("ffn_up"), kEmbedding, kFeedForward, spread);
    weights.random(name("ffn_down"), kFeedForward, kEmbedding, spread);
  }
}

}  // namespace tiny

// False when the file could not be written.
[[nodiscard]] inline bool write_tiny_model(const std::filesystem::path& path, const TinyModelOptions& options = {}) {
  const std::unique_ptr<gguf_context, void (*)(gguf_context*)> gguf(gguf_init_empty(), gguf_free);
  const auto words = tiny::vocabulary();
  tiny::set_metadata(gguf.get(), options, words);
  tiny::Weights weights(gguf.get());
  tiny::add_weights(weights, words);
  return gguf_write_to_file(gguf.get(), path.c_str(), false);
}

}  // namespace bulkhead::testing
