// SPDX-License-Identifier: MIT
// The instruction sets there are kernels for, and which of them this processor has.
#pragma once

#include <span>
#include <string_view>

namespace bulkhead::engines::llama::kernels {

enum class InstructionSet { kScalar, kAvx2, kAvxVnni, kAvx512, kNeon, kI8mm };

// "scalar", "avx2", "avx-vnni", "avx512-vnni", "neon-dotprod", "neon-i8mm"
[[nodiscard]] std::string_view name(InstructionSet set) noexcept;

// Those this program has kernels for and this processor can run, best first; the scalar one is always last.
[[nodiscard]] std::span<const InstructionSet> available() noexcept;

}  // namespace bulkhead::engines::llama::kernels
