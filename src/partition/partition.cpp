// SPDX-License-Identifier: MIT
#include "partition/partition.h"

#include "base/hash.h"

#include <fmt/format.h>

#include <utility>

namespace bulkhead {

// The one maker of messages (bulkhead/message.h).
class MessageAccess {
 public:
  static Message make(std::string text, std::string from, std::string label) {
    auto sha256 = sha256_hex(text);
    return {std::move(text), std::move(from), std::move(label), std::move(sha256)};
  }
};

namespace partition {

using conversation::Origin;
using conversation::OriginKind;
using conversation::TracedTokens;

Result<Partition> Partition::open(engine::Engine& engine, std::string name, engine::OpenOptions options) {
  options.name = name;
  BH_TRY(const auto sequence, engine.open(options));
  return Partition(engine, sequence, std::move(name));
}

Partition::Partition(Partition&& other) noexcept
    : engine_(other.engine_),
      sequence_(std::exchange(other.sequence_, std::nullopt)),
      name_(std::move(other.name_)),
      ledger_(std::move(other.ledger_)),
      finished_text_(std::move(other.finished_text_)) {}

Partition& Partition::operator=(Partition&& other) noexcept {
  if (this != &other) {
    if (sequence_) static_cast<void>(engine_->close(*sequence_));
    engine_ = other.engine_;
    sequence_ = std::exchange(other.sequence_, std::nullopt);
    name_ = std::move(other.name_);
    ledger_ = std::move(other.ledger_);
    finished_text_ = std::move(other.finished_text_);
  }
  return *this;
}

Partition::~Partition() {
  if (sequence_) static_cast<void>(engine_->close(*sequence_));
}

Result<void> Partition::prefill(const TracedTokens& tokens, std::stop_token cancel,
                                const engine::PrefillProgress& progress) {
  BH_TRY(const auto done, engine_->prefill(sequence_.value(), tokens.tokens, std::move(cancel), progress));
  ledger_.tokens.append(tokens);
  ledger_.prefilled_tokens += done.tokens;
  ledger_.prefill_time += done.time;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Origin& origin = tokens.origin(i);
    if (origin.kind != OriginKind::kMessage) continue;
    for (auto& receipt : ledger_.messages) receipt.tokens += receipt.label == origin.label ? 1U : 0U;
  }
  finished_text_.reset();
  return {};
}

Result<Partition> Partition::fork(std::string name, std::uint32_t tokens, engine::OpenOptions options) const {
  options.name = name;
  BH_TRY(const auto copy, engine_->fork(sequence_.value(), tokens, options));
  Partition made(*engine_, copy.sequence, std::move(name));
  made.ledger_.tokens = ledger_.tokens.slice(0, tokens);
  made.ledger_.reused_tokens = copy.reused_tokens;
  made.ledger_.prefilled_tokens = copy.prefilled_tokens;
  made.ledger_.messages = ledger_.messages;
  made.ledger_.prefill_time = copy.time;
  return made;
}

const std::string& Partition::receive(const Message& message) {
  ledger_.messages.push_back({message.label(), message.from(), message.sha256(), 0});
  return message.text();
}

Result<Message> Partition::output_message(std::string label) const {
  if (!finished_text_) {
    return Error{ErrorCode::kBadInput, "there is no finished output to send", name_, "generate one first"};
  }
  return MessageAccess::make(*finished_text_, name_, std::move(label));
}

Result<engine::SequenceState> Partition::inspect() const {
  return engine_->inspect(sequence_.value());
}

Result<void> Partition::close() {
  return engine_->close(std::exchange(sequence_, std::nullopt).value());
}

struct GenerateAccess {
  static engine::SequenceId sequence(const Partition& partition) { return partition.sequence_.value(); }

  static void note(Partition& partition, const engine::GenerateResult& result, const std::string& label) {
    Ledger& ledger = partition.ledger_;
    ledger.tokens.append(result.tokens, Origin{.kind = OriginKind::kGenerated, .turn = 0, .label = label});
    ledger.generated_tokens += result.tokens.size();
    if (!result.token_times.empty()) ledger.decode_time += result.token_times.back() - result.token_times.front();
    partition.finished_text_.reset();
    if (result.finish != engine::GenerateResult::Finish::kCancelled) partition.finished_text_ = result.text;
  }
};

std::vector<Result<engine::GenerateResult>> generate(engine::Engine& engine,
                                                     std::span<const GenerateRequest> requests) {
  std::vector<engine::GenerateRequest> batch;
  batch.reserve(requests.size());
  for (const auto& request : requests) {
    batch.push_back({GenerateAccess::sequence(*request.partition), request.options});
  }
  auto results = engine.generate(batch);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].ok()) GenerateAccess::note(*requests[i].partition, results[i].value(), requests[i].label);
  }
  return results;
}

}  // namespace partition
}  // namespace bulkhead
