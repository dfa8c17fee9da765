// SPDX-License-Identifier: MIT
// /v1/chat/completions and /v1/completions.
#include "serve/http_impl.h"
#include "serve/in_flight.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace bulkhead::serve {
namespace {

// A request from its lease to its last byte: a stream is written after its handler has returned.
struct Stream {
  std::shared_ptr<const Form> form;
  std::shared_ptr<InFlight> place;
  GenerationRequest request;
  Wanted wanted;
  ReplyHead head;
  std::optional<Conversations::Lease> lease;
};

ApiError in_time(const ApiError& error, const Watch& watch) {
  if (!watch.is_late() || error.status != 503) return error;
  return {.status = 504, .type = "timeout_error", .message = "the answer did not begin within the server's deadline"};
}

// Runs on the connection's thread. The head of the answer is sent already: what lies between it and the first token is
// bridged by pings. A client that is gone ends its own generation. Gives what failed.
std::optional<ApiError> stream_answer(Service& service, Stream& stream, Events& events, EventSink& sink, Watch& watch,
                                      const std::function<std::string()>& new_call_id) {
  auto lease = std::move(*stream.lease);
  stream.lease.reset();
  if (auto failed = service.prefill(lease, stream.wanted, watch.stop_token())) return failed;
  bool there = sink.write(events.first(lease.partition().ledger().tokens.size(), lease.reuse()));
  if (!there) watch.stop();
  const auto on_text = [&](std::uint32_t choice, const TokenEvent& event, const Delta& delta) {
    there = there && sink.write(events.more(choice, delta, &event));
    return there;
  };
  const auto generated = service.generate(std::move(lease), stream.request, on_text, watch.stop_token(), new_call_id);
  if (!generated.ok()) return generated.error();
  stream.form->finished(stream.head, stream.request, generated.value(), service.engine().tokenizer());
  if (there) static_cast<void>(sink.write(events.last(generated.value())));
  return std::nullopt;
}

}  // namespace

void HttpServer::Impl::answer(const std::shared_ptr<const Form>& form, const Request& request, Response& response) {
  auto& counters = service.counters();
  ++counters.requests;
  const auto place = std::make_shared<InFlight>(counters.in_flight);
  if (place->number() > options.most_requests) {
    return send(request, response,
                ApiError{.status = 429, .type = "rate_limit_exceeded", .message = "too many requests wait"});
  }
  const auto body = body_of(request, response);
  if (!body) return;
  auto read = form->read(*body);
  if (!read.ok()) return send(request, response, read.error());
  if (const auto unknown = check_model(read.value().model)) return send(request, response, *unknown);
  auto identity = identity_of(request, *body);
  identity.cluster = read.value().cluster;
  if (!identity.cluster.empty() && !identity.partition.empty()) {
    return send(request, response,
                invalid_request("each cluster has a partition of its own: name none", "bulkhead.partition"));
  }
  auto wanted = service.wanted(*owner_of(request), read.value());
  if (!wanted.ok()) return send(request, response, wanted.error());
  Watch watch(request, stopping.get_token(), options.deadline);
  auto lease = service.take(*owner_of(request), identity, wanted.value(), watch.stop_token());
  if (!lease.ok()) return send(request, response, in_time(lease.error(), watch));
  const ReplyHead head{new_id(form->id_prefix()), options.model_name, now()};
  if (read.value().stream) {
    const auto stream = std::make_shared<Stream>(
        Stream{form, place, std::move(read.value()), std::move(wanted.value()), head, std::move(lease.value())});
    return send_stream(request, response, [this, stream](EventSink& sink, Watch& its_watch) {
      const auto events = stream->form->events(stream->head, stream->request, service.engine().tokenizer());
      const auto failed = stream_answer(service, *stream, *events, sink, its_watch,
                                        [&] { return new_id(stream->form->call_prefix()); });
      if (!failed) return;
      count(*failed, failed->status == 503 && its_watch.has_left());
      static_cast<void>(sink.write(events->failed(in_time(*failed, its_watch))));
    });
  }
  if (const auto failed = service.prefill(lease.value(), wanted.value(), watch.stop_token())) {
    return send(request, response, in_time(*failed, watch));
  }
  const auto on_text = [&](std::uint32_t, const TokenEvent&, const Delta&) { return !is_gone(request); };
  const auto generated = service.generate(std::move(lease.value()), read.value(), on_text, watch.stop_token(),
                                          [&] { return new_id(form->call_prefix()); });
  if (!generated.ok()) return send(request, response, generated.error());
  form->finished(head, read.value(), generated.value(), service.engine().tokenizer());
  send(response, form->whole(head, read.value(), generated.value(), service.engine().tokenizer()));
}

// The head is sent at once. `write` runs on the connection's thread, behind the handler.
void HttpServer::Impl::send_stream(const Request& request, Response& response,
                                   std::function<void(EventSink&, Watch&)> write) {
  const auto provide = [this, &request, write = std::move(write)](std::size_t, httplib::DataSink& sink) {
    EventSink events(sink, options.ping);
    Watch watch(request, stopping.get_token(), options.deadline, [&] { events.ping_if_quiet(); });
    write(events, watch);
    watch.end();
    sink.done();
    return true;
  };
  response.set_header("X-Accel-Buffering", "no");  // proxies pass on each event as it comes
  response.set_chunked_content_provider("text/event-stream", provide);
}

void HttpServer::Impl::count_tokens(const Request& request, Response& response) {
  const auto body = body_of(request, response);
  if (!body) return;
  auto read = read_messages_request(*body, true);
  if (!read.ok()) return send(request, response, read.error());
  if (const auto unknown = check_model(read.value().model)) return send(request, response, *unknown);
  const auto wanted = service.wanted(*owner_of(request), read.value());
  if (!wanted.ok()) return send(request, response, wanted.error());
  send(response, Json{{"input_tokens", wanted.value().tokens.size()}});
}

void HttpServer::Impl::add_text_routes() {
  const auto add = [&](const Form& form, const std::string& path) {
    const std::shared_ptr<const Form> kept(&form, [](const Form*) {});
    on_post(path, [this, kept](const Request& request, Response& response) { answer(kept, request, response); });
  };
  add(chat_form(), "/v1/chat/completions");
  add(chat_form(), "/chat/completions");
  add(completion_form(), "/v1/completions");
  add(messages_form(), "/v1/messages");
  on_post("/v1/messages/count_tokens",
          [this](const Request& request, Response& response) { count_tokens(request, response); });
}

}  // namespace bulkhead::serve
