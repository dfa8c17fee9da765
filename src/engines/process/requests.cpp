// SPDX-License-Identifier: MIT
#include "engines/process/requests.h"

#include "base/bytes.h"
#include "engine/json_fields.h"
#include "measure/process_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
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

Result<Answer> bytes_for(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequences, engine::number<std::uint32_t>(frame.view(), "sequences"));
  BH_TRY(const auto tokens, engine::number<std::uint32_t>(frame.view(), "tokens_each"));
  return plain({{"bytes", engine.bytes_for(sequences, tokens)}});
}

Result<Answer> reserve(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequences, engine::number<std::uint32_t>(frame.view(), "sequences"));
  BH_TRY(const auto tokens, engine::number<std::uint32_t>(frame.view(), "tokens_each"));
  BH_CHECK(engine.reserve(sequences, tokens));
  return Answer{};
}

Result<Answer> open(const Frame& frame, Engine& engine) {
  BH_TRY(const auto options, open_options_of(frame.view()));
  BH_TRY(const auto made, engine.open(options));
  return plain({{"sequence", made.value()}});
}

Result<Answer> fork(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(frame.view()));
  BH_TRY(const auto tokens, engine::number<std::uint32_t>(frame.view(), "tokens"));
  BH_TRY(const auto options, open_options_of(frame.view()));
  BH_TRY(const auto made, engine.fork(sequence, tokens, options));
  return plain({{"sequence", made.sequence.value()},
                {"reused_tokens", made.reused_tokens},
                {"prefilled_tokens", made.prefilled_tokens},
                {"ns", made.time.count()}});
}

Result<Answer> truncate(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(frame.view()));
  BH_TRY(const auto tokens, engine::number<std::uint32_t>(frame.view(), "tokens"));
  BH_TRY(const auto cut, engine.truncate(sequence, tokens));
  return plain({{"tokens", cut.tokens}, {"ns", cut.time.count()}});
}

Result<Answer> score(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(frame.view()));
  BH_TRY(const auto tokens, tokens_of(frame.view(), engine));
  BH_TRY(const auto scores, engine.score(sequence, tokens));
  ByteWriter writer;
  writer.list(std::span<const double>(scores));
  return Answer{{{"scores", scores.size()}}, std::move(writer).take()};
}

Result<Answer> inspect(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(frame.view()));
  BH_TRY(const auto state, engine.inspect(sequence));
  return plain(to_json(state));
}

Result<Answer> state_hash(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(frame.view()));
  BH_TRY(const auto hash, engine.state_hash(sequence));
  return plain({{"hash", hex(hash)}});
}

Result<Answer> snapshot(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(frame.view()));
  BH_TRY(const auto made, engine.snapshot(sequence));
  return Answer{Json::object(), made.bytes()};
}

Result<Answer> restore(const Frame& frame, Engine& engine) {
  BH_TRY(const auto options, open_options_of(frame.view()));
  BH_TRY(const auto made, engine.restore(engine::Snapshot(frame.tail), options));
  return plain({{"sequence", made.value()}});
}

Result<Answer> close(const Frame& frame, Engine& engine) {
  BH_TRY(const auto sequence, sequence_of(frame.view()));
  BH_CHECK(engine.close(sequence));
  return Answer{};
}

struct Request {
  std::string_view name;
  Result<Answer> (*answer)(const Frame&, Engine&);
};

constexpr std::array<Request, 11> kRequests = {{{"bytes_for", bytes_for},
                                                {"reserve", reserve},
                                                {"open", open},
                                                {"fork", fork},
                                                {"truncate", truncate},
                                                {"score", score},
                                                {"inspect", inspect},
                                                {"state_hash", state_hash},
                                                {"snapshot", snapshot},
                                                {"restore", restore},
                                                {"close", close}}};

Answer memory() {
  return plain({{"peak_rss_bytes", measure::process_memory().peak_bytes}, {"peak_device_bytes", 0}});
}

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

}  // namespace

Answer describe(const Engine& engine) {
  Json capabilities = Json::array();
  for (const auto capability : kCapabilities) {
    if (engine.can(capability)) capabilities.push_back(engine::name(capability));
  }
  return plain({{"facts", to_json(engine.facts())}, {"capabilities", capabilities}});
}

bool is_asked_any_time(std::string_view what) {
  return what == "tokenize" || what == "render_chat" || what == "vocabulary" || what == "memory";
}

Result<Answer> answer_any_time(std::string_view what, const Frame& frame, const Engine& engine) {
  return guarded(what, [&]() -> Result<Answer> {
    if (what == "tokenize") return tokenize(frame, engine.tokenizer());
    if (what == "render_chat") return render_chat(frame, engine.tokenizer());
    if (what == "memory") return memory();
    return vocabulary(engine);
  });
}

Result<engine::Job> job_from(const Frame& frame, const Engine& engine) {
  engine::Job job;
  BH_TRY(job.sequence, sequence_of(frame.view()));
  BH_TRY(job.prefill, tokens_of(frame.view(), engine));
  BH_TRY(const auto told, frame.view().at("options"));
  if (told.json().is_null()) return job;
  BH_TRY(job.generate, generate_options_from(told));
  BH_TRY(const auto sizes, engine::numbers<std::size_t>(told, "stop_bytes", 0, std::int64_t{1} << 32U));
  ByteReader stops(frame.tail);
  for (const auto size : sizes) job.generate->stop.emplace_back(stops.text(size));
  if (stops.failed()) return told.fail("the stop strings are not all there");
  return job;
}

Result<engine::StepLimits> limits_from(const JsonView& request) {
  engine::StepLimits limits;
  BH_TRY(limits.prefill_tokens, engine::number<std::uint32_t>(request, "prefill_tokens"));
  BH_TRY(limits.prefill_tokens_beside, engine::number<std::uint32_t>(request, "prefill_tokens_beside"));
  return limits;
}

Result<Answer> answer(std::string_view what, const Frame& frame, Engine& engine) {
  return guarded(what, [&]() -> Result<Answer> {
    for (const auto& request : kRequests) {
      if (request.name == what) return request.answer(frame, engine);
    }
    return Error{ErrorCode::kUsage, fmt::format("there is no request \"{}\"", worker::shown(what, 80)), {}, {}};
  });
}

}  // namespace bulkhead::engines::process
