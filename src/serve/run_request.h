// SPDX-License-Identifier: MIT
// The body of POST /v1/runs, checked.
#pragma once

#include "base/json.h"
#include "conversation/scenario.h"
#include "plan/plan.h"
#include "serve/api_error.h"

#include <bulkhead/options.h>

#include <memory>
#include <string>

namespace bulkhead::serve {

struct RunRequest {
  std::string model = {};
  std::shared_ptr<const conversation::Scenario> scenario = {};
  plan::Settings settings = {};
  SamplingOptions sampling = {};
};

// The body, checked. What is wrong with the scenario is told with the place of the member: "scenario.turns[3].role".
[[nodiscard]] Answer<RunRequest> read_run_request(const std::string& body);

}  // namespace bulkhead::serve
