// SPDX-License-Identifier: MIT
// Counts of n-grams, and how many two texts share.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>

namespace bulkhead::measure {

// An n-gram of words (joined by spaces) or of characters, and how often it occurs.
using NgramCounts = std::unordered_map<std::string, std::size_t>;

// All stretches of `order` neighbouring words (order >= 1). Words hold no space.
[[nodiscard]] NgramCounts count_word_ngrams(std::span<const std::string> words, std::size_t order);

// The sum of all counts.
[[nodiscard]] std::size_t total(const NgramCounts& counts);

// The n-grams in both, each as often as in the one that has fewer of it ("clipped").
[[nodiscard]] std::size_t overlap(const NgramCounts& a, const NgramCounts& b);

}  // namespace bulkhead::measure
