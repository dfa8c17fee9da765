// SPDX-License-Identifier: MIT
#include "models/environment.h"

#include "base/cache_folder.h"

#include <cstdlib>

namespace bulkhead::models {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

bool is_on(const std::string& value) {
  const auto word = lower_case(value);
  return word == "1" || word == "on" || word == "yes" || word == "true";
}

}  // namespace

Environment Environment::from_process() {
  Environment environment;
  const auto folder = variable("BULKHEAD_MODELS");
  environment.models_folder = folder.empty() ? cache_folder() / "models" : std::filesystem::path(folder);
  if (auto endpoint = variable("HF_ENDPOINT"); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    environment.hub_endpoint = net::shown_url(endpoint);
    environment.hub_login = net::login_in(endpoint);
  }
  environment.hub_token = variable("HF_TOKEN");
  environment.hub_offline = is_on(variable("HF_HUB_OFFLINE"));
  return environment;
}

}  // namespace bulkhead::models
