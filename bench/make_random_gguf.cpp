// SPDX-License-Identifier: MIT
// Writes a model with random weights: make_random_gguf --shape llama-160m -q Q4_K_M -s 1 -o FILE.gguf
#include "random_gguf.h"

#include "base/hash.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace bulkhead::bench {
namespace {

struct Flags {
  std::string shapes = BULKHEAD_SOURCE_DIR "/bench/shapes.json";
  std::string shape;
  std::string quantization = "Q4_K_M";
  std::string output;
  std::uint32_t seed = 1;
};

// Prints the file's SHA-256.
Result<void> make(const Flags& flags) {
  BH_TRY(const auto shape, load_shape(flags.shapes, flags.shape));
  BH_CHECK(write_random_gguf(shape, flags.quantization, flags.seed, flags.output));
  BH_TRY(const auto sha256, sha256_of_file(flags.output));
  fmt::print("{}  {}\n", sha256, flags.output);
  return {};
}

int make_random_gguf(int argc, char** argv) {
  Flags flags;
  CLI::App app("Writes a GGUF model with seeded random weights of a named shape.");
  app.add_option("--shapes", flags.shapes, "JSON file of shapes")->capture_default_str();
  app.add_option("--shape", flags.shape, "name of a shape")->required();
  app.add_option("-q,--quantization", flags.quantization, "Q4_K_M or one type for all matrices")->capture_default_str();
  app.add_option("-s,--seed", flags.seed)->capture_default_str();
  app.add_option("-o,--output", flags.output, "GGUF file to write")->required();
  CLI11_PARSE(app, argc, argv);
  const auto made = make(flags);
  if (made.ok()) return 0;
  fmt::print(stderr, "make_random_gguf: {}\n", made.error().to_string());
  return exit_code(made.error().code);
}

}  // namespace
}  // namespace bulkhead::bench

int main(int argc, char** argv) {
  return bulkhead::bench::make_random_gguf(argc, argv);
}
