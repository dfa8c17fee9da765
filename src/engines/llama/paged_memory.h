// SPDX-License-Identifier: MIT
// libllama's memory of a context, exchanged for pages. libllama itself makes the cache that a model needs, with few
// cells; its tensors move into the pool, and it serves from then on for building graphs only. Which cell a token goes
// to, and which cells a query sees, is decided here and in kernels/paged_attention.h.
#pragma once

#include "engines/llama/page_pool.h"

#include <llama.h>

#include <cstdint>
#include <vector>

namespace bulkhead::engines::llama {

// What libllama's sequence ids mean in the next decode, by id. Ids mean nothing beyond it.
using BoundTables = std::vector<PageTable*>;

// Gives `context` memory over `pool`. The context was made with flash attention, a unified cache of few cells that
// keeps all of a window, and as many sequences as `bound` has elements; from now on it holds `context_tokens` for each.
// False, and the context is as before: its memory is of another kind than a plain or a windowed KV cache, or the model
// positions tokens in a way that pages do not know (M-RoPE, ALiBi, MLA, chunked windows), or no address space is left.
//
// A decode must run in an AttentionScope of kBulkhead, and the pages of all its cells must be writable
// (PagePool::make_writable). Tables must not change before it ends; it does not change them but for the witness.
// `pool` and `bound` must outlive the context.
[[nodiscard]] bool attach_pages(llama_context& context, PagePool& pool, const BoundTables& bound,
                                std::uint32_t context_tokens);

}  // namespace bulkhead::engines::llama
