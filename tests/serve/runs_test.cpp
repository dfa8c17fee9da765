// SPDX-License-Identifier: MIT
// Runs over HTTP: what they tell and in which order, what is refused, and that a run is its owner's and nobody else's.
#include "engines/fake/fake_engine.h"
#include "report/html.h"
#include "run/experiment.h"
#include "run/small_scenario.h"
#include "serve/scenario_run.h"
#include "serve/served.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace bulkhead::testing {
namespace {

using engines::fake::make_fake_engine;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Json small_body(int tokens = 12) {
  return {{"scenario", conversation::to_json(*small_scenario())}, {"max_tokens", tokens}, {"seed", 7}};
}

// The events of a stream.
std::vector<Json> run_events(const std::string& body) {
  std::vector<Json> events;
  std::istringstream lines(body);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    EXPECT_THAT(line, StartsWith("data: "));
    events.push_back(json_of(line.substr(6)));
  }
  return events;
}

std::vector<Json> of_type(const std::vector<Json>& events, std::string_view type) {
  std::vector<Json> found;
  std::copy_if(events.begin(), events.end(), std::back_inserter(found),
               [&](const Json& event) { return event["type"] == type; });
  return found;
}

// "condition/cluster" -> text, of events or of a results document.
std::map<std::string, std::string> texts_of(const std::vector<Json>& outputs) {
  std::map<std::string, std::string> texts;
  for (const auto& one : outputs) {
    texts[one["condition"].get<std::string>() + '/' + one["cluster"].get<std::string>()] += one["text"];
  }
  return texts;
}

std::map<std::string, std::string> texts_of_results(const Json& results, const char* member = "text") {
  std::map<std::string, std::string> texts;
  for (const auto& condition : results["runs"][0]["conditions"]) {
    for (const auto& output : condition["outputs"]) {
      texts[condition["name"].get<std::string>() + '/' + output["cluster"].get<std::string>()] = output[member];
    }
  }
  return texts;
}

// The same run as the program would do it.
Json results_alone(const Json& body) {
  const auto engine = make_fake_engine();
  run::ExperimentOptions options;
  options.settings.new_tokens = body["max_tokens"].get<std::uint32_t>();
  options.sampling.seed = body["seed"].get<std::uint32_t>();
  auto format = prompt::load_format(engine->facts().chat_template ? "bulkhead" : "raw");
  EXPECT_TRUE(format.ok());
  const auto plans = run::prepare(*engine, {small_scenario()},
                                  std::make_shared<const prompt::Format>(std::move(format).value()), options);
  EXPECT_TRUE(plans.ok());
  auto results = run::run_experiment(*engine, plans.value(), options);
  EXPECT_TRUE(results.ok());
  return std::move(results).value();
}

// Runs on a service of its own; stops to listen after `most` events.
std::vector<Json> events_of_run(serve::Service& service, const Json& body, std::size_t most = 1'000'000) {
  auto request = serve::read_run_request(json_text(body));
  EXPECT_TRUE(request.ok()) << request.error().message;
  auto run = serve::ScenarioRun::prepare(service, "owner", std::move(request.value()));
  EXPECT_TRUE(run.ok()) << run.error().message;
  std::vector<Json> events;
  const auto send = [&](const Json& event) {
    events.push_back(event);
    return events.size() < most;
  };
  run.value().run(send, std::stop_token());
  return events;
}

TEST(Runs, TellWhatTheProgramWouldHaveComputed) {
  serve::Service service(make_fake_engine(), {});
  const auto events = events_of_run(service, small_body());
  ASSERT_GT(events.size(), 2U);
  EXPECT_EQ(events.front()["type"], "run.started");
  ASSERT_EQ(events.front()["conditions"].size(), 4U);
  EXPECT_EQ(events.front()["conditions"][3]["name"], "semantic");
  ASSERT_EQ(events.front()["clusters"].size(), 3U);
  EXPECT_EQ(events.front()["clusters"][2]["depends_on"], (Json{"cluster_1", "cluster_2"}));
  const auto& last = events.back();
  ASSERT_EQ(last["type"], "run.finished");
  EXPECT_EQ(last["results"]["complete"], true);
  const auto alone = results_alone(small_body());
  EXPECT_EQ(texts_of_results(last["results"]), texts_of_results(alone));
  EXPECT_EQ(texts_of_results(last["results"], "logit_hash"), texts_of_results(alone, "logit_hash"));
  EXPECT_EQ(texts_of(of_type(events, "output")), texts_of_results(alone));
  EXPECT_EQ(of_type(events, "output").size(), 12U);
  for (const auto& output : of_type(events, "output")) {
    EXPECT_EQ(output["tokens"], 12);
    EXPECT_GE(output["seconds"].get<double>(), 0);
  }
  EXPECT_THAT(last["report"].get<std::string>(), StartsWith("<!doctype html>"));
  EXPECT_THAT(last["report"].get<std::string>(), HasSubstr(report::script_sources().value()))
      << "the frame that draws it allows these scripts";
  EXPECT_EQ(service.desk_status().sequences, 0U) << "nothing of it stays open";
}

TEST(Runs, TellPiecesFirstAndEachConditionWhenItIsFinished) {
  serve::Service service(make_fake_engine(), {});
  const auto events = events_of_run(service, small_body());
  std::map<std::string, std::string> pieces;
  std::map<std::string, int> outputs;
  std::vector<std::string> finished;
  for (const auto& event : events) {
    if (event["type"] == "text") {
      EXPECT_EQ(outputs[event["condition"]], 0) << "text behind the whole output";
      pieces[event["condition"].get<std::string>() + '/' + event["cluster"].get<std::string>()] += event["text"];
    } else if (event["type"] == "output") {
      const auto key = event["condition"].get<std::string>() + '/' + event["cluster"].get<std::string>();
      EXPECT_THAT(event["text"].get<std::string>(), StartsWith(pieces[key]));
      if (event["condition"] != "semantic") ++outputs[event["condition"]];
    } else if (event["type"] == "condition.finished") {
      finished.push_back(event["condition"]);
      if (event["condition"] != "semantic") {
        EXPECT_EQ(outputs[event["condition"]], 3);
      }
    }
  }
  EXPECT_THAT(finished, ::testing::UnorderedElementsAre("sequential", "prompted", "turn_based", "semantic"));
  EXPECT_FALSE(pieces.empty());
}

TEST(Runs, EndWhereNobodyListensAnyMore) {
  serve::Service service(make_fake_engine(), {});
  const auto events = events_of_run(service, small_body(400), 20);
  EXPECT_EQ(events.size(), 20U) << "nothing is sent to nobody";
  EXPECT_EQ(service.counters().cancelled, 1U);
  EXPECT_LT(service.desk_status().drawn_tokens, 12U * 400U);
  EXPECT_EQ(service.desk_status().sequences, 0U);
}

TEST(Runs, AFailureOfTheEngineIsInTheResults) {
  engines::fake::FakeOptions options;
  options.faults = {{.kind = engines::fake::Fault::Kind::kFailPrefill, .sequence = 0, .at = 5}};
  serve::Service service(make_fake_engine(options), {});
  const auto events = events_of_run(service, small_body());
  ASSERT_EQ(events.back()["type"], "run.finished");
  EXPECT_EQ(events.back()["results"]["complete"], false);
  EXPECT_TRUE(events.back()["results"]["incomplete_reason"].is_string());
  EXPECT_FALSE(of_type(events, "output").empty()) << "the other contexts go on";
}

TEST(Runs, AnOwnerHasNoMorePartitionsAtATimeThanItMay) {
  serve::Service service(make_fake_engine(), {.partitions = 3});
  auto request = serve::read_run_request(json_text(small_body()));
  ASSERT_TRUE(request.ok());
  const auto run = serve::ScenarioRun::prepare(service, "owner", request.value());
  ASSERT_FALSE(run.ok()) << "three outputs and the context that they are forked from";
  EXPECT_EQ(run.error().status, 400);
  EXPECT_THAT(run.error().message, HasSubstr("4 partitions"));
  request.value().settings.conditions = {"semantic"};
  EXPECT_TRUE(serve::ScenarioRun::prepare(service, "owner", request.value()).ok());
}

struct BadRun {
  std::string body;
  std::string param;  // "": none is named
};

std::string scenario_with(const std::string& pointer, const Json& value) {
  auto body = small_body();
  body["scenario"][Json::json_pointer(pointer)] = value;
  return json_text(body);
}

std::string body_with(const std::string& member, const Json& value) {
  auto body = small_body();
  body[member] = value;
  return json_text(body);
}

std::vector<BadRun> bad_runs() {
  return {{"", ""},
          {"{", ""},
          {"[]", ""},
          {std::string("{\"scenario\": \"\xFF\"}"), ""},
          {"{}", "scenario"},
          {R"({"scenario": null})", "scenario"},
          {R"({"scenario": 7})", "scenario"},
          {R"({"scenario": "scenarios/market_hall.json"})", "scenario"},
          {R"({"scenario": {}})", "scenario"},
          {body_with("path", "/etc/passwd"), "path"},
          {body_with("model", 7), "model"},
          {body_with("conditions", "semantic"), "conditions"},
          {body_with("conditions", Json::array()), "conditions"},
          {body_with("conditions", {"semantic", "semantic"}), "conditions"},
          {body_with("conditions", {"telepathic"}), "conditions"},
          {body_with("conditions", {7}), "conditions[0]"},
          {body_with("max_tokens", 0), "max_tokens"},
          {body_with("max_tokens", 1.5), "max_tokens"},
          {body_with("max_tokens", 1e18), "max_tokens"},
          {body_with("max_tokens", 5000), "scenario"},
          {body_with("seed", -1), "seed"},
          {body_with("seed", "x"), "seed"},
          {body_with("seed", 4294967296), "seed"},
          {body_with("temperature", -1), "temperature"},
          {body_with("temperature", 1000), "temperature"},
          {scenario_with("/id", ""), "scenario.id"},
          {scenario_with("/id", "../../etc/passwd"), "scenario.id"},
          {scenario_with("/turns/2/cluster", "nowhere"), "scenario.turns[2].cluster"},
          {scenario_with("/turns/2/role", "king"), "scenario.turns[2].role"},
          {scenario_with("/turns/2/content", 7), "scenario.turns[2].content"},
          {scenario_with("/turns/1/turn_id", 1), "scenario.turns[1].turn_id"},
          {scenario_with("/secret", "x"), "scenario.secret"},
          {scenario_with("/semantic_clusters/cluster_1/depends_on", {"cluster_3"}), ""}};
}

TEST(Runs, WhatIsWrongIsRefusedWithItsPlaceBeforeAnythingIsComputed) {
  const Served served;
  const auto table = bad_runs();
  for (const auto& one : table) {
    const auto reply = served.post("/v1/runs", one.body);
    EXPECT_EQ(reply.status, 400) << one.body << '\n' << reply.body;
    if (reply.status != 400) continue;
    const auto error = reply.json()["error"];
    EXPECT_FALSE(error["message"].get<std::string>().empty()) << one.body;
    EXPECT_THAT(error["type"].get<std::string>(), HasSubstr("_error")) << one.body;
    if (!one.param.empty()) {
      EXPECT_EQ(error["param"], one.param) << one.body << '\n' << reply.body;
    }
  }
  EXPECT_EQ(served.service().counters().refused, table.size());
  EXPECT_EQ(served.service().counters().failed, 0U);
  EXPECT_EQ(served.service().counters().in_flight, 0U);
  EXPECT_EQ(served.service().desk_status().steps, 0U) << "nothing was computed";
  EXPECT_EQ(served.post("/v1/runs", body_with("model", "another")).status, 404);
}

TEST(Runs, OnARealModelOwnersGetWhatTheyGetAlone) {
  const auto body = json_text(small_body(24));
  const httplib::Headers one = {{"Authorization", "Bearer one"}};
  const httplib::Headers two = {{"Authorization", "Bearer two"}};
  const Served served({.api_keys = {"one", "two"}});
  EXPECT_EQ(served.post("/v1/runs", body).status, 401);
  const auto chat = content_of(served.chat(chat_body({"hi"}, 60), two).json());
  const auto alone = served.post("/v1/runs", body, one);
  ASSERT_EQ(alone.status, 200) << alone.body;
  EXPECT_EQ(alone.headers.find("Content-Type")->second, "text/event-stream");
  const auto expected = run_events(alone.body).back()["results"];
  ASSERT_TRUE(expected.is_object());
  Served::Reply first;
  Served::Reply second;
  {
    const std::jthread asker([&] { first = served.post("/v1/runs", body, one); });
    const std::jthread other([&] { second = served.post("/v1/runs", body, two); });
    EXPECT_EQ(content_of(served.chat(chat_body({"hi"}, 60), two).json()), chat);
    EXPECT_EQ(served.get("/v1/partitions", one).json()["data"].size(), 0U) << "a run's partitions are no conversations";
  }
  for (const auto& reply : {first, second}) {
    ASSERT_EQ(reply.status, 200);
    const auto results = run_events(reply.body).back()["results"];
    EXPECT_EQ(texts_of_results(results), texts_of_results(expected));
    EXPECT_EQ(texts_of_results(results, "logit_hash"), texts_of_results(expected, "logit_hash"));
  }
  const auto semantic = expected["runs"][0]["conditions"][3];
  EXPECT_EQ(semantic["isolation"]["achieved"], true) << json_text(semantic["isolation"]);
}

void wait_until_idle(const Served& served) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (served.service().counters().in_flight > 0 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(served.service().counters().in_flight, 0U);
}

TEST(Runs, AClientThatLeavesEndsItsRun) {
  const Served served({}, {}, kTinyContext);
  const auto expected = content_of(served.chat(chat_body({"hi"}, 60)).json());
  const auto drawn = served.service().desk_status().drawn_tokens;
  constexpr int kTokens = 1000;
  {
    int events = 0;
    auto client = served.client();
    static_cast<void>(client.Post("/v1/runs", httplib::Headers{}, json_text(small_body(kTokens)), "application/json",
                                  [&](const char*, std::size_t) { return ++events < 5; }));
  }
  EXPECT_EQ(content_of(served.chat(chat_body({"hi"}, 60)).json()), expected);
  wait_until_idle(served);
  EXPECT_EQ(served.service().counters().cancelled, 1U);
  EXPECT_LT(served.service().desk_status().drawn_tokens - drawn, 12U * kTokens);
}

TEST(Runs, OneRunIsOneRequestInFlightAndEndsWithTheServer) {
  Served served({.most_requests = 1}, {}, kTinyContext);
  Served::Reply run;
  {
    const std::jthread asker([&] { run = served.post("/v1/runs", json_text(small_body(1000))); });
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (served.service().desk_status().drawn_tokens == 0 && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(served.service().counters().in_flight, 1U);
    EXPECT_EQ(served.chat(chat_body({"hi"})).status, 429);
    EXPECT_EQ(served.post("/v1/runs", json_text(small_body())).status, 429);
    served.stop();
  }
  wait_until_idle(served);
  const auto events = run_events(run.body);
  ASSERT_FALSE(events.empty()) << run.status;
  EXPECT_EQ(events.back()["type"], "error") << "what was stopped has no results";
  EXPECT_EQ(events.back()["error"]["type"], "unavailable_error");
}

}  // namespace
}  // namespace bulkhead::testing
