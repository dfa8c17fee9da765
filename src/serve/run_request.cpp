// SPDX-License-Identifier: MIT
#include "serve/run_request.h"

#include "base/hash.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace bulkhead::serve {
namespace {

constexpr std::int64_t kMostNewTokens = 1 << 20;

// "body:12: scenario.turns[3].role" names a member of the body, and its line, which is of use where the body has lines.
ApiError at_its_place(const Error& error) {
  const auto place = error.place.find(": ");
  auto answer = api_error_of(error);
  if (place != std::string::npos) answer.param = error.place.substr(place + 2);
  return answer;
}

Result<RunRequest> read_checked(const JsonView& body) {
  BH_CHECK(body.only({"model", "scenario", "conditions", "max_tokens", "seed", "temperature"}));
  RunRequest request;
  BH_TRY(request.model, body.string_or("model", {}));
  BH_TRY(const auto view, body.at("scenario"));
  BH_TRY(auto scenario, conversation::read_scenario(view));
  scenario.sha256 = sha256_hex(json_text(view.json()));
  request.scenario = std::make_shared<const conversation::Scenario>(std::move(scenario));
  if (body.has("conditions")) {
    BH_TRY(const auto list, body.at("conditions"));
    BH_TRY(request.settings.conditions, list.strings());
    auto names = request.settings.conditions;
    for (const auto& name : names) {
      if (const auto found = plan::find_condition(name); !found.ok()) {
        return list.fail(found.error().message, found.error().advice);
      }
    }
    std::sort(names.begin(), names.end());
    if (names.empty()) return list.fail("no condition is named", "leave it out for all");
    if (std::adjacent_find(names.begin(), names.end()) != names.end()) return list.fail("a condition is named twice");
  }
  if (body.has("max_tokens")) {
    BH_TRY(const auto count, body.at("max_tokens"));
    BH_TRY(const auto tokens, count.integer(1, kMostNewTokens));
    request.settings.new_tokens = static_cast<std::uint32_t>(tokens);
  }
  if (body.has("seed")) {
    BH_TRY(const auto seed, body.at("seed"));
    BH_TRY(const auto number, seed.integer(0, std::numeric_limits<std::uint32_t>::max()));
    request.sampling.seed = static_cast<std::uint32_t>(number);
  }
  if (body.has("temperature")) {
    BH_TRY(const auto view_of_it, body.at("temperature"));
    BH_TRY(const auto temperature, view_of_it.number());
    constexpr double kHottest = 100;
    if (!(temperature >= 0 && temperature <= kHottest)) return view_of_it.fail("a temperature is from 0 to 100");
    request.sampling.temperature = static_cast<float>(temperature);
  }
  return request;
}

}  // namespace

Answer<RunRequest> read_run_request(const std::string& body) {
  const auto document = JsonDocument::parse(body, "body");
  if (!document.ok()) return invalid_request(document.error().to_string());
  if (!document.value().root().is_object()) return invalid_request("the body must be a JSON object");
  const JsonView view(document.value());
  if (!view.has("scenario")) return invalid_request("the scenario is missing", "scenario");
  auto request = read_checked(view);
  if (!request.ok()) return at_its_place(request.error());
  return std::move(request).value();
}

}  // namespace bulkhead::serve
