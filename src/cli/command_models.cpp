// SPDX-License-Identifier: MIT
// `pull` and `models`: getting models, and which are here.
#include "base/console.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "models/model_files.h"
#include "models/pull.h"

#include <fmt/format.h>

#include <memory>

namespace bulkhead::cli {
namespace {

struct PullFlags {
  CommonFlags common;
  std::string model;
  std::string hub;
};

int pull(const PullFlags& flags) {
  if (flags.model.empty() == flags.hub.empty()) {
    return print_error(
        {ErrorCode::kUsage, "give a model's name or file, or -hf user/repo[:quant]", "pull", "see bulkhead models"},
        flags.common);
  }
  const bool by_hub = !flags.hub.empty();
  const models::PullRequest request{
      by_hub ? models::PullRequest::Kind::kHubAny : models::PullRequest::Kind::kNameOrFile,
      by_hub ? flags.hub : flags.model};
  ProgressLine line(progress_mode(flags.common));
  models::PullProgress progress;
  progress.note = [&](std::string_view text) {
    line.finish();
    if (!flags.common.quiet) console::say("{}", text);
  };
  progress.bytes = [&](std::uint64_t done, std::uint64_t total) { line.update(request.text, done, total, "bytes"); };
  const auto pulled = models::pull(request, models::Environment::from_process(), progress, stop_on_signal());
  line.finish();
  if (!pulled.ok()) {
    const int code = print_error(pulled.error(), flags.common);
    const int by_signal = signal_exit_code();
    return by_signal != 0 ? by_signal : code;
  }
  const auto& model = pulled.value();
  if (flags.common.json) {
    const Json document = {{"path", model.path.string()}, {"sha256", model.sha256},   {"bytes", model.bytes},
                           {"verified", model.verified},  {"fetched", model.fetched}, {"source", model.source}};
    console::print_data(json_text(document, JsonForm::kPretty) + '\n');
  } else {
    console::print_path(model.path.string());
  }
  return 0;
}

int list(const CommonFlags& flags) {
  const auto models = models::list_models(models::Environment::from_process());
  Json document = Json::array();
  if (!flags.json) console::print("{:34} {:>9}  {:6}  {}\n", "name", "size", "here", "what");
  for (const auto& model : models) {
    if (flags.json) {
      document.push_back({{"name", model.name},
                          {"aliases", model.aliases},
                          {"description", model.description},
                          {"licence", model.licence},
                          {"path", model.path.string()},
                          {"pulled", model.pulled},
                          {"in_manifest", model.in_manifest},
                          {"chat", model.chat},
                          {"bytes", model.bytes ? Json(*model.bytes) : Json(nullptr)}});
      continue;
    }
    const auto size =
        model.bytes ? fmt::format("{:.0f} MB", static_cast<double>(*model.bytes) / 1e6) : std::string("?");
    console::print("{:34} {:>9}  {:6}  {}\n", model.name, size, model.pulled ? "yes" : "no", model.description);
  }
  if (flags.json) console::print_data(json_text(document, JsonForm::kPretty) + '\n');
  return 0;
}

}  // namespace

Command add_pull(CLI::App& program) {
  auto flags = std::make_shared<PullFlags>();
  auto* command = program.add_subcommand("pull", "Fetch a model and check its SHA-256.");
  command->add_option("model", flags->model, "a name of `bulkhead models`, or a file to check");
  command->add_option("--hf-repo", flags->hub,
                      "-hf user/repo[:quant]: from the hub: a GGUF file (quant is Q4_K_M by default), or all "
                      "of a repository with safetensors");
  command->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  add_progress_flags(*command, flags->common);
  return [flags] { return pull(*flags); };
}

Command add_models(CLI::App& program) {
  auto flags = std::make_shared<CommonFlags>();
  auto* command = program.add_subcommand("models", "List the models known and those here.");
  command->add_flag("--json", flags->json, "machine-readable output on stdout");
  return [flags] { return list(*flags); };
}

}  // namespace bulkhead::cli
