// SPDX-License-Identifier: MIT
// The same weights for every framework, made of one GGUF file by workers/bulkhead_workers/convert.py.
#pragma once

#include "base/result.h"

#include <array>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engines::worker {

// What can be made, and of what: the file is dequantized into `gguf`; `checkpoint` (Transformers) is made of that, and
// the MLX models of the checkpoint. In the first three the weights are the same numbers; 8 and 4 bits are quantized
// anew.
inline constexpr std::array<std::string_view, 5> kConversionKinds = {"gguf", "checkpoint", "mlx", "mlx-8bit",
                                                                     "mlx-4bit"};

struct ConversionRequest {
  std::filesystem::path model;     // a GGUF file
  std::filesystem::path folder;    // where everything goes; made if need be
  std::string dtype = "bf16";      // or "f32"
  std::vector<std::string> kinds;  // of kConversionKinds; what these are made of is made too
};

struct ConvertedModel {
  std::string kind;
  std::filesystem::path path;
};

// Where `kind` goes: FOLDER/model-bf16.gguf, checkpoint-bf16, mlx-bf16, mlx-8bit, mlx-4bit.
[[nodiscard]] std::filesystem::path converted_path(const ConversionRequest& request, std::string_view kind);

// Makes what is not there yet, in a child; each appears whole or not at all. Gives what was asked for, in the order of
// kConversionKinds. `progress` is told now and then how many of them are there. kUsage when the workers are not
// installed, kCorrupt when the file cannot be read as a model, kResource when there is no room to write, kInterrupted
// when `stop` was requested, else kRemote with the last that the child said.
[[nodiscard]] Result<std::vector<ConvertedModel>> convert(
    const ConversionRequest& request, const std::function<void(std::size_t done, std::size_t total)>& progress,
    const std::stop_token& stop);

}  // namespace bulkhead::engines::worker
