// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "cli/command.h"
#include "cli/input.h"
#include "conversation/input_text.h"

#include <fmt/format.h>

#include <map>
#include <memory>

namespace bulkhead::cli {
namespace {

struct ValidateFlags {
  CommonFlags common;
  std::vector<std::string> files;
};

Json conversation_json(const std::string& file, const dataset::Dataset& dataset,
                       const dataset::Conversation& conversation) {
  const auto& scenario = conversation.scenario;
  Json notices = Json::array();
  for (const auto& one : dataset.notices) {
    if (one.conversation != scenario.id) continue;
    notices.push_back({{"turn", one.turn}, {"what", one.what}, {"place", one.place}});
  }
  return {{"file", file},
          {"valid", true},
          {"format", dataset.format},
          {"id", scenario.id},
          {"turns", scenario.turns.size()},
          {"clusters", scenario.clusters.size()},
          {"names_topics", conversation.names_topics},
          {"notices", std::move(notices)}};
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string words_for(const dataset::Dataset& dataset) {
  std::size_t turns = 0;
  std::size_t clusters = 0;
  std::size_t without_topics = 0;
  for (const auto& conversation : dataset.conversations) {
    turns += conversation.scenario.turns.size();
    if (conversation.names_topics) clusters += conversation.scenario.clusters.size();
    without_topics += conversation.names_topics ? 0U : 1U;
  }
  const auto all = dataset.conversations.size();
  std::string words = counted(turns, "turn");
  if (clusters > 0) words += " in " + counted(clusters, "cluster");
  if (all > 1 || dataset.format != "scenario") {
    words = fmt::format("{}, {}, {}", dataset.format, counted(all, "conversation"), words);
  }
  if (without_topics == all) words += "; no topics are named";
  if (without_topics > 0 && without_topics < all) words += fmt::format("; {} of them name no topics", without_topics);
  std::map<std::string, std::size_t> count_of;
  for (const auto& one : dataset.notices) ++count_of[one.what];
  for (const auto& [what, count] : count_of) words += fmt::format("; {} ({})", what, count);
  return words;
}

int validate(const ValidateFlags& flags) {
  Json list = Json::array();
  int code = 0;
  for (const auto& path : flags.files) {
    const auto file = conversation::input_name(path);
    const auto dataset = read_conversations(path);
    if (!dataset.ok()) {
      code = exit_code(dataset.error().code);
      if (flags.common.json)
        list.push_back(
            {{"file", file}, {"valid", false}, {"message", dataset.error().message}, {"place", dataset.error().place}});
      say_failure(dataset.error().to_string());
      continue;
    }
    if (flags.common.json) {
      for (const auto& one : dataset->conversations) list.push_back(conversation_json(file, *dataset, one));
    } else if (!flags.common.quiet) {
      console::print("{}: valid, {}\n", file, words_for(*dataset));
    }
  }
  if (flags.common.json) console::print_data(json_text(list, JsonForm::kPretty) + '\n');
  return code;
}

}  // namespace

Command add_validate(CLI::App& program) {
  auto flags = std::make_shared<ValidateFlags>();
  auto* command =
      program.add_subcommand("validate", "Check scenarios and other conversations, and say what they hold.");
  command->add_option("scenario", flags->files, kInputHelp)->required();
  command->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  command->add_flag("-q,--quiet", flags->common.quiet, "errors only");
  return [flags] { return validate(*flags); };
}

}  // namespace bulkhead::cli
