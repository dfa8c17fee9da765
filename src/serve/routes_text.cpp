// SPDX-License-Identifier: MIT
// /v1/chat/completions and /v1/completions.
#include "serve/http_impl.h"
#include "serve/in_flight.h"

#include <fmt/format.h>

#include <cctype>
#include <memory>
#include <utility>

namespace bulkhead::serve {
namespace {

// A request from its lease to its last byte: a stream is written after its handler has returned.
struct Stream {
  Stream(const Form& its_form, std::shared_ptr<InFlight> its_place, GenerationRequest its_request, ReplyHead its_head,
         Conversations::Lease its_lease, std::stop_token stopping)
      : form(&its_form),
        place(std::move(its_place)),
        request(std::move(its_request)),
        head(std::move(its_head)),
        lease(std::move(its_lease)),
        stopped(std::move(stopping), [this] { stop.request_stop(); }) {}

  const Form* form;
  std::shared_ptr<InFlight> place;
  GenerationRequest request;
  ReplyHead head;
  std::optional<Conversations::Lease> lease;
  std::stop_source stop;
  std::stop_callback<std::function<void()>> stopped;
};

bool write_text(httplib::DataSink& sink, const std::string& text) {
  return text.empty() ? sink.is_writable() : sink.write(text.data(), text.size());
}

// Runs on the connection's thread. A client that is gone ends its own generation.
void stream_answer(Service& service, Stream& stream, httplib::DataSink& sink) {
  const auto& tokenizer = service.engine().tokenizer();
  const auto& form = *stream.form;
  auto lease = std::move(*stream.lease);
  stream.lease.reset();
  bool there = write_text(
      sink, form.first_events(stream.head, stream.request, lease.partition().ledger().tokens.size(), lease.reuse()));
  if (!there) stream.stop.request_stop();
  const auto on_text = [&](std::uint32_t choice, const TokenEvent& event, const std::string& text) {
    there = there && write_text(sink, form.text_events(stream.head, choice, text, &event, tokenizer));
    return there;
  };
  const auto generated = service.generate(std::move(lease), stream.request, on_text, stream.stop.get_token());
  if (!generated.ok()) {
    ++(generated.error().status < 500 ? service.counters().refused : service.counters().failed);
    static_cast<void>(write_text(sink, form.error_events(generated.error())));
  } else if (there) {
    static_cast<void>(write_text(sink, form.last_events(stream.head, stream.request, generated.value(), tokenizer)));
  }
}

std::string lower(std::string text) {
  for (auto& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Identity identity_of(const httplib::Request& request, const Json& body) {
  return identify(
      [&](std::string_view name) -> std::optional<std::string> {
        for (const auto& [key, value] : request.headers) {
          if (lower(key) == name) return value;
        }
        return std::nullopt;
      },
      body);
}

}  // namespace

void HttpServer::Impl::answer(const Form& form, const Request& request, Response& response) {
  auto& counters = service.counters();
  ++counters.requests;
  const auto place = std::make_shared<InFlight>(counters.in_flight);
  if (place->number() > options.most_requests) {
    return send(request, response,
                ApiError{.status = 429, .type = "rate_limit_exceeded", .message = "too many requests wait"});
  }
  const auto body = body_of(request, response);
  if (!body) return;
  auto read = form.read(*body);
  if (!read.ok()) return send(request, response, read.error());
  if (const auto unknown = check_model(read.value().model)) return send(request, response, *unknown);
  const auto wanted = service.wanted(read.value());
  if (!wanted.ok()) return send(request, response, wanted.error());
  std::stop_source stop;
  const std::stop_callback stopped(stopping.get_token(), [&] { stop.request_stop(); });
  auto lease = service.prefill(*owner_of(request), identity_of(request, *body), wanted.value(), stop.get_token(), [&] {
    if (request.is_connection_closed()) stop.request_stop();
  });
  if (!lease.ok()) return send(request, response, lease.error());
  const ReplyHead head{new_id(form.id_prefix()), options.model_name, now()};
  if (read.value().stream) {
    const auto stream = std::make_shared<Stream>(form, place, std::move(read.value()), head, std::move(lease.value()),
                                                 stopping.get_token());
    response.set_chunked_content_provider("text/event-stream", [this, stream](std::size_t, httplib::DataSink& sink) {
      stream_answer(service, *stream, sink);
      sink.done();
      return true;
    });
    return;
  }
  const auto on_text = [&](std::uint32_t, const TokenEvent&, const std::string&) {
    return !request.is_connection_closed();
  };
  const auto generated = service.generate(std::move(lease.value()), read.value(), on_text, stop.get_token());
  if (!generated.ok()) return send(request, response, generated.error());
  send(response, form.whole(head, read.value(), generated.value(), service.engine().tokenizer()));
}

void HttpServer::Impl::count_tokens(const Request& request, Response& response) {
  const auto body = body_of(request, response);
  if (!body) return;
  const auto read = read_messages_request(*body, true);
  if (!read.ok()) return send(request, response, read.error());
  if (const auto unknown = check_model(read.value().model)) return send(request, response, *unknown);
  const auto wanted = service.wanted(read.value());
  if (!wanted.ok()) return send(request, response, wanted.error());
  send(response, Json{{"input_tokens", wanted.value().tokens.size()}});
}

void HttpServer::Impl::add_text_routes() {
  const auto add = [&](const Form& form, const std::string& path) {
    http.Post(path, [this, &form](const Request& request, Response& response) { answer(form, request, response); });
  };
  add(chat_form(), "/v1/chat/completions");
  add(chat_form(), "/chat/completions");
  add(completion_form(), "/v1/completions");
  add(messages_form(), "/v1/messages");
  http.Post("/v1/messages/count_tokens",
            [this](const Request& request, Response& response) { count_tokens(request, response); });
}

}  // namespace bulkhead::serve
