// SPDX-License-Identifier: MIT
// Text embedder: what a text is about, as a vector of a small model made for that (scripts/embedding_model.sh).
#pragma once

#include "base/result.h"

#include <bulkhead/embedder.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::engines::llama {

// Thread rule: one thread at a time. Same text, same bits: texts are embedded one by one, by ggml's kernels.
class TextEmbedder {
 public:
  // A GGUF file that says how its tokens are pooled. `threads` 0: one per core. Errors as for make_llama_engine();
  // kUnsupported: a model that gives tokens, but no vector of a text.
  [[nodiscard]] static Result<TextEmbedder> load(const std::string& path, std::uint32_t threads);

  [[nodiscard]] std::size_t dimensions() const;
  [[nodiscard]] std::uint32_t most_tokens() const;

  // UTF-8. kInternal: libllama failed, or the vector has no direction.
  [[nodiscard]] Result<Embedding> embed(std::string_view text);

 private:
  struct State;  // keeps libllama's headers out of this one
  struct FreeState {
    void operator()(State* state) const;
  };
  explicit TextEmbedder(std::unique_ptr<State, FreeState> state) : state_(std::move(state)) {}

  std::unique_ptr<State, FreeState> state_;
};

// Of two vectors of length 1: 1 for the same direction, 0 for none in common.
[[nodiscard]] double cosine(const std::vector<float>& one, const std::vector<float>& other);

}  // namespace bulkhead::engines::llama
