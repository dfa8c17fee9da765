// SPDX-License-Identifier: MIT
#include "conversation/input_text.h"

#include "base/json.h"
#include "base/utf8.h"

#include <filesystem>
#include <system_error>
#include <utility>

namespace bulkhead::conversation {
namespace {

constexpr std::string_view kStandardInput = "-";

}  // namespace

Result<std::string> read_input(const std::string& path, std::uint64_t limit_bytes) {
  auto text = read_text_file(path == kStandardInput ? "/dev/stdin" : path, limit_bytes);
  if (text.ok()) return text;
  auto error = std::move(text).error();
  error.place = input_name(path);
  return error;
}

std::string input_name(const std::string& path) {
  return path == kStandardInput ? "standard input" : to_valid_utf8(path);
}

bool can_be_read_again(const std::string& path) {
  if (path == kStandardInput) return false;
  std::error_code problem;
  const auto status = std::filesystem::status(path, problem);
  return !std::filesystem::exists(status) || std::filesystem::is_regular_file(status);
}

}  // namespace bulkhead::conversation
