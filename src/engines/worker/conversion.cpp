// SPDX-License-Identifier: MIT
#include "engines/worker/conversion.h"

#include "engines/worker/framework_engine.h"
#include "subprocess/child_process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <utility>

namespace bulkhead::engines::worker {
namespace {

// The child ends with the exit codes of docs/exit-codes.md; a traceback of Python has 1.
constexpr std::array<std::pair<int, ErrorCode>, 2> kCodes = {{{4, ErrorCode::kCorrupt}, {5, ErrorCode::kResource}}};

std::vector<ConvertedModel> wanted(const ConversionRequest& request) {
  std::vector<ConvertedModel> all;
  for (const auto kind : kConversionKinds) {
    if (std::ranges::find(request.kinds, kind) == request.kinds.end()) continue;
    all.push_back({std::string(kind), converted_path(request, kind)});
  }
  return all;
}

// What an exception of Python says stands in its last line.
std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto before = text.rfind('\n');
  return before == std::string::npos ? text : text.substr(before + 1);
}

}  // namespace

std::filesystem::path converted_path(const ConversionRequest& request, std::string_view kind) {
  if (kind == "gguf") return request.folder / fmt::format("model-{}.gguf", request.dtype);
  if (kind == "mlx-8bit" || kind == "mlx-4bit") return request.folder / kind;
  return request.folder / fmt::format("{}-{}", kind, request.dtype);
}

Result<std::vector<ConvertedModel>> convert(const ConversionRequest& request,
                                            const std::function<void(std::size_t, std::size_t)>& progress,
                                            const std::stop_token& stop) {
  BH_TRY(auto command, framework_command("convert"));
  auto models = wanted(request);
  subprocess::ChildCommand child{std::move(command.arguments), std::move(command.variables), {}, false};
  for (auto argument : {request.model.string(), request.folder.string(), std::string("--dtype"), request.dtype,
                        std::string("--only"), fmt::format("{}", fmt::join(request.kinds, ","))}) {
    child.arguments.push_back(std::move(argument));
  }
  const auto tell = [&] {
    std::error_code ignored;
    const auto done =
        std::ranges::count_if(models, [&](const auto& model) { return std::filesystem::exists(model.path, ignored); });
    if (progress) progress(static_cast<std::size_t>(done), models.size());
  };
  BH_TRY(const auto outcome, subprocess::run_child(child, tell, stop));
  if (outcome.exit_code == 0) return models;
  const auto* const known = std::ranges::find(kCodes, outcome.exit_code, &std::pair<int, ErrorCode>::first);
  return Error{known == kCodes.end() ? ErrorCode::kRemote : known->second,
               fmt::format("the converter ended with code {}: {}", outcome.exit_code, last_line(outcome.errors)),
               request.model.string(),
               {}};
}

}  // namespace bulkhead::engines::worker
