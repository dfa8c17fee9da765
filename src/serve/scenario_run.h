// SPDX-License-Identifier: MIT
// A run of one scenario under the conditions, asked for over HTTP: what it tells while it runs, as events. The run is
// run/experiment.h's, on the server's engine, and leaves nothing on disk. Knows no HTTP.
//
// Events are objects with a member "type"; docs/serving.md lists them.
#pragma once

#include "base/json.h"
#include "engine/engine.h"
#include "plan/plan.h"
#include "serve/api_error.h"
#include "serve/run_request.h"
#include "serve/service.h"

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace bulkhead::serve {

// Takes an event, on the thread that runs. False: nobody is there any more.
using SendEvent = std::function<bool(const Json& event)>;

class ScenarioRun {
 public:
  // The plan, for `owner`. All that can be refused is refused here, before anything is computed: what is longer than a
  // partition, and more partitions at a time than an owner may have.
  [[nodiscard]] static Answer<ScenarioRun> prepare(Service& service, const std::string& owner, RunRequest request);

  // Runs to the end, to a stop, or until nobody is there. Every run ends with the event "run.finished" or "error".
  void run(const SendEvent& send, const std::stop_token& cancel);

 private:
  ScenarioRun(Service& service, std::unique_ptr<engine::Engine> engine, RunRequest request, plan::Plan plan);

  Service* service_;
  std::unique_ptr<engine::Engine> engine_;  // the desk's, on behalf of the owner
  RunRequest request_;
  std::vector<plan::Plan> plans_;  // one
};

}  // namespace bulkhead::serve
