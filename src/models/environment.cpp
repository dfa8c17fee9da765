// SPDX-License-Identifier: MIT
#include "models/environment.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

namespace bulkhead::models {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::filesystem::path home() {
  if (auto folder = variable("HOME"); !folder.empty()) return folder;
  const passwd* user = ::getpwuid(::getuid());
  return user != nullptr ? std::filesystem::path(user->pw_dir) : std::filesystem::path("/");
}

std::filesystem::path default_models_folder() {
  // The XDG rules say to pass over a path that is not absolute.
  std::filesystem::path cache = variable("XDG_CACHE_HOME");
  if (!cache.is_absolute()) cache = home() / ".cache";
  return cache / "bulkhead" / "models";
}

bool is_on(const std::string& value) {
  const auto word = lower_case(value);
  return word == "1" || word == "on" || word == "yes" || word == "true";
}

}  // namespace

Environment Environment::from_process() {
  Environment environment;
  const auto folder = variable("BULKHEAD_MODELS");
  environment.models_folder = folder.empty() ? default_models_folder() : std::filesystem::path(folder);
  if (auto endpoint = variable("HF_ENDPOINT"); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    environment.hub_endpoint = endpoint;
  }
  environment.hub_token = variable("HF_TOKEN");
  environment.hub_offline = is_on(variable("HF_HUB_OFFLINE"));
  return environment;
}

}  // namespace bulkhead::models
