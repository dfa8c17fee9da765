// SPDX-License-Identifier: MIT
#include "cli/input.h"

#include "base/log.h"
#include "conversation/input_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace bulkhead::cli {
namespace {

constexpr std::size_t kMaxWarnings = 5;

void warn(const dataset::Dataset& dataset) {
  const auto& notices = dataset.notices;
  for (std::size_t i = 0; i < std::min(notices.size(), kMaxWarnings); ++i) {
    const auto& one = notices[i];
    const auto turn = one.turn == 0 ? std::string() : fmt::format(" (turn {})", one.turn);
    log::get().warn("{}: {}{}", one.place, one.what, turn);
  }
  if (notices.size() > kMaxWarnings) {
    log::get().warn("{}: and {} more; bulkhead validate --json lists them", dataset.name,
                    notices.size() - kMaxWarnings);
  }
}

Error no_topics(const conversation::Scenario& scenario) {
  return {ErrorCode::kBadInput,
          fmt::format("the conversation \"{}\" names no topics, and topics are what is kept apart here", scenario.id),
          scenario.path,
          "give every message a \"cluster\" or a \"topic\" (docs/conversation-formats.md), or write a scenario file "
          "(docs/scenario-format.md)"};
}

}  // namespace

Result<dataset::Dataset> read_conversations(const std::string& path) {
  BH_TRY(auto dataset, dataset::load_dataset(path));
  warn(dataset);
  return dataset;
}

Result<std::vector<std::shared_ptr<const conversation::Scenario>>> read_scenarios(
    const std::vector<std::string>& paths) {
  std::vector<std::shared_ptr<const conversation::Scenario>> scenarios;
  for (const auto& path : paths) {
    BH_TRY(auto dataset, read_conversations(path));
    for (auto& conversation : dataset.conversations) {
      auto& scenario = conversation.scenario;
      if (!conversation.names_topics) return no_topics(scenario);
      // The bytes of the path, which name the file again; messages show what can be shown of them.
      if (path != "-" && scenario.path == conversation::input_name(path)) scenario.path = path;
      const bool known = std::any_of(scenarios.begin(), scenarios.end(), [&](const auto& one) {
        return one->id == scenario.id && one->sha256 == scenario.sha256;
      });
      if (known) {
        log::get().warn("{}: the scenario \"{}\" is given twice and taken once", scenario.path, scenario.id);
      } else {
        scenarios.push_back(std::make_shared<const conversation::Scenario>(std::move(scenario)));
      }
    }
  }
  return scenarios;
}

}  // namespace bulkhead::cli
