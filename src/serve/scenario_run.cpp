// SPDX-License-Identifier: MIT
#include "serve/scenario_run.h"

#include "base/hash.h"
#include "base/log.h"
#include "models/model_files.h"
#include "prompt/format.h"
#include "report/html.h"
#include "run/experiment.h"
#include "serve/text_stream.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

namespace bulkhead::serve {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBetweenProgress = std::chrono::milliseconds(250);

ApiError too_long(std::uint32_t tokens, std::uint32_t most) {
  return {.status = 400,
          .type = "exceed_context_size_error",
          .message = fmt::format("the longest context needs {} tokens, and a partition holds {}", tokens, most),
          .param = "scenario",
          .more = {{"n_prompt_tokens", tokens}, {"n_ctx", most}}};
}

Json clusters_json(const conversation::Scenario& scenario) {
  Json list = Json::array();
  for (const auto& cluster : scenario.clusters) {
    list.push_back(
        {{"id", cluster.id}, {"label", cluster.label}, {"topic", cluster.topic}, {"depends_on", cluster.depends_on}});
  }
  return list;
}

Json conditions_json(const plan::Plan& plan) {
  Json list = Json::array();
  for (const auto& context : plan.contexts) {
    const auto& condition = *context.condition;
    if (!list.empty() && list.back()["name"] == condition.name) continue;
    list.push_back({{"name", condition.name}, {"title", condition.title}, {"separates", condition.separates}});
  }
  return list;
}

// Turns what the run tells into events, and stops it when nobody is there to hear them.
class Teller {
 public:
  Teller(const SendEvent& send, std::stop_source stop, Counters& counters)
      : send_(&send), stop_(std::move(stop)), counters_(&counters) {}

  void send(const Json& event) {
    if (!is_there_ || (*send_)(event)) return;
    is_there_ = false;
    stop_.request_stop();
  }

  void note_progress(const run::Progress& progress) {
    if (Clock::now() - told_ < kBetweenProgress) return;
    told_ = Clock::now();
    send({{"type", "progress"}, {"what", progress.what}, {"done", progress.done}, {"total", progress.total}});
  }

  void note_text(const plan::Condition& condition, const plan::OutputPlan& output, std::string_view piece) {
    const std::pair key(std::string(condition.name), output.label);
    const auto text = texts_.try_emplace(key, std::vector<std::string>()).first->second.append(piece);
    if (text.empty()) return;
    send({{"type", "text"},
          {"condition", condition.name},
          {"cluster", output.cluster},
          {"label", output.label},
          {"text", text}});
  }

  void note_output(const plan::Condition& condition, const run::OutputResult& output) {
    const auto time = output.time_to_first_token + output.decode_time;
    counters_->completion_tokens += output.generated.tokens.size();
    send({{"type", "output"},
          {"condition", condition.name},
          {"cluster", output.cluster},
          {"label", output.label},
          {"text", output.generated.text},
          {"tokens", output.generated.tokens.size()},
          {"seconds", std::chrono::duration<double>(time).count()}});
  }

 private:
  const SendEvent* send_;
  std::stop_source stop_;
  Counters* counters_;
  std::map<std::pair<std::string, std::string>, TextStream> texts_ = {};  // by condition and label
  Clock::time_point told_ = {};
  bool is_there_ = true;
};

run::ExperimentOptions options_of(const RunRequest& request, const engine::Facts& facts, const std::stop_source& stop,
                                  Teller& teller) {
  run::ExperimentOptions options;
  options.settings = request.settings;
  options.sampling = request.sampling;
  options.cancel = stop.get_token();
  // A model whose file is gone since it was loaded still runs: its results do not say what file it was.
  const auto sum = facts.model_path.empty() ? Result<std::string>("") : models::model_sha256(facts.model_path);
  if (sum.ok()) options.model_sha256 = sum.value();
  options.progress = [&teller](const run::Progress& progress) { teller.note_progress(progress); };
  options.listener = {
      .text = [&teller](const auto& condition, const auto& output,
                        auto piece) { teller.note_text(condition, output, piece); },
      .output = [&teller](const auto& condition, const auto& output) { teller.note_output(condition, output); },
      .condition =
          [&teller](const auto& condition) {
            teller.send({{"type", "condition.finished"}, {"condition", condition.name}});
          }};
  return options;
}

Json error_event(const Error& error) {
  const auto answer = api_error_of(error);
  if (answer.status >= 500 && error.code != ErrorCode::kInterrupted) log::get().error("a run: {}", error.to_string());
  return {{"type", "error"}, {"error", to_json(answer)["error"]}};
}

// What a run that was not stopped says last.
Result<Json> last_event(Json results) {
  BH_TRY(auto report, report::to_html(results));
  return Json{{"type", "run.finished"}, {"results", std::move(results)}, {"report", std::move(report)}};
}

}  // namespace

ScenarioRun::ScenarioRun(Service& service, std::unique_ptr<engine::Engine> engine, RunRequest request, plan::Plan plan)
    : service_(&service), engine_(std::move(engine)), request_(std::move(request)) {
  plans_.push_back(std::move(plan));
}

Answer<ScenarioRun> ScenarioRun::prepare(Service& service, const std::string& owner, RunRequest request) {
  auto engine = service.client(owner);
  const auto& facts = engine->facts();
  auto format = prompt::load_format(facts.chat_template ? "bulkhead" : "raw");
  if (!format.ok()) return api_error_of(format.error());
  auto plan = plan::make_plan(request.scenario, std::make_shared<const prompt::Format>(std::move(format).value()),
                              engine->tokenizer(), request.settings);
  if (!plan.ok()) return api_error_of(plan.error());
  if (const auto longest = plan->longest_sequence(); longest > facts.context_tokens) {
    return too_long(longest, facts.context_tokens);
  }
  const auto most = service.limits().partitions;
  const auto needed = run::sequences_to_reserve(plan.value(), 1);
  if (needed > most) {
    return invalid_request(
        fmt::format("a condition needs {} partitions at a time, and an owner may have {}", needed, most), "scenario");
  }
  return ScenarioRun(service, std::move(engine), std::move(request), std::move(plan).value());
}

void ScenarioRun::run(const SendEvent& send, const std::stop_token& cancel) {
  std::stop_source stop;
  const std::stop_callback stopped(cancel, [&] { stop.request_stop(); });
  Teller teller(send, stop, service_->counters());
  teller.send({{"type", "run.started"},
               {"scenario", request_.scenario->id},
               {"seed", request_.sampling.seed},
               {"conditions", conditions_json(plans_.front())},
               {"clusters", clusters_json(*request_.scenario)}});
  const auto options = options_of(request_, engine_->facts(), stop, teller);
  auto results = run::run_experiment(*engine_, plans_, options);
  if (stop.stop_requested()) {
    ++service_->counters().cancelled;
    return teller.send(error_event({ErrorCode::kInterrupted, "the run was stopped", {}, {}}));
  }
  if (!results.ok()) return teller.send(error_event(results.error()));
  const auto last = last_event(std::move(results).value());
  teller.send(last.ok() ? last.value() : error_event(last.error()));
}

}  // namespace bulkhead::serve
