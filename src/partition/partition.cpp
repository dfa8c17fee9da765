// SPDX-License-Identifier: MIT
#include "partition/partition.h"

#include "base/hash.h"
#include "partition/mutant.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
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
using engine::Token;

namespace {

// Those of the messages among the first `tokens` tokens, with what is left of each. One that still waits for its tokens
// stays as it is.
std::vector<Receipt> receipts_within(const Ledger& ledger, std::size_t tokens) {
  std::map<std::string, std::uint32_t> left;  // label -> tokens of messages with it
  for (std::size_t i = 0; i < tokens; ++i) {
    const Origin& origin = ledger.tokens.origin(i);
    if (origin.kind == OriginKind::kMessage) ++left[origin.label];
  }
  std::vector<Receipt> receipts;
  for (auto receipt : ledger.messages) {
    const bool waits = receipt.tokens == 0;
    receipt.tokens = std::min(receipt.tokens, left[receipt.label]);
    left[receipt.label] -= receipt.tokens;
    if (waits || receipt.tokens > 0) receipts.push_back(std::move(receipt));
  }
  return receipts;
}

}  // namespace

Result<Partition> Partition::open(engine::Engine& engine, std::string name, engine::OpenOptions options) {
  options.name = name;
  BH_TRY(const auto sequence, engine.open(options));
  return Partition(engine, sequence, std::move(name), options.capacity_tokens);
}

Partition::Partition(Partition&& other) noexcept
    : engine_(other.engine_),
      sequence_(std::exchange(other.sequence_, std::nullopt)),
      name_(std::move(other.name_)),
      capacity_(other.capacity_),
      ledger_(std::move(other.ledger_)),
      surplus_(std::move(other.surplus_)),
      finished_text_(std::move(other.finished_text_)) {}

Partition& Partition::operator=(Partition&& other) noexcept {
  if (this != &other) {
    if (sequence_) static_cast<void>(engine_->close(*sequence_));
    engine_ = other.engine_;
    sequence_ = std::exchange(other.sequence_, std::nullopt);
    name_ = std::move(other.name_);
    capacity_ = other.capacity_;
    ledger_ = std::move(other.ledger_);
    surplus_ = std::move(other.surplus_);
    finished_text_ = std::move(other.finished_text_);
  }
  return *this;
}

Partition::~Partition() {
  if (sequence_) static_cast<void>(engine_->close(*sequence_));
}

Result<engine::SequenceId> Partition::sequence() const {
  if (!sequence_) return Error{ErrorCode::kClosed, "the partition is closed", name_, "open another one"};
  return *sequence_;
}

Result<void> Partition::compute(const TracedTokens& tokens, std::stop_token cancel,
                                const engine::PrefillProgress& progress) {
  BH_TRY(const auto id, sequence());
  BH_TRY(const auto done, engine_->prefill(id, tokens.tokens, std::move(cancel), progress));
  ledger_.tokens.append(tokens);
  ledger_.prefilled_tokens += done.tokens;
  ledger_.prefill_time += done.time;
  return {};
}

Result<void> Partition::append(const TracedTokens& tokens, std::stop_token cancel,
                               const engine::PrefillProgress& progress) {
  BH_CHECK(make_way(tokens.tokens));
  BH_CHECK(compute(tokens, std::move(cancel), progress));
  finished_text_.reset();
  return {};
}

// Drops the surplus, unless `next` will be refused: then the next generation may still go on with it.
Result<void> Partition::make_way(std::span<const Token> next) {
  if (!surplus_ || mutant(Mutant::kStopStays)) return {};
  const auto vocabulary = static_cast<Token>(engine_->facts().vocabulary);
  const auto known = [&](Token token) { return token >= 0 && token < vocabulary; };
  if (next.empty() || !std::all_of(next.begin(), next.end(), known)) return {};
  BH_TRY(const auto instead, instead_of_surplus());
  if (const auto held = surplus_->keep + instead.size(); held + next.size() > capacity_) {
    return Error{ErrorCode::kResource,
                 fmt::format("{} tokens and {} more do not fit into {}", held, next.size(), capacity_), name_,
                 "open it with more room"};
  }
  return drop_surplus();
}

// What the text says behind the tokens that stay.
Result<TracedTokens> Partition::instead_of_surplus() const {
  TracedTokens traced;
  const auto& origin = ledger_.tokens.origin(ledger_.tokens.size() - 1);
  BH_TRY(auto tokens, engine_->tokenizer().tokenize(surplus_->said));
  if (surplus_->end) tokens.push_back(*surplus_->end);
  traced.append(tokens, origin);
  return traced;
}

// Where a back end needs room for two to cut one, and has none, the old one goes, and what stays is computed anew.
Result<void> Partition::shorten(std::size_t tokens) {
  BH_TRY(const auto id, sequence());
  const auto held = ledger_.tokens.size();
  const auto cut = engine_->truncate(id, static_cast<std::uint32_t>(tokens));
  const bool crowded = !cut.ok() && cut.error().code == ErrorCode::kResource;
  if (!cut.ok() && !crowded) return cut.error();
  auto stays = ledger_.tokens.slice(0, tokens);
  ledger_.removed_tokens += held - tokens;
  if (cut.ok()) {
    ledger_.tokens = std::move(stays);
    ledger_.prefilled_tokens += cut.value().tokens;
    ledger_.removed_tokens += cut.value().tokens;
    ledger_.prefill_time += cut.value().time;
    return {};
  }
  static_cast<void>(engine_->close(id));
  sequence_.reset();
  BH_TRY(sequence_, engine_->open({.capacity_tokens = capacity_, .name = name_}));
  ledger_.tokens = {};
  ledger_.removed_tokens += tokens;
  return compute(stays, {}, {});
}

Result<void> Partition::drop_surplus() {
  const auto instead = instead_of_surplus();
  const auto surplus = *std::exchange(surplus_, std::nullopt);
  const bool fits = instead.ok() && surplus.keep + instead.value().size() <= capacity_;
  if (!fits) {
    finished_text_.reset();
    BH_CHECK(shorten(surplus.begin));
    if (!instead.ok()) return instead.error();
    return Error{ErrorCode::kResource, "the text that stays of the generation has no room", name_,
                 "open it with more room"};
  }
  BH_CHECK(shorten(surplus.keep));
  if (instead.value().size() > 0) BH_CHECK(compute(instead.value(), {}, {}));
  return {};
}

Result<void> Partition::truncate(std::size_t tokens) {
  BH_CHECK(sequence());
  if (tokens <= ledger_.tokens.size() && surplus_ && tokens > surplus_->keep) BH_CHECK(drop_surplus());
  if (tokens > ledger_.tokens.size()) {
    return Error{ErrorCode::kBadInput, fmt::format("{} tokens of {} cannot be kept", tokens, ledger_.tokens.size()),
                 name_, "keep fewer"};
  }
  if (tokens == ledger_.tokens.size()) return {};
  auto stay = receipts_within(ledger_, tokens);
  surplus_.reset();
  finished_text_.reset();
  BH_CHECK(shorten(tokens));
  ledger_.messages = std::move(stay);
  return {};
}

Result<void> Partition::settle(bool unfinished_too) {
  const bool drops = surplus_ && (unfinished_too || !surplus_->open) && !mutant(Mutant::kStopStays);
  return drops ? drop_surplus() : Result<void>();
}

Result<void> Partition::prefill(const TracedTokens& tokens, std::stop_token cancel,
                                const engine::PrefillProgress& progress) {
  BH_CHECK(append(tokens, std::move(cancel), progress));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Origin& origin = tokens.origin(i);
    if (origin.kind != OriginKind::kMessage) continue;
    for (auto& receipt : ledger_.messages) receipt.tokens += receipt.label == origin.label ? 1U : 0U;
  }
  return {};
}

Result<Partition> Partition::fork(std::string name, std::uint32_t tokens, engine::OpenOptions options) const {
  options.name = name;
  BH_TRY(const auto id, sequence());
  if (tokens > ledger_.tokens.size()) {
    return Error{
        ErrorCode::kBadInput, fmt::format("a fork at token {} of {}", tokens, ledger_.tokens.size()), name_, {}};
  }
  BH_TRY(const auto copy, engine_->fork(id, tokens, options));
  Partition made(*engine_, copy.sequence, std::move(name), options.capacity_tokens);
  made.ledger_.tokens = ledger_.tokens.slice(0, tokens);
  made.ledger_.reused_tokens = copy.reused_tokens;
  made.ledger_.prefilled_tokens = copy.prefilled_tokens;
  made.ledger_.messages = receipts_within(ledger_, tokens);
  made.ledger_.prefill_time = copy.time;
  if (surplus_ && tokens > surplus_->keep) {
    made.surplus_ = surplus_;
    made.surplus_->open = surplus_->open && tokens == ledger_.tokens.size();
  }
  return made;
}

const std::string& Partition::receive(const Message& message) {
  ledger_.messages.push_back({message.label(), message.from(), message.sha256(), 0});
  return message.text();
}

Result<void> Partition::receive(const Message& message, const TracedTokens& tokens, std::stop_token cancel) {
  if (mutant(Mutant::kRefusedOnBooks)) static_cast<void>(receive(message));
  BH_CHECK(append(tokens, std::move(cancel), {}));
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) count += tokens.origin(i).kind == OriginKind::kMessage ? 1U : 0U;
  ledger_.messages.push_back({message.label(), message.from(), message.sha256(), count});
  return {};
}

Result<void> Partition::receive(std::span<const Arrival> messages, const TracedTokens& tokens, std::stop_token cancel,
                                const engine::PrefillProgress& progress) {
  BH_CHECK(append(tokens, std::move(cancel), progress));
  for (const auto& [message, count] : messages) {
    ledger_.messages.push_back({message.label(), message.from(), message.sha256(), count});
  }
  return {};
}

Result<Message> Partition::output_message(std::string label) const {
  if (!finished_text_) {
    return Error{ErrorCode::kBadInput, "there is no finished output to send", name_, "generate one first"};
  }
  return MessageAccess::make(*finished_text_, name_, std::move(label));
}

Result<engine::SequenceState> Partition::inspect() const {
  BH_TRY(const auto id, sequence());
  return engine_->inspect(id);
}

Result<void> Partition::close() {
  BH_TRY(const auto id, sequence());
  sequence_.reset();
  return engine_->close(id);
}

struct GenerateAccess {
  // Why a request cannot be handed to the engine, whose partition is settled else; `times` is how often its partition
  // appears in the call.
  static std::optional<Error> refusal(const engine::Engine& engine, Partition* partition, std::size_t times) {
    if (partition == nullptr) {
      return Error{ErrorCode::kUsage, "there is no partition", {}, "hand over an open one, not one that was moved"};
    }
    if (partition->engine_ != &engine && !mutant(Mutant::kForeignAccepted)) {
      return Error{ErrorCode::kUsage, "the partition belongs to another model", partition->name_,
                   "generate with the model that opened it"};
    }
    if (times > 1) {
      return Error{ErrorCode::kUsage, fmt::format("the partition appears {} times", times), partition->name_,
                   "name each partition once"};
    }
    if (const auto settled = partition->settle(); !settled.ok()) return settled.error();
    const auto id = partition->sequence();
    return id.ok() ? std::nullopt : std::optional(id.error());
  }

  static engine::SequenceId sequence(const Partition& partition) { return *partition.sequence_; }

  // A generation that found no token to draw has left those before it in the cache, which are in no book.
  static Result<void> take_back(const Partition& partition) {
    const auto booked = static_cast<std::uint32_t>(partition.ledger_.tokens.size());
    BH_TRY(const auto state, partition.engine_->inspect(*partition.sequence_));
    if (state.tokens <= booked) return {};
    BH_TRY([[maybe_unused]] const auto cut, partition.engine_->truncate(*partition.sequence_, booked));
    return {};
  }

  // Writes the result into the ledger; its text then says what the cache holds, or will hold once it is settled.
  static void note(Partition& partition, engine::GenerateResult& result, const GenerateRequest& request) {
    Ledger& ledger = partition.ledger_;
    const auto size = ledger.tokens.size();
    const auto before = std::exchange(partition.surplus_, std::nullopt);
    const auto drawn_before = std::span<const Token>(ledger.tokens.tokens).subspan(before ? before->keep : size);
    auto spoken =
        partition::spoken(result, request.options.stop, partition.engine_->tokenizer(), size, before, drawn_before);
    result.text = std::move(spoken.text);
    partition.surplus_ = std::move(spoken.surplus);
    ledger.tokens.append(result.tokens, Origin{.kind = OriginKind::kGenerated, .turn = 0, .label = request.label});
    ledger.generated_tokens += result.tokens.size();
    if (!result.token_times.empty()) ledger.decode_time += result.token_times.back() - result.token_times.front();
    partition.finished_text_.reset();
    if (result.finish != engine::GenerateResult::Finish::kCancelled) partition.finished_text_ = result.text;
  }
};

std::vector<Result<engine::GenerateResult>> generate(engine::Engine& engine,
                                                     std::span<const GenerateRequest> requests) {
  std::map<const Partition*, std::size_t> times;
  for (const auto& request : requests) ++times[request.partition];
  std::vector<std::optional<Error>> refused;
  std::vector<engine::GenerateRequest> batch;
  for (const auto& request : requests) {
    refused.push_back(GenerateAccess::refusal(engine, request.partition, times[request.partition]));
    if (!refused.back()) batch.push_back({GenerateAccess::sequence(*request.partition), request.options});
  }
  std::vector<Result<engine::GenerateResult>> ran;
  if (!batch.empty()) ran = engine.generate(batch);
  std::vector<Result<engine::GenerateResult>> results;
  results.reserve(requests.size());
  for (std::size_t i = 0, next = 0; i < requests.size(); ++i) {
    if (refused[i]) {
      results.emplace_back(*std::move(refused[i]));
      continue;
    }
    results.push_back(std::move(ran[next++]));
    if (results[i].ok()) {
      GenerateAccess::note(*requests[i].partition, results[i].value(), requests[i]);
    } else if (results[i].error().code == ErrorCode::kUnsupported) {
      if (const auto taken = GenerateAccess::take_back(*requests[i].partition); !taken.ok()) results[i] = taken.error();
    }
  }
  return results;
}

}  // namespace partition
}  // namespace bulkhead
