// SPDX-License-Identifier: MIT
#include "random_gguf.h"

#include "base/hash.h"
#include "base/json.h"
#include "gguf_file.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace bulkhead::bench {
namespace {

constexpr std::uint32_t kLeastVocabulary = 512;  // bytes, letters and some room

struct NamedType {
  std::string_view name;
  ggml_type type;
};
constexpr std::array<NamedType, 9> kTypes = {{{"Q4_K", GGML_TYPE_Q4_K},
                                              {"Q5_K", GGML_TYPE_Q5_K},
                                              {"Q6_K", GGML_TYPE_Q6_K},
                                              {"Q8_0", GGML_TYPE_Q8_0},
                                              {"Q5_0", GGML_TYPE_Q5_0},
                                              {"Q4_0", GGML_TYPE_Q4_0},
                                              {"F16", GGML_TYPE_F16},
                                              {"BF16", GGML_TYPE_BF16},
                                              {"F32", GGML_TYPE_F32}}};

// What a matrix does decides its type in a mix.
enum class Use { kOutput, kEnd, kInner };  // logits; the value and last matrices of a layer; all others

// The K types' blocks are 256 values long: rows they do not divide take a type of blocks of 32 with at least as many
// bits.
ggml_type fitting(ggml_type type, std::int64_t columns) {
  if (columns % ggml_blck_size(type) == 0) return type;
  switch (type) {
    case GGML_TYPE_Q4_K: return GGML_TYPE_Q5_0;
    case GGML_TYPE_Q5_K: return GGML_TYPE_Q5_1;
    case GGML_TYPE_Q6_K: return GGML_TYPE_Q8_0;
    default: return type;
  }
}

class Quantization {
 public:
  [[nodiscard]] static Result<Quantization> parse(std::string_view name) {
    if (name == "Q4_K_M") return Quantization(std::nullopt);
    std::string known = "Q4_K_M";
    for (const auto& [known_name, type] : kTypes) {
      if (name == known_name) return Quantization(type);
      known += fmt::format(", {}", known_name);
    }
    return Error{ErrorCode::kUsage, fmt::format("no quantization \"{}\"", name), {}, "use one of " + known};
  }

  [[nodiscard]] ggml_type type(Use use, std::uint32_t layer, std::uint32_t layers) const {
    if (single_) return *single_;
    if (use == Use::kOutput) return GGML_TYPE_Q6_K;
    // The first and last eighth of the layers and every third between them get more bits.
    const std::uint32_t eighth = layers / 8;
    const bool precious = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
    return use == Use::kEnd && precious ? GGML_TYPE_Q6_K : GGML_TYPE_Q4_K;
  }

 private:
  explicit Quantization(std::optional<ggml_type> single) : single_(single) {}
  std::optional<ggml_type> single_;
};

// Adds the tensors of one model. Each tensor has its own stream of noise, so that shapes that share a tensor's name and
// size share its values.
class Weights {
 public:
  Weights(GgufFile& file, const ModelShape& shape, const Quantization& quantization, std::uint32_t seed)
      : file_(&file), shape_(&shape), quantization_(quantization), seed_(seed) {}

  // kBadInput from the first matrix that did not fit.
  [[nodiscard]] Result<void> add_all() {
    const std::int64_t embedding = shape_->embedding;
    const std::int64_t words = shape_->vocabulary;
    if (shape_->tied_output) {
      // Small: else the newest token's own embedding, which is still in the sum of all layers, wins every draw.
      add_matrix("token_embd.weight", Use::kOutput, 0, embedding, words, 0.25F);
    } else {
      add_matrix("token_embd.weight", Use::kInner, 0, embedding, words, 2);
      add_matrix("output.weight", Use::kOutput, 0, embedding, words, 2);
    }
    add_ones("output_norm.weight", embedding);
    for (std::uint32_t layer = 0; layer < shape_->layers && !error_; ++layer) add_layer(layer);
    if (error_) return *error_;
    return {};
  }

 private:
  void add_layer(std::uint32_t layer) {
    const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}", layer, part); };
    const std::int64_t embedding = shape_->embedding;
    const std::int64_t queries = std::int64_t{shape_->heads} * shape_->head;
    const std::int64_t keys = std::int64_t{shape_->kv_heads} * shape_->head;
    add_ones(name("attn_norm.weight"), embedding);
    add_ones(name("ffn_norm.weight"), embedding);
    if (shape_->architecture == "gemma3") {
      add_ones(name("post_attention_norm.weight"), embedding);
      add_ones(name("post_ffw_norm.weight"), embedding);
      add_ones(name("attn_q_norm.weight"), shape_->head);
      add_ones(name("attn_k_norm.weight"), shape_->head);
    }
    if (shape_->architecture == "qwen2") {
      add_bias(name("attn_q.bias"), queries);
      add_bias(name("attn_k.bias"), keys);
      add_bias(name("attn_v.bias"), keys);
    }
    add_matrix(name("attn_q.weight"), Use::kInner, layer, embedding, queries, 1);
    add_matrix(name("attn_k.weight"), Use::kInner, layer, embedding, keys, 1);
    add_matrix(name("attn_v.weight"), Use::kEnd, layer, embedding, keys, 1);
    add_matrix(name("attn_output.weight"), Use::kInner, layer, queries, embedding, 1);
    add_matrix(name("ffn_gate.weight"), Use::kInner, layer, embedding, shape_->feed_forward, 1);
    add_matrix(name("ffn_up.weight"), Use::kInner, layer, embedding, shape_->feed_forward, 1);
    add_matrix(name("ffn_down.weight"), Use::kEnd, layer, shape_->feed_forward, embedding, 1);
  }

  Noise noise(const std::string& name) const {
    const auto key = fmt::format("{}/{}", seed_, name);
    return Noise(static_cast<std::uint32_t>(xxh3_64(std::as_bytes(std::span(key)))));
  }

  // Spread so that a row times a vector of unit values has about the size `gain`.
  void add_matrix(const std::string& name, Use use, std::uint32_t layer, std::int64_t columns, std::int64_t rows,
                  float gain) {
    const auto type = fitting(quantization_.type(use, layer, shape_->layers), columns);
    if (columns % ggml_blck_size(type) != 0) {
      error_ = Error{
          ErrorCode::kBadInput,
          fmt::format("{}: rows of {} values do not divide into blocks of {}", name, columns, ggml_blck_size(type)),
          shape_->name,
          {}};
      return;
    }
    const float spread = gain / std::sqrt(static_cast<float>(columns));
    file_->add_matrix(name, type, columns, rows,
                      [source = noise(name), spread]() mutable { return spread * source.next(); });
  }
  void add_ones(const std::string& name, std::int64_t size) {
    file_->add_vector(name, size, [] { return 1.0F; });
  }
  void add_bias(const std::string& name, std::int64_t size) {
    file_->add_vector(name, size, [source = noise(name)]() mutable { return 0.1F * source.next(); });
  }

  GgufFile* file_;
  const ModelShape* shape_;
  Quantization quantization_;
  std::uint32_t seed_;
  std::optional<Error> error_ = {};
};

void set_metadata(GgufFile& file, const ModelShape& shape) {
  gguf_context* gguf = file.metadata();
  const auto set = [&](std::string_view key, std::uint32_t value) {
    gguf_set_val_u32(gguf, fmt::format("{}.{}", shape.architecture, key).c_str(), value);
  };
  gguf_set_val_str(gguf, "general.architecture", shape.architecture.c_str());
  gguf_set_val_str(gguf, "general.name", fmt::format("random {}", shape.name).c_str());
  set("context_length", shape.context);
  set("embedding_length", shape.embedding);
  set("block_count", shape.layers);
  set("feed_forward_length", shape.feed_forward);
  set("attention.head_count", shape.heads);
  set("attention.head_count_kv", shape.kv_heads);
  set("attention.key_length", shape.head);
  set("attention.value_length", shape.head);
  if (shape.window > 0) set("attention.sliding_window", shape.window);
  gguf_set_val_f32(gguf, fmt::format("{}.attention.layer_norm_rms_epsilon", shape.architecture).c_str(), 1e-6F);
  gguf_set_val_f32(gguf, fmt::format("{}.rope.freq_base", shape.architecture).c_str(), shape.rope_base);
  Vocabulary words;
  words.add_bytes();
  words.add_pieces();
  for (auto i = words.texts.size(); i < shape.vocabulary; ++i) {
    words.add(fmt::format("<unused{}>", i), 0, TokenKind::kUnused);
  }
  file.set_vocabulary(words);
}

Result<std::uint32_t> count(const JsonView& view, std::string_view key, std::uint32_t low, std::uint32_t high) {
  BH_TRY(const auto field, view.at(key));
  BH_TRY(const auto value, field.integer(low, high));
  return static_cast<std::uint32_t>(value);
}

Result<ModelShape> read_shape(const JsonView& view, std::string_view name) {
  BH_CHECK(view.only({"architecture", "layers", "embedding", "feed_forward", "heads", "kv_heads", "head", "vocabulary",
                      "context", "window", "rope_base", "tied_output"}));
  ModelShape shape;
  shape.name = name;
  BH_TRY(const auto architecture, view.at("architecture"));
  BH_TRY(shape.architecture, architecture.string());
  if (shape.architecture != "llama" && shape.architecture != "qwen2" && shape.architecture != "gemma3") {
    return architecture.fail("it must be \"llama\", \"qwen2\" or \"gemma3\"");
  }
  BH_TRY(shape.layers, count(view, "layers", 1, 256));
  BH_TRY(shape.embedding, count(view, "embedding", 32, 1U << 16U));
  BH_TRY(shape.feed_forward, count(view, "feed_forward", 32, 1U << 18U));
  BH_TRY(shape.heads, count(view, "heads", 1, 1024));
  BH_TRY(shape.kv_heads, count(view, "kv_heads", 1, shape.heads));
  BH_TRY(shape.head, count(view, "head", 32, 1024));
  BH_TRY(shape.vocabulary, count(view, "vocabulary", kLeastVocabulary, 1U << 20U));
  BH_TRY(shape.context, count(view, "context", 1, 1U << 20U));
  BH_TRY(shape.window, count(view, "window", 0, 1U << 20U));
  BH_TRY(const auto rope_base, count(view, "rope_base", 1, 1U << 30U));
  shape.rope_base = static_cast<float>(rope_base);
  BH_TRY(const auto tied, view.at("tied_output"));
  BH_TRY(shape.tied_output, tied.boolean());
  if (shape.heads % shape.kv_heads != 0) return view.fail("heads must be a multiple of kv_heads");
  if (shape.architecture != "gemma3" && shape.heads * shape.head != shape.embedding) {
    return view.fail("heads times head must be the embedding");
  }
  if (shape.architecture != "gemma3" && shape.window != 0) return view.fail("only gemma3 has a window");
  return shape;
}

}  // namespace

Result<ModelShape> load_shape(const std::filesystem::path& file, std::string_view name) {
  BH_TRY(auto text, read_text_file(file.string()));
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), file.filename().string()));
  BH_TRY(const auto shapes, JsonView(document).members());
  std::string known;
  for (const auto& [its_name, view] : shapes) {
    if (its_name == name) return read_shape(view, name);
    known += (known.empty() ? "" : ", ") + its_name;
  }
  return Error{ErrorCode::kUsage, fmt::format("no shape \"{}\"", name), file.string(), "use one of " + known};
}

Result<void> write_random_gguf(const ModelShape& shape, std::string_view quantization, std::uint32_t seed,
                               const std::filesystem::path& path) {
  BH_TRY(const auto parsed, Quantization::parse(quantization));
  GgufFile file;
  set_metadata(file, shape);
  BH_CHECK(Weights(file, shape, parsed, seed).add_all());
  if (file.write(path)) return {};
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return Error{ErrorCode::kResource, "the file cannot be written", path.string(),
               "check folder, rights and free space"};
}

}  // namespace bulkhead::bench
