// SPDX-License-Identifier: MIT
// What the routes ask of the engine: a request for text, from its partition to its answer. Knows no HTTP.
//
// Thread rule: any thread; a call returns when its answer is there.
#pragma once

#include "desk/desk.h"
#include "engine/engine.h"
#include "serve/answer_stream.h"
#include "serve/api_error.h"
#include "serve/conversations.h"
#include "serve/generation_request.h"
#include "serve/identity.h"
#include "serve/partition_requests.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::serve {

// One answer of `choices`.
struct Choice {
  std::uint32_t index = 0;
  std::string partition = {};
  engine::GenerateResult result = {};
  engine::AnswerParts answer = {};  // what its text says
  Delta rest = {};                  // what was not sent yet
};

struct Generated {
  std::vector<Choice> choices;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  Reuse reuse = {};
  std::vector<Received> messages = {};  // of other partitions, in the chat
};

// A token of one choice, while it is generated; what may be sent for it. False: stop all choices.
using OnText = std::function<bool(std::uint32_t choice, const TokenEvent& event, const Delta& delta)>;

// What the server did so far.
struct Counters {
  std::atomic<std::uint64_t> requests = 0;
  std::atomic<std::uint64_t> refused = 0;  // answered with 4xx
  std::atomic<std::uint64_t> failed = 0;   // answered with 5xx
  std::atomic<std::uint64_t> prompt_tokens = 0;
  std::atomic<std::uint64_t> cached_tokens = 0;
  std::atomic<std::uint64_t> completion_tokens = 0;
  std::atomic<std::uint64_t> cancelled = 0;
  std::atomic<std::uint32_t> in_flight = 0;  // requests for text that wait or are computed
};

class Service {
 public:
  Service(std::unique_ptr<engine::Engine> engine, Limits limits);

  // The tokens of a request of `owner`: rendered and tokenized, with the answers of other partitions that it names, and
  // short enough for one partition. What the model's template demands of the answer of a chat with tools is added to
  // the request.
  [[nodiscard]] Answer<Wanted> wanted(const std::string& owner, GenerationRequest& request) const;

  // Leases the conversation that a request goes on with.
  [[nodiscard]] Answer<Conversations::Lease> take(const std::string& owner, const Identity& identity,
                                                  const Wanted& wanted, const std::stop_token& cancel);
  // Makes it hold what is wanted; what failed else. A request whose `cancel` is requested stops within one step, and no
  // other with it.
  [[nodiscard]] std::optional<ApiError> prefill(Conversations::Lease& lease, const Wanted& wanted,
                                                const std::stop_token& cancel);
  // All choices of the answer. What is sent by `on_text` is the beginning of each choice. `new_call_id` names calls of
  // tools. Cancelled, the answer is what there was by then.
  [[nodiscard]] Answer<Generated> generate(
      Conversations::Lease lease, const GenerationRequest& request, const OnText& on_text,
      const std::stop_token& cancel, const std::function<std::string()>& new_call_id = [] { return "call_0"; });

  // ---- partitions as an owner names them; each answer is how they are then
  [[nodiscard]] Answer<Inspected> declare(const std::string& owner, const Identity& identity,
                                          const GenerationRequest* history, const std::stop_token& cancel);
  // One for each name, "" for none, with the first `turns` messages of the chat, or all that is there. All or none.
  [[nodiscard]] Answer<std::vector<Inspected>> fork(const std::string& owner, const std::string& partition,
                                                    const std::vector<std::string>& names,
                                                    std::optional<std::uint64_t> turns, const std::stop_token& cancel);
  [[nodiscard]] Answer<Inspected> truncate(const std::string& owner, const std::string& partition,
                                           const TruncateRequest& keep, const std::stop_token& cancel);

  // What an owner has, and where the cells are now.
  [[nodiscard]] std::vector<Shown> partitions(const std::string& owner) const;
  [[nodiscard]] std::optional<Inspected> partition(const std::string& owner, const std::string& name) const;

  // What one owner may have from now on (desk/desk.h).
  void set_budget(const std::string& owner, const desk::Budget& budget) { desk_->set_budget(owner, budget); }

  [[nodiscard]] engine::Engine& engine() { return *engine_; }
  // The engine for work beside the conversations: what it opens counts for `owner`.
  [[nodiscard]] std::unique_ptr<engine::Engine> client(const std::string& owner) { return desk_->client(owner); }
  [[nodiscard]] const engine::Facts& facts() const { return engine_->facts(); }
  [[nodiscard]] Conversations& conversations() { return conversations_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }
  [[nodiscard]] desk::DeskStatus desk_status() const { return desk_->status(); }
  [[nodiscard]] Counters& counters() { return counters_; }

 private:
  [[nodiscard]] Inspected with_cells(Inspected inspected) const;
  [[nodiscard]] std::optional<ApiError> deliver(const std::string& owner, const std::vector<OutputPart>& outputs,
                                                Wanted& wanted) const;
  [[nodiscard]] std::optional<ApiError> check_tokens(const Wanted& wanted) const;
  [[nodiscard]] Answer<Wanted> history_of(const Conversations::Lease& lease, std::uint64_t turns) const;
  [[nodiscard]] std::optional<ApiError> prefill_tail(const Conversations::Lease& lease, const std::stop_token& cancel);

  std::shared_ptr<desk::Desk> desk_;
  std::unique_ptr<engine::Engine> engine_;  // the desk's
  Limits limits_;
  Conversations conversations_;
  Counters counters_;
};

}  // namespace bulkhead::serve
