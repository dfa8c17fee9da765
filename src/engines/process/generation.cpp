// SPDX-License-Identifier: MIT
#include "engines/process/generation.h"

#include "engines/process/answer_form.h"
#include "engines/process/values.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <list>
#include <stop_token>
#include <string>
#include <utility>

namespace bulkhead::engines::process {
namespace {

using engine::GenerateResult;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

struct Drawn {
  engine::Token token = 0;
  std::uint32_t index = 0;
};

// What is known of one part while the call runs.
struct Run {
  const Part* part;
  RequestId id = 0;
  std::optional<Drawn> waits;                         // for its callback and those of the others
  std::optional<Result<GenerateResult>> result = {};  // once it has ended
  Clock::time_point heard = Clock::now();

  [[nodiscard]] bool active() const { return !result.has_value(); }
  // Owes an answer: the worker's silence counts.
  [[nodiscard]] bool owes() const { return active() && !waits; }
};

class Call {
 public:
  Call(std::span<const Part> parts, const engine::Tokenizer& tokenizer) : tokenizer_(&tokenizer) {
    for (const auto& part : parts) {
      paced_ = paced_ || (part.request->options.on_token && !part.refused);
      runs_.push_back({&part, 0, {}});
    }
  }

  std::vector<Result<GenerateResult>> run() {
    std::list<std::stop_callback<std::function<void()>>> cancels;
    for (const auto& run : runs_) {
      const auto& cancel = run.part->request->options.cancel;
      if (cancel.stop_possible() && !cancel.stop_requested()) cancels.emplace_back(cancel, [this] { inbox_->wake(); });
    }
    for (std::size_t i = 0; i < runs_.size(); ++i) begin(i);
    while (std::any_of(runs_.begin(), runs_.end(), [](const Run& run) { return run.active(); })) {
      if (auto item = inbox_->take(shortest_patience())) {
        take(std::move(*item));
      } else {
        give_up_on_silent_ones();
      }
      pass_cancel_on();
      if (std::none_of(runs_.begin(), runs_.end(), [](const Run& run) { return run.owes(); })) next_step();
    }
    std::vector<Result<GenerateResult>> results;
    results.reserve(runs_.size());
    for (auto& run : runs_) results.push_back(std::move(*run.result));
    return results;
  }

 private:
  [[nodiscard]] bool cancel_requested() const {
    return std::any_of(runs_.begin(), runs_.end(),
                       [](const Run& run) { return run.part->request->options.cancel.stop_requested(); });
  }

  void begin(std::size_t index) {
    Run& run = runs_[index];
    if (run.part->refused) {
      run.result = *run.part->refused;
      return;
    }
    const auto& options = run.part->request->options;
    std::string stops;
    for (const auto& stop : options.stop) stops += stop;
    Json request = {{"sequence", run.part->sequence}, {"options", to_json(options)}};
    Json head = {{"do", "generate"}, {"requests", Json::array({std::move(request)})}, {"paced", paced_}};
    if (cancel_requested()) head["cancelled"] = true;
    run.id = run.part->worker->begin(std::move(head), std::as_bytes(std::span(stops)), inbox_, index);
  }

  void take(Inbox::Item item) {
    if (item.tag == Inbox::kNoTag) return;
    Run& run = runs_[item.tag];
    if (!run.active()) return;
    run.heard = Clock::now();
    if (!item.frame.ok()) {
      run.result = item.frame.error();
      return;
    }
    const auto& head = item.frame.value().head;
    const auto read = read_form([&]() -> Result<void> {
      if (head.contains("token")) {
        const auto& token = head["token"];
        const Drawn drawn{token.at("token").get<engine::Token>(), token.at("index").get<std::uint32_t>()};
        if (paced_) run.waits = drawn;
        return {};
      }
      const auto& outcome = head.at("ok").at("results").at(0);
      if (outcome.contains("error")) {
        run.result = error_from(outcome["error"]);
      } else {
        run.result = generate_result_from(outcome.at("ok"));
      }
      return {};
    });
    if (!read.ok()) run.result = read.error();
  }

  [[nodiscard]] milliseconds shortest_patience() const {
    milliseconds shortest = std::chrono::hours(1);
    for (const auto& run : runs_) {
      if (!run.owes()) continue;
      const auto silent = std::chrono::duration_cast<milliseconds>(Clock::now() - run.heard);
      shortest = std::min(shortest, std::max(milliseconds(1), run.part->worker->patience() - silent));
    }
    return shortest;
  }

  void give_up_on_silent_ones() {
    for (auto& run : runs_) {
      if (run.owes() && Clock::now() - run.heard >= run.part->worker->patience()) run.part->worker->give_up_waiting();
    }
  }

  void pass_cancel_on() {
    if (cancel_passed_on_ || !cancel_requested()) return;
    cancel_passed_on_ = true;
    for (const auto& run : runs_) {
      if (run.active()) run.part->worker->tell(run.id, "cancel");
    }
  }

  // All that run have drawn a token: their callbacks see it, in the order of the requests, and then the next one is
  // drawn.
  void next_step() {
    std::vector<std::pair<Run*, bool>> decisions;
    for (auto& run : runs_) {
      if (!run.active() || !run.waits) continue;
      const auto piece = tokenizer_->piece(run.waits->token);
      const auto& on_token = run.part->request->options.on_token;
      decisions.emplace_back(&run, !on_token || on_token({run.waits->token, run.waits->index, piece}));
    }
    pass_cancel_on();
    for (const auto& [run, go_on] : decisions) {
      run->waits.reset();
      run->heard = Clock::now();
      run->part->worker->tell(run->id, go_on ? "go" : "stop");
    }
  }

  const engine::Tokenizer* tokenizer_;
  std::vector<Run> runs_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  bool paced_ = false;
  bool cancel_passed_on_ = false;
};

}  // namespace

std::vector<Result<GenerateResult>> generate(std::span<const Part> parts, const engine::Tokenizer& tokenizer) {
  return Call(parts, tokenizer).run();
}

}  // namespace bulkhead::engines::process
