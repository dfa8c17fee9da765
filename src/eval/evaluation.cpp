// SPDX-License-Identifier: MIT
#include "eval/evaluation.h"

#include "base/hash.h"
#include "eval/cell_runner.h"
#include "eval/evaluation_condition.h"
#include "eval/item.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <utility>

namespace bulkhead::eval {
namespace {

using dataset::Conversation;
using dataset::Dataset;

// A context, an item, and its candidates, which an engine may compute together.
constexpr std::uint32_t kLeastSequences = 3;
constexpr std::uint32_t kMostSequences = 18;
constexpr std::size_t kBytesOfToken = 4;      // of a text that is not there yet, about
constexpr std::uint32_t kReserveMargin = 32;  // see longest_estimate()
constexpr std::array<std::string_view, 9> kKinds = {"own", "updated",      "absent",    "relay",    "compare",
                                                    "sum", kReferenceKind, kOutputKind, kSampleKind};

Result<void> check_kinds(const EvaluationOptions& options) {
  for (const auto& kind : options.kinds) {
    if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end()) {
      return Error{ErrorCode::kUsage, fmt::format("there is no kind \"{}\"", kind), "--kinds",
                   fmt::format("known: {}", fmt::join(kKinds, ", "))};
    }
    if ((kind == kOutputKind && options.lengths.output == 0) || (kind == kSampleKind && options.lengths.sample == 0)) {
      return Error{ErrorCode::kUsage, fmt::format("{}s are asked for, but not how long they may be", kind), "--kinds",
                   fmt::format("give --{}s with the most tokens of each", kind)};
    }
  }
  return {};
}

Result<std::vector<const EvaluationCondition*>> chosen_conditions(const std::vector<std::string>& names) {
  std::vector<const EvaluationCondition*> chosen;
  if (names.empty()) {
    for (const auto& one : evaluation_conditions()) chosen.push_back(&one);
  }
  for (const auto& name : names) {
    BH_TRY(const auto* one, find_evaluation_condition(name));
    chosen.push_back(one);
  }
  return chosen;
}

std::vector<const Conversation*> chosen_conversations(const Dataset& dataset, std::size_t wanted) {
  const auto all = dataset.conversations.size();
  const auto count = wanted == 0 ? all : std::min(wanted, all);
  std::vector<const Conversation*> chosen;
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(&dataset.conversations[i * all / count]);
  return chosen;
}

// One conversation under one condition.
struct Part {
  const Conversation* conversation = nullptr;
  const EvaluationCondition* condition = nullptr;
  std::vector<Item> items;  // that the store does not hold
};

std::vector<Part> missing_parts(const Dataset& dataset, const EvaluationOptions& options,
                                const std::vector<const EvaluationCondition*>& conditions, const RunStore& store) {
  std::vector<Part> parts;
  for (const auto* conversation : chosen_conversations(dataset, options.conversations)) {
    for (const auto* condition : conditions) {
      Part part{conversation, condition, items_of(*conversation, options.kinds, options.lengths)};
      std::erase_if(part.items, [&](const Item& item) {
        return store.has({conversation->scenario.id, std::string(condition->name), item.id});
      });
      if (!part.items.empty()) parts.push_back(std::move(part));
    }
  }
  return parts;
}

std::uint32_t sequences_for(const std::vector<Part>& parts) {
  std::size_t candidates = 1;
  for (const auto& part : parts) {
    for (const auto& item : part.items) candidates = std::max(candidates, item.candidates.size());
  }
  return std::clamp(static_cast<std::uint32_t>(candidates) + 2, kLeastSequences, kMostSequences);
}

std::size_t bytes_of(const Item& item) {
  std::size_t longest = 0;
  for (const auto& candidate : item.candidates) longest = std::max(longest, candidate.value.size());
  return item.prompt.size() + item.lead.size() +
         std::max(longest, (item.output_tokens + item.sample_tokens) * kBytesOfToken);
}

// Tokens of the longest sequence, from each context's item of the most bytes: reading every item of every condition
// would take minutes. Another item may be a few tokens longer; the engine then makes that room when it is needed.
Result<std::uint32_t> longest_estimate(const std::vector<Part>& parts, const engine::Engine& engine,
                                       const prompt::Format& format, std::uint64_t seed) {
  std::uint32_t longest = 0;
  for (const auto& part : parts) {
    for (const auto& context : part.condition->contexts(*part.conversation, seed)) {
      const Item* most = nullptr;
      for (const auto& item : part.items) {
        const auto& clusters = context.spec.clusters;
        if (std::find(clusters.begin(), clusters.end(), item.cluster) == clusters.end()) continue;
        if (most == nullptr || bytes_of(item) > bytes_of(*most)) most = &item;
      }
      if (most == nullptr) continue;
      BH_TRY(const auto prepared,
             prepare_context(*part.conversation, context, std::span(most, 1), format, engine.tokenizer()));
      longest = std::max(longest, prepared.longest);
      const auto limit = engine.facts().context_tokens;
      if (prepared.longest > limit) {
        return Error{ErrorCode::kResource,
                     fmt::format("{} under {} takes {} tokens; the limit is {}", part.conversation->scenario.id,
                                 part.condition->name, prepared.longest, limit),
                     context.spec.name, "raise -c, or choose a model with a longer context"};
      }
    }
  }
  return longest;
}

// `written` with what it comes to.
Result<Output> measured(const Conversation& conversation, const std::string& cluster, Output written,
                        const SimilarityMeasure& similarity) {
  auto output = measure_output(conversation, cluster, std::move(written.text));
  output.tokens = written.tokens;
  output.ended = written.ended;
  if (similarity.cosine) {
    const auto& reference = conversation.scenario.find_cluster(cluster)->expected_output;
    BH_TRY(output.similarity, similarity.cosine(output.text, reference));
  }
  return output;
}

// Of one conversation, by item; drawn when the first condition asks for them and kept for the others. Drawn again they
// are the same, so a killed evaluation goes on with them.
struct Samples {
  const Conversation* conversation = nullptr;
  std::map<std::string, Sample> by_item = {};
};

// What the model writes in isolation: the condition `semantic`, whatever conditions are run.
Result<void> draw_samples(engine::Engine& engine, const Conversation& conversation, const prompt::Format& format,
                          const EvaluationOptions& options, Samples& samples) {
  if (samples.conversation == &conversation) return {};
  samples = {};
  const auto items = items_of(conversation, {std::string(kSampleKind)}, options.lengths);
  BH_TRY(const auto* isolated, find_evaluation_condition("semantic"));
  for (const auto& context : isolated->contexts(conversation, options.seed)) {
    BH_TRY(const auto prepared, prepare_context(conversation, context, items, format, engine.tokenizer()));
    for (const auto& item : prepared.items) {
      const auto name = fmt::format("{} {} {}", options.seed, conversation.scenario.id, item.item.id);
      const auto seed = xxh3_64(std::as_bytes(std::span(name)));
      BH_TRY(samples.by_item[item.item.id],
             draw_sample(engine, item, static_cast<std::uint32_t>(seed), options.cancel));
    }
  }
  samples.conversation = &conversation;
  return {};
}

// All items, not only those that are missing: what they share must not depend on where an evaluation was killed.
Result<std::vector<Item>> items_of_part(engine::Engine& engine, const Part& part, const prompt::Format& format,
                                        const EvaluationOptions& options, Samples& samples) {
  auto items = items_of(*part.conversation, {}, options.lengths);
  const auto is_sample = [](const Item& item) { return item.kind == kSampleKind; };
  if (std::none_of(part.items.begin(), part.items.end(), is_sample)) return items;
  BH_CHECK(draw_samples(engine, *part.conversation, format, options, samples));
  for (auto& item : items) {
    if (!is_sample(item)) continue;
    const auto& drawn = samples.by_item.at(item.id);
    item.sample = drawn.tokens;
    item.candidates.front().value = drawn.text;
  }
  return items;
}

Result<void> run_part(engine::Engine& engine, const Part& part, const prompt::Format& format,
                      const EvaluationOptions& options, Samples& samples,
                      const std::function<Result<void>(Cell)>& add) {
  const auto& conversation = *part.conversation;
  BH_TRY(const auto items, items_of_part(engine, part, format, options, samples));
  const auto wanted = [&](const Item& item) {
    return std::any_of(part.items.begin(), part.items.end(), [&](const Item& one) { return one.id == item.id; });
  };
  const auto done = [&](Cell cell) -> Result<void> {
    cell.key.conversation = conversation.scenario.id;
    cell.key.condition = part.condition->name;
    cell.domain = conversation.scenario.domain;
    cell.difficulty = conversation.difficulty;
    if (cell.output) {
      BH_TRY(cell.output, measured(conversation, cell.cluster, std::move(*cell.output), options.similarity));
    }
    return add(std::move(cell));
  };
  for (const auto& context : part.condition->contexts(conversation, options.seed)) {
    BH_TRY(const auto prepared, prepare_context(conversation, context, items, format, engine.tokenizer()));
    BH_CHECK(run_context(engine, prepared, wanted, done, options.cancel));
  }
  return {};
}

}  // namespace

Json evaluation_configuration(const engine::Facts& facts, const std::string& model_sha256, const Dataset& dataset,
                              const prompt::Format& format, const EvaluationOptions& options) {
  Json json = {{"dataset_sha256", dataset.sha256},
               {"engine", facts.engine},
               {"engine_build", facts.build},
               {"model_sha256", model_sha256},
               {"format", format.name},
               {"format_sha256", format.sha256},
               {"kernels", facts.kernels},
               {"kv_type_k", facts.kv_type_k},
               {"kv_type_v", facts.kv_type_v},
               {"flash_attention", facts.flash_attention},
               {"isolation", engine::name(facts.isolation)},
               {"grade", engine::name(facts.grade)},
               {"seed", options.seed}};
  // Templates may print the date: what goes on from here goes on with that day.
  if (format.rendering == prompt::Rendering::kChat) json["clock"] = facts.clock;
  // Only where they are used, so that folders from before there were any can be gone on with.
  if (options.lengths.output > 0) json["output_tokens"] = options.lengths.output;
  if (options.lengths.sample > 0) json["sample_tokens"] = options.lengths.sample;
  if (options.similarity.cosine) json["embedding_sha256"] = options.similarity.model_sha256;
  return json;
}

Result<void> check_options(const EvaluationOptions& options) {
  BH_TRY([[maybe_unused]] const auto conditions, chosen_conditions(options.conditions));
  return check_kinds(options);
}

Result<std::size_t> conversations_without_items(const Dataset& dataset, const EvaluationOptions& options) {
  const auto chosen = chosen_conversations(dataset, options.conversations);
  const auto without = std::count_if(chosen.begin(), chosen.end(), [&](const Conversation* one) {
    return items_of(*one, options.kinds, options.lengths).empty();
  });
  if (static_cast<std::size_t>(without) < chosen.size()) return static_cast<std::size_t>(without);
  const auto kinds =
      options.kinds.empty() ? std::string() : fmt::format(" of the kinds {}", fmt::join(options.kinds, ", "));
  return Error{ErrorCode::kBadInput,
               fmt::format("nothing can be measured: none of {} conversations has a question or a reference text{}",
                           chosen.size(), kinds),
               dataset.name,
               "questions stand in a data set (datasets/bulkhead-bench/README.md), a reference text in a cluster's "
               "expected_output (docs/scenario-format.md)"};
}

Result<void> evaluate(engine::Engine& engine, const Dataset& dataset, const prompt::Format& format,
                      const EvaluationOptions& options, RunStore& store) {
  BH_TRY(const auto conditions, chosen_conditions(options.conditions));
  BH_CHECK(check_kinds(options));
  BH_CHECK(conversations_without_items(dataset, options));
  if (!engine.can(engine::Capability::kScore)) {
    return Error{ErrorCode::kUnsupported, fmt::format("the engine {} cannot score given tokens", engine.facts().engine),
                 "--engine", "choose llama, transformers, mlx or fake"};
  }
  const auto parts = missing_parts(dataset, options, conditions, store);
  std::uint64_t total = 0;
  for (const auto& part : parts) total += part.items.size();
  std::uint64_t ended = 0;
  const auto tell = [&] {
    if (options.progress) options.progress(ended, total);
  };
  tell();
  if (parts.empty()) return {};
  BH_TRY(const auto longest, longest_estimate(parts, engine, format, options.seed));
  BH_CHECK(engine.reserve(sequences_for(parts), std::min(longest + kReserveMargin, engine.facts().context_tokens)));
  const auto add = [&](const Cell& cell) -> Result<void> {
    BH_CHECK(store.add(cell));
    ++ended;
    tell();
    return {};
  };
  Samples samples;
  for (const auto& part : parts) BH_CHECK(run_part(engine, part, format, options, samples, add));
  return {};
}

}  // namespace bulkhead::eval
