// SPDX-License-Identifier: MIT
// A batch of libllama, and what is done around each decode of a context.
#pragma once

#include "engines/llama/cells.h"
#include "engines/llama/kernels/attention_op.h"

#include <llama.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bulkhead::engines::llama {

class ContextBatch {
 public:
  void add(const BatchToken& token, llama_seq_id id);
  // Under an AttentionScope. A failure may leave some tokens in a cache of libllama's own.
  [[nodiscard]] Decoded decode(llama_context& context, kernels::AttentionChoice attention, std::string& reason);

 private:
  std::vector<llama_token> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<std::int32_t> counts_;
  std::vector<llama_seq_id> sequences_;
  std::vector<std::int8_t> wanted_;
};

// Empty: the last batch did not ask for it.
[[nodiscard]] std::span<const float> logits_of(llama_context& context, std::size_t row, std::uint32_t vocabulary);

// Running decodes of `context` look at it between the nodes of a graph; it must outlive them.
void set_cancellation(llama_context& context, const Cancellation& cancellation);

}  // namespace bulkhead::engines::llama
