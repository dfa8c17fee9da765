// SPDX-License-Identifier: MIT
// POST /v1/runs: a scenario, answered as a stream of events.
#include "serve/http_impl.h"
#include "serve/in_flight.h"
#include "serve/scenario_run.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace bulkhead::serve {
namespace {

// A run from its request to its last event: it is run after its handler has returned.
struct RunStream {
  std::shared_ptr<InFlight> place;
  ScenarioRun run;
};

}  // namespace

void HttpServer::Impl::run_scenario(const Request& request, Response& response) {
  auto& counters = service.counters();
  ++counters.requests;
  const auto place = std::make_shared<InFlight>(counters.in_flight);
  if (place->number() > options.most_requests) {
    return send(response, ApiError{.status = 429, .type = "rate_limit_exceeded", .message = "too many requests wait"});
  }
  auto read = read_run_request(request.body);
  if (!read.ok()) return send(response, read.error());
  if (const auto unknown = check_model(read.value().model)) return send(response, *unknown);
  auto run = ScenarioRun::prepare(service, *owner_of(request), std::move(read.value()));
  if (!run.ok()) return send(response, run.error());
  const auto stream = std::make_shared<RunStream>(RunStream{place, std::move(run.value())});
  send_stream(request, response, [stream](EventSink& sink, Watch& watch) {
    stream->run.run([&](const Json& event) { return sink.write(fmt::format("data: {}\n\n", json_text(event))); },
                    watch.stop_token());
  });
}

void HttpServer::Impl::add_run_routes() {
  on_post("/v1/runs", [this](const Request& request, Response& response) { run_scenario(request, response); });
}

}  // namespace bulkhead::serve
