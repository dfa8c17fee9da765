// SPDX-License-Identifier: MIT
// Draws that are the same for a seed on every machine and in NumPy: std::mt19937, whose words the standard fixes,
// without the standard's distributions, which it does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

namespace bulkhead::measure {

// One thread at a time.
class RandomDraws {
 public:
  explicit RandomDraws(std::uint32_t seed) : words_(seed) {}

  // 0 <= index < n: the high half of word * n. n < 2^32; the shares of the indices differ by less than n / 2^32.
  std::size_t index(std::size_t n) { return static_cast<std::size_t>((std::uint64_t{words_()} * n) >> 32U); }

  // One bit of a word that is used for 32 of them, lowest first.
  bool coin() {
    if (bits_left_ == 0) {
      bits_ = words_();
      bits_left_ = 32;
    }
    const bool bit = (bits_ & 1U) != 0;
    bits_ >>= 1U;
    --bits_left_;
    return bit;
  }

 private:
  std::mt19937 words_;
  std::uint_fast32_t bits_ = 0;
  unsigned bits_left_ = 0;
};

}  // namespace bulkhead::measure
