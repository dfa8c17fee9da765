// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/instruction_set.h"

#include <vector>

#if defined(BULKHEAD_KERNELS_X86)
#include <cpuid.h>
#elif defined(BULKHEAD_KERNELS_ARM) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace bulkhead::engines::llama::kernels {
namespace {

#if defined(BULKHEAD_KERNELS_X86)
// g++ 12 and clang 16 do not both know the name "avxvnni" in __builtin_cpu_supports.
bool has_avx_vnni() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & (1U << 4U)) != 0;
}

void add_available(std::vector<InstructionSet>& sets) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx2 && avx512) sets.push_back(InstructionSet::kAvx512);
  if (avx2 && has_avx_vnni()) sets.push_back(InstructionSet::kAvxVnni);
  if (avx2) sets.push_back(InstructionSet::kAvx2);
}
#elif defined(BULKHEAD_KERNELS_ARM)
void add_available(std::vector<InstructionSet>& sets) {
#if defined(__linux__)
  // Bits of the kernel's interface (asm/hwcap.h): ASIMDDP and I8MM.
  const bool dotprod = (getauxval(AT_HWCAP) & (1UL << 20U)) != 0;
  const bool i8mm = (getauxval(AT_HWCAP2) & (1UL << 13U)) != 0;
  if (dotprod && i8mm) sets.push_back(InstructionSet::kI8mm);
  if (dotprod) sets.push_back(InstructionSet::kNeon);
#elif defined(__APPLE__)
  sets.push_back(InstructionSet::kNeon);  // every Apple processor of this kind has the dot product
#endif
}
#else
void add_available(std::vector<InstructionSet>& /*sets*/) {}
#endif

#if defined(BULKHEAD_KERNELS_X86)
bool is_amd_family_25() {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0 || ebx != signature_AMD_ebx) return false;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return false;
  // Base family plus extended family.
  return (eax >> 8U & 15U) + (eax >> 20U & 255U) == 25;
}
#endif

}  // namespace

std::string_view name(InstructionSet set) noexcept {
  switch (set) {
    case InstructionSet::kScalar: return "scalar";
    case InstructionSet::kAvx2: return "avx2";
    case InstructionSet::kAvxVnni: return "avx-vnni";
    case InstructionSet::kAvx512: return "avx512-vnni";
    case InstructionSet::kNeon: return "neon-dotprod";
    case InstructionSet::kI8mm: return "neon-i8mm";
  }
  return "?";
}

std::span<const InstructionSet> available() noexcept {
  static const std::vector<InstructionSet> sets = [] {
    std::vector<InstructionSet> found;
    add_available(found);
    found.push_back(InstructionSet::kScalar);
    return found;
  }();
  return sets;
}

bool prefers_own_prefetch() noexcept {
#if defined(BULKHEAD_KERNELS_X86)
  static const bool prefers = is_amd_family_25();
  return prefers;
#else
  return false;
#endif
}

}  // namespace bulkhead::engines::llama::kernels
