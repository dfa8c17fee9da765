// SPDX-License-Identifier: MIT
#include "base/console.h"
#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace bulkhead::cli {
namespace {

struct Word {
  std::string text;
  std::string about;
};

// Commands are hidden by an empty group.
std::vector<const CLI::App*> visible_commands(const CLI::App& program) {
  std::vector<const CLI::App*> commands;
  for (const auto* command : program.get_subcommands([](const CLI::App* one) { return !one->get_group().empty(); })) {
    commands.push_back(command);
  }
  return commands;
}

std::vector<Word> flags_of(const CLI::App& command) {
  std::vector<Word> words;
  for (const auto* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) words.push_back({"--" + name, option->get_description()});
    for (const auto& name : option->get_snames()) words.push_back({"-" + name, option->get_description()});
  }
  return words;
}

// Those of a command and of what it consists of.
std::vector<Word> all_flags_of(const CLI::App& command) {
  auto words = flags_of(command);
  for (const auto* act : visible_commands(command)) {
    for (const auto& word : flags_of(*act)) {
      const bool known =
          std::any_of(words.begin(), words.end(), [&](const Word& one) { return one.text == word.text; });
      if (!known) words.push_back(word);
    }
  }
  return words;
}

std::string joined(const std::vector<Word>& words) {
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : " ") + word.text;
  return all;
}

std::string bash(const CLI::App& program) {
  std::string cases;
  std::string names;
  for (const auto* command : visible_commands(program)) {
    names += command->get_name() + ' ';
    cases += fmt::format("    {}) words='{}' ;;\n", command->get_name(), joined(all_flags_of(*command)));
  }
  return fmt::format(
      "_bulkhead() {{\n"
      "  local current=${{COMP_WORDS[COMP_CWORD]}} words=\n"
      "  case ${{COMP_WORDS[1]:-}} in\n{}"
      "    *) words='{}{}' ;;\n"
      "  esac\n"
      "  [ \"$COMP_CWORD\" -eq 1 ] || [ \"${{current#-}}\" != \"$current\" ] || return 0\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
      "}}\n"
      "complete -o default -F _bulkhead bulkhead\n",
      cases, names, joined(flags_of(program)));
}

std::string quoted_for_fish(std::string_view text) {
  std::string quoted;
  for (const char c : text) quoted += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return '\'' + quoted + '\'';
}

std::string fish(const CLI::App& program) {
  std::string lines;
  for (const auto* command : visible_commands(program)) {
    lines += fmt::format("complete -c bulkhead -n __fish_use_subcommand -a {} -d {}\n", command->get_name(),
                         quoted_for_fish(command->get_description()));
    for (const auto& word : all_flags_of(*command)) {
      const bool is_long = word.text.starts_with("--");
      lines +=
          fmt::format("complete -c bulkhead -n '__fish_seen_subcommand_from {}' {} {} -d {}\n", command->get_name(),
                      is_long ? "-l" : "-s", word.text.substr(is_long ? 2 : 1), quoted_for_fish(word.about));
    }
  }
  return lines;
}

}  // namespace

Command add_completion(CLI::App& program) {
  auto shell = std::make_shared<std::string>();
  auto* command = program.add_subcommand("completion", "Print a script that completes commands and flags.");
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("bash: source <(bulkhead completion bash)");
  return [&program, shell] {
    if (*shell == "fish") {
      console::print_data(fish(program));
    } else {
      if (*shell == "zsh") console::print_data("autoload -U +X bashcompinit && bashcompinit\n");
      console::print_data(bash(program));
    }
    return 0;
  };
}

}  // namespace bulkhead::cli
