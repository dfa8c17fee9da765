// SPDX-License-Identifier: MIT
#include "desk/core.h"
#include "engine/generation.h"
#include "engine/job_engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <utility>

namespace bulkhead::desk {

using engine::ForkResult;
using engine::GenerateRequest;
using engine::GenerateResult;
using engine::Job;
using engine::JobEvent;
using engine::JobId;
using engine::JobResult;
using engine::OpenOptions;
using engine::PrefillResult;
using engine::SequenceId;
using engine::SequenceState;
using engine::Snapshot;
using engine::Token;

namespace {

ClientId new_client_id() {
  static std::atomic<std::uint32_t> next = 0;
  return ClientId(next.fetch_add(1, std::memory_order_relaxed));
}

// One request of generate() while its caller waits.
struct Waited {
  std::size_t place;  // of the request
  JobId job;
  std::size_t drawn = 0;                       // tokens that were told of
  std::vector<std::string> pieces = {};        // of those that its caller wanted
  std::optional<std::size_t> stopped_at = {};  // so many tokens its caller wanted
  GenerateResult wanted = {};                  // their part of a result, but for the text and hashes
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

}  // namespace

class Client final : public engine::Engine {
 public:
  Client(std::shared_ptr<Desk> desk, std::string owner)
      : desk_(std::move(desk)), core_(*desk_->core_), owner_(std::move(owner)) {}
  // Waits for the last events of its jobs, which come to a mailbox in here.
  ~Client() override {
    core_.call([&] { core_.close_all(id_); });
    std::vector<JobEvent> events;
    while (submitted_ > 0) Client::advance({}, events);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] const engine::Facts& facts() const override { return core_.engine().facts(); }
  [[nodiscard]] const engine::Tokenizer& tokenizer() const override { return core_.engine().tokenizer(); }
  [[nodiscard]] bool can(engine::Capability capability) const override { return core_.engine().can(capability); }
  [[nodiscard]] Result<engine::WorkerMemory> worker_memory() const override {
    return core_.call([&] { return core_.engine().worker_memory(); });
  }
  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override {
    return core_.call([&] { return core_.engine().bytes_for(sequences, tokens_each); });
  }
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override {
    return core_.call([&] { return core_.engine().reserve(sequences, tokens_each); });
  }
  [[nodiscard]] Result<SequenceId> open(const OpenOptions& options) override {
    return core_.call([&] { return core_.open(id_, owned(options)); });
  }
  [[nodiscard]] Result<ForkResult> fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) override {
    return core_.call([&] { return core_.fork(id_, source, tokens, owned(options)); });
  }
  [[nodiscard]] Result<PrefillResult> truncate(SequenceId sequence, std::uint32_t tokens) override {
    return core_.call([&] { return core_.truncate(id_, sequence, tokens); });
  }
  [[nodiscard]] Result<std::vector<double>> score(SequenceId sequence, std::span<const Token> tokens) override {
    return core_.call([&] { return core_.score(id_, sequence, tokens); });
  }
  [[nodiscard]] Result<std::vector<std::vector<double>>> score_continuations(
      SequenceId sequence, std::span<const std::vector<Token>> continuations) override {
    return core_.call([&] { return core_.score_continuations(id_, sequence, continuations); });
  }
  [[nodiscard]] Result<SequenceState> inspect(SequenceId sequence) const override {
    return core_.call([&] { return core_.inspect(id_, sequence); });
  }
  [[nodiscard]] Result<std::uint64_t> state_hash(SequenceId sequence) const override {
    return core_.call([&] { return core_.state_hash(id_, sequence); });
  }
  [[nodiscard]] Result<Snapshot> snapshot(SequenceId sequence) override {
    return core_.call([&] { return core_.snapshot(id_, sequence); });
  }
  [[nodiscard]] Result<SequenceId> restore(const Snapshot& snapshot, const OpenOptions& options) override {
    return core_.call([&] { return core_.restore(id_, snapshot, owned(options)); });
  }
  [[nodiscard]] Result<void> close(SequenceId sequence) override {
    return core_.call([&] { return core_.close(id_, sequence); });
  }

  [[nodiscard]] Result<JobId> submit(Job job) override;
  void cancel(JobId job) override { core_.cancel(job); }
  void advance(const engine::StepLimits& limits, std::vector<JobEvent>& events) override;
  void wake() noexcept override { inbox_.wake(); }
  [[nodiscard]] std::size_t running_jobs() const override { return submitted_; }
  [[nodiscard]] ClientId id() const { return id_; }

  [[nodiscard]] Result<PrefillResult> prefill(SequenceId sequence, std::span<const Token> tokens,
                                              std::stop_token cancel, const engine::PrefillProgress& progress) override;
  [[nodiscard]] std::vector<Result<GenerateResult>> generate(std::span<const GenerateRequest> requests) override;

 private:
  [[nodiscard]] OpenOptions owned(OpenOptions options) const {
    if (options.owner.empty()) options.owner = owner_;
    return options;
  }
  void tell(const GenerateRequest& request, Waited& waited, engine::Drawn& drawn);
  [[nodiscard]] Result<GenerateResult> result_of(const GenerateRequest& request, Waited& waited,
                                                 Result<JobResult> outcome);
  [[nodiscard]] Result<GenerateResult> result_before(const GenerateRequest& request, Waited& waited,
                                                     const Error& failure);

  std::shared_ptr<Desk> desk_;
  Desk::Core& core_;
  ClientId id_ = new_client_id();
  std::string owner_;
  Mailbox inbox_;  // of jobs of submit()
  std::atomic<std::size_t> submitted_ = 0;
};

Result<JobId> Client::submit(Job job) {
  ++submitted_;
  if (job.generate) job.generate->on_token = {};
  auto made = core_.call([&] { return core_.submit(id_, std::move(job), inbox_, true); });
  if (!made.ok()) --submitted_;
  return made;
}

void Client::advance(const engine::StepLimits& /*limits*/, std::vector<JobEvent>& events) {
  if (submitted_ == 0) return;
  for (auto& event : inbox_.take_all()) {
    submitted_ -= engine::is_outcome(event) ? 1U : 0U;
    events.push_back(std::move(event));
  }
}

Result<PrefillResult> Client::prefill(SequenceId sequence, std::span<const Token> tokens, std::stop_token cancel,
                                      const engine::PrefillProgress& progress) {
  Mailbox mailbox;
  Job job{.sequence = sequence, .prefill = {tokens.begin(), tokens.end()}, .generate = {}, .cancel = std::move(cancel)};
  BH_TRY(const auto id,
         core_.call([&] { return core_.submit(id_, std::move(job), mailbox, static_cast<bool>(progress)); }));
  static_cast<void>(id);
  for (;;) {
    auto event = mailbox.take();
    if (const auto* part = std::get_if<engine::Prefilled>(&event.what)) progress(part->tokens);
    const auto* outcome = std::get_if<Result<JobResult>>(&event.what);
    if (outcome == nullptr) continue;
    if (!outcome->ok()) return outcome->error();
    if (outcome->value().prefill.tokens == tokens.size()) return outcome->value().prefill;
    BH_CHECK(engine::take_out(*this, sequence, outcome->value().prefill.tokens));
    return Error{ErrorCode::kInterrupted, "the prefill was cancelled", {}, {}};
  }
}

// All join in one step, so that an engine whose bits depend on the batch computes the same as without a desk.
std::vector<Result<GenerateResult>> Client::generate(std::span<const GenerateRequest> requests) {
  Mailbox mailbox;
  std::vector<Result<GenerateResult>> results;
  std::vector<Waited> waiting;
  core_.call([&] {
    for (const auto& request : requests) {
      Job job{.sequence = request.sequence, .prefill = {}, .generate = request.options, .cancel = {}};
      job.generate->on_token = {};
      const auto id = core_.submit(id_, std::move(job), mailbox, static_cast<bool>(request.options.on_token));
      if (id.ok()) waiting.push_back({results.size(), id.value()});
      results.push_back(id.ok() ? Result<GenerateResult>(GenerateResult{}) : id.error());
    }
  });
  for (std::size_t left = waiting.size(); left > 0;) {
    auto event = mailbox.take();
    const auto waited =
        std::find_if(waiting.begin(), waiting.end(), [&](const auto& one) { return one.job == event.job; });
    const auto& request = requests[waited->place];
    if (auto* drawn = std::get_if<engine::Drawn>(&event.what)) tell(request, *waited, *drawn);
    auto* outcome = std::get_if<Result<JobResult>>(&event.what);
    if (outcome == nullptr) continue;
    results[waited->place] = result_of(request, *waited, std::move(*outcome));
    --left;
  }
  return results;
}

void Client::tell(const GenerateRequest& request, Waited& waited, engine::Drawn& drawn) {
  ++waited.drawn;
  if (waited.stopped_at) return;
  const auto* logprobs = drawn.logprobs ? &*drawn.logprobs : nullptr;
  const bool wanted = request.options.on_token({drawn.token, drawn.index, drawn.piece, logprobs});
  waited.wanted.tokens.push_back(drawn.token);
  waited.wanted.token_times.push_back(std::chrono::steady_clock::now() - waited.begin);
  if (drawn.logprobs) waited.wanted.logprobs.push_back(*std::move(drawn.logprobs));
  waited.pieces.push_back(std::move(drawn.piece));
  // One who asks for a stop in here means this token, whatever was drawn meanwhile.
  if (wanted && !request.options.cancel.stop_requested()) return;
  waited.stopped_at = waited.pieces.size();
  core_.cancel(waited.job);
}

// A job that found no token to draw after its caller had had enough: for the caller it ended before that. Hashes of
// logits are lost with its result, and then its failure is told.
Result<GenerateResult> Client::result_before(const GenerateRequest& request, Waited& waited, const Error& failure) {
  const bool later = waited.stopped_at && failure.code == ErrorCode::kUnsupported && !request.options.hash_logits;
  if (!later) return failure;
  JobResult told;
  told.generated = std::move(waited.wanted);
  engine::GeneratedText text(request.options.stop);
  for (const auto& piece : waited.pieces) static_cast<void>(text.append(piece));
  told.generated.text = text.text();
  told.generated.tokens.resize(waited.drawn);
  told.generated.token_times.resize(waited.drawn);
  return result_of(request, waited, std::move(told));
}

// What was drawn after its caller had enough is taken out again.
Result<GenerateResult> Client::result_of(const GenerateRequest& request, Waited& waited, Result<JobResult> outcome) {
  if (!outcome.ok()) return result_before(request, waited, outcome.error());
  auto result = std::move(outcome).value().generated;
  using Finish = GenerateResult::Finish;
  if (!waited.stopped_at) return result;
  const auto kept = *waited.stopped_at;
  const auto extra = result.tokens.size() - kept;
  if (extra == 0) {
    if (result.finish == Finish::kLength) result.finish = Finish::kCancelled;
    return result;
  }
  BH_CHECK(engine::take_out(*this, request.sequence, static_cast<std::uint32_t>(extra)));
  engine::GeneratedText text(request.options.stop);
  for (const auto& piece : waited.pieces) static_cast<void>(text.append(piece));
  result.text = text.text();
  result.tokens.resize(kept);
  result.token_times.resize(kept);
  if (!result.logit_hashes.empty()) result.logit_hashes.resize(kept);
  if (!result.logprobs.empty()) result.logprobs.resize(kept);
  result.finish = Finish::kCancelled;
  return result;
}

Desk::Desk(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Desk::~Desk() = default;

std::shared_ptr<Desk> Desk::open(std::unique_ptr<engine::Engine> engine, DeskOptions options) {
  return std::shared_ptr<Desk>(new Desk(std::make_unique<Core>(std::move(engine), options)));
}

std::unique_ptr<engine::Engine> Desk::client(std::string owner) {
  return std::make_unique<Client>(shared_from_this(), std::move(owner));
}

void Desk::set_budget(const std::string& owner, const Budget& budget) {
  core_->call([&] { core_->owner(owner)->budget = budget; });
}

DeskStatus Desk::status() const {
  return core_->call([&] { return core_->status(); });
}

std::map<std::string, CellsAt> Desk::cells_of(const engine::Engine& client) const {
  const auto* known = dynamic_cast<const Client*>(&client);
  if (known == nullptr) return {};
  return core_->call([&] { return core_->cells_of(known->id()); });
}

std::uint64_t Desk::park_all() {
  return core_->call([&] { return core_->park_all(); });
}

}  // namespace bulkhead::desk
