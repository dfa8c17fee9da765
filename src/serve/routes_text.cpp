// SPDX-License-Identifier: MIT
// /v1/chat/completions and /v1/completions.
#include "serve/http_impl.h"
#include "serve/replies.h"

#include <fmt/format.h>

#include <cctype>
#include <memory>
#include <utility>

namespace bulkhead::serve {
namespace {

// One of the requests for text that are waiting or computed.
class InFlight {
 public:
  explicit InFlight(std::atomic<std::uint32_t>& count) : count_(&count), number_(++count) {}
  ~InFlight() { --*count_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  [[nodiscard]] std::uint32_t number() const { return number_; }

 private:
  std::atomic<std::uint32_t>* count_;
  std::uint32_t number_;
};

// A request from its lease to its last byte: a stream is written after its handler has returned.
struct Stream {
  Stream(std::shared_ptr<InFlight> its_place, GenerationRequest its_request, ReplyHead its_head,
         Conversations::Lease its_lease, std::stop_token stopping)
      : place(std::move(its_place)),
        request(std::move(its_request)),
        head(std::move(its_head)),
        lease(std::move(its_lease)),
        stopped(std::move(stopping), [this] { stop.request_stop(); }) {}

  std::shared_ptr<InFlight> place;
  GenerationRequest request;
  ReplyHead head;
  std::optional<Conversations::Lease> lease;
  std::stop_source stop;
  std::stop_callback<std::function<void()>> stopped;
};

bool write_event(httplib::DataSink& sink, const Json& event) {
  const auto text = "data: " + json_text(event) + "\n\n";
  return sink.write(text.data(), text.size());
}

// Runs on the connection's thread. A client that is gone ends its own generation.
void stream_answer(Service& service, Stream& stream, httplib::DataSink& sink) {
  const auto& tokenizer = service.engine().tokenizer();
  bool there = true;
  if (stream.head.chat) {
    for (std::uint32_t i = 0; i < stream.request.choices && there; ++i) {
      there = write_event(sink, first_chunk(stream.head, i));
    }
  }
  if (!there) stream.stop.request_stop();
  const auto on_text = [&](std::uint32_t choice, const TokenEvent& event, const std::string& text) {
    const bool tells = !text.empty() || event.logprobs != nullptr;
    there = there &&
            (tells ? write_event(sink, text_chunk(stream.head, choice, text, &event, tokenizer)) : sink.is_writable());
    return there;
  };
  auto lease = std::move(*stream.lease);
  stream.lease.reset();
  const auto generated = service.generate(std::move(lease), stream.request, on_text, stream.stop.get_token());
  if (!generated.ok()) {
    ++(generated.error().status < 500 ? service.counters().refused : service.counters().failed);
    static_cast<void>(write_event(sink, to_json(generated.error())));
    return;
  }
  const auto& choices = generated.value().choices;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const auto& choice = choices[i];
    if (!choice.rest.empty()) {
      there = there && write_event(sink, text_chunk(stream.head, choice.index, choice.rest, nullptr, tokenizer));
    }
    there = there && write_event(sink, last_chunk(stream.head, stream.request, generated.value(), i));
  }
  if (stream.request.stream_usage) there = there && write_event(sink, usage_chunk(stream.head, generated.value()));
  constexpr std::string_view kDone = "data: [DONE]\n\n";
  if (there) static_cast<void>(sink.write(kDone.data(), kDone.size()));
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

void HttpServer::Impl::answer(bool chat, const Request& request, Response& response) {
  auto& counters = service.counters();
  ++counters.requests;
  const auto place = std::make_shared<InFlight>(counters.in_flight);
  if (place->number() > options.most_requests) {
    return send(response, ApiError{.status = 429, .type = "rate_limit_exceeded", .message = "too many requests wait"});
  }
  const auto body = body_of(request, response);
  if (!body) return;
  auto read = chat ? read_chat_request(*body) : read_completion_request(*body);
  if (!read.ok()) return send(response, read.error());
  if (const auto unknown = check_model(read.value().model)) return send(response, *unknown);
  const auto wanted = service.wanted(read.value());
  if (!wanted.ok()) return send(response, wanted.error());
  std::stop_source stop;
  const std::stop_callback stopped(stopping.get_token(), [&] { stop.request_stop(); });
  auto lease = service.prefill(*owner_of(request), identity_of(request, *body), wanted.value(), stop.get_token(), [&] {
    if (request.is_connection_closed()) stop.request_stop();
  });
  if (!lease.ok()) return send(response, lease.error());
  const ReplyHead head{chat, new_id(chat ? "chatcmpl-" : "cmpl-"), options.model_name, now()};
  if (read.value().stream) {
    const auto stream =
        std::make_shared<Stream>(place, std::move(read.value()), head, std::move(lease.value()), stopping.get_token());
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
  if (!generated.ok()) return send(response, generated.error());
  send(response, whole_reply(head, read.value(), generated.value(), service.engine().tokenizer()));
}

void HttpServer::Impl::add_text_routes() {
  const auto add = [&](bool chat, const std::string& path) {
    http.Post(path, [this, chat](const Request& request, Response& response) { answer(chat, request, response); });
  };
  add(true, "/v1/chat/completions");
  add(true, "/chat/completions");
  add(false, "/v1/completions");
}

}  // namespace bulkhead::serve
