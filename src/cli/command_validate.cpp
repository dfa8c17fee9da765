// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "cli/command.h"
#include "conversation/scenario.h"

#include <fmt/format.h>

#include <memory>

namespace bulkhead::cli {
namespace {

struct Flags {
  CommonFlags common;
  std::vector<std::string> files;
};

int validate(const Flags& flags) {
  Json list = Json::array();
  int code = 0;
  for (const auto& file : flags.files) {
    const auto scenario = conversation::load_scenario(file);
    if (!scenario.ok()) {
      code = exit_code(scenario.error().code);
      if (flags.common.json)
        list.push_back({{"file", file},
                        {"valid", false},
                        {"message", scenario.error().message},
                        {"place", scenario.error().place}});
      console::say("bulkhead: {}", scenario.error().to_string());
      continue;
    }
    const auto& good = scenario.value();
    list.push_back({{"file", file},
                    {"valid", true},
                    {"id", good.id},
                    {"turns", good.turns.size()},
                    {"clusters", good.clusters.size()}});
    if (!flags.common.json && !flags.common.quiet) {
      console::print("{}: valid, {} turns in {} clusters\n", file, good.turns.size(), good.clusters.size());
    }
  }
  if (flags.common.json) console::print_data(json_text(list, JsonForm::kPretty) + '\n');
  return code;
}

}  // namespace

Command add_validate(CLI::App& program) {
  auto flags = std::make_shared<Flags>();
  auto* command = program.add_subcommand("validate", "Check scenario files.");
  command->add_option("scenario", flags->files, "scenario files")->required();
  command->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  command->add_flag("-q,--quiet", flags->common.quiet, "errors only");
  return [flags] { return validate(*flags); };
}

}  // namespace bulkhead::cli
