// SPDX-License-Identifier: MIT
#include <bulkhead/embedder.h>

#include "api/handles.h"
#include "base/utf8.h"
#include "engines/llama/text_embedder.h"
#include "models/model_files.h"

#include <fmt/format.h>

#include <mutex>
#include <utility>

namespace bulkhead {

struct Embedder::Impl {
  engines::llama::TextEmbedder embedder;
  std::mutex calls = {};  // one at a time
};

Embedder::Embedder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Embedder::Embedder(Embedder&&) noexcept = default;
Embedder& Embedder::operator=(Embedder&&) noexcept = default;
Embedder::~Embedder() = default;

Result<Embedder> Embedder::load(const std::string& model, std::uint32_t threads) {
  BH_TRY(const auto path, models::find_model(model, models::Environment::from_process()));
  BH_TRY(auto loaded, engines::llama::TextEmbedder::load(path.string(), threads));
  return Embedder(std::unique_ptr<Impl>(new Impl{.embedder = std::move(loaded)}));
}

std::size_t Embedder::dimensions() const noexcept {
  return impl_ ? impl_->embedder.dimensions() : 0;
}

std::uint32_t Embedder::most_tokens() const noexcept {
  return impl_ ? impl_->embedder.most_tokens() : 0;
}

Result<Embedding> Embedder::embed(std::string_view text) const {
  if (!impl_) return moved_from("embedder");
  if (const auto at = first_invalid_utf8(text)) {
    return Error{ErrorCode::kBadInput, fmt::format("byte {} of a text is no UTF-8", *at), {}, {}};
  }
  const std::lock_guard lock(impl_->calls);
  return impl_->embedder.embed(text);
}

}  // namespace bulkhead
