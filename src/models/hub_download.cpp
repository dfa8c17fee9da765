// SPDX-License-Identifier: MIT
#include "models/hub_download.h"

#include "net/http_client.h"

#include <fmt/format.h>

#include <chrono>
#include <string_view>
#include <system_error>
#include <utility>

namespace bulkhead::models {

namespace fs = std::filesystem;

namespace {

net::DownloadOptions options_for(const HubFile& file, const fs::path& part, const Environment& environment,
                                 const PullProgress& progress, const std::stop_token& stop) {
  net::DownloadOptions options;
  static_cast<net::HttpOptions&>(options) = environment.http;
  options.bearer_token = environment.hub_token;
  options.login = environment.hub_login;
  options.stop = stop;
  options.expected_bytes = file.bytes;
  options.resume = !file.sha256.empty();
  options.progress = progress.bytes;
  std::error_code problem;
  const auto space = fs::space(part.parent_path(), problem);
  if (!problem) options.most_bytes = space.available;
  options.retry.pausing = [&progress](std::string_view why, std::chrono::milliseconds pause) {
    if (!progress.note) return;
    progress.note(fmt::format("{}; trying again in {:.1f} s", why, std::chrono::duration<double>(pause).count()));
  };
  return options;
}

}  // namespace

Result<KnownSum> download_from_hub(const HubFile& file, const std::string& revision, const fs::path& part,
                                   const Environment& environment, const PullProgress& progress,
                                   const std::stop_token& stop) {
  if (environment.hub_offline) {
    return Error{ErrorCode::kRemote, "HF_HUB_OFFLINE is set, so the hub is not asked", {}, {}};
  }
  const auto url = hub_url(file.source, environment, revision);
  for (bool first = true;; first = false) {
    const auto done = net::download(url, part, options_for(file, part, environment, progress, stop));
    if (!done.ok()) return with_token_advice(done.error(), file.source.repo, environment);
    auto promised = file.sha256;
    const auto linked = done->first_headers.find("x-linked-etag");
    if (promised.empty() && linked != done->first_headers.end()) promised = sha256_in_etag(linked->second);
    BH_TRY(auto sum, sum_of_file(part));
    sum.verified = !promised.empty();
    if (promised.empty() || sum.sha256 == promised) return sum;
    std::error_code ignored;
    fs::remove(part, ignored);
    // What an earlier pull left may be what is wrong.
    if (done->resumed_from == 0 || !first) {
      return Error{ErrorCode::kCorrupt, fmt::format("the SHA-256 is {}, expected {}", sum.sha256, promised),
                   fmt::format("hub {}, {}", file.source.repo, file.source.file), "the bytes were thrown away"};
    }
    if (progress.note) progress.note("what was there and what came do not fit together: beginning anew");
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
