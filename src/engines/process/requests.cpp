// SPDX-License-Identifier: MIT
#include "engines/process/requests.h"

#include "base/bytes.h"
#include "engine/json_fields.h"
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
                                      Capability::kConstraint, Capability::kEmbed,        Capability::kLogitBias,
                                      Capability::kLogprobs};

Result<SequenceId> sequence_of(const JsonView& request) {
  BH_TRY(const auto value, engine::number<std::uint32_t>(request, "sequence"));
  return SequenceId(value);
}

Result<OpenOptions> open_options_of(const JsonView& request) {
  OpenOptions options;
  BH_TRY(options.capacity_tokens, engine::number<std::uint32_t>(request, "capacity_tokens"));
  BH_TRY(options.only_forked, request.boolean_or("only_forked", false));
  return options;
}

Result<std::vector<Token>> tokens_of(const JsonView& request, const Engine& engine) {
  return engine::numbers<Token>(request, "tokens", 0, std::int64_t{engine.facts().vocabulary} - 1);
}

Answer plain(Json head) {
  return {std::move(head), {}};
}

Result<Answer> bytes_for(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequences, engine::number<std::uint32_t>(asked.frame.view(), "sequences"));
  BH_TRY(const auto tokens, engine::number<std::uint32_t>(asked.frame.view(), "tokens_each"));
  return plain({{"bytes", engine.bytes_for(sequences, tokens)}});
}

Result<Answer> memory(const Asked& /*asked*/, Engine& /*engine*/) {
  return plain({{"peak_rss_bytes", measure::process_memory().peak_bytes}, {"peak_device_bytes", 0}});
}

Result<Answer> reserve(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequences, engine::number<std::uint32_t>(asked.frame.view(), "sequences"));
  BH_TRY(const auto tokens, engine::number<std::uint32_t>(asked.frame.view(), "tokens_each"));
  BH_CHECK(engine.reserve(sequences, tokens));
  return Answer{};
}

Result<Answer> open(const Asked& asked, Engine& engine) {
  BH_TRY(const auto options, open_options_of(asked.frame.view()));
  BH_TRY(const auto made, engine.open(options));
  return plain({{"sequence", made.value()}});
}

Result<Answer> prefill(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(asked.frame.view()));
  BH_TRY(const auto tokens, tokens_of(asked.frame.view(), engine));
  BH_TRY(const auto done, engine.prefill(sequence, tokens, asked.cancels.front(), asked.on_progress));
  return plain({{"tokens", done.tokens}, {"ns", done.time.count()}});
}

Result<Answer> fork(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(asked.frame.view()));
  BH_TRY(const auto tokens, engine::number<std::uint32_t>(asked.frame.view(), "tokens"));
  BH_TRY(const auto options, open_options_of(asked.frame.view()));
  BH_TRY(const auto made, engine.fork(sequence, tokens, options));
  return plain({{"sequence", made.sequence.value()},
                {"reused_tokens", made.reused_tokens},
                {"prefilled_tokens", made.prefilled_tokens},
                {"ns", made.time.count()}});
}

// The options of one generation; its stop strings are the next bytes of `stops`.
Result<engine::GenerateRequest> generation_of(const JsonView& request, ByteReader& stops) {
  engine::GenerateRequest generation;
  BH_TRY(generation.sequence, sequence_of(request));
  BH_TRY(const auto told, request.at("options"));
  BH_TRY(generation.options, generate_options_from(told));
  BH_TRY(const auto sizes, engine::numbers<std::size_t>(told, "stop_bytes", 0, std::int64_t{1} << 32U));
  for (const auto size : sizes) generation.options.stop.emplace_back(stops.text(size));
  if (stops.failed()) return told.fail("the stop strings are not all there");
  return generation;
}

Result<Answer> generate(const Asked& asked, Engine& engine) {
  BH_TRY(const auto list, asked.frame.view().at("requests"));
  BH_TRY(const auto items, list.items());
  ByteReader stops(asked.frame.tail);
  std::vector<engine::GenerateRequest> requests;
  for (const auto& item : items) {
    const auto index = requests.size();
    BH_TRY(auto generation, generation_of(item, stops));
    generation.options.cancel = asked.cancels.at(index);
    generation.options.on_token = [&asked, index](const TokenEvent& event) { return asked.on_token(index, event); };
    requests.push_back(std::move(generation));
  }
  Json results = Json::array();
  for (const auto& result : engine.generate(requests)) {
    results.push_back(result.ok() ? Json{{"ok", to_json(result.value())}} : Json{{"error", to_json(result.error())}});
  }
  return plain({{"results", results}});
}

Result<Answer> score(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(asked.frame.view()));
  BH_TRY(const auto tokens, tokens_of(asked.frame.view(), engine));
  BH_TRY(const auto scores, engine.score(sequence, tokens));
  ByteWriter writer;
  writer.list(std::span<const double>(scores));
  return Answer{{{"scores", scores.size()}}, std::move(writer).take()};
}

Result<Answer> inspect(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(asked.frame.view()));
  BH_TRY(const auto state, engine.inspect(sequence));
  return plain(to_json(state));
}

Result<Answer> state_hash(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(asked.frame.view()));
  BH_TRY(const auto hash, engine.state_hash(sequence));
  return plain({{"hash", hex(hash)}});
}

Result<Answer> snapshot(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(asked.frame.view()));
  BH_TRY(const auto made, engine.snapshot(sequence));
  return Answer{Json::object(), made.bytes()};
}

Result<Answer> restore(const Asked& asked, Engine& engine) {
  BH_TRY(const auto options, open_options_of(asked.frame.view()));
  BH_TRY(const auto made, engine.restore(engine::Snapshot(asked.frame.tail), options));
  return plain({{"sequence", made.value()}});
}

Result<Answer> close(const Asked& asked, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(asked.frame.view()));
  BH_CHECK(engine.close(sequence));
  return Answer{};
}

struct Request {
  std::string_view name;
  Result<Answer> (*answer)(const Asked&, Engine&);
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

Result<Answer> tokenize(const Frame& frame, const engine::Tokenizer& tokenizer) {
  BH_TRY(const auto as_template, frame.view().boolean_or("template", false));
  BH_TRY(const auto tokens,
         as_template ? tokenizer.tokenize_template(frame.tail_text()) : tokenizer.tokenize(frame.tail_text()));
  return plain({{"tokens", tokens}});
}

Result<Answer> render_chat(const Frame& frame, const engine::Tokenizer& tokenizer) {
  ByteReader contents(frame.tail);
  std::vector<engine::ChatMessage> messages;
  BH_TRY(const auto list, frame.view().at("messages"));
  BH_TRY(const auto items, list.items());
  for (const auto& item : items) {
    BH_TRY(auto role, engine::text(item, "role"));
    BH_TRY(const auto bytes, engine::number<std::size_t>(item, "bytes"));
    messages.push_back({std::move(role), std::string(contents.text(bytes))});
  }
  if (contents.failed()) return list.fail("the messages are not all there");
  BH_TRY(const auto open_turn, engine::flag(frame.view(), "open_assistant_turn"));
  BH_TRY(const auto parts, tokenizer.render_chat(messages, open_turn));
  ByteWriter writer;
  Json told = Json::array();
  for (const auto& part : parts) {
    told.push_back({{"bytes", part.text.size()}, {"from_template", part.from_template}});
    writer.text(part.text);
  }
  return Answer{{{"parts", told}}, std::move(writer).take()};
}

// Of each token: u32 length and bytes of its piece, the same of its spelling, u8 whether it ends a generation.
Answer vocabulary(const Engine& engine) {
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
Result<Answer> guarded(std::string_view what, const auto& call) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kInternal, "out of memory", {}, {}};
  } catch (const std::exception& error) {
    return Error{ErrorCode::kInternal, fmt::format("request \"{}\": {}", what, error.what()), {}, {}};
  }
}

}  // namespace

Answer describe(const Engine& engine) {
  Json capabilities = Json::array();
  for (const auto capability : kCapabilities) {
    if (engine.can(capability)) capabilities.push_back(engine::name(capability));
  }
  return plain({{"facts", to_json(engine.facts())}, {"capabilities", capabilities}});
}

bool is_asked_any_time(std::string_view what) {
  return what == "tokenize" || what == "render_chat" || what == "vocabulary";
}

Result<Answer> answer_any_time(std::string_view what, const Frame& frame, const Engine& engine) {
  return guarded(what, [&]() -> Result<Answer> {
    if (what == "tokenize") return tokenize(frame, engine.tokenizer());
    if (what == "render_chat") return render_chat(frame, engine.tokenizer());
    return vocabulary(engine);
  });
}

Result<Answer> answer(std::string_view what, const Asked& asked, Engine& engine) {
  return guarded(what, [&]() -> Result<Answer> {
    for (const auto& request : kRequests) {
      if (request.name == what) return request.answer(asked, engine);
    }
    return Error{ErrorCode::kUsage, fmt::format("there is no request \"{}\"", worker::shown(what, 80)), {}, {}};
  });
}

}  // namespace bulkhead::engines::process
