// SPDX-License-Identifier: MIT
#include <bulkhead/model.h>

#include "conversation/traced_tokens.h"
#include "engine/engine.h"
#include "engine/opaque_chat.h"
#include "engines/builtin.h"
#include "models/model_files.h"
#include "partition/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace bulkhead {

using conversation::Origin;
using conversation::OriginKind;
using conversation::TracedTokens;

struct Model::Impl {
  std::unique_ptr<engine::Engine> engine;
  std::set<std::string, std::less<>> names;  // of the open partitions
};

struct Partition::Impl {
  std::shared_ptr<Model::Impl> model;  // first, so that the engine outlives the partition
  partition::Partition partition;
  // The chat so far, and what the template made of it up to the last turn that was appended. Behind that lies an
  // answer, the last of `chat`, if one was generated since, and the end token that it left.
  std::vector<engine::ChatMessage> chat = {};
  std::string rendered = {};
  bool answered = false;
  std::optional<engine::Token> end_token = {};

  Impl(std::shared_ptr<Model::Impl> owner, partition::Partition opened)
      : model(std::move(owner)), partition(std::move(opened)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { model->names.erase(partition.name()); }

  [[nodiscard]] Result<TracedTokens> traced(std::string_view text, const Origin& origin) const;
  Result<void> append_parts(const std::vector<engine::ChatPart>& parts, std::size_t skip_bytes);
  [[nodiscard]] std::optional<std::size_t> held_of(std::string_view text) const;
  Result<Generation> finish(const Result<engine::GenerateResult>& result, double total_ms);
  Generation note(const engine::GenerateResult& result, double total_ms);
};

namespace {

double milliseconds(engine::Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const auto begin = std::min(text.find_first_not_of(kSpace), text.size());
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

FinishReason reason(engine::GenerateResult::Finish finish) {
  switch (finish) {
    case engine::GenerateResult::Finish::kEnd: return FinishReason::kEnd;
    case engine::GenerateResult::Finish::kLength: return FinishReason::kLength;
    case engine::GenerateResult::Finish::kStop: return FinishReason::kStop;
    case engine::GenerateResult::Finish::kCancelled: return FinishReason::kCancelled;
  }
  return FinishReason::kCancelled;
}

Error moved_from(std::string_view what) {
  return {ErrorCode::kUsage, fmt::format("the {} was moved from", what), {}, "use the object it was moved to"};
}

}  // namespace

// ---- Model ----------------------------------------------------------------------------------------------------------

Model::Model(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Result<Model> Model::load(const ModelOptions& options) {
  ModelOptions resolved = options;
  if (options.engine != "fake") {  // which has no file
    const auto environment = models::Environment::from_process();
    BH_TRY(const auto path, options.engine == "llama" ? models::find_model(options.path, environment)
                                                      : models::find_model_or_folder(options.path, environment));
    resolved.path = path.string();
  }
  auto impl = std::make_shared<Impl>();
  BH_TRY(impl->engine, engines::builtin_engines().make(resolved));
  return Model(std::move(impl));
}

Result<Partition> Model::open(std::string name) {
  if (!impl_) return moved_from("model");
  if (impl_->names.contains(name)) {
    return Error{ErrorCode::kUsage, fmt::format("a partition named \"{}\" is open already", name), name,
                 "use another name"};
  }
  BH_TRY(auto opened,
         partition::Partition::open(*impl_->engine, name, {.capacity_tokens = impl_->engine->facts().context_tokens}));
  impl_->names.insert(std::move(name));
  return Partition(std::make_unique<Partition::Impl>(impl_, std::move(opened)));
}

std::vector<Result<Generation>> Model::generate(std::span<Partition* const> partitions,
                                                std::span<const GenerateOptions> options) {
  if (partitions.empty() || (options.size() != 1 && options.size() != partitions.size())) {
    const Error error{ErrorCode::kUsage,
                      fmt::format("{} partitions and {} options: give one for all or one for each", partitions.size(),
                                  options.size()),
                      "Model::generate",
                      {}};
    return {partitions.size(), error};
  }
  if (!impl_) return {partitions.size(), moved_from("model")};
  std::vector<partition::GenerateRequest> requests;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const bool there = partitions[i] != nullptr && partitions[i]->impl_;
    requests.push_back({there ? &partitions[i]->impl_->partition : nullptr, options[options.size() == 1 ? 0 : i], {}});
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto results = partition::generate(*impl_->engine, requests);
  const auto total = milliseconds(std::chrono::steady_clock::now() - begin);
  std::vector<Result<Generation>> generations;
  for (std::size_t i = 0; i < results.size(); ++i) {
    generations.push_back(results[i].ok() ? partitions[i]->impl_->finish(results[i], total)
                                          : Result<Generation>(results[i].error()));
  }
  return generations;
}

std::string Model::description() const {
  if (!impl_) return {};
  const auto& facts = impl_->engine->facts();
  return fmt::format("{} ({}, {} tokens of context) on {}", facts.model_name, facts.architecture, facts.context_tokens,
                     facts.engine);
}

Grade Model::grade() const noexcept {
  return impl_ ? impl_->engine->facts().grade : Grade::kClaimed;
}

// ---- Partition ------------------------------------------------------------------------------------------------------

Partition::Partition(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Partition::Partition(Partition&&) noexcept = default;
Partition& Partition::operator=(Partition&&) noexcept = default;
Partition::~Partition() = default;

const std::string& Partition::name() const noexcept {
  static const std::string none;
  return impl_ ? impl_->partition.name() : none;
}

// The tokens of `text` here: the first text of a partition begins with the model's own first token.
Result<TracedTokens> Partition::Impl::traced(std::string_view text, const Origin& origin) const {
  if (text.empty()) return Error{ErrorCode::kBadInput, "there is no text to append", partition.name(), {}};
  const auto& tokenizer = model->engine->tokenizer();
  TracedTokens traced;
  const auto bos = tokenizer.bos();
  if (partition.ledger().tokens.size() == 0 && bos) traced.append(std::span(&*bos, 1), {.kind = OriginKind::kBos});
  BH_TRY(const auto tokens, tokenizer.tokenize(text));
  traced.append(tokens, origin);
  return traced;
}

Result<void> Partition::prefill(std::string_view text) {
  if (!impl_) return moved_from("partition");
  BH_TRY(const auto tokens, impl_->traced(text, {.kind = OriginKind::kTurn}));
  BH_CHECK(impl_->partition.prefill(tokens));
  impl_->end_token.reset();
  return {};
}

Result<void> Partition::receive(const Message& message) {
  if (!impl_) return moved_from("partition");
  const Origin origin{.kind = OriginKind::kMessage, .turn = 0, .label = message.label()};
  BH_TRY(const auto tokens, impl_->traced(message.text(), origin));
  BH_CHECK(impl_->partition.receive(message, tokens));
  impl_->end_token.reset();
  return {};
}

// Prefills what the parts say after their first `skip_bytes` bytes, content as content and template as template.
Result<void> Partition::Impl::append_parts(const std::vector<engine::ChatPart>& parts, std::size_t skip_bytes) {
  const auto& tokenizer = model->engine->tokenizer();
  TracedTokens traced;
  for (const auto& part : parts) {
    const auto skipped = std::min(skip_bytes, part.text.size());
    skip_bytes -= skipped;
    const auto text = std::string_view(part.text).substr(skipped);
    if (text.empty()) continue;
    BH_TRY(const auto tokens, part.from_template ? tokenizer.tokenize_template(text) : tokenizer.tokenize(text));
    traced.append(tokens, {.kind = part.from_template ? OriginKind::kTemplate : OriginKind::kTurn});
  }
  return partition.prefill(traced);
}

Result<void> Partition::chat(std::string_view role, std::string_view content) {
  if (!impl_) return moved_from("partition");
  auto messages = impl_->chat;
  messages.push_back({std::string(role), std::string(content)});
  BH_TRY(const auto parts, engine::render_opaque(impl_->model->engine->tokenizer(), messages, role == "user"));
  std::string text;
  for (const auto& part : parts) text += part.text;
  const auto held = impl_->held_of(text);
  if (!held) {
    return Error{ErrorCode::kUnsupported, "this model's template rewrites earlier turns when a new one comes", name(),
                 "use prefill() with your own markup"};
  }
  BH_CHECK(impl_->append_parts(parts, *held));
  impl_->chat = std::move(messages);
  impl_->rendered = std::move(text);
  impl_->answered = false;
  impl_->end_token.reset();
  return {};
}

// How many bytes of the chat, rendered anew, the cache holds already; none: it holds something else.
std::optional<std::size_t> Partition::Impl::held_of(std::string_view text) const {
  if (!text.starts_with(rendered)) return std::nullopt;
  auto held = rendered.size();
  if (answered) {
    // Some templates trim what was said: the cache has the white space all the same.
    const std::string_view answer = chat.back().content;
    const auto rest = text.substr(held);
    const auto spelled = rest.starts_with(answer) ? answer : trimmed(answer);
    if (!rest.starts_with(spelled)) return std::nullopt;
    held += spelled.size();
  }
  // A generation that ended by itself left its end token in the cache: the template writes it again.
  if (end_token) {
    const auto spelling = model->engine->tokenizer().spelling(*end_token);
    if (text.substr(held).starts_with(spelling)) held += spelling.size();
  }
  return held;
}

// Makes the cache hold what the text says, and notes that.
Result<Generation> Partition::Impl::finish(const Result<engine::GenerateResult>& result, double total_ms) {
  if (!result.ok()) return result.error();
  BH_CHECK(partition.settle());
  return note(result.value(), total_ms);
}

Generation Partition::Impl::note(const engine::GenerateResult& result, double total_ms) {
  if (answered) {
    chat.back().content += result.text;
  } else if (!chat.empty() && chat.back().role == "user") {
    chat.push_back({"assistant", result.text});
    answered = true;
  }
  end_token.reset();
  if (result.finish == engine::GenerateResult::Finish::kEnd && !result.tokens.empty()) end_token = result.tokens.back();
  Generation generation{.text = result.text,
                        .tokens = result.tokens,
                        .logit_hashes = result.logit_hashes,
                        .finish = reason(result.finish),
                        .ttft_ms = total_ms,
                        .decode_ms = 0};
  if (!result.token_times.empty()) {
    generation.ttft_ms = milliseconds(result.token_times.front());
    generation.decode_ms = milliseconds(result.token_times.back() - result.token_times.front());
  }
  return generation;
}

Result<Generation> Partition::generate(const GenerateOptions& options) {
  if (!impl_) return moved_from("partition");
  const std::vector<partition::GenerateRequest> requests = {{&impl_->partition, options, {}}};
  const auto begin = std::chrono::steady_clock::now();
  const auto results = partition::generate(*impl_->model->engine, requests);
  return impl_->finish(results.front(), milliseconds(std::chrono::steady_clock::now() - begin));
}

Result<Partition> Partition::fork(std::string name) const {
  if (!impl_) return moved_from("partition");
  auto& names = impl_->model->names;
  if (names.contains(name)) {
    return Error{ErrorCode::kUsage, fmt::format("a partition named \"{}\" is open already", name), name,
                 "use another name"};
  }
  const auto tokens = static_cast<std::uint32_t>(impl_->partition.ledger().tokens.size());
  BH_TRY(auto copy,
         impl_->partition.fork(name, tokens, {.capacity_tokens = impl_->model->engine->facts().context_tokens}));
  names.insert(std::move(name));
  auto impl = std::make_unique<Impl>(impl_->model, std::move(copy));
  impl->chat = impl_->chat;
  impl->rendered = impl_->rendered;
  impl->answered = impl_->answered;
  impl->end_token = impl_->end_token;
  return Partition(std::move(impl));
}

Result<Message> Partition::last_output(std::string label) const {
  if (!impl_) return moved_from("partition");
  BH_CHECK(impl_->partition.inspect());  // a poisoned one says nothing more
  return impl_->partition.output_message(std::move(label));
}

std::string Partition::text() const {
  std::string text;
  if (!impl_) return text;
  const auto& tokenizer = impl_->model->engine->tokenizer();
  for (const auto token : impl_->partition.ledger().tokens.tokens) {
    const auto piece = tokenizer.piece(token);
    text += piece.empty() ? tokenizer.spelling(token) : piece;
  }
  return text;
}

PartitionUsage Partition::usage() const {
  if (!impl_) return {};
  const auto& ledger = impl_->partition.ledger();
  PartitionUsage usage{.name = name(),
                       .tokens = ledger.tokens.size(),
                       .prefilled_tokens = ledger.prefilled_tokens,
                       .reused_tokens = ledger.reused_tokens,
                       .generated_tokens = ledger.generated_tokens,
                       .removed_tokens = ledger.removed_tokens,
                       .messages_received = ledger.messages.size(),
                       .kv_bytes_used = 0,
                       .kv_bytes_allocated = 0,
                       .token_sha256 = ledger.token_sha256()};
  if (const auto state = impl_->partition.inspect(); state.ok()) {
    usage.kv_bytes_used = state.value().kv_bytes_used;
    usage.kv_bytes_allocated = state.value().kv_bytes_allocated;
  }
  return usage;
}

}  // namespace bulkhead
