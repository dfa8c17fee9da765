// SPDX-License-Identifier: MIT
#include "cli/program.h"

#include "base/console.h"
#include "cli/command.h"
#include "cli/flags.h"
#include "cli/help_formatter.h"
#include "cli/interrupt.h"
#include "cli/suggestion.h"
#include "engines/builtin.h"
#include "prompt/format.h"

#include <bulkhead/version.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <map>
#include <memory>
#include <sstream>

namespace bulkhead::cli {
namespace {

std::string version_text() {
  std::string text = fmt::format("bulkhead {}\nengines:\n", BULKHEAD_VERSION);
  const auto registry = engines::builtin_engines();
  for (const auto& entry : registry.entries()) text += fmt::format("  {:14}{}\n", entry.name, entry.description);
  text += fmt::format("formats: {}", fmt::join(prompt::builtin_formats(), ", "));
  return text;
}

std::map<std::string, Command> add_commands(CLI::App& program, const Invocation& invocation) {
  return {{"run", add_run(program, invocation)},
          {"compare", add_compare(program)},
          {"plan", add_plan(program)},
          {"validate", add_validate(program)},
          {"pull", add_pull(program)},
          {"models", add_models(program)},
          {"convert", add_convert(program)},
          {"report", add_report(program)},
          {"verify", add_verify(program)},
          {"eval", add_eval(program, invocation)},
          {"judge", add_judge(program, invocation)},
          {"cache", add_cache(program)},
          {"serve", add_serve(program)},
          {"worker", add_worker(program)},
          {"chat", add_chat(program)},
          {"doctor", add_doctor(program)},
          {"completion", add_completion(program)}};
}

int dispatch(int argc, const char* const* argv) {
  const Invocation invocation{normalize_arguments(argc, argv)};
  CLI::App program("One language model, many KV caches that cannot see each other.", "bulkhead");
  program.formatter(std::make_shared<HelpFormatter>());  // of its commands, too
  program.set_version_flag("--version", version_text);
  program.require_subcommand(1);
  program.footer("Exit codes: docs/exit-codes.md. Data goes to stdout, progress and errors to stderr.");
  const auto commands = add_commands(program, invocation);
  CommonFlags flags;  // those of a command are not known before the line is understood
  flags.json =
      std::find(invocation.arguments.begin(), invocation.arguments.end(), "--json") != invocation.arguments.end();
  if (invocation.arguments.size() > 1) {
    const auto& first = invocation.arguments[1];
    if (!first.starts_with('-') && !commands.contains(first)) {
      return print_error(unknown_command(program, first), flags);
    }
  }
  std::vector<std::string> arguments(invocation.arguments.rbegin(), invocation.arguments.rend() - 1);
  try {
    program.parse(arguments);
  } catch (const CLI::Success& help_or_version) {
    std::ostringstream text;
    const int code = program.exit(help_or_version, text, text);
    console::print_data(text.str());
    return code;
  } catch (const CLI::ExtrasError&) {
    return print_error(unexpected_arguments(program), flags);
  } catch (const CLI::RequiredError& error) {
    // `--versoin` alone: no command, but that is not what is wrong.
    return print_error(program.remaining(true).empty()
                           ? Error{ErrorCode::kUsage, error.what(), "command line", "see bulkhead --help"}
                           : unexpected_arguments(program),
                       flags);
  } catch (const CLI::ParseError& error) {
    return print_error({ErrorCode::kUsage, error.what(), "command line", "see bulkhead --help"}, flags);
  }
  return commands.at(program.get_subcommands().front()->get_name())();
}

}  // namespace

int run_program(int argc, const char* const* argv) {
  // A file size limit then fails the write, which is reported, in place of ending the process.
  static_cast<void>(std::signal(SIGXFSZ, SIG_IGN));
  console::prepare();
  // Libraries below may throw (no memory, for one); nothing may leave main.
  try {
    catch_signals();
    const int code = dispatch(argc, argv);
    const auto output = console::arrived();
    if (output.ok()) return code;
    console::say("bulkhead: {}", output.error().to_string());
    return code == 0 ? exit_code(output.error().code) : code;
  } catch (const std::bad_alloc&) {
    console::say("bulkhead: out of memory");
    return exit_code(ErrorCode::kResource);
  } catch (const std::exception& error) {
    console::say("bulkhead: {}", error.what());
    return exit_code(ErrorCode::kInternal);
  }
}

}  // namespace bulkhead::cli
