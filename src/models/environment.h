// SPDX-License-Identifier: MIT
// What the world tells the models room: folders, hub, token. A plain value, so that tests make their own.
#pragma once

#include "models/manifest.h"
#include "net/http_client.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::models {

struct Environment {
  Manifest manifest = Manifest::built_in();
  std::filesystem::path models_folder;                               // made when something is pulled
  std::string hub_endpoint = "https://huggingface.co";               // no slash at the end, no user, no password
  std::string hub_login;                                             // "user:password" of the endpoint; empty: none
  std::string hub_token;                                             // empty: none; not sent where there is a login
  bool hub_offline = false;                                          // ask no hub
  std::string python = "python3";                                    // fetches packages; found by PATH
  std::vector<std::pair<std::string, std::string>> child_variables;  // set for python on top of our own variables
  net::HttpOptions http = {.retry = {.tries = 4}};  // timeouts, tries; token, login and stop are set per call

  // From the process: BULKHEAD_MODELS, else models in cache_folder(); HF_ENDPOINT, of which a user and password become
  // the login; HF_TOKEN; HF_HUB_OFFLINE (1, on, yes, true). Reads variables only; touches no file.
  [[nodiscard]] static Environment from_process();
};

}  // namespace bulkhead::models
