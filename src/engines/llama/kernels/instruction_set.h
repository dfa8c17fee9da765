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

// Whether this processor reads one stream from memory fastest when nothing is prefetched by software: AMD's family 25
// was measured (Zen 4: 5 to 25 % by format). Zen 5 was measured the other way round; others are taken to be like it.
[[nodiscard]] bool prefers_own_prefetch() noexcept;

}  // namespace bulkhead::engines::llama::kernels
