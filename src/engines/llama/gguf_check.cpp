// SPDX-License-Identifier: MIT
#include "engines/llama/gguf_check.h"

#include "engines/llama/backend.h"

#include <fmt/format.h>
#include <gguf.h>

#include <algorithm>
#include <array>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <unordered_set>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

constexpr std::uint64_t kSmallestHeader = 24;  // magic, version, two counts

struct FreeGguf {
  void operator()(gguf_context* context) const { gguf_free(context); }
};
using Gguf = std::unique_ptr<gguf_context, FreeGguf>;

Error corrupt(const std::string& path, std::string message) {
  return {ErrorCode::kCorrupt, std::move(message), path, "get the file again"};
}

std::string printable(std::string_view bytes) {
  std::string shown;
  for (const char byte : bytes) {
    const auto code = static_cast<unsigned char>(byte);
    shown += code >= 0x20 && code < 0x7F ? std::string(1, byte) : fmt::format("\\x{:02x}", code);
  }
  return shown;
}

Result<std::uint64_t> check_magic(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return Error{ErrorCode::kUsage, "there is no such model file", path, "see `bulkhead models` and `bulkhead pull`"};
  }
  if (!std::filesystem::is_regular_file(path, error)) {
    return Error{ErrorCode::kUsage, "this is not a file", path, "give a GGUF file"};
  }
  const std::uint64_t bytes = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) return Error{ErrorCode::kUsage, "the model file cannot be read", path, "check its permissions"};
  std::array<char, 4> magic{};
  file.read(magic.data(), magic.size());
  const std::string_view begin(magic.data(), static_cast<std::size_t>(file.gcount()));
  if (begin != "GGUF") {
    return corrupt(path, fmt::format("not a GGUF file: it begins with \"{}\", not with \"GGUF\"", printable(begin)));
  }
  if (bytes < kSmallestHeader) {
    return corrupt(path,
                   fmt::format("the file is cut short: it has {} bytes, needs at least {}", bytes, kSmallestHeader));
  }
  return bytes;
}

std::optional<std::string> text_value(const gguf_context* gguf, const char* key) {
  const auto id = gguf_find_key(gguf, key);
  if (id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_STRING) return std::nullopt;
  return gguf_get_val_str(gguf, id);
}

// A number, or one number per layer.
Result<std::span<const std::uint32_t>> counts_of(const gguf_context* gguf, const std::string& path,
                                                 const std::string& key) {
  const auto id = gguf_find_key(gguf, key.c_str());
  if (id < 0) return std::span<const std::uint32_t>();
  const bool many = gguf_get_kv_type(gguf, id) == GGUF_TYPE_ARRAY;
  const auto type = many ? gguf_get_arr_type(gguf, id) : gguf_get_kv_type(gguf, id);
  if (many && type == GGUF_TYPE_BOOL) return std::span<const std::uint32_t>();
  if (type != GGUF_TYPE_UINT32 && type != GGUF_TYPE_INT32) {
    return corrupt(path, fmt::format("{} is of type {}, not u32", key, gguf_type_name(type)));
  }
  const auto* values =
      static_cast<const std::uint32_t*>(many ? gguf_get_arr_data(gguf, id) : gguf_get_val_data(gguf, id));
  return std::span(values, many ? gguf_get_arr_n(gguf, id) : 1);
}

// Counts that libllama computes with before it has checked them.
Result<void> check_counts(const gguf_context* gguf, const std::string& path, const std::string& architecture) {
  struct Range {
    std::string_view key;
    std::uint32_t least;
    std::uint32_t most;
  };
  constexpr std::array<Range, 8> kRanges = {{{"block_count", 1, 512},
                                             {"embedding_length", 1, 1U << 20U},
                                             {"context_length", 1, 1U << 30U},
                                             {"feed_forward_length", 0, 1U << 24U},
                                             {"attention.head_count", 0, 1U << 16U},
                                             {"attention.head_count_kv", 0, 1U << 16U},
                                             {"attention.key_length", 1, 1U << 16U},
                                             {"attention.value_length", 1, 1U << 16U}}};
  for (const auto& range : kRanges) {
    const auto key = fmt::format("{}.{}", architecture, range.key);
    BH_TRY(const auto values, counts_of(gguf, path, key));
    for (const auto value : values) {
      if (value >= range.least && value <= range.most) continue;
      return corrupt(path, fmt::format("{} is {}, it must be between {} and {}", key, value, range.least, range.most));
    }
  }
  for (const auto* name : {"layer_norm_epsilon", "layer_norm_rms_epsilon"}) {
    const auto key = fmt::format("{}.attention.{}", architecture, name);
    const auto id = gguf_find_key(gguf, key.c_str());
    if (id < 0) continue;
    const float value = gguf_get_kv_type(gguf, id) == GGUF_TYPE_FLOAT32 ? gguf_get_val_f32(gguf, id) : -1.0F;
    if (!(value >= 0.0F && value < 1.0F)) return corrupt(path, fmt::format("{} is not between 0 and 1", key));
  }
  return {};
}

// Tables beside the vocabulary are read by the vocabulary's length, and two tokens of one text end the process.
Result<void> check_vocabulary(const gguf_context* gguf, const std::string& path) {
  const auto id = gguf_find_key(gguf, "tokenizer.ggml.tokens");
  if (id < 0) return {};
  if (gguf_get_kv_type(gguf, id) != GGUF_TYPE_ARRAY || gguf_get_arr_type(gguf, id) != GGUF_TYPE_STRING) {
    return corrupt(path, "the vocabulary (tokenizer.ggml.tokens) is not a list of texts");
  }
  const auto size = gguf_get_arr_n(gguf, id);
  std::unordered_set<std::string_view> seen;
  seen.reserve(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::string_view text = gguf_get_arr_str(gguf, id, i);
    // libllama gives tokens without text a name of their own.
    if (text.empty() || seen.insert(text).second) continue;
    return corrupt(path, fmt::format("the vocabulary holds \"{}\" twice (token {})", printable(text), i));
  }
  for (const auto& [key, type] :
       {std::pair{"tokenizer.ggml.scores", GGUF_TYPE_FLOAT32}, {"tokenizer.ggml.token_type", GGUF_TYPE_INT32}}) {
    const auto table = gguf_find_key(gguf, key);
    if (table < 0) continue;
    if (gguf_get_kv_type(gguf, table) != GGUF_TYPE_ARRAY || gguf_get_arr_type(gguf, table) != type ||
        gguf_get_arr_n(gguf, table) < size) {
      return corrupt(path, fmt::format("{} is not a list of {} numbers of type {}", key, size, gguf_type_name(type)));
    }
  }
  return {};
}

Result<void> check_size(const gguf_context* gguf, const std::string& path, std::uint64_t bytes) {
  std::uint64_t needed = gguf_get_data_offset(gguf);
  for (std::int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
    needed =
        std::max(needed, gguf_get_data_offset(gguf) + gguf_get_tensor_offset(gguf, i) + gguf_get_tensor_size(gguf, i));
  }
  if (bytes < needed) {
    return corrupt(path, fmt::format("the file is cut short: it has {} bytes, needs {}, {} are missing", bytes, needed,
                                     needed - bytes));
  }
  return {};
}

}  // namespace

Result<GgufSummary> check_gguf(const std::string& path) {
  BH_TRY(const auto bytes, check_magic(path));
  const LoggedErrors errors;
  Gguf gguf;
  try {
    gguf.reset(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}));
  } catch (const std::exception& failure) {
    return corrupt(path, fmt::format("the header is damaged: {}", failure.what()));
  }
  if (!gguf) {
    return corrupt(path,
                   fmt::format("the header is damaged or cut short (the file has {} bytes): {}", bytes, errors.text()));
  }
  const auto architecture = text_value(gguf.get(), "general.architecture");
  if (!architecture) return corrupt(path, "the header does not tell the architecture (general.architecture)");
  BH_CHECK(check_counts(gguf.get(), path, *architecture));
  BH_CHECK(check_vocabulary(gguf.get(), path));
  BH_CHECK(check_size(gguf.get(), path, bytes));
  return GgufSummary{*architecture,
                     text_value(gguf.get(), "general.name").value_or(std::filesystem::path(path).filename().string()),
                     bytes, gguf_find_tensor(gguf.get(), "output.weight") < 0};
}

}  // namespace bulkhead::engines::llama
