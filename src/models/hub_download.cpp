// SPDX-License-Identifier: MIT
#include "models/hub_download.h"

#include <fmt/format.h>

#include <system_error>
#include <utility>

namespace bulkhead::models {

namespace fs = std::filesystem;

Result<net::Downloaded> download_from_hub(const HubFile& file, const std::string& revision, const fs::path& part,
                                          const Environment& environment, const PullProgress& progress,
                                          const std::stop_token& stop) {
  if (environment.hub_offline) {
    return Error{ErrorCode::kRemote, "HF_HUB_OFFLINE is set, so the hub is not asked", {}, {}};
  }
  net::DownloadOptions options;
  static_cast<net::HttpOptions&>(options) = environment.http;
  options.bearer_token = environment.hub_token;
  options.stop = stop;
  options.expected_bytes = file.bytes;
  options.progress = progress.bytes;
  const auto url = hub_url(file.source, environment, revision);
  const auto there = [&part] {
    std::error_code problem;
    const auto bytes = fs::file_size(part, problem);
    return problem ? std::uintmax_t{0} : bytes;
  };
  for (;;) {
    const auto before = there();
    auto done = net::download(url, part, options);
    if (done.ok()) return done;
    if (done.error().code != ErrorCode::kRemote || there() <= before)
      return with_token_advice(std::move(done).error(), file.source.repo, environment);
    if (progress.note) progress.note(fmt::format("{}; going on from byte {}", done.error().message, there()));
  }
}

Result<void> check_space(const std::string& title, std::uint64_t bytes, const fs::path& folder,
                         const Environment& environment) {
  std::error_code problem;
  const auto space = fs::space(folder, problem);
  if (problem || bytes <= space.available) return {};
  return Error{ErrorCode::kResource,
               fmt::format("{} needs {} more bytes on the disk, {} are free: {} too few", title, bytes, space.available,
                           bytes - space.available),
               environment.models_folder.string(), "free some space, or set BULKHEAD_MODELS to a folder elsewhere"};
}

}  // namespace bulkhead::models
