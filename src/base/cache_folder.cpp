// SPDX-License-Identifier: MIT
#include "base/cache_folder.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace bulkhead {
namespace {

std::filesystem::path home() {
  if (const char* folder = std::getenv("HOME"); folder != nullptr && *folder != '\0') return folder;
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr ? std::filesystem::path(user->pw_dir) : std::filesystem::path("/");
}

}  // namespace

std::filesystem::path cache_folder() {
  const char* named = std::getenv("XDG_CACHE_HOME");
  std::filesystem::path cache = named == nullptr ? "" : named;
  if (!cache.is_absolute()) cache = home() / ".cache";
  return cache / "bulkhead";
}

}  // namespace bulkhead
