// SPDX-License-Identifier: MIT
// Our batch-invariant attention in the place of ggml's flash attention (GGML_OP_FLASH_ATTN_EXT), for every model, with
// no patch: ggml asks each extra buffer type, before any operation, whether it would rather compute it.
//
// What is promised: attention_table.h. It needs flash attention switched on in the context; without it llama.cpp builds
// three other operations and nothing here is asked.
//
// Choosing: an operation does not know its context, but ggml plans a graph on the thread that computes it, operation by
// operation, before it runs. The choice is made then, from the planning thread, and noted in an unused parameter of the
// operation, which the computing threads read. So one process can hold contexts of both kinds (AttentionScope around
// llama_decode), and a change of the choice never meets a graph half way.
#pragma once

#include "engines/llama/kernels/instruction_set.h"

#include <cstdint>
#include <string>

struct ggml_tensor;

namespace bulkhead::engines::llama::kernels {

class PagedBatch;

enum class AttentionChoice { kStock, kBulkhead };

// Puts the operator in place; from then on the process's choice is kBulkhead. Call it before the first model is loaded
// (before libllama first asks ggml for its buffer types). Calling it again only changes the instruction set, for graphs
// that begin afterwards. Any thread, but no graph may be in computation. There is no way to take it out; see
// set_attention_choice().
void install_attention(InstructionSet set = available().front());

// The process's choice: for graphs planned later on threads without an AttentionScope. Any thread.
void set_attention_choice(AttentionChoice choice) noexcept;

// While it lives, graphs that this thread computes follow `choice`, whatever the process's is, and it notes what of
// their attention is left to ggml. Scopes nest; each notes its own. Only ggml's CPU backend is concerned, which plans
// on the calling thread. Stays on its thread.
class AttentionScope {
 public:
  explicit AttentionScope(AttentionChoice choice) noexcept;
  ~AttentionScope();
  AttentionScope(const AttentionScope&) = delete;
  AttentionScope& operator=(const AttentionScope&) = delete;

  // The first operation that ours was chosen for and that our kernels cannot compute, for people; empty: none yet.
  [[nodiscard]] const std::string& left_to_ggml() const { return left_to_ggml_; }

  // Tells this thread's innermost scope which batch the graphs that it plans next are about; null: none that is paged.
  // It must live until they are computed. False when no scope lives here: then paged cells cannot be computed.
  [[nodiscard]] static bool publish(PagedBatch* batch) noexcept;

  // For the operator.
  [[nodiscard]] AttentionChoice choice() const { return choice_; }
  [[nodiscard]] PagedBatch* paged_batch() const { return paged_batch_; }
  void note_left(const ggml_tensor& operation);

 private:
  AttentionChoice choice_;
  AttentionScope* outer_;
  PagedBatch* paged_batch_ = nullptr;
  std::string left_to_ggml_;
};

// Operations that this thread planned with kBulkhead in force and left to ggml's own, variant path.
[[nodiscard]] std::uint64_t attention_fell_through() noexcept;

// Operations that this thread planned for our kernels: who means to use them can see that it did. What other threads
// plan meanwhile does not count, so that the facts of a model are its own.
[[nodiscard]] std::uint64_t attention_taken() noexcept;

}  // namespace bulkhead::engines::llama::kernels
