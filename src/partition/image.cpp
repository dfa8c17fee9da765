// SPDX-License-Identifier: MIT
#include "partition/image.h"

#include "partition/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::partition {
namespace {

Error contradiction(const PartitionImage& image, std::string what) {
  return {ErrorCode::kCorrupt, "the books of the partition contradict themselves: " + std::move(what), image.name,
          "compute it from its history"};
}

// Whether another try without the cells may help: nothing else of the image was at fault.
bool only_cells_failed(ErrorCode code) {
  return code == ErrorCode::kBadInput || code == ErrorCode::kCorrupt || code == ErrorCode::kUnsupported;
}

}  // namespace

Result<void> check_books(const PartitionImage& image) {
  const auto& ledger = image.ledger;
  const auto& traced = ledger.tokens;
  if (traced.tokens.size() != traced.origin_of.size()) return contradiction(image, "tokens without an origin");
  const bool known = std::all_of(traced.origin_of.begin(), traced.origin_of.end(),
                                 [&](std::uint32_t origin) { return origin < traced.origins.size(); });
  if (!known) return contradiction(image, "an origin that is not there");
  const auto came = ledger.prefilled_tokens + ledger.reused_tokens + ledger.generated_tokens;
  if (came - ledger.removed_tokens != traced.size()) {
    return contradiction(
        image, fmt::format("{} tokens came, {} went, {} are there", came, ledger.removed_tokens, traced.size()));
  }
  if (!image.surplus) return {};
  const bool inside =
      traced.size() > 0 && image.surplus->begin <= traced.size() && image.surplus->keep <= traced.size();
  return inside ? Result<void>() : contradiction(image, "a surplus that lies outside of its tokens");
}

Result<PartitionImage> Partition::image() const {
  BH_TRY(const auto id, sequence());
  BH_TRY(auto cells, engine_->snapshot(id));
  return PartitionImage{name_, ledger_, surplus_, finished_text_, std::move(cells)};
}

Result<std::string> Partition::take_cells(const engine::Snapshot& cells, const engine::OpenOptions& options) {
  const auto restored = engine_->restore(cells, options);
  if (!restored.ok()) {
    if (!only_cells_failed(restored.error().code)) return restored.error();
    return restored.error().message;
  }
  sequence_ = restored.value();
  BH_TRY(const auto state, engine_->inspect(*sequence_));
  if (state.token_sha256 == ledger_.token_sha256()) return std::string();
  static_cast<void>(engine_->close(*sequence_));
  sequence_.reset();
  return std::string("the cells are those of other tokens");
}

Result<RestoredPartition> Partition::restore(engine::Engine& engine, PartitionImage image,
                                             engine::OpenOptions options) {
  BH_CHECK(check_books(image));
  options.name = image.name;
  Partition made(engine, std::move(image.name), options.capacity_tokens);
  made.ledger_ = std::move(image.ledger);
  const auto tokens = static_cast<std::uint32_t>(made.ledger_.tokens.size());
  std::string why = "there are no cells";
  if (image.cells) {
    BH_TRY(why, made.take_cells(*image.cells, options));
  }
  const bool reused = made.sequence_.has_value();
  if (!reused) {
    BH_TRY(made.sequence_, engine.open(options));
    if (tokens > 0) {
      BH_TRY(const auto done, engine.prefill(*made.sequence_, made.ledger_.tokens.tokens));
      made.ledger_.prefilled_tokens += tokens;
      made.ledger_.removed_tokens += tokens;
      made.ledger_.prefill_time += done.time;
    }
  }
  made.surplus_ = std::move(image.surplus);
  made.finished_text_ = std::move(image.finished_text);
  return RestoredPartition{std::move(made), reused ? tokens : 0, std::move(why)};
}

}  // namespace bulkhead::partition
