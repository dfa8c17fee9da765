// SPDX-License-Identifier: MIT
#include "engines/llama/gguf_check.h"

#include "base/file_identity.h"
#include "engines/llama/assertions.h"
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
#include <tuple>
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

struct Range {
  std::string_view key;
  std::uint32_t least;
  std::uint32_t most;
};

// Counts that libllama allocates, shifts or divides by: a zero would be a SIGFPE, a huge one an overflow.
constexpr std::array<Range, 28> kRanges = {{{"block_count", 1, 512},
                                            {"embedding_length", 1, 1U << 20U},
                                            {"embedding_length_out", 0, 1U << 20U},
                                            {"embedding_length_per_layer_input", 0, 1U << 20U},
                                            {"context_length", 1, 1U << 30U},
                                            {"feed_forward_length", 0, 1U << 24U},
                                            {"attention.head_count", 0, 1U << 16U},
                                            {"attention.head_count_kv", 0, 1U << 16U},
                                            {"attention.key_length", 1, 1U << 16U},
                                            {"attention.value_length", 1, 1U << 16U},
                                            {"attention.key_length_swa", 1, 1U << 16U},
                                            {"attention.value_length_swa", 1, 1U << 16U},
                                            {"attention.sliding_window", 0, 1U << 30U},
                                            {"attention.shared_kv_layers", 0, 512},
                                            {"rope.dimension_count", 0, 1U << 16U},
                                            {"rope.dimension_count_swa", 0, 1U << 16U},
                                            {"rope.dimension_sections", 0, 1U << 16U},
                                            {"rope.scaling.original_context_length", 0, 1U << 30U},
                                            {"expert_count", 0, 4096},
                                            {"expert_used_count", 0, 4096},
                                            {"experts_per_group", 1, 4096},
                                            {"nextn_predict_layers", 0, 511},
                                            {"ssm.conv_kernel", 1, 1U << 16U},
                                            {"ssm.inner_size", 1, 1U << 24U},
                                            {"ssm.state_size", 1, 1U << 16U},
                                            {"ssm.time_step_rank", 1, 1U << 16U},
                                            {"ssm.group_count", 1, 1U << 16U},
                                            {"wkv.head_size", 1, 1U << 16U}}};

// The largest value of a count; `otherwise` when the file does not tell it. For those that are in their range.
std::uint32_t largest(const gguf_context* gguf, const std::string& path, const std::string& key,
                      std::uint32_t otherwise) {
  const auto values = counts_of(gguf, path, key);
  if (!values.ok() || values->empty()) return otherwise;
  return *std::max_element(values->begin(), values->end());
}

// What ggml asserts of rotation, in the middle of a graph and on a thread of its own: pairs of values of one head.
Result<void> check_rotation(const gguf_context* gguf, const std::string& path, const std::string& architecture) {
  const auto own = [&](std::string_view name, std::uint32_t otherwise) {
    return largest(gguf, path, fmt::format("{}.{}", architecture, name), otherwise);
  };
  BH_TRY(const auto heads, counts_of(gguf, path, architecture + ".attention.head_count"));
  if (heads.empty() || heads.front() == 0) return {};
  // libllama reckons with the heads of the first layer.
  const auto head = own("attention.key_length", own("embedding_length", 0) / heads.front());
  const auto head_in_window = own("attention.key_length_swa", head);
  // Without a number of its own all of a head is rotated, which may be more than a head in a window has.
  const auto rotated = own("rope.dimension_count", head_in_window == head ? 0 : head);
  const std::array<std::tuple<std::string_view, std::uint32_t, std::uint32_t>, 2> all = {
      {{"rope.dimension_count", rotated, head},
       {"rope.dimension_count_swa", own("rope.dimension_count_swa", rotated), head_in_window}}};
  for (const auto& [key, count, most] : all) {
    if (count <= most && count % 2 == 0) continue;
    return corrupt(path, fmt::format("{}.{} is {}: it must be even, and at most the {} values of a head", architecture,
                                     key, count, most));
  }
  BH_TRY(const auto sections, counts_of(gguf, path, architecture + ".rope.dimension_sections"));
  if (!sections.empty() && std::all_of(sections.begin(), sections.end(), [](auto count) { return count == 0; })) {
    return corrupt(path, fmt::format("{}.rope.dimension_sections are all 0", architecture));
  }
  return {};
}

// Layers that libllama would divide by or not find.
Result<void> check_layers(const gguf_context* gguf, const std::string& path, const std::string& architecture) {
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", architecture, name); };
  const auto layers = largest(gguf, path, key("block_count"), 1);
  if (const auto ahead = largest(gguf, path, key("nextn_predict_layers"), 0); ahead >= layers) {
    return corrupt(path, fmt::format("{} is {}, of {} layers", key("nextn_predict_layers"), ahead, layers));
  }
  const auto experts = largest(gguf, path, key("expert_count"), 0);
  BH_TRY(const auto used, counts_of(gguf, path, key("expert_used_count")));
  const bool some_unused = used.empty() || std::any_of(used.begin(), used.end(), [](auto count) { return count == 0; });
  if (experts > 0 && some_unused && largest(gguf, path, key("expert_feed_forward_length"), 0) == 0) {
    return corrupt(path, fmt::format("there are {} experts, and {} is 0", experts, key("expert_used_count")));
  }
  const bool recurrent =
      gguf_find_key(gguf, key("ssm.inner_size").c_str()) >= 0 || gguf_find_key(gguf, key("wkv.head_size").c_str()) >= 0;
  // With no values to rotate ggml's loop over them has no end.
  for (const auto* name : {"attention.head_count", "rope.dimension_count", "rope.dimension_count_swa"}) {
    if (recurrent || largest(gguf, path, key(name), 1) != 0) continue;
    return corrupt(path, fmt::format("{} is 0, and nothing takes the place of attention", key(name)));
  }
  return {};
}

Result<void> check_counts(const gguf_context* gguf, const std::string& path, const std::string& architecture) {
  for (const auto& range : kRanges) {
    const auto key = fmt::format("{}.{}", architecture, range.key);
    BH_TRY(const auto values, counts_of(gguf, path, key));
    for (const auto value : values) {
      if (value >= range.least && value <= range.most) continue;
      return corrupt(path, fmt::format("{} is {}, it must be between {} and {}", key, value, range.least, range.most));
    }
  }
  BH_CHECK(check_layers(gguf, path, architecture));
  BH_CHECK(check_rotation(gguf, path, architecture));
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

struct Header {
  Gguf gguf;
  std::uint64_t bytes = 0;  // of the file
};

// The file holds all that its header promises.
Result<Header> read_header(const std::string& path) {
  BH_TRY(const auto bytes, check_magic(path));
  const LoggedErrors errors;
  const AssertionScope assertions;
  Header header{nullptr, bytes};
  try {
    header.gguf.reset(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}));
  } catch (const std::exception& failure) {
    return corrupt(path, fmt::format("the header is damaged: {}", failure.what()));
  }
  if (!header.gguf) {
    return corrupt(path,
                   fmt::format("the header is damaged or cut short (the file has {} bytes): {}", bytes, errors.text()));
  }
  BH_CHECK(check_size(header.gguf.get(), path, bytes));
  // ggml computes on what a file holds where it lies.
  constexpr std::size_t kLeastAlignment = 32;
  if (gguf_get_alignment(header.gguf.get()) % kLeastAlignment != 0) {
    return corrupt(path, fmt::format("its tensors are aligned to {} bytes, it must be {} or a multiple",
                                     gguf_get_alignment(header.gguf.get()), kLeastAlignment));
  }
  return header;
}

// libllama finds the parts by the names of the files; so do we, and both must mean the same files.
Result<void> check_split(const gguf_context* gguf, const std::string& path, std::size_t files) {
  const auto number = [&](const char* key) -> std::size_t {
    const auto id = gguf_find_key(gguf, key);
    return id < 0 || gguf_get_kv_type(gguf, id) != GGUF_TYPE_UINT16 ? 0 : gguf_get_val_u16(gguf, id);
  };
  const auto parts = std::max<std::size_t>(number("split.count"), 1);
  if (number("split.no") > 0) {
    return Error{ErrorCode::kUsage, fmt::format("this is part {} of {} of a model", number("split.no") + 1, parts),
                 path, "name the first part; the others must lie beside it"};
  }
  if (parts != files) {
    return corrupt(path, fmt::format("the model has {} parts, the name of its file tells of {}", parts, files));
  }
  return {};
}

}  // namespace

Result<GgufSummary> check_gguf(const std::string& path) {
  const auto files = files_of_model(path);
  BH_TRY(const auto first, read_header(path));
  const auto* gguf = first.gguf.get();
  BH_CHECK(check_split(gguf, path, files.size()));  // only the first part tells the rest
  const auto architecture = text_value(gguf, "general.architecture");
  if (!architecture) return corrupt(path, "the header does not tell the architecture (general.architecture)");
  BH_CHECK(check_counts(gguf, path, *architecture));
  BH_CHECK(check_vocabulary(gguf, path));
  GgufSummary summary{*architecture,
                      text_value(gguf, "general.name").value_or(std::filesystem::path(path).filename().string()),
                      first.bytes, gguf_find_tensor(gguf, "output.weight") < 0};
  for (std::size_t i = 1; i < files.size(); ++i) {
    BH_TRY(const auto part, read_header(files[i].string()));
    summary.bytes += part.bytes;
    summary.shares_embedding = summary.shares_embedding && gguf_find_tensor(part.gguf.get(), "output.weight") < 0;
  }
  return summary;
}

}  // namespace bulkhead::engines::llama
