// SPDX-License-Identifier: MIT
#include "engines/llama/loaded_model.h"

#include "base/log.h"
#include "engines/llama/assertions.h"
#include "engines/llama/backend.h"

// libllama's own extension header: the only way to ask what a context allocates.
#include <../src/llama-ext.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
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

bool on_gpu(const ModelOptions& options) {
  return options.gpu_layers != 0 && llama_supports_gpu_offload();
}

// Why logits may depend on what is computed beside them with these options, whatever the model; empty: they may not.
std::string variance_of(const ModelOptions& options) {
  if (on_gpu(options)) return "layers run on a GPU (-ngl)";
  if (options.grade != Grade::kBuffer) return "partitions share one buffer (--grade mask)";
  if (!options.flash_attention) return "flash attention is off (-fa), so attention is ggml's";
  const auto choice = kernels::parse_kernel_choice(options.kernels);
  if (choice.ok() && kernels::resolved(choice.value()) == kernels::KernelChoice::kStock) {
    return "products are ggml's (--kernels)";
  }
  return {};
}

Error no_strict(const std::string& variance) {
  return {ErrorCode::kUnsupported, fmt::format("strict isolation does not hold here: {}", variance), "--isolation",
          "use auto, which takes the strongest that holds and says which"};
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
  if (const auto variance = variance_of(options); options.isolation == Isolation::kStrict && !variance.empty()) {
    return no_strict(variance);
  }
  if (options.gpu_layers != 0 && !llama_supports_gpu_offload()) {
    log::get().warn("-ngl {} has no effect: this build of ggml knows no GPU", options.gpu_layers);
  }
  return {};
}

std::uint32_t positive(std::int32_t value) {
  return value > 0 ? static_cast<std::uint32_t>(value) : 0;
}

// For Facts::implementation.
std::map<std::string, std::string> implementation_of(const llama_model* model, const ModelOptions& options,
                                                     kernels::AttentionChoice attention, bool paged) {
  std::array<char, 128> described{};
  llama_model_desc(model, described.data(), described.size());
  const bool own_attention = attention == kernels::AttentionChoice::kBulkhead;
  return {{"loading", "llama_model_load_from_file()"},
          {"tokenizer", "llama_tokenize(), of the vocabulary in the GGUF file"},
          {"context", "token arrays"},
          {"generation", "llama_decode(), all sequences in one batch"},
          {"sampling", "logits as f32, drawn here with a generator for each output"},
          {"cache", paged ? "pages of 64 cells, own table for each sequence, shared by forks until written"
                    : options.grade == Grade::kMask ? "one buffer for all sequences, an attention mask between them"
                                                    : "one buffer for each sequence, copied by a fork"},
          {"attention", own_attention             ? "flash attention, Bulkhead's kernels"
                        : options.flash_attention ? "flash attention, ggml"
                                                  : "ggml"},
          {"device", on_gpu(options) ? "gpu" : "cpu"},
          {"weights", described.data()},
          {"computing", "float32"}};
}

}  // namespace

Result<std::shared_ptr<const LoadedModel>> LoadedModel::load(const ModelOptions& options) {
  start_backend();
  BH_CHECK(check_options(options));
  BH_TRY(auto weights, Weights::load(options));
  LoadedModel loaded(options, std::move(weights));
  BH_CHECK(loaded.note_facts());
  BH_CHECK(loaded.choose_isolation());
  BH_CHECK(loaded.measure_cells());
  return std::shared_ptr<const LoadedModel>(std::make_shared<LoadedModel>(std::move(loaded)));
}

Result<void> LoadedModel::note_facts() {
  const auto* model = weights_->model();
  // In one shared buffer the same tokens lie in other cells each time. Ours adds up by blocks of cells, so their place
  // would show; ggml's goes cell by cell.
  BH_TRY(const auto choice, kernels::parse_kernel_choice(options_.kernels));
  if (options_.grade == Grade::kBuffer && kernels::resolved(choice) == kernels::KernelChoice::kBulkhead)
    attention_ = kernels::AttentionChoice::kBulkhead;
  const auto trained = positive(llama_model_n_ctx_train(model));
  facts_ = {.engine = "llama",
            .build = fmt::format("llama.cpp {}", llama_version()),
            .model_path = options_.path,
            .model_name = weights_->summary().name,
            .architecture = weights_->summary().architecture,
            .model_bytes = weights_->summary().bytes,
            .vocabulary = positive(llama_vocab_n_tokens(vocab())),
            .context_tokens = options_.context_tokens,
            .trained_context_tokens = trained,
            .window_tokens = positive(llama_model_n_swa(model)),
            .kv_bytes_per_token = 0,
            .kv_type_k = ggml_type_name(kv_type(options_.kv_type_k, "").value()),
            .kv_type_v = ggml_type_name(kv_type(options_.kv_type_v, "").value()),
            .kernels = weights_->kernels(),
            .threads = options_.threads > 0 ? options_.threads : physical_cores(),
            .flash_attention = options_.flash_attention,
            .chat_template = false,
            .grade = options_.grade,
            .implementation = {}};
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

// What of attention is left to ggml; empty: nothing. Asked of the model itself: which operations it is made of, its
// code alone knows.
Result<std::string> LoadedModel::attention_of_ggml() const {
  constexpr std::uint32_t kCells = 256;
  BH_TRY(const auto context, make(weights_->model(), context_params(1, kCells)));
  const kernels::AttentionScope scope(attention_);
  const auto taken = kernels::attention_taken();
  llama_token token = 0;
  const AssertionScope assertions;
  try {
    if (llama_decode(context.get(), llama_batch_get_one(&token, 1)) != 0)
      return std::string("a token cannot be decoded");
  } catch (const std::exception& failure) {
    return Error{
        ErrorCode::kCorrupt, fmt::format("libllama cannot compute this model: {}", failure.what()), options_.path, {}};
  }
  if (!scope.left_to_ggml().empty()) return scope.left_to_ggml();
  return kernels::attention_taken() > taken ? std::string()
                                            : std::string("this model's attention is not flash attention");
}

// Tried: the memory of a context is exchanged, and a token decoded in it, with all its attention ours.
bool LoadedModel::can_be_paged() const {
  if (attention_ != kernels::AttentionChoice::kBulkhead || !options_.flash_attention || on_gpu(options_)) return false;
  PagePool pool(1);
  PageTable table;
  const BoundTables bound = {&table};
  const AssertionScope assertions;
  const auto context = make_paged_context(pool, bound);
  if (!context.ok() || !pool.make_writable(table, 1)) return false;
  const kernels::AttentionScope scope(attention_);
  llama_token token = 0;
  try {
    return llama_decode(context.value().get(), llama_batch_get_one(&token, 1)) == 0 && scope.left_to_ggml().empty();
  } catch (const std::exception& failure) {
    log::get().debug("this model is not paged: {}", failure.what());
    return false;
  }
}

// The reason why logits may depend on what is computed beside them; empty: they do not.
Result<std::string> LoadedModel::find_variance() const {
  const auto* model = weights_->model();
  if (auto reason = variance_of(options_); !reason.empty()) return reason;
  if (!weights_->variance().empty()) return weights_->variance();
  if (llama_model_is_recurrent(model) || llama_model_is_hybrid(model)) return std::string("the model is recurrent");
  if (facts_.window_tokens > 0 && !paged_ && !context_params(1, 1).swa_full) {
    return std::string("the cache keeps a window only, whose cells lie where there was room");
  }
  if (paged_) return std::string();
  BH_TRY(const auto left, attention_of_ggml());
  return left.empty() ? left : fmt::format("attention of this model is ggml's: {}", left);
}

Result<void> LoadedModel::choose_isolation() {
  paged_ = can_be_paged();
  facts_.implementation = implementation_of(weights_->model(), options_, attention_, paged_);
  facts_.isolation = options_.isolation == Isolation::kFast ? Isolation::kFast : Isolation::kStrict;
  BH_TRY(facts_.variance, find_variance());
  facts_.batch_invariant = facts_.variance.empty();
  if (facts_.isolation == Isolation::kFast) return {};
  if (facts_.batch_invariant) {
    log::get().info("isolation: strict");
    return {};
  }
  if (options_.isolation == Isolation::kStrict) return no_strict(facts_.variance);
  facts_.isolation = Isolation::kFast;
  log::get().warn("isolation: fast, since the last bits of a partition may depend on others: {}", facts_.variance);
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
  const bool strict = facts_.isolation == Isolation::kStrict && attention_ == kernels::AttentionChoice::kBulkhead;
  params.swa_full = options_.full_window_cache || params.kv_unified || strict;
  params.type_k = kv_type(options_.kv_type_k, "").value();
  params.type_v = kv_type(options_.kv_type_v, "").value();
  params.no_perf = true;
  return params;
}

bool LoadedModel::cells_in_order() const {
  const bool windowed = facts_.window_tokens > 0 && !context_params(1, 1).swa_full;
  return options_.grade == Grade::kBuffer && !windowed && !on_gpu(options_);
}

bool LoadedModel::cells_have_places() const {
  const auto rope = llama_model_rope_type(weights_->model());
  return rope == LLAMA_ROPE_TYPE_MROPE || rope == LLAMA_ROPE_TYPE_IMROPE;
}

Result<ContextHandle> LoadedModel::make(llama_model* model, const llama_context_params& params) const {
  const LoggedErrors errors;
  const AssertionScope assertions;
  std::string thrown;
  try {
    if (ContextHandle made(llama_init_from_model(model, params)); made) return made;
  } catch (const std::exception& failure) {
    thrown = std::string(": ") + failure.what();
  }
  return Error{ErrorCode::kResource,
               fmt::format("libllama cannot make a context for {} sequences of {} tokens in all: {}{}",
                           params.n_seq_max, params.n_ctx, errors.text(), thrown),
               options_.path,
               {}};
}

Result<ContextHandle> LoadedModel::make_context(std::uint32_t sequences, std::uint32_t tokens_each,
                                                CacheMap* cache) const {
  auto params = context_params(sequences, tokens_each);
  if (cache != nullptr) cache->watch(params);
  return make(weights_->model(), params);
}

Result<ContextHandle> LoadedModel::make_paged_context(PagePool& pool, const BoundTables& bound) const {
  auto params = context_params(static_cast<std::uint32_t>(bound.size()), kChunkTokens);
  params.n_ctx = kChunkTokens;
  params.kv_unified = true;
  params.swa_full = true;
  BH_TRY(auto made, make(weights_->model(), params));
  if (attach_pages(*made, pool, bound, padded(facts_.context_tokens))) return made;
  return Error{ErrorCode::kUnsupported, "the memory of this model cannot be paged", options_.path, {}};
}

std::uint64_t LoadedModel::work_bytes_of(const llama_context& context, std::uint32_t rows) const {
  std::uint64_t sum = std::uint64_t{facts_.vocabulary} * rows * sizeof(float);
  for (const auto& [buffer_type, bytes] : llama_get_memory_breakdown(&context)) sum += bytes.compute;
  return sum;
}

Result<void> LoadedModel::check_capacity(std::uint32_t tokens_each) const {
  if (tokens_each == 0) return Error{ErrorCode::kBadInput, "a sequence needs room for at least one token", {}, {}};
  if (tokens_each <= facts_.context_tokens) return {};
  return Error{ErrorCode::kResource,
               fmt::format("{} tokens are {} more than the context of {} (the model was trained for {})", tokens_each,
                           tokens_each - facts_.context_tokens, facts_.context_tokens, facts_.trained_context_tokens),
               {},
               "use less text, or a larger context (-c) where the model allows it"};
}

Result<Footprint> LoadedModel::footprint(std::uint32_t sequences, std::uint32_t tokens_each) const {
  auto made = make(weights_->outline(), context_params(sequences, tokens_each));
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
