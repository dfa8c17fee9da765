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
#include <string_view>
#include <system_error>

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

// Counts that libllama divides by or allocates by before it has checked them.
Result<void> check_count(const gguf_context* gguf, const std::string& path, const std::string& key,
                         std::uint32_t most) {
  const auto id = gguf_find_key(gguf, key.c_str());
  if (id < 0) return {};
  if (gguf_get_kv_type(gguf, id) == GGUF_TYPE_ARRAY) return {};
  if (gguf_get_kv_type(gguf, id) != GGUF_TYPE_UINT32) {
    return corrupt(path, fmt::format("{} is of type {}, not u32", key, gguf_type_name(gguf_get_kv_type(gguf, id))));
  }
  const auto value = gguf_get_val_u32(gguf, id);
  if (value == 0 || value > most) {
    return corrupt(path, fmt::format("{} is {}, it must be between 1 and {}", key, value, most));
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
  const auto count = [&](std::string_view key, std::uint32_t most) {
    return check_count(gguf.get(), path, fmt::format("{}.{}", *architecture, key), most);
  };
  BH_CHECK(count("block_count", 4096));
  BH_CHECK(count("embedding_length", 1U << 20U));
  BH_CHECK(count("attention.head_count", 1U << 16U));
  BH_CHECK(count("context_length", 1U << 30U));
  BH_CHECK(check_size(gguf.get(), path, bytes));
  return GgufSummary{*architecture,
                     text_value(gguf.get(), "general.name").value_or(std::filesystem::path(path).filename().string()),
                     bytes};
}

}  // namespace bulkhead::engines::llama
