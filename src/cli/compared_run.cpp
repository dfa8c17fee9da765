// SPDX-License-Identifier: MIT
#include "cli/compared_run.h"

#include "base/utf8.h"
#include "engines/builtin.h"
#include "engines/process/process_engine.h"
#include "report/results.h"
#include "store/folder_seal.h"
#include "subprocess/child_process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <set>
#include <utility>

namespace bulkhead::cli {
namespace {

// Flags of `compare` that are not passed on to its runs as they are typed.
constexpr std::array<std::string_view, 6> kOwnFlags = {"on",  "allow-token-differences", "out", "json", "output",
                                                       "help"};

Error wrong_engine(const std::string& text, std::string message) {
  return {ErrorCode::kUsage, std::move(message), fmt::format("--on {}", text),
          "write ENGINE:MODEL, such as llama:gemma-3-270m or transformers:FOLDER,dtype=bf16"};
}

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> parts;
  for (;;) {
    const auto end = text.find(at);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string plain(std::string_view text) {
  std::string kept;
  for (const char c : text) {
    const bool known = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_';
    if (known) {
      kept += c;
    } else if (!kept.empty() && kept.back() != '-') {
      kept += '-';
    }
  }
  while (kept.ends_with('-')) kept.pop_back();
  return kept;
}

std::string name_of(const ComparedEngine& one) {
  std::string name = one.engine;
  auto model = one.hub.empty() ? one.model : one.hub;
  while (model.ends_with('/')) model.pop_back();
  model = std::filesystem::path(model).filename().string();
  if (model.ends_with(".gguf")) model.resize(model.size() - 5);
  if (!model.empty()) name += "-" + model;
  for (const auto& flag : one.flags) name += "-" + flag.substr(2);
  return plain(name);
}

Result<ComparedEngine> parse_one(const std::string& text) {
  ComparedEngine one;
  one.text = text;
  auto parts = split(text, ',');
  const auto colon = parts.front().find(':');
  one.engine = parts.front().substr(0, colon);
  if (colon != std::string::npos) one.model = parts.front().substr(colon + 1);
  if (colon != std::string::npos && one.model.empty()) return wrong_engine(text, "there is no model after the colon");
  if (one.model.starts_with("hf:")) {
    one.hub = one.model.substr(3);
    one.model.clear();
  }
  const auto registry = engines::builtin_engines();
  const auto known = registry.entries();
  if (std::none_of(known.begin(), known.end(), [&](const auto& entry) { return entry.name == one.engine; })) {
    std::vector<std::string_view> names;
    for (const auto& entry : known) names.push_back(entry.name);
    return wrong_engine(text, fmt::format("there is no engine \"{}\"; known: {}", one.engine, fmt::join(names, ", ")));
  }
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto flag = parts[i].substr(0, parts[i].find('='));
    const bool own = std::find(kOwnFlags.begin(), kOwnFlags.end(), flag) != kOwnFlags.end();
    if (flag.empty() || flag.starts_with('-') || own || flag == "engine" || flag == "model" || flag == "hf-repo")
      return wrong_engine(text, fmt::format("\"{}\" is no flag that one engine may have", parts[i]));
    one.flags.push_back("--" + parts[i]);
  }
  one.name = name_of(one);
  return one;
}

// What was made by the same arguments is the same run, wherever the program lies.
bool same_command(const Json& manifest, const std::vector<std::string>& arguments) {
  const auto command = manifest.find("command");
  if (command == manifest.end() || !command->is_array() || command->empty()) return false;
  std::vector<std::string> made;
  for (auto argument = command->begin() + 1; argument != command->end(); ++argument) {
    if (!argument->is_string()) return false;
    // Says what may be replaced, not what is run.
    if (*argument != "--force") made.push_back(argument->get<std::string>());
  }
  return std::equal(arguments.begin(), arguments.end(), made.begin(), made.end(),
                    [](const std::string& one, const std::string& two) { return two == escape_bytes(one); });
}

bool of_scenario(const Json& results, const std::string& sha256) {
  const auto& runs = results["runs"];
  return !runs.empty() && runs.front()["scenario"]["sha256"] == sha256;
}

// Reads what is there, and hands on whole lines. False at the end.
bool read_lines(int pipe, std::string& rest, const std::function<void(std::string_view)>& line) {
  pollfd waiting{pipe, POLLIN, 0};
  if (::poll(&waiting, 1, 100) <= 0) return true;
  std::array<char, 4096> buffer{};
  const auto got = ::read(pipe, buffer.data(), buffer.size());
  if (got <= 0) return false;
  rest.append(buffer.data(), static_cast<std::size_t>(got));
  for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
    line(std::string_view(rest).substr(0, end));
    rest.erase(0, end + 1);
  }
  return true;
}

// The error whose exit code a child ended with.
ErrorCode code_for(int exit) {
  for (const auto code :
       {ErrorCode::kUsage, ErrorCode::kBadInput, ErrorCode::kCorrupt, ErrorCode::kResource, ErrorCode::kRemote,
        ErrorCode::kInterference, ErrorCode::kIncomplete, ErrorCode::kInterrupted}) {
    if (exit_code(code) == exit) return code;
  }
  return ErrorCode::kInternal;
}

}  // namespace

Result<std::vector<ComparedEngine>> parse_compared(const std::vector<std::string>& texts) {
  std::vector<ComparedEngine> all;
  std::set<std::string> names;
  for (const auto& text : texts) {
    BH_TRY(auto one, parse_one(text));
    const auto name = one.name;
    for (int again = 2; !names.insert(one.name).second; ++again) one.name = fmt::format("{}-{}", name, again);
    all.push_back(std::move(one));
  }
  return all;
}

std::vector<std::string> run_arguments(const CLI::App& command, const ComparedEngine& one, const std::string& scenario,
                                       const std::string& folder) {
  std::vector<std::string> arguments = {"run", scenario, "--engine=" + one.engine};
  if (!one.model.empty()) arguments.push_back("--model=" + one.model);
  if (!one.hub.empty()) arguments.push_back("--hf-repo=" + one.hub);
  for (const auto* option : command.get_options()) {
    const auto name = option->get_lnames().empty() ? std::string() : option->get_lnames().front();
    const bool own = std::find(kOwnFlags.begin(), kOwnFlags.end(), name) != kOwnFlags.end();
    // Of the engine's own flags and those for all, the engine's hold.
    const bool set = std::any_of(one.flags.begin(), one.flags.end(), [&](const std::string& flag) {
      return flag == "--" + name || flag.starts_with("--" + name + "=");
    });
    if (name.empty() || own || set || option->count() == 0) continue;
    if (option->get_expected_min() == 0) {
      for (std::size_t i = 0; i < option->count(); ++i) arguments.push_back("--" + name);
    } else {
      arguments.push_back(fmt::format("--{}={}", name, fmt::join(option->results(), ",")));
    }
  }
  arguments.insert(arguments.end(), one.flags.begin(), one.flags.end());
  arguments.push_back("--out=" + folder);
  return arguments;
}

Result<Json> finished_run(const std::string& folder, const std::vector<std::string>& arguments,
                          const std::string& scenario_sha256) {
  const auto seal = store::FolderSeal::read(folder);
  // Nothing is there, or nothing was finished. What else lies there is for `run` to refuse.
  if (!seal.ok() && seal.error().code == ErrorCode::kBadInput) return Json(nullptr);
  if (!seal.ok()) return seal.error();
  if (seal->sums().empty()) return Json(nullptr);
  BH_CHECK(seal->check());
  BH_TRY(auto results, report::read_results(folder));
  if (!same_command(seal->manifest(), arguments) || !of_scenario(results, scenario_sha256)) {
    return Error{ErrorCode::kUsage, "another run lies there, of another scenario or with other flags", folder,
                 "give --out another folder, or remove this one"};
  }
  return results["complete"].get<bool>() ? std::move(results) : Json(nullptr);
}

Result<void> run_compared(const std::vector<std::string>& arguments, const std::function<void(std::string_view)>& line,
                          const std::stop_token& stop) {
  BH_TRY(const auto own, engines::process::worker_command());
  subprocess::ChildCommand command;
  command.arguments = {own.arguments.front()};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  BH_TRY(auto child, subprocess::ChildProcess::start(command));
  std::string rest;
  std::string last;
  const auto hand_on = [&](std::string_view text) {
    last = text;
    line(text);
  };
  while (read_lines(child.errors.get(), rest, hand_on)) {
    if (!stop.stop_requested()) continue;
    child.end(std::chrono::milliseconds(0));
    return Error{
        ErrorCode::kInterrupted, "the comparison was stopped", {}, "the same command goes on with what is there"};
  }
  const int exit = child.end(std::chrono::hours(1));
  if (exit == 0) return {};
  constexpr std::string_view kOurs = "bulkhead: ";
  if (last.starts_with(kOurs)) last.erase(0, kOurs.size());
  return Error{code_for(exit), fmt::format("its run ended with exit code {}: {}", exit, last), {}, {}};
}

}  // namespace bulkhead::cli
