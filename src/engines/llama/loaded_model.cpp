// SPDX-License-Identifier: MIT
#include "engines/llama/loaded_model.h"

#include "base/cache_folder.h"
#include "base/file_identity.h"
#include "base/log.h"
#include "engines/llama/assertions.h"
#include "engines/llama/backend.h"
#include "engines/llama/gguf_check.h"
#include "measure/available_memory.h"

// libllama's own extension header: the only way to ask what a context allocates.
#include <../src/llama-ext.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string_view>

namespace bulkhead::engines::llama {
namespace {

constexpr std::uint32_t kDefaultContext = 4096;

Result<ggml_type> kv_type(const std::string& name, std::string_view flag) {
  if (name == "auto" || name == "f16") return GGML_TYPE_F16;
  if (name == "q8_0") return GGML_TYPE_Q8_0;
  if (name == "q4_0") return GGML_TYPE_Q4_0;
  return Error{ErrorCode::kUsage, fmt::format("unknown KV cache type \"{}\"", name), std::string(flag),
               "use f16, q8_0 or q4_0"};
}

Result<void> check_options(const ModelOptions& options) {
  if (options.grade != Grade::kBuffer && options.grade != Grade::kMask) {
    return Error{ErrorCode::kUsage, fmt::format("the llama engine has no grade \"{}\"", engine::name(options.grade)),
                 "--grade", "use buffer or mask"};
  }
  if (options.dtype != "auto") {
    return Error{ErrorCode::kUsage,
                 fmt::format("the llama engine computes with its file's weights, not in {}", options.dtype), "--dtype",
                 "leave it away"};
  }
  BH_CHECK(engine::refuse_framework_switches(options));
  BH_TRY(const auto key, kv_type(options.kv_type_k, "-ctk"));
  BH_TRY(const auto value, kv_type(options.kv_type_v, "-ctv"));
  BH_CHECK(kernels::parse_kernel_choice(options.kernels));
  static_cast<void>(key);
  if (ggml_is_quantized(value) && !options.flash_attention) {
    return Error{ErrorCode::kUsage, fmt::format("a {} V cache needs flash attention, which is off", options.kv_type_v),
                 "-ctv", "turn flash attention on, or use f16 for V"};
  }
  if (options.guard != Guard::kNone && (options.grade != Grade::kBuffer || options.gpu_layers != 0)) {
    return Error{ErrorCode::kUsage, "a guard needs partitions with buffers of their own in main memory", "--guard",
                 "use it with --grade buffer and without -ngl"};
  }
  if (options.gpu_layers != 0 && !llama_supports_gpu_offload()) {
    log::get().warn("-ngl {} has no effect: this build of ggml knows no GPU", options.gpu_layers);
  }
  return {};
}

// libllama tells a reason only in its log.
ErrorCode load_error(std::string_view reason) {
  if (reason.find("unknown model architecture") != std::string_view::npos) return ErrorCode::kUnsupported;
  if (reason.find("alloc") != std::string_view::npos) return ErrorCode::kResource;
  return ErrorCode::kCorrupt;
}

std::uint32_t positive(std::int32_t value) {
  return value > 0 ? static_cast<std::uint32_t>(value) : 0;
}

// For Facts::implementation.
std::map<std::string, std::string> implementation_of(const llama_model* model, const ModelOptions& options,
                                                     kernels::AttentionChoice attention) {
  std::array<char, 128> described{};
  llama_model_desc(model, described.data(), described.size());
  const bool own_attention = attention == kernels::AttentionChoice::kBulkhead;
  const bool on_gpu = options.gpu_layers != 0 && llama_supports_gpu_offload();
  return {{"loading", "llama_model_load_from_file()"},
          {"tokenizer", "llama_tokenize(), of the vocabulary in the GGUF file"},
          {"context", "token arrays"},
          {"generation", "llama_decode(), all sequences in one batch"},
          {"sampling", "logits as f32, drawn here with a generator for each output"},
          {"cache", options.grade == Grade::kMask ? "one buffer for all sequences, an attention mask between them"
                                                  : "one buffer for each sequence, copied by a fork"},
          {"attention", own_attention             ? "flash attention, Bulkhead's kernels"
                        : options.flash_attention ? "flash attention, ggml"
                                                  : "ggml"},
          {"device", on_gpu ? "gpu" : "cpu"},
          {"weights", described.data()},
          {"computing", "float32"}};
}

std::filesystem::path packed_folder() {
  if (const char* named = std::getenv("BULKHEAD_PACKED"); named != nullptr && *named != '\0') return named;
  return cache_folder() / "packed";
}

struct SharedModel {
  ModelOptions options;
  ModelIdentity files;
  std::weak_ptr<const LoadedModel> model;
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

Result<std::shared_ptr<const LoadedModel>> LoadedModel::load(const ModelOptions& options) {
  // Those in use, and the very files each came from. One load at a time: libllama's log is read for the reason.
  static std::mutex mutex;
  static std::vector<SharedModel> shared;
  const std::lock_guard lock(mutex);
  const auto files = model_identity(options.path);
  std::erase_if(shared, [](const SharedModel& entry) { return entry.model.expired(); });
  for (const auto& entry : shared) {
    if (!files || entry.files != *files || entry.options != options) continue;
    if (auto model = entry.model.lock()) return model;
  }
  BH_TRY(auto model, load_anew(options));
  if (files != model_identity(options.path)) {
    return Error{ErrorCode::kCorrupt, "the model was changed while it was loaded", options.path, "load it again"};
  }
  if (files) shared.push_back({options, *files, model});
  return model;
}

Result<std::shared_ptr<const LoadedModel>> LoadedModel::load_anew(const ModelOptions& options) {
  start_backend();
  BH_CHECK(check_options(options));
  BH_TRY(auto summary, check_gguf(options.path));
  if (const auto available = measure::available_memory(); summary.bytes > available) {
    return Error{ErrorCode::kResource,
                 fmt::format("the weights need {} bytes, {} are available: {} too few", summary.bytes, available,
                             summary.bytes - available),
                 options.path, "use a smaller model"};
  }
  LoadedModel loaded(options);
  BH_CHECK(loaded.load_weights(summary.shares_embedding));
  BH_CHECK(loaded.note_facts(summary.bytes, std::move(summary.name), std::move(summary.architecture)));
  BH_CHECK(loaded.measure_cells());
  BH_CHECK(loaded.note_invariance());
  return std::shared_ptr<const LoadedModel>(std::make_shared<LoadedModel>(std::move(loaded)));
}

Result<void> LoadedModel::load_weights(bool shares_embedding) {
  BH_TRY(const auto choice, kernels::parse_kernel_choice(options_.kernels));
  kernels::LoadScope scope(choice, shares_embedding,
                           {options_.keep_packed ? packed_folder() : std::filesystem::path(), options_.path});
  // The outline goes first: it costs little and finds what is wrong with the metadata.
  BH_TRY(outline_, load_model_file(options_, true));
  const auto* model = outline_.get();
  if (!llama_model_has_decoder(model) || llama_model_has_encoder(model) || llama_model_is_diffusion(model)) {
    return Error{ErrorCode::kUnsupported, "this model does not generate text from left to right", options_.path,
                 "use a decoder-only model"};
  }
  if (llama_vocab_type(llama_model_get_vocab(model)) == LLAMA_VOCAB_TYPE_NONE) {
    return Error{ErrorCode::kUnsupported, "this model has no vocabulary", options_.path, {}};
  }
  BH_TRY(weights_, load_model_file(options_, false));
  if (!scope.finish()) {
    return Error{ErrorCode::kCorrupt, "the file was changed while it was loaded", options_.path, "load it again"};
  }
  log::get().info("kernels: {}", scope.summary());
  facts_.kernels = scope.kernels();
  matrices_ = scope.matrices();
  // In one shared buffer the same tokens lie in other cells each time. Ours adds up by blocks of cells, so their place
  // would show; ggml's goes cell by cell.
  const bool own_buffers = options_.grade == Grade::kBuffer;
  if (own_buffers && kernels::resolved(choice) == kernels::KernelChoice::kBulkhead)
    attention_ = kernels::AttentionChoice::kBulkhead;
  if (!scope.all_invariant()) products_variance_ = scope.summary();
  return {};
}

Result<void> LoadedModel::note_facts(std::uint64_t file_bytes, std::string name, std::string architecture) {
  const auto* model = weights_.get();
  const auto trained = positive(llama_model_n_ctx_train(model));
  facts_ = {.engine = "llama",
            .build = fmt::format("llama.cpp {}", llama_version()),
            .model_path = options_.path,
            .model_name = std::move(name),
            .architecture = std::move(architecture),
            .model_bytes = file_bytes,
            .vocabulary = positive(llama_vocab_n_tokens(vocab())),
            .context_tokens = options_.context_tokens,
            .trained_context_tokens = trained,
            .window_tokens = positive(llama_model_n_swa(model)),
            .kv_bytes_per_token = 0,
            .kv_type_k = ggml_type_name(kv_type(options_.kv_type_k, "").value()),
            .kv_type_v = ggml_type_name(kv_type(options_.kv_type_v, "").value()),
            .kernels = std::move(facts_.kernels),
            .isolation = options_.isolation,
            .threads = options_.threads > 0 ? options_.threads : physical_cores(),
            .flash_attention = options_.flash_attention,
            .chat_template = false,
            .grade = options_.grade,
            .implementation = implementation_of(model, options_, attention_)};
  if (facts_.context_tokens == 0) facts_.context_tokens = std::min(trained, kDefaultContext);
  if (facts_.context_tokens > trained) {
    return Error{ErrorCode::kResource,
                 fmt::format("a context of {} tokens is {} more than the {} the model was trained for",
                             facts_.context_tokens, facts_.context_tokens - trained, trained),
                 "-c", fmt::format("use at most {}", trained)};
  }
  return {};
}

// Solved from the sizes of three contexts: with as many cells in all layers, and with more in those without a window.
Result<void> LoadedModel::measure_cells() {
  constexpr std::uint32_t kCells = 256;
  BH_TRY(const auto smallest, footprint(1, kCells));
  const auto all = smallest.kv / kCells;
  const auto beyond = padded(facts_.window_tokens + kChunkTokens);
  BH_TRY(const auto shorter, footprint(1, beyond));
  BH_TRY(const auto longer, footprint(1, beyond + kCells));
  full_cell_bytes_ = (longer.kv - shorter.kv) / kCells;
  window_cell_bytes_ = all - std::min(all, full_cell_bytes_);
  facts_.kv_bytes_per_token = all;
  return {};
}

// Asked of the model itself: which operations it is made of, its code alone knows.
Result<bool> LoadedModel::attention_is_ours() const {
  constexpr std::uint32_t kCells = 256;
  BH_TRY(const auto context, make(weights_.get(), 1, kCells));
  const kernels::AttentionScope scope(attention_);
  const auto taken = kernels::attention_taken();
  const auto left = kernels::attention_fell_through();
  llama_token token = 0;
  const AssertionScope assertions;
  try {
    if (llama_decode(context.get(), llama_batch_get_one(&token, 1)) != 0) return false;
  } catch (const std::exception& failure) {
    return Error{
        ErrorCode::kCorrupt, fmt::format("libllama cannot compute this model: {}", failure.what()), options_.path, {}};
  }
  return kernels::attention_taken() > taken && kernels::attention_fell_through() == left;
}

// The reason why logits may depend on what is computed beside them; empty: they do not.
Result<std::string> LoadedModel::find_variance() const {
  const auto* model = weights_.get();
  if (options_.gpu_layers != 0 && llama_supports_gpu_offload()) return std::string("layers run on a GPU");
  if (!products_variance_.empty()) return products_variance_;
  if (options_.grade != Grade::kBuffer) return std::string("partitions share one buffer");
  if (!options_.flash_attention) return std::string("flash attention is off, so attention is ggml's");
  if (llama_model_is_recurrent(model) || llama_model_is_hybrid(model)) return std::string("the model is recurrent");
  if (facts_.window_tokens > 0 && !context_params(1, 1).swa_full) {
    return std::string("the cache keeps a window only, whose cells lie where there was room");
  }
  BH_TRY(const bool ours, attention_is_ours());
  if (!ours) return std::string("attention of this model is ggml's");
  return std::string();
}

Result<void> LoadedModel::note_invariance() {
  BH_TRY(facts_.variance, find_variance());
  facts_.batch_invariant = facts_.variance.empty();
  if (!facts_.batch_invariant && options_.isolation == Isolation::kStrict && options_.grade == Grade::kBuffer) {
    log::get().warn("strict isolation was asked for, but the last bits of a partition may depend on others: {}",
                    facts_.variance);
  }
  return {};
}

llama_context_params LoadedModel::context_params(std::uint32_t sequences, std::uint32_t tokens_each) const {
  auto params = llama_context_default_params();
  params.n_ctx = sequences * padded(tokens_each);
  params.n_batch = kChunkTokens;
  params.n_ubatch = kChunkTokens;
  params.n_seq_max = sequences;
  params.n_outputs_max = std::max(sequences, kScoreTokens);
  params.n_threads = static_cast<std::int32_t>(facts_.threads);
  params.n_threads_batch = params.n_threads;
  params.flash_attn_type = options_.flash_attention ? LLAMA_FLASH_ATTN_TYPE_AUTO : LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.kv_unified = options_.grade == Grade::kMask;
  // In one shared buffer libllama cannot free a windowed cell that two sequences share, and would run out of cells.
  const bool strict = options_.isolation == Isolation::kStrict && attention_ == kernels::AttentionChoice::kBulkhead;
  params.swa_full = options_.full_window_cache || params.kv_unified || strict;
  params.type_k = kv_type(options_.kv_type_k, "").value();
  params.type_v = kv_type(options_.kv_type_v, "").value();
  params.no_perf = true;
  return params;
}

bool LoadedModel::cells_in_order() const {
  const bool windowed = facts_.window_tokens > 0 && !context_params(1, 1).swa_full;
  const bool offloaded = options_.gpu_layers != 0 && llama_supports_gpu_offload();
  return options_.grade == Grade::kBuffer && !windowed && !offloaded;
}

Result<ContextHandle> LoadedModel::make(llama_model* model, std::uint32_t sequences, std::uint32_t tokens_each,
                                        CacheMap* cache) const {
  auto params = context_params(sequences, tokens_each);
  if (cache != nullptr) cache->watch(params);
  const LoggedErrors errors;
  const AssertionScope assertions;
  std::string thrown;
  try {
    if (ContextHandle made(llama_init_from_model(model, params)); made) return made;
  } catch (const std::exception& failure) {
    thrown = std::string(": ") + failure.what();
  }
  return Error{ErrorCode::kResource,
               fmt::format("libllama cannot make a context for {} sequences of {} tokens: {}{}", sequences, tokens_each,
                           errors.text(), thrown),
               options_.path,
               {}};
}

Result<ContextHandle> LoadedModel::make_context(std::uint32_t sequences, std::uint32_t tokens_each,
                                                CacheMap* cache) const {
  return make(weights_.get(), sequences, tokens_each, cache);
}

Result<Footprint> LoadedModel::footprint(std::uint32_t sequences, std::uint32_t tokens_each) const {
  auto made = make(outline_.get(), sequences, tokens_each);
  if (!made.ok()) {
    Error error = made.error();
    error.code = ErrorCode::kUnsupported;  // nothing was allocated, so memory is not the reason
    return error;
  }
  Footprint footprint;
  for (const auto& [buffer_type, bytes] : llama_get_memory_breakdown(made.value().get())) {
    footprint.kv += bytes.context;
    footprint.work += bytes.compute;
    const auto both = bytes.context + bytes.compute;
    auto* device = ggml_backend_buft_get_device(buffer_type);
    if (ggml_backend_buft_is_host(buffer_type) || device == nullptr) {
      footprint.on_host += both;
    } else {
      footprint.on_device[device] += both;
    }
  }
  const auto logits = std::uint64_t{facts_.vocabulary} * std::max(sequences, kScoreTokens) * sizeof(float);
  footprint.work += logits;
  footprint.on_host += logits;
  return footprint;
}

std::uint64_t LoadedModel::kv_bytes(std::uint32_t tokens, std::int64_t first_position) const {
  const auto dropped = static_cast<std::uint64_t>(std::max<std::int64_t>(first_position, 0));
  const auto in_window = tokens - std::min<std::uint64_t>(dropped, tokens);
  return full_cell_bytes_ * tokens + window_cell_bytes_ * in_window;
}

}  // namespace bulkhead::engines::llama
