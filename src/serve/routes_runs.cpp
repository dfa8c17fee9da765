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
  RunStream(std::shared_ptr<InFlight> its_place, ScenarioRun its_run, std::stop_token stopping)
      : place(std::move(its_place)),
        run(std::move(its_run)),
        stopped(std::move(stopping), [this] { stop.request_stop(); }) {}

  std::shared_ptr<InFlight> place;
  ScenarioRun run;
  std::stop_source stop;
  std::stop_callback<std::function<void()>> stopped;
};

// On the connection's thread.
void stream_run(RunStream& stream, httplib::DataSink& sink) {
  const auto send = [&](const Json& event) {
    const auto text = fmt::format("data: {}\n\n", json_text(event));
    return sink.write(text.data(), text.size());
  };
  stream.run.run({.send = send, .is_there = [&] { return sink.is_writable(); }}, stream.stop);
}

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
  const auto stream = std::make_shared<RunStream>(place, std::move(run.value()), stopping.get_token());
  response.set_chunked_content_provider("text/event-stream", [stream](std::size_t, httplib::DataSink& sink) {
    stream_run(*stream, sink);
    sink.done();
    return true;
  });
}

void HttpServer::Impl::add_run_routes() {
  http.Post("/v1/runs", [this](const Request& request, Response& response) { run_scenario(request, response); });
}

}  // namespace bulkhead::serve
