// SPDX-License-Identifier: MIT
// Embedder: what a text is about, as a vector. A small model of its own computes it, never one that generates.
//
// Thread rule: any thread may call; calls on one embedder wait for each other. Moving and destroying are the caller's
// to keep apart from calls.
#pragma once

#include <bulkhead/error.h>
#include <bulkhead/export.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead {

// One text as a vector.
struct BULKHEAD_API Embedding {
  std::vector<float> values;  // [dimensions()] of length 1: the product of two of them is their cosine
  std::uint32_t tokens = 0;   // that were embedded
  bool cut = false;           // the text had more tokens than the model takes: its start was embedded
};

// Holds the weights and one context of an embedding model, from load() until it is destroyed. A text gives the same
// bits whatever was embedded before, on the same processor with as many threads.
class BULKHEAD_API Embedder {
 public:
  // `model`: a GGUF file that says how the vectors of its tokens become one (key `pooling_type`), or a name among the
  // pulled models. `threads`: 0 takes one per physical core. Takes as long as reading the file.
  // kUsage: there is no such model; kCorrupt: the file is broken; kUnsupported: it gives no vector of a text, most
  // models that generate among them; kResource: the memory does not do. Nothing is kept after a failure.
  [[nodiscard]] static Result<Embedder> load(const std::string& model, std::uint32_t threads = 0);

  Embedder(Embedder&& other) noexcept;
  Embedder& operator=(Embedder&& other) noexcept;
  ~Embedder();

  // Values of each vector, and tokens of the longest text that is not cut. 0 after it was moved from.
  [[nodiscard]] std::size_t dimensions() const noexcept;
  [[nodiscard]] std::uint32_t most_tokens() const noexcept;

  // The vector of a text, which may be empty. Its cost grows with the square of its tokens; nothing is kept of it.
  // kBadInput: not UTF-8, or the model's tokenizer refuses it; kUsage: moved from; kInternal: the model gave no
  // direction. The embedder is as before in every case.
  [[nodiscard]] Result<Embedding> embed(std::string_view text) const;

 private:
  struct Impl;
  explicit Embedder(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace bulkhead
