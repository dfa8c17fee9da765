// SPDX-License-Identifier: MIT
// `chat`: talk about several topics on a terminal, each in a partition of its own.
#include "base/console.h"
#include "cli/chat_session.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/session.h"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::cli {
namespace {

struct ChatFlags {
  CommonFlags common;
  ModelFlags model;
  SamplingOptions sampling;
  std::uint32_t new_tokens = 512;
  std::string system;
};

Result<ChatSession> open_chat(const ChatFlags& flags) {
  BH_TRY(const auto options, flags.model.resolve());
  BH_TRY(auto model, Model::load(options));
  return ChatSession::open(
      std::move(model),
      {.generate = {.sampling = flags.sampling, .max_tokens = flags.new_tokens}, .system = flags.system},
      [](std::string_view text) { console::print("{}", text); });
}

// Ctrl-C at the prompt does nothing: the terminal would be left in the editor's mode.
std::optional<std::string> read_line(LineReader& reader) {
  const InterruptsGoTo nowhere{std::stop_source()};
  return reader.read("> ");
}

int chat(const ChatFlags& flags) {
  auto opened = open_chat(flags);
  if (!opened.ok()) return print_error(opened.error(), flags.common);
  auto& session = opened.value();
  LineReader reader;
  if (reader.on_terminal()) console::say("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves");
  int worst = 0;
  while (!session.left()) {
    if (reader.on_terminal()) console::say("[{}]", session.status());
    const auto line = read_line(reader);
    if (!line) break;
    const std::stop_source answer;
    const InterruptsGoTo there(answer);
    if (const auto done = session.take(*line, answer.get_token()); !done.ok()) {
      say_failure(done.error().to_string());
      worst = exit_code(done.error().code);
    }
    if (!console::arrived().ok()) break;  // nobody hears it
  }
  return reader.on_terminal() ? 0 : worst;  // somebody who types has seen it
}

}  // namespace

Command add_chat(CLI::App& program) {
  auto* command = program.add_subcommand("chat", "Talk about several topics, each in a partition of its own.");
  auto flags = std::make_shared<ChatFlags>();
  add_model_flags(*command, flags->model);
  add_sampling_flags(*command, flags->sampling);
  command->add_option("-n,--predict", flags->new_tokens, "most tokens of an answer (512)")
      ->check(CLI::Range(1U, 1U << 20U));
  command->add_option("--system", flags->system, "said first in each topic");
  command->footer("/help lists the commands. Lines come from a terminal or a pipe; answers go to stdout.");
  return [flags] { return chat(*flags); };
}

}  // namespace bulkhead::cli
