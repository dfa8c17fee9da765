// SPDX-License-Identifier: MIT
// A whole GGUF model of some 200 kB with random weights: libllama runs it like any other, in milliseconds. Its
// text is noise, but depends on every token it can see.
#pragma once

#include "gguf_file.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace bulkhead::testing {

inline constexpr std::uint32_t kTinyWindow = 32;
inline constexpr std::uint32_t kTinyContext = 4096;

struct TinyModelOptions {
  std::uint32_t window = 0;           // 0: every layer sees everything; else five of six layers see this many tokens
  std::int64_t head = 64;             // values of a head; our attention takes multiples of 16
  ggml_type up_type = GGML_TYPE_F32;  // of blk.0.ffn_up.weight
  std::uint32_t pooling = 0;          // libllama's number for how token vectors become one; 0: they do not
  std::string chat_template =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
};

namespace tiny {

inline constexpr std::int64_t kEmbedding = 64;
inline constexpr std::int64_t kFeedForward = 64;
inline constexpr std::uint32_t kLayers = 6;

inline bench::Vocabulary vocabulary() {
  bench::Vocabulary all;
  all.add_bytes();
  all.add("<|im_start|>", 0, bench::TokenKind::kControl);
  all.add("<|im_end|>", 0, bench::TokenKind::kControl);
  // Merging plain pieces leads to this control token.
  for (const char* piece : {"<e", "os", "os>"}) all.add(piece, -1, bench::TokenKind::kNormal);
  all.add("<eos>", -1, bench::TokenKind::kControl);
  all.add_pieces();
  return all;
}

inline void set_metadata(bench::GgufFile& file, const TinyModelOptions& options) {
  gguf_context* gguf = file.metadata();
  gguf_set_val_str(gguf, "general.architecture", "gemma3");
  gguf_set_val_str(gguf, "general.name", "tiny");
  gguf_set_val_u32(gguf, "gemma3.context_length", kTinyContext);
  gguf_set_val_u32(gguf, "gemma3.embedding_length", static_cast<std::uint32_t>(kEmbedding));
  gguf_set_val_u32(gguf, "gemma3.block_count", kLayers);
  gguf_set_val_u32(gguf, "gemma3.feed_forward_length", static_cast<std::uint32_t>(kFeedForward));
  if (options.pooling > 0) gguf_set_val_u32(gguf, "gemma3.pooling_type", options.pooling);
  gguf_set_val_u32(gguf, "gemma3.attention.head_count", 1);
  gguf_set_val_u32(gguf, "gemma3.attention.head_count_kv", 1);
  gguf_set_val_u32(gguf, "gemma3.attention.key_length", static_cast<std::uint32_t>(options.head));
  gguf_set_val_u32(gguf, "gemma3.attention.value_length", static_cast<std::uint32_t>(options.head));
  gguf_set_val_f32(gguf, "gemma3.attention.layer_norm_rms_epsilon", 1e-6F);
  if (options.window > 0) gguf_set_val_u32(gguf, "gemma3.attention.sliding_window", options.window);
  if (!options.chat_template.empty()) {
    gguf_set_val_str(gguf, "tokenizer.chat_template", options.chat_template.c_str());
  }
}

// `file_of` gives the file that a weight of this name goes into.
inline void add_weights(const auto& file_of, const bench::Vocabulary& words, const TinyModelOptions& options = {},
                        std::uint32_t seed = 7) {
  bench::Noise noise(seed);
  const auto ones = [&](const std::string& name, std::int64_t size) {
    file_of(name).add_vector(name, size, [] { return 1.0F; });
  };
  const auto random = [&](const std::string& name, std::int64_t columns, std::int64_t rows, float spread,
                          ggml_type type = GGML_TYPE_F32) {
    file_of(name).add_matrix(name, type, columns, rows, [&noise, spread] { return spread * noise.next(); });
  };
  const auto size = static_cast<std::int64_t>(words.texts.size());
  random("token_embd.weight", kEmbedding, size, 0.1F);
  ones("output_norm.weight", kEmbedding);
  // Logit 0 for everything that is not printable text: greedy text is ASCII.
  file_of("output.weight")
      .add_matrix("output.weight", GGML_TYPE_F32, kEmbedding, size,
                  [&noise, &words, index = std::int64_t{0}]() mutable {
                    const float value = 0.25F * noise.next();
                    const auto token = static_cast<std::size_t>(index++ / kEmbedding);
                    return words.kinds[token] == static_cast<std::int32_t>(bench::TokenKind::kNormal) ? value : 0.0F;
                  });
  const float spread = 1.0F / std::sqrt(static_cast<float>(kEmbedding));
  for (std::uint32_t layer = 0; layer < kLayers; ++layer) {
    const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}.weight", layer, part); };
    for (const auto* norm : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"}) {
      ones(name(norm), kEmbedding);
    }
    ones(name("attn_q_norm"), options.head);
    ones(name("attn_k_norm"), options.head);
    random(name("attn_q"), kEmbedding, options.head, spread);
    random(name("attn_k"), kEmbedding, options.head, spread);
    random(name("attn_v"), kEmbedding, options.head, spread);
    random(name("attn_output"), options.head, kEmbedding, spread);
    random(name("ffn_gate"), kEmbedding, kFeedForward, spread);
    random(name("ffn_up"), kEmbedding, kFeedForward, spread, layer == 0 ? options.up_type : GGML_TYPE_F32);
    random(name("ffn_down"), kFeedForward, kEmbedding, spread);
  }
}

}  // namespace tiny

// False when the file could not be written. `bend` may change its metadata.
[[nodiscard]] inline bool write_tiny_model(const std::filesystem::path& path, const TinyModelOptions& options,
                                           const std::function<void(gguf_context*)>& bend) {
  bench::GgufFile file;
  const auto words = tiny::vocabulary();
  tiny::set_metadata(file, options);
  file.set_vocabulary(words);
  tiny::add_weights([&](const std::string&) -> bench::GgufFile& { return file; }, words, options);
  bend(file.metadata());
  return file.write(path);
}
[[nodiscard]] inline bool write_tiny_model(const std::filesystem::path& path, const TinyModelOptions& options = {}) {
  return write_tiny_model(path, options, [](gguf_context*) {});
}

// The same model in two parts, "NAME-00001-of-00002.gguf" and the second, which holds the layers; their values depend
// on `seed`. Gives the path of the first part; empty when they could not be written.
[[nodiscard]] inline std::filesystem::path write_split_tiny_model(const std::filesystem::path& folder,
                                                                  const std::string& name, std::uint32_t seed = 7) {
  std::array<bench::GgufFile, 2> parts;
  const auto words = tiny::vocabulary();
  tiny::set_metadata(parts[0], {});
  parts[0].set_vocabulary(words);
  std::int32_t tensors = 0;
  const auto file_of = [&](const std::string& weight) -> bench::GgufFile& {
    ++tensors;
    return parts[weight.starts_with("blk.") ? 1 : 0];
  };
  tiny::add_weights(file_of, words, {}, seed);
  for (std::uint16_t part = 0; part < 2; ++part) {
    gguf_context* gguf = parts[part].metadata();
    gguf_set_val_u16(gguf, "split.no", part);
    gguf_set_val_u16(gguf, "split.count", 2);
    gguf_set_val_i32(gguf, "split.tensors.count", tensors);
    if (!parts[part].write(folder / fmt::format("{}-{:05}-of-00002.gguf", name, part + 1))) return {};
  }
  return folder / fmt::format("{}-00001-of-00002.gguf", name);
}

}  // namespace bulkhead::testing
