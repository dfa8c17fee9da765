// SPDX-License-Identifier: MIT
// A GGUF file in the making: metadata, tensors and the small vocabulary of models with random weights.
//
// Thread rule: one thread at a time.
#pragma once

#include <ggml.h>
#include <gguf.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace bulkhead::bench {

// Numbers that are about normal (mean 0, variance 1) and the same on every system, unlike the standard distributions: a
// sum of four uniforms.
class Noise {
 public:
  explicit Noise(std::uint32_t seed) : generator_(seed) {}
  float next();

 private:
  std::mt19937 generator_;
};

// The kinds of tokens a GGUF file knows.
enum class TokenKind : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUnused = 5, kByte = 6 };

struct Vocabulary {
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<std::int32_t> kinds;  // TokenKind

  void add(std::string text, float score, TokenKind kind);
  // Unknown, begin, end (ids 0, 1, 2) and all 256 bytes: every text can be tokenized.
  void add_bytes();
  // Printable ASCII, the space and some pieces to merge.
  void add_pieces();
};

class GgufFile {
 public:
  GgufFile();
  GgufFile(const GgufFile&) = delete;
  GgufFile& operator=(const GgufFile&) = delete;

  // For metadata. Lives as long as this object.
  [[nodiscard]] gguf_context* metadata() { return gguf_.get(); }
  void set_vocabulary(const Vocabulary& words);

  // A tensor [rows][columns] of `type`; `next` gives its values, row after row. columns must be a multiple of the
  // type's block.
  void add_matrix(const std::string& name, ggml_type type, std::int64_t columns, std::int64_t rows,
                  const std::function<float()>& next);
  // A float vector.
  void add_vector(const std::string& name, std::int64_t size, const std::function<float()>& next);

  // False when the file could not be written.
  [[nodiscard]] bool write(const std::filesystem::path& path) const;

 private:
  void add(ggml_tensor* tensor, const std::string& name, const std::function<float()>& next);

  std::unique_ptr<gguf_context, void (*)(gguf_context*)> gguf_;
  std::unique_ptr<ggml_context, void (*)(ggml_context*)> tensors_;  // descriptions only
  std::list<std::vector<std::byte>> data_;
};

}  // namespace bulkhead::bench
