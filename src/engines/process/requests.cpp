// SPDX-License-Identifier: MIT
#include "engines/process/requests.h"

#include "base/bytes.h"
#include "measure/process_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::engines::process {
namespace {

using engine::Capability;
using engine::Engine;
using engine::OpenOptions;
using engine::SequenceId;
using engine::Token;
using worker::generate_options_from;
using worker::hex;
using worker::to_json;

constexpr std::array kCapabilities = {Capability::kFork,       Capability::kForkEarlier,  Capability::kScore,
                                      Capability::kLogitHash,  Capability::kChatTemplate, Capability::kSnapshot,
                                      Capability::kConstraint, Capability::kEmbed};

SequenceId sequence_of(const Json& json) {
  return SequenceId(json.at("sequence").get<std::uint32_t>());
}

OpenOptions open_options_of(const Json& json) {
  return {.capacity_tokens = json.at("capacity_tokens").get<std::uint32_t>(),
          .only_forked = json.value("only_forked", false)};
}

Frame plain(Json head) {
  return {std::move(head), {}};
}

Result<Frame> bytes_for(const Asked& asked, Engine& engine) {
  const auto& head = asked.frame.head;
  return plain({{"bytes", engine.bytes_for(head.at("sequences").get<std::uint32_t>(),
                                           head.at("tokens_each").get<std::uint32_t>())}});
}

Result<Frame> memory(const Asked& /*asked*/, Engine& /*engine*/) {
  return plain({{"peak_rss_bytes", measure::process_memory().peak_bytes}, {"peak_device_bytes", 0}});
}

Result<Frame> reserve(const Asked& asked, Engine& engine) {
  const auto& head = asked.frame.head;
  BH_CHECK(engine.reserve(head.at("sequences").get<std::uint32_t>(), head.at("tokens_each").get<std::uint32_t>()));
  return Frame{};
}

Result<Frame> open(const Asked& asked, Engine& engine) {
  BH_TRY(const auto made, engine.open(open_options_of(asked.frame.head)));
  return plain({{"sequence", made.value()}});
}

Result<Frame> prefill(const Asked& asked, Engine& engine) {
  const auto tokens = asked.frame.head.at("tokens").get<std::vector<Token>>();
  BH_TRY(const auto done,
         engine.prefill(sequence_of(asked.frame.head), tokens, asked.cancels.front(), asked.on_progress));
  return plain({{"tokens", done.tokens}, {"ns", done.time.count()}});
}

Result<Frame> fork(const Asked& asked, Engine& engine) {
  const auto& head = asked.frame.head;
  BH_TRY(const auto made,
         engine.fork(sequence_of(head), head.at("tokens").get<std::uint32_t>(), open_options_of(head)));
  return plain({{"sequence", made.sequence.value()},
                {"reused_tokens", made.reused_tokens},
                {"prefilled_tokens", made.prefilled_tokens},
                {"ns", made.time.count()}});
}

Result<Frame> generate(const Asked& asked, Engine& engine) {
  ByteReader stops(asked.frame.tail);
  std::vector<engine::GenerateRequest> requests;
  for (const auto& request : asked.frame.head.at("requests")) {
    const auto index = requests.size();
    auto options = generate_options_from(request.at("options"));
    for (const auto& size : request.at("options").at("stop_bytes"))
      options.stop.emplace_back(stops.text(size.get<std::size_t>()));
    options.cancel = asked.cancels.at(index);
    options.on_token = [&asked, index](const TokenEvent& event) { return asked.on_token(index, event); };
    requests.push_back({sequence_of(request), std::move(options)});
  }
  if (stops.failed()) return Error{ErrorCode::kBadInput, "the stop strings are not all there", {}, {}};
  Json results = Json::array();
  for (const auto& result : engine.generate(requests)) {
    results.push_back(result.ok() ? Json{{"ok", to_json(result.value())}} : Json{{"error", to_json(result.error())}});
  }
  return plain({{"results", results}});
}

Result<Frame> score(const Asked& asked, Engine& engine) {
  const auto tokens = asked.frame.head.at("tokens").get<std::vector<Token>>();
  BH_TRY(const auto scores, engine.score(sequence_of(asked.frame.head), tokens));
  ByteWriter writer;
  writer.list(std::span<const double>(scores));
  return Frame{{{"scores", scores.size()}}, std::move(writer).take()};
}

Result<Frame> inspect(const Asked& asked, Engine& engine) {
  BH_TRY(const auto state, engine.inspect(sequence_of(asked.frame.head)));
  return plain(to_json(state));
}

Result<Frame> state_hash(const Asked& asked, Engine& engine) {
  BH_TRY(const auto hash, engine.state_hash(sequence_of(asked.frame.head)));
  return plain({{"hash", hex(hash)}});
}

Result<Frame> snapshot(const Asked& asked, Engine& engine) {
  BH_TRY(const auto made, engine.snapshot(sequence_of(asked.frame.head)));
  return Frame{Json::object(), made.bytes()};
}

Result<Frame> restore(const Asked& asked, Engine& engine) {
  BH_TRY(const auto made, engine.restore(engine::Snapshot(asked.frame.tail), open_options_of(asked.frame.head)));
  return plain({{"sequence", made.value()}});
}

Result<Frame> close(const Asked& asked, Engine& engine) {
  BH_CHECK(engine.close(sequence_of(asked.frame.head)));
  return Frame{};
}

struct Request {
  std::string_view name;
  Result<Frame> (*answer)(const Asked&, Engine&);
};

constexpr std::array<Request, 13> kRequests = {{{"memory", memory},
                                                {"bytes_for", bytes_for},
                                                {"reserve", reserve},
                                                {"open", open},
                                                {"prefill", prefill},
                                                {"fork", fork},
                                                {"generate", generate},
                                                {"score", score},
                                                {"inspect", inspect},
                                                {"state_hash", state_hash},
                                                {"snapshot", snapshot},
                                                {"restore", restore},
                                                {"close", close}}};

Result<Frame> tokenize(const Frame& frame, const engine::Tokenizer& tokenizer) {
  const bool as_template = frame.head.value("template", false);
  BH_TRY(const auto tokens,
         as_template ? tokenizer.tokenize_template(frame.tail_text()) : tokenizer.tokenize(frame.tail_text()));
  return plain({{"tokens", tokens}});
}

Result<Frame> render_chat(const Frame& frame, const engine::Tokenizer& tokenizer) {
  ByteReader contents(frame.tail);
  std::vector<engine::ChatMessage> messages;
  for (const auto& message : frame.head.at("messages")) {
    messages.push_back(
        {message.at("role").get<std::string>(), std::string(contents.text(message.at("bytes").get<std::size_t>()))});
  }
  if (contents.failed()) return Error{ErrorCode::kBadInput, "the messages are not all there", {}, {}};
  BH_TRY(const auto parts, tokenizer.render_chat(messages, frame.head.at("open_assistant_turn").get<bool>()));
  ByteWriter writer;
  Json list = Json::array();
  for (const auto& part : parts) {
    list.push_back({{"bytes", part.text.size()}, {"from_template", part.from_template}});
    writer.text(part.text);
  }
  return Frame{{{"parts", list}}, std::move(writer).take()};
}

// Of each token: u32 length and bytes of its piece, the same of its spelling, u8 whether it ends a generation.
Frame vocabulary(const Engine& engine) {
  ByteWriter writer;
  const auto& tokenizer = engine.tokenizer();
  for (std::uint32_t i = 0; i < engine.facts().vocabulary; ++i) {
    const auto token = static_cast<Token>(i);
    for (const auto& text : {tokenizer.piece(token), tokenizer.spelling(token)}) {
      writer.number(static_cast<std::uint32_t>(text.size()));
      writer.text(text);
    }
    writer.number(std::uint8_t{tokenizer.ends_generation(token) ? std::uint8_t{1} : std::uint8_t{0}});
  }
  const auto bos = tokenizer.bos();
  return {{{"bos", bos ? Json(*bos) : Json(nullptr)}}, std::move(writer).take()};
}

// No exception leaves a request: the worker would end, and with it a sequence that may be well.
Result<Frame> guarded(std::string_view what, const auto& call) {
  try {
    return call();
  } catch (const Json::exception& error) {
    return Error{ErrorCode::kBadInput, fmt::format("a request \"{}\" of another form: {}", what, error.what()), {}, {}};
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kInternal, "out of memory", {}, {}};
  } catch (const std::exception& error) {
    return Error{ErrorCode::kInternal, error.what(), {}, {}};
  }
}

}  // namespace

Frame describe(const Engine& engine) {
  Json capabilities = Json::array();
  for (const auto capability : kCapabilities) {
    if (engine.can(capability)) capabilities.push_back(engine::name(capability));
  }
  return plain({{"facts", to_json(engine.facts())}, {"capabilities", capabilities}});
}

bool is_asked_any_time(std::string_view what) {
  return what == "tokenize" || what == "render_chat" || what == "vocabulary";
}

Result<Frame> answer_any_time(std::string_view what, const Frame& frame, const Engine& engine) {
  return guarded(what, [&]() -> Result<Frame> {
    if (what == "tokenize") return tokenize(frame, engine.tokenizer());
    if (what == "render_chat") return render_chat(frame, engine.tokenizer());
    return vocabulary(engine);
  });
}

Result<Frame> answer(std::string_view what, const Asked& asked, Engine& engine) {
  return guarded(what, [&]() -> Result<Frame> {
    for (const auto& request : kRequests) {
      if (request.name == what) return request.answer(asked, engine);
    }
    return Error{ErrorCode::kUsage, fmt::format("there is no request \"{}\"", what), {}, {}};
  });
}

}  // namespace bulkhead::engines::process
