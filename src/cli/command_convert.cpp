// SPDX-License-Identifier: MIT
// `convert`: the same weights for every framework, of one GGUF file.
#include "base/console.h"
#include "base/file_identity.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress_line.h"
#include "engines/worker/conversion.h"
#include "models/model_files.h"

#include <fmt/format.h>

#include <iterator>
#include <memory>

namespace bulkhead::cli {
namespace {

using engines::worker::kConversionKinds;

struct ConvertFlags {
  CommonFlags common;
  std::string model;
  engines::worker::ConversionRequest request;
};

Result<std::vector<engines::worker::ConvertedModel>> converted(ConvertFlags& flags) {
  BH_TRY(flags.request.model, models::find_model(flags.model, models::Environment::from_process()));
  BH_CHECK(models::check_gguf(flags.request.model));
  // Transformers would read the first part and make up the weights of the others.
  if (model_part(flags.request.model.filename().string())) {
    return Error{ErrorCode::kUnsupported, "the converter reads one file, this model is split in parts",
                 flags.request.model.string(), "join them with llama-gguf-split --merge"};
  }
  ProgressLine line(progress_mode(flags.common));
  return engines::worker::convert(
      flags.request,
      [&](std::size_t done, std::size_t total) { line.update("converting " + flags.model, done, total, "models"); },
      stop_on_signal());
}

int convert(ConvertFlags& flags) {
  const auto made = converted(flags);
  if (!made.ok()) {
    const int code = print_error(made.error(), flags.common);
    const int by_signal = signal_exit_code();
    return by_signal != 0 ? by_signal : code;
  }
  Json document = Json::array();
  for (const auto& model : made.value()) {
    document.push_back({{"kind", model.kind}, {"path", model.path.string()}});
    if (!flags.common.json) console::print_path(model.path.string());
  }
  if (flags.common.json) console::print_data(json_text(document, JsonForm::kPretty) + '\n');
  return 0;
}

}  // namespace

Command add_convert(CLI::App& program) {
  auto flags = std::make_shared<ConvertFlags>();
  const std::vector<std::string> kinds(std::begin(kConversionKinds), std::end(kConversionKinds));
  flags->request.kinds = kinds;
  auto* command = program.add_subcommand("convert", "Make the same weights for every framework, of one GGUF file.");
  command->add_option("model", flags->model, "a name of `bulkhead models`, or a GGUF file")->required();
  command->add_option("folder", flags->request.folder, "where everything goes; what is there is left alone")
      ->required();
  command->add_option("--dtype", flags->request.dtype, "what the weights become")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--only", flags->request.kinds, "a list; what these are made of is made too")
      ->delimiter(',')
      ->check(CLI::IsMember(kinds))
      ->capture_default_str();
  command->add_flag("--json", flags->common.json, "machine-readable output on stdout");
  add_progress_flags(*command, flags->common);
  return [flags] { return convert(*flags); };
}

}  // namespace bulkhead::cli
