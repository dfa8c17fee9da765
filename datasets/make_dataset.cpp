// SPDX-License-Identifier: MIT
// Writes the conversations of bulkhead-bench on stdout: make_dataset FOLDER_OF_TABLES [SEED]. scripts/make_dataset.sh
// calls it.
#include "conversation_generator.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

namespace {

constexpr std::uint64_t kSeed = 20260101;  // of the committed set

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = kSeed;
  if (argc < 2 || argc > 3 ||
      (argc == 3 && std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), seed).ec != std::errc())) {
    fmt::print(stderr, "usage: make_dataset FOLDER_OF_TABLES [SEED]\n");
    return 2;
  }
  const auto tables = bulkhead::bench_dataset::read_source_tables(argv[1]);
  if (!tables.ok()) {
    fmt::print(stderr, "make_dataset: {}\n", tables.error().to_string());
    return 3;
  }
  for (const auto& conversation : bulkhead::bench_dataset::make_conversations(tables.value(), seed)) {
    fmt::print("{}\n", bulkhead::dataset::to_json_line(conversation));
  }
  return 0;
}
