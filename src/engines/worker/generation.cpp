// SPDX-License-Identifier: MIT
#include "engines/worker/generation.h"

#include "engine/json_fields.h"
#include "engine/sampling_json.h"
#include "engines/worker/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <list>
#include <stop_token>
#include <string>
#include <utility>

namespace bulkhead::engines::worker {
namespace {

using engine::GenerateResult;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// What a token of a generation adds to an answer, at most: its number, its hash, its time, and its text.
constexpr std::uint64_t kBytesPerToken = 512;
// What it adds for itself and for each likely token beside it, where those are asked for.
constexpr std::uint64_t kBytesPerLogprob = 64;

struct Drawn {
  std::size_t part = 0;  // of the call
  engine::Token token = 0;
  std::uint32_t index = 0;
  std::optional<TokenLogprobs> logprobs = {};
};

// What one worker does for the call: all parts whose sequences it holds, in one request.
struct Run {
  std::shared_ptr<WorkerLink> worker;
  std::vector<std::size_t> parts;  // places in the call
  RequestId id = 0;
  bool active = true;
  std::optional<Drawn> waits = {};  // for its callback and those of the others
  Clock::time_point heard = Clock::now();

  // Owes an answer: the worker's silence counts.
  [[nodiscard]] bool owes() const { return active && !waits; }
};

class Call {
 public:
  Call(std::span<const Part> parts, const engine::Facts& facts, const engine::Tokenizer& tokenizer)
      : parts_(parts),
        facts_(&facts),
        tokenizer_(&tokenizer),
        results_(parts.size()),
        told_(parts.size()),
        told_of_cancel_(parts.size()) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].refused) {
        results_[i] = *parts[i].refused;
        continue;
      }
      paced_ = paced_ || parts[i].request->options.on_token;
      const auto same = [&](const Run& run) { return run.worker == parts[i].worker; };
      const auto known = std::find_if(runs_.begin(), runs_.end(), same);
      (known == runs_.end() ? runs_.emplace_back(Run{parts[i].worker, {}}) : *known).parts.push_back(i);
    }
  }

  std::vector<Result<GenerateResult>> run() {
    std::list<std::stop_callback<std::function<void()>>> cancels;
    for (const auto& part : parts_) {
      const auto& cancel = part.request->options.cancel;
      if (cancel.stop_possible() && !cancel.stop_requested()) cancels.emplace_back(cancel, [this] { inbox_->wake(); });
    }
    for (std::size_t i = 0; i < runs_.size(); ++i) begin(i);
    while (std::any_of(runs_.begin(), runs_.end(), [](const Run& run) { return run.active; })) {
      if (auto item = inbox_->take(shortest_patience())) {
        take(std::move(*item));
      } else {
        give_up_on_silent_ones();
      }
      pass_cancel_on();
      if (std::none_of(runs_.begin(), runs_.end(), [](const Run& run) { return run.owes(); })) next_step();
    }
    std::vector<Result<GenerateResult>> results;
    results.reserve(results_.size());
    for (auto& result : results_) results.push_back(std::move(*result));
    return results;
  }

 private:
  [[nodiscard]] bool cancelled(std::size_t part) const { return parts_[part].request->options.cancel.stop_requested(); }

  void begin(std::size_t index) {
    Run& run = runs_[index];
    std::string stops;
    Json requests = Json::array();
    Expected expected;
    for (const auto place : run.parts) {
      const auto& options = parts_[place].request->options;
      const auto most = std::min(options.max_tokens, facts_->context_tokens);
      expected.events += most;
      if (options.logprobs) expected.json_bytes += most * kBytesPerLogprob * (std::uint64_t{*options.logprobs} + 1);
      for (const auto& stop : options.stop) stops += stop;
      requests.push_back({{"sequence", parts_[place].sequence}, {"options", to_json(options)}});
      told_of_cancel_[place] = cancelled(place);
      if (told_of_cancel_[place]) requests.back()["cancelled"] = true;
    }
    expected.json_bytes += expected.events * kBytesPerToken;
    Json head = {{"do", "generate"}, {"requests", std::move(requests)}, {"paced", paced_}};
    run.id = run.worker->begin(std::move(head), std::as_bytes(std::span(stops)), expected, inbox_, index);
  }

  void fail(Run& run, const Error& error) {
    for (const auto place : run.parts) results_[place] = error;
    run.active = false;
  }

  void take(Inbox::Item item) {
    if (item.tag == Inbox::kNoTag) return;
    Run& run = runs_[item.tag];
    if (!run.active) return;
    run.heard = Clock::now();
    if (!item.frame.ok()) return fail(run, item.frame.error());
    const auto& frame = item.frame.value();
    const auto read = frame.view().has("ok") ? take_answer(run, frame) : take_token(run, frame.view());
    if (!read.ok()) fail(run, run.worker->reject(read.error()));
  }

  // One that can be drawn, and is the next of its generation.
  Result<void> take_token(Run& run, const JsonView& event) {
    BH_TRY(const auto told, event.at("token"));
    BH_TRY(const auto place,
           engine::number<std::size_t>(told, "request", 0, static_cast<std::int64_t>(run.parts.size()) - 1));
    BH_TRY(const auto token, engine::number<engine::Token>(told, "token", 0, std::int64_t{facts_->vocabulary} - 1));
    const auto part = run.parts[place];
    auto& tokens = told_[part];
    const auto next = static_cast<std::int64_t>(tokens.size());
    BH_TRY(const auto index, engine::number<std::uint32_t>(told, "index", next, next));
    if (index >= parts_[part].request->options.max_tokens) return told.fail("more tokens than were asked for");
    if (run.waits) return told.fail("another token, before it was told to go on");
    Drawn drawn{part, token, index};
    if (const auto& asked = parts_[part].request->options.logprobs) {
      BH_TRY(const auto report, told.at("logprobs"));
      BH_TRY(drawn.logprobs, engine::logprobs_from(report, *asked, facts_->vocabulary));
    }
    tokens.push_back(token);
    if (paced_) run.waits = std::move(drawn);
    return {};
  }

  Result<void> take_answer(Run& run, const Frame& frame) {
    BH_TRY(const auto ok, frame.view().at("ok"));
    BH_TRY(const auto list, ok.at("results"));
    BH_TRY(const auto outcomes, list.items());
    if (run.waits) return list.fail("an answer, before it was told to go on");
    if (outcomes.size() != run.parts.size()) {
      return list.fail(fmt::format("{} results of {} generations", outcomes.size(), run.parts.size()));
    }
    std::vector<Result<GenerateResult>> results;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      BH_TRY(auto result, outcome_of(outcomes[i], run.parts[i]));
      results.push_back(std::move(result));
    }
    for (std::size_t i = 0; i < results.size(); ++i) results_[run.parts[i]] = std::move(results[i]);
    run.active = false;
    return {};
  }

  // What the generation gave, an error included; the outer one is about the form.
  [[nodiscard]] Result<Result<GenerateResult>> outcome_of(const JsonView& outcome, std::size_t part) const {
    if (outcome.has("error")) {
      BH_TRY(const auto told, outcome.at("error"));
      Error error;
      BH_CHECK(read_error(told, error));
      return Result<GenerateResult>(std::move(error));
    }
    BH_TRY(const auto told, outcome.at("ok"));
    BH_TRY(auto result, generate_result_from(told, parts_[part].request->options, facts_->vocabulary));
    if (result.tokens != told_[part]) return told.fail("other tokens than it told of");
    return Result<GenerateResult>(std::move(result));
  }

  [[nodiscard]] milliseconds shortest_patience() const {
    milliseconds shortest = std::chrono::hours(1);
    for (const auto& run : runs_) {
      if (!run.owes()) continue;
      const auto silent = std::chrono::duration_cast<milliseconds>(Clock::now() - run.heard);
      shortest = std::min(shortest, std::max(milliseconds(1), run.worker->patience() - silent));
    }
    return shortest;
  }

  void give_up_on_silent_ones() {
    for (auto& run : runs_) {
      if (run.owes() && Clock::now() - run.heard >= run.worker->patience()) run.worker->give_up_waiting();
    }
  }

  // Each worker hears of the cancelled parts that it holds.
  void pass_cancel_on() {
    for (const auto& run : runs_) {
      for (std::size_t i = 0; run.active && i < run.parts.size(); ++i) {
        const auto part = run.parts[i];
        if (told_of_cancel_[part] || !cancelled(part)) continue;
        told_of_cancel_[part] = true;
        run.worker->cancel(run.id, i);
      }
    }
  }

  // All workers have drawn a token: the callbacks see them, in the order of the requests, and then the next ones are
  // drawn.
  void next_step() {
    std::vector<Run*> waiting;
    for (auto& run : runs_) {
      if (run.active && run.waits) waiting.push_back(&run);
    }
    std::sort(waiting.begin(), waiting.end(),
              [](const Run* one, const Run* other) { return one->waits->part < other->waits->part; });
    std::vector<std::pair<Run*, bool>> decisions;
    for (auto* run : waiting) {
      const auto piece = tokenizer_->piece(run->waits->token);
      const auto& drawn = *run->waits;
      const auto& on_token = parts_[drawn.part].request->options.on_token;
      const TokenEvent event{drawn.token, drawn.index, piece, drawn.logprobs ? &*drawn.logprobs : nullptr};
      decisions.emplace_back(run, !on_token || on_token(event));
    }
    pass_cancel_on();
    for (const auto& [run, go_on] : decisions) {
      run->waits.reset();
      run->heard = Clock::now();
      run->worker->tell(run->id, go_on ? "go" : "stop");
    }
  }

  std::span<const Part> parts_;
  const engine::Facts* facts_;
  const engine::Tokenizer* tokenizer_;
  std::vector<std::optional<Result<GenerateResult>>> results_;  // in the order of parts_
  std::vector<Run> runs_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::vector<std::vector<engine::Token>> told_;  // [n_parts][n_tokens so far]
  bool paced_ = false;
  std::vector<bool> told_of_cancel_;  // [n_parts]
};

}  // namespace

std::vector<Result<GenerateResult>> generate(std::span<const Part> parts, const engine::Facts& facts,
                                             const engine::Tokenizer& tokenizer) {
  return Call(parts, facts, tokenizer).run();
}

}  // namespace bulkhead::engines::worker
