// SPDX-License-Identifier: MIT
// The cells of one sequence as plain bytes, through libllama's state interface. libllama's own bytes fit only a context
// with as many buffers as the one they came from; these fit every context of the same model and options.
#pragma once

#include "engines/llama/context_pool.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace bulkhead::engines::llama {

// As libllama writes them for one buffer: number of cells, positions, keys and values layer by layer; for the layers
// that see everything, then for those with a sliding window. Before each stands how many bytes they are.

// All cells that the next token can see; what a window has left behind is not among them. nullopt: libllama's bytes are
// not of the form this knows (recurrent models). No copy may wait in the context.
[[nodiscard]] std::optional<StoredCells> read_state(const Place& place);

// Whether bytes from outside are of the form that libllama would write for a sequence of `tokens` tokens: those of the
// full layers at the positions 0 to tokens - 1, those of a window at the last ones of these, each once. libllama
// believes what it reads of positions, and cannot take out a cell at one that no text reaches. `cells_have_places`: as
// of the model (LoadedModel).
[[nodiscard]] bool is_state_of(const StoredCells& bytes, std::uint32_t tokens, bool cells_have_places);

// Puts cells into a place that holds none. False, and the place is empty again, when libllama does not take them. No
// copy may wait in the context.
[[nodiscard]] bool write_state(const Place& place, const StoredCells& stored);

}  // namespace bulkhead::engines::llama
