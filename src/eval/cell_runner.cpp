// SPDX-License-Identifier: MIT
#include "eval/cell_runner.h"

#include "prompt/assembly.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace bulkhead::eval {
namespace {

using engine::Engine;
using engine::SequenceId;
using engine::Token;
using Clock = std::chrono::steady_clock;

// Closes its sequence when it goes.
class OpenSequence {
 public:
  OpenSequence(Engine& engine, SequenceId id) : engine_(&engine), id_(id) {}
  OpenSequence(OpenSequence&& other) noexcept : engine_(std::exchange(other.engine_, nullptr)), id_(other.id_) {}
  OpenSequence& operator=(OpenSequence&&) = delete;
  ~OpenSequence() {
    if (engine_ != nullptr) static_cast<void>(engine_->close(id_));
  }
  [[nodiscard]] SequenceId id() const { return id_; }

 private:
  Engine* engine_;
  SequenceId id_;
};

prompt::Block question_block(const prompt::Format& format, const std::string& text) {
  const bool chat = format.rendering == prompt::Rendering::kChat;
  return prompt::prompt_block(format, chat ? text : fmt::format("Question: {}\nAnswer:", text), {});
}

Result<PreparedItem> prepare_item(std::span<const prompt::Block> context, const Item& item,
                                  const prompt::Format& format, const engine::Tokenizer& tokenizer) {
  std::vector<prompt::Block> blocks(context.begin(), context.end());
  blocks.push_back(question_block(format, item.prompt));
  BH_TRY(auto traced, prompt::assemble(format, blocks, tokenizer, true));
  PreparedItem prepared{item, std::move(traced.tokens), {}};
  // In chat the answer begins a turn; in raw text it follows "Answer:" after a space.
  const std::string begin = format.rendering == prompt::Rendering::kChat ? "" : " ";
  if (!item.lead.empty()) {
    BH_TRY(const auto lead, tokenizer.tokenize(begin + item.lead));
    prepared.prompt.insert(prepared.prompt.end(), lead.begin(), lead.end());
  }
  if (item.sample_tokens > 0) {
    prepared.candidates = {item.sample};
    return prepared;
  }
  for (const auto& candidate : item.candidates) {
    BH_TRY(auto tokens, tokenizer.tokenize((item.lead.empty() ? begin : " ") + candidate.value));
    prepared.candidates.push_back(std::move(tokens));
  }
  return prepared;
}

// What all prompts begin with, but for the last token of the shortest: each item has something of its own to prefill.
std::size_t shared_tokens(const std::vector<PreparedItem>& items) {
  if (items.empty()) return 0;
  const auto& first = items.front().prompt;
  std::size_t shared = first.size() - 1;
  for (const auto& item : items) {
    const auto end = std::min(shared, item.prompt.size() - 1);
    shared = 0;
    while (shared < end && item.prompt[shared] == first[shared]) ++shared;
  }
  return shared;
}

using Finish = engine::GenerateResult::Finish;

Result<engine::GenerateResult> generate_one(Engine& engine, SequenceId sequence, GenerateOptions options) {
  const engine::GenerateRequest request{sequence, std::move(options)};
  auto generated = engine.generate(std::span(&request, 1));
  BH_TRY(auto result, std::move(generated.front()));
  if (result.finish == Finish::kCancelled) return Error{ErrorCode::kInterrupted, "the evaluation was stopped", {}, {}};
  return result;
}

Result<Output> write_output(Engine& engine, SequenceId sequence, const Item& item,
                            const std::vector<std::string>& stops, const std::stop_token& cancel) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = item.output_tokens;
  options.stop = stops;
  options.cancel = cancel;
  BH_TRY(auto result, generate_one(engine, sequence, std::move(options)));
  Output output;
  output.text = std::move(result.text);
  output.tokens = static_cast<std::uint32_t>(result.tokens.size());
  output.ended = result.finish != Finish::kLength;
  return output;
}

Result<Cell> run_item(Engine& engine, const OpenSequence& context, const PreparedContext& all,
                      const PreparedItem& prepared, const std::stop_token& cancel) {
  const auto begin = Clock::now();
  Cell cell{.key = {{}, {}, prepared.item.id},
            .kind = prepared.item.kind,
            .cluster = prepared.item.cluster,
            .context = all.name,
            .context_tokens = static_cast<std::uint32_t>(all.shared),
            .candidates = prepared.item.candidates};
  const auto own = std::span<const Token>(prepared.prompt).subspan(all.shared);
  const bool writes = prepared.item.output_tokens > 0;
  BH_TRY(const auto forked, engine.fork(context.id(), static_cast<std::uint32_t>(all.shared),
                                        {.capacity_tokens = all.longest, .only_forked = !writes}));
  const OpenSequence asked(engine, forked.sequence);
  BH_TRY(const auto prefilled, engine.prefill(asked.id(), own, cancel));
  cell.item_tokens = prefilled.tokens;
  if (writes) {
    BH_TRY(cell.output, write_output(engine, asked.id(), prepared.item, all.stops, cancel));
    cell.item_tokens += cell.output->tokens;
    cell.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return cell;
  }
  BH_TRY(const auto scores, engine.score_continuations(asked.id(), prepared.candidates));
  for (std::size_t i = 0; i < scores.size(); ++i) {
    Candidate& candidate = cell.candidates[i];
    for (const double score : scores[i]) candidate.log_probability += score;
    candidate.tokens = static_cast<std::uint32_t>(scores[i].size());
    cell.item_tokens += candidate.tokens;
  }
  cell.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return cell;
}

}  // namespace

Result<PreparedContext> prepare_context(const dataset::Conversation& conversation, const EvaluationContext& context,
                                        std::span<const Item> items, const prompt::Format& format,
                                        const engine::Tokenizer& tokenizer) {
  const auto& clusters = context.spec.clusters;
  std::vector<Item> own;
  std::copy_if(items.begin(), items.end(), std::back_inserter(own), [&](const Item& item) {
    return std::find(clusters.begin(), clusters.end(), item.cluster) != clusters.end();
  });
  BH_TRY(auto prepared, prepare_items(blocks_of(context, conversation, format), own, format, tokenizer));
  prepared.name = context.spec.name;
  return prepared;
}

Result<PreparedContext> prepare_items(std::span<const prompt::Block> blocks, std::span<const Item> items,
                                      const prompt::Format& format, const engine::Tokenizer& tokenizer) {
  PreparedContext prepared;
  for (const auto& item : items) {
    BH_TRY(auto one, prepare_item(blocks, item, format, tokenizer));
    prepared.longest = std::max(
        prepared.longest, static_cast<std::uint32_t>(one.prompt.size()) + item.output_tokens + item.sample_tokens);
    for (const auto& tokens : one.candidates) {
      prepared.longest = std::max(prepared.longest, static_cast<std::uint32_t>(one.prompt.size() + tokens.size()));
    }
    prepared.items.push_back(std::move(one));
  }
  prepared.shared = shared_tokens(prepared.items);
  // Raw text has no end of an answer: a model without a chat template goes on with questions of its own.
  if (format.rendering != prompt::Rendering::kChat) prepared.stops = {"\nQuestion:"};
  return prepared;
}

Result<Sample> draw_sample(Engine& engine, const PreparedItem& prepared, std::uint32_t seed,
                           const std::stop_token& cancel) {
  const auto capacity = static_cast<std::uint32_t>(prepared.prompt.size()) + prepared.item.sample_tokens;
  BH_TRY(const auto id, engine.open({.capacity_tokens = capacity, .name = prepared.item.id}));
  const OpenSequence opened(engine, id);
  if (const auto filled = engine.prefill(id, prepared.prompt, cancel); !filled.ok()) return filled.error();
  GenerateOptions options;
  options.sampling = {.temperature = 1, .seed = seed};
  options.max_tokens = prepared.item.sample_tokens;
  options.cancel = cancel;
  BH_TRY(auto result, generate_one(engine, id, std::move(options)));
  return Sample{std::move(result.tokens), std::move(result.text)};
}

Result<void> run_context(Engine& engine, const PreparedContext& context, const std::function<bool(const Item&)>& wanted,
                         const std::function<Result<void>(Cell)>& done, const std::stop_token& cancel) {
  const auto any = std::any_of(context.items.begin(), context.items.end(),
                               [&](const PreparedItem& one) { return wanted(one.item); });
  if (!any) return {};
  BH_TRY(const auto id, engine.open({.capacity_tokens = context.longest, .only_forked = true, .name = context.name}));
  const OpenSequence shared(engine, id);
  if (context.shared > 0) {
    const auto tokens = std::span<const Token>(context.items.front().prompt).first(context.shared);
    if (const auto filled = engine.prefill(id, tokens, cancel); !filled.ok()) return filled.error();
  }
  for (const auto& item : context.items) {
    if (!wanted(item.item)) continue;
    if (cancel.stop_requested()) return Error{ErrorCode::kInterrupted, "the evaluation was stopped", {}, {}};
    BH_TRY(auto cell, run_item(engine, shared, context, item, cancel));
    BH_CHECK(done(std::move(cell)));
  }
  return {};
}

}  // namespace bulkhead::eval
