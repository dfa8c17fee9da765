// SPDX-License-Identifier: MIT
#include "gguf_file.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::bench {
namespace {

constexpr std::size_t kMostTensors = 4096;
constexpr std::int64_t kValuesAtOnce = 1 << 20;  // bounds the memory for values not quantized yet

}  // namespace

float Noise::next() {
  float sum = 0;
  for (int i = 0; i < 4; ++i) sum += static_cast<float>(generator_()) / 4294967296.0F - 0.5F;
  return sum * 1.7F;
}

void Vocabulary::add(std::string text, float score, TokenKind kind) {
  texts.push_back(std::move(text));
  scores.push_back(score);
  kinds.push_back(static_cast<std::int32_t>(kind));
}

void Vocabulary::add_bytes() {
  add("<unk>", 0, TokenKind::kUnknown);
  add("<s>", 0, TokenKind::kControl);
  add("</s>", 0, TokenKind::kControl);
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 0, TokenKind::kByte);
}

void Vocabulary::add_pieces() {
  for (char letter = '!'; letter <= '~'; ++letter) add(std::string(1, letter), -2, TokenKind::kNormal);
  add("\xe2\x96\x81", -2, TokenKind::kNormal);  // how SentencePiece writes a space
  for (const char* piece : {"th", "he", "the", "in", "er", "an", "\xe2\x96\x81the"}) {
    add(piece, -1, TokenKind::kNormal);
  }
}

GgufFile::GgufFile()
    : gguf_(gguf_init_empty(), gguf_free),
      tensors_(ggml_init({kMostTensors * ggml_tensor_overhead(), nullptr, true}), ggml_free) {}

void GgufFile::set_vocabulary(const Vocabulary& words) {
  std::vector<const char*> texts;
  texts.reserve(words.texts.size());
  for (const auto& text : words.texts) texts.push_back(text.c_str());
  gguf_context* gguf = gguf_.get();
  gguf_set_val_str(gguf, "tokenizer.ggml.model", "llama");
  gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", texts.data(), texts.size());
  gguf_set_arr_data(gguf, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, words.scores.data(), words.scores.size());
  gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, words.kinds.data(), words.kinds.size());
  gguf_set_val_u32(gguf, "tokenizer.ggml.bos_token_id", 1);
  gguf_set_val_u32(gguf, "tokenizer.ggml.eos_token_id", 2);
  gguf_set_val_u32(gguf, "tokenizer.ggml.unknown_token_id", 0);
}

void GgufFile::add_matrix(const std::string& name, ggml_type type, std::int64_t columns, std::int64_t rows,
                          const std::function<float()>& next) {
  add(ggml_new_tensor_2d(tensors_.get(), type, columns, rows), name, next);
}

void GgufFile::add_vector(const std::string& name, std::int64_t size, const std::function<float()>& next) {
  add(ggml_new_tensor_1d(tensors_.get(), GGML_TYPE_F32, size), name, next);
}

void GgufFile::add(ggml_tensor* tensor, const std::string& name, const std::function<float()>& next) {
  const std::int64_t columns = tensor->ne[0];
  const std::int64_t rows = tensor->ne[1];
  auto& data = data_.emplace_back(ggml_nbytes(tensor));
  ggml_set_name(tensor, name.c_str());
  tensor->data = data.data();
  const std::int64_t rows_at_once = std::clamp<std::int64_t>(kValuesAtOnce / columns, 1, rows);
  const std::size_t row_bytes = ggml_row_size(tensor->type, columns);
  std::vector<float> values(static_cast<std::size_t>(rows_at_once * columns));
  for (std::int64_t row = 0; row < rows; row += rows_at_once) {
    const std::int64_t here = std::min(rows_at_once, rows - row);
    const auto end = values.begin() + here * columns;
    std::generate(values.begin(), end, next);
    ggml_quantize_chunk(tensor->type, values.data(), data.data() + static_cast<std::size_t>(row) * row_bytes, 0, here,
                        columns, nullptr);
  }
  gguf_add_tensor(gguf_.get(), tensor);
}

bool GgufFile::write(const std::filesystem::path& path) const {
  return gguf_write_to_file(gguf_.get(), path.c_str(), false);
}

}  // namespace bulkhead::bench
