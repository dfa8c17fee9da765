// SPDX-License-Identifier: MIT
#include "eval/filler.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace bulkhead::eval {
namespace {

// No numbers, no names, nothing of any domain of bulkhead-bench; a test holds that.
constexpr std::array<std::string_view, 24> kSentences = {
    "The clouds drifted slowly over the hills.",
    "A light breeze moved through the tall grass.",
    "Far away somebody was humming an old tune.",
    "The snow had melted and the brook was loud.",
    "At dusk the sky turned a deep violet.",
    "A cat slept on the warm stones.",
    "The path led through moss and fern.",
    "Gulls circled above the quiet shore.",
    "Rain fell softly all through the afternoon.",
    "The stars were bright and very still.",
    "An owl called twice and then was silent.",
    "Leaves gathered in the corners of the lane.",
    "The moon rose late behind the pines.",
    "Dew hung on every blade in the early light.",
    "A thin mist lay over the water.",
    "Pebbles shone where the wave had been.",
    "The thunder came nearer and went away again.",
    "Swallows dived low before the storm.",
    "The sand was cool in the shade.",
    "Somewhere a dog barked at the wind.",
    "The ripples spread and faded.",
    "Morning smelled of hay and wet earth.",
    "A feather floated down and came to rest.",
    "The echo answered from the other side.",
};

}  // namespace

std::string Filler::text(std::size_t bytes) {
  std::string made;
  while (made.size() < bytes) {
    if (!made.empty()) made += ' ';
    made += kSentences.at(next_++ % kSentences.size());
  }
  if (made.size() > bytes) {
    const auto space = made.rfind(' ', bytes);
    made.resize(space == std::string::npos || space == 0 ? bytes : std::min(space, bytes));
  }
  return made;
}

}  // namespace bulkhead::eval
