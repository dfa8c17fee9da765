// SPDX-License-Identifier: MIT
#include "engines/llama/weights.h"

#include "base/cache_folder.h"
#include "base/file_identity.h"
#include "base/log.h"
#include "engines/llama/assertions.h"
#include "engines/llama/backend.h"
#include "measure/available_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

// libllama tells a reason only in its log.
ErrorCode load_error(std::string_view reason) {
  if (reason.find("unknown model architecture") != std::string_view::npos) return ErrorCode::kUnsupported;
  if (reason.find("alloc") != std::string_view::npos) return ErrorCode::kResource;
  return ErrorCode::kCorrupt;
}

std::filesystem::path packed_folder() {
  const char* named = std::getenv("BULKHEAD_PACKED");
  return named != nullptr && *named != '\0' ? std::filesystem::path(named) : cache_folder() / "packed";
}

// What of the options reaches the weights.
struct Key {
  ModelIdentity files;
  kernels::KernelChoice kernels;
  std::int32_t gpu_layers;

  friend bool operator==(const Key&, const Key&) = default;
};

struct Shared {
  Key key;
  std::weak_ptr<const Weights> weights;
};

}  // namespace

Result<ModelHandle> load_model_file(const ModelOptions& options, bool without_weights) {
  // A space before every text (SentencePiece models of the first generation) would be a byte that nobody wrote.
  std::array<llama_model_kv_override, 2> overrides{};
  overrides[0].tag = LLAMA_KV_OVERRIDE_TYPE_BOOL;
  // NOLINTNEXTLINE(*-array-to-pointer-decay): libllama's array
  std::strncpy(overrides[0].key, "tokenizer.ggml.add_space_prefix", sizeof(overrides[0].key) - 1);
  overrides[0].val_bool = false;  // NOLINT(cppcoreguidelines-pro-type-union-access): libllama's
  auto params = llama_model_default_params();
  params.kv_overrides = overrides.data();
  params.n_gpu_layers = llama_supports_gpu_offload() ? options.gpu_layers : 0;
  params.no_alloc = without_weights;
  if (without_weights) params.load_mode = LLAMA_LOAD_MODE_NONE;
  const LoggedErrors errors;
  const AssertionScope assertions;
  std::string thrown;
  try {
    if (ModelHandle model(llama_model_load_from_file(options.path.c_str(), params)); model) return model;
  } catch (const std::exception& failure) {
    thrown = std::string(": ") + failure.what();
  }
  const auto reason = errors.text() + thrown;
  return Error{load_error(reason), fmt::format("libllama cannot load this model: {}", reason), options.path, {}};
}

Result<std::shared_ptr<const Weights>> Weights::load(const ModelOptions& options) {
  static std::mutex mutex;
  static std::vector<Shared> all;  // those in use
  const std::lock_guard lock(mutex);
  BH_TRY(const auto choice, kernels::parse_kernel_choice(options.kernels));
  const auto files = model_identity(options.path);
  std::erase_if(all, [](const Shared& shared) { return shared.weights.expired(); });
  const Key key{files.value_or(ModelIdentity{}), kernels::resolved(choice), options.gpu_layers};
  for (const auto& shared : all) {
    if (!files || shared.key != key) continue;
    if (auto weights = shared.weights.lock()) return weights;
  }
  BH_TRY(auto weights, load_anew(options));
  if (files != model_identity(options.path)) {
    return Error{ErrorCode::kCorrupt, "the model was changed while it was loaded", options.path, "load it again"};
  }
  if (files) all.push_back({key, weights});
  return weights;
}

Result<std::shared_ptr<const Weights>> Weights::load_anew(const ModelOptions& options) {
  Weights loaded;
  BH_TRY(loaded.summary_, check_gguf(options.path));
  const auto bytes = loaded.summary_.bytes;
  if (const auto available = measure::available_memory(); bytes > available) {
    return Error{
        ErrorCode::kResource,
        fmt::format("the weights need {} bytes, {} are available: {} too few", bytes, available, bytes - available),
        options.path, "use a smaller model"};
  }
  BH_TRY(const auto choice, kernels::parse_kernel_choice(options.kernels));
  kernels::LoadScope scope(choice, loaded.summary_.shares_embedding,
                           {options.keep_packed ? packed_folder() : std::filesystem::path(), options.path});
  // The outline goes first: it costs little and finds what is wrong with the metadata.
  BH_TRY(loaded.outline_, load_model_file(options, true));
  const auto* model = loaded.outline();
  if (!llama_model_has_decoder(model) || llama_model_has_encoder(model) || llama_model_is_diffusion(model)) {
    return Error{ErrorCode::kUnsupported, "this model does not generate text from left to right", options.path,
                 "use a decoder-only model"};
  }
  if (llama_vocab_type(llama_model_get_vocab(model)) == LLAMA_VOCAB_TYPE_NONE) {
    return Error{ErrorCode::kUnsupported, "this model has no vocabulary", options.path, {}};
  }
  BH_TRY(loaded.model_, load_model_file(options, false));
  if (!scope.finish()) {
    return Error{ErrorCode::kCorrupt, "the file was changed while it was loaded", options.path, "load it again"};
  }
  log::get().info("kernels: {}", scope.summary());
  loaded.kernels_ = scope.kernels();
  loaded.matrices_ = scope.matrices();
  if (!scope.all_invariant()) loaded.variance_ = scope.summary();
  return std::shared_ptr<const Weights>(std::make_shared<Weights>(std::move(loaded)));
}

}  // namespace bulkhead::engines::llama
