// SPDX-License-Identifier: MIT
#include "base/file_identity.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>
#include <string>
#include <string_view>

namespace bulkhead {
namespace {

FileIdentity identity_of(const struct stat& status) {
#if defined(__APPLE__)
  const auto changed = status.st_mtimespec;
  const auto touched = status.st_ctimespec;
#else
  const auto changed = status.st_mtim;
  const auto touched = status.st_ctim;
#endif
  const auto number = [](auto value) { return static_cast<std::uint64_t>(value); };
  return {number(status.st_dev),   number(status.st_ino),  number(status.st_size), number(changed.tv_sec),
          number(changed.tv_nsec), number(touched.tv_sec), number(touched.tv_nsec)};
}

constexpr std::string_view kPartEnd = "-00001-of-00003.gguf";

// Five digits.
std::optional<unsigned> number_in(std::string_view digits) {
  unsigned value = 0;
  const auto* end = digits.data() + digits.size();
  const auto [stop, problem] = std::from_chars(digits.data(), end, value);
  if (problem != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

std::optional<FileIdentity> file_identity(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return identity_of(status);
}

std::optional<FileIdentity> file_identity(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return std::nullopt;
  return identity_of(status);
}

std::optional<ModelPart> model_part(std::string_view name) {
  if (name.size() <= kPartEnd.size()) return std::nullopt;
  const auto end = name.substr(name.size() - kPartEnd.size());
  const auto number = number_in(end.substr(1, 5));
  const auto count = number_in(end.substr(10, 5));
  if (end[0] != '-' || !number || end.substr(6, 4) != "-of-" || !count || end.substr(15) != ".gguf")
    return std::nullopt;
  if (*count < 2 || *number < 1 || *number > *count) return std::nullopt;
  return ModelPart{*number, *count};
}

std::string name_of_part(std::string_view name, unsigned number) {
  const auto begin = name.size() - kPartEnd.size() + 1;
  return fmt::format("{}{:05}{}", name.substr(0, begin), number, name.substr(begin + 5));
}

std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& first) {
  const auto name = first.filename().string();
  const auto part = model_part(name);
  if (!part || part->number != 1) return {first};
  std::vector<std::filesystem::path> files;
  for (unsigned number = 1; number <= part->count; ++number) {
    files.push_back(first.parent_path() / name_of_part(name, number));
  }
  return files;
}

std::optional<ModelIdentity> model_identity(const std::filesystem::path& first) {
  ModelIdentity identity;
  for (const auto& file : files_of_model(first)) {
    const auto one = file_identity(file);
    if (!one) return std::nullopt;
    identity.push_back(*one);
  }
  return identity;
}

std::uint64_t bytes_of(const ModelIdentity& identity) {
  std::uint64_t bytes = 0;
  for (const auto& one : identity) bytes += bytes_of(one);
  return bytes;
}

}  // namespace bulkhead
