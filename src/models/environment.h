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
  std::string hub_endpoint = "https://huggingface.co";               // no slash at the end
  std::string hub_token;                                             // empty: none
  bool hub_offline = false;                                          // ask no hub
  std::string python = "python3";                                    // fetches packages; found by PATH
  std::vector<std::pair<std::string, std::string>> child_variables;  // set for python on top of our own variables
  net::HttpOptions http;                                             // timeouts; token and stop are set per call

  // From the process: BULKHEAD_MODELS, else XDG_CACHE_HOME or ~/.cache with bulkhead/models below it; HF_ENDPOINT;
  // HF_TOKEN; HF_HUB_OFFLINE (1, on, yes, true). Reads variables only; touches no file.
  [[nodiscard]] static Environment from_process();
};

}  // namespace bulkhead::models
