// SPDX-License-Identifier: MIT
#include "vault/books.h"

#include "base/utf8.h"

#include <array>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace bulkhead::vault {
namespace {

using conversation::Origin;
using conversation::OriginKind;
using partition::Ledger;
using partition::Receipt;
using partition::Surplus;

constexpr std::array kOriginKinds = {
    OriginKind::kBos,  OriginKind::kTemplate, OriginKind::kInstruction, OriginKind::kSeparator, OriginKind::kMarker,
    OriginKind::kTurn, OriginKind::kFrame,    OriginKind::kMessage,     OriginKind::kPrompt,    OriginKind::kGenerated};
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

Json origins_json(const std::vector<Origin>& origins) {
  Json list = Json::array();
  for (const auto& origin : origins) {
    list.push_back(
        {{"kind", std::string(name(origin.kind))}, {"turn", origin.turn}, {"label", escape_bytes(origin.label)}});
  }
  return list;
}

Json ledger_json(const Ledger& ledger) {
  Json messages = Json::array();
  for (const auto& receipt : ledger.messages) {
    messages.push_back({{"label", escape_bytes(receipt.label)},
                        {"from", escape_bytes(receipt.from)},
                        {"sha256", receipt.sha256},
                        {"tokens", receipt.tokens}});
  }
  return {{"prefilled_tokens", ledger.prefilled_tokens},
          {"reused_tokens", ledger.reused_tokens},
          {"generated_tokens", ledger.generated_tokens},
          {"removed_tokens", ledger.removed_tokens},
          {"prefill_ns", ledger.prefill_time.count()},
          {"decode_ns", ledger.decode_time.count()},
          {"messages", std::move(messages)}};
}

Json surplus_json(const Surplus& surplus) {
  return {{"begin", surplus.begin},
          {"keep", surplus.keep},
          {"said", escape_bytes(surplus.said)},
          {"end", surplus.end ? Json(*surplus.end) : Json(nullptr)},
          {"unfinished", escape_bytes(surplus.unfinished)},
          {"open", surplus.open}};
}

Result<std::string> bytes_of(const JsonView& view, std::string_view key) {
  BH_TRY(const auto value, view.at(key));
  BH_TRY(const auto text, value.string());
  return unescape_bytes(text);
}

Result<std::uint64_t> count_of(const JsonView& view, std::string_view key, std::int64_t most = kMost) {
  BH_TRY(const auto value, view.at(key));
  BH_TRY(const auto number, value.integer(0, most));
  return static_cast<std::uint64_t>(number);
}

Result<engine::SnapshotFit> fit_from(const JsonView& view) {
  engine::SnapshotFit fit;
  BH_TRY(const auto members, view.members());
  for (const auto& [field, value] : members) {
    BH_TRY(auto text, value.string());
    fit.emplace_back(field, std::move(text));
  }
  return fit;
}

Result<std::vector<Origin>> origins_from(const JsonView& view) {
  std::vector<Origin> origins;
  BH_TRY(const auto items, view.items());
  for (const auto& item : items) {
    BH_CHECK(item.only({"kind", "turn", "label"}));
    BH_TRY(const auto kind, bytes_of(item, "kind"));
    Origin origin;
    bool known = false;
    for (const auto one : kOriginKinds) {
      if (name(one) != kind) continue;
      origin.kind = one;
      known = true;
    }
    if (!known) return item.fail("no kind of origin: " + kind);
    BH_TRY(const auto turn, item.at("turn"));
    BH_TRY(const auto number, turn.integer(std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
    origin.turn = static_cast<int>(number);
    BH_TRY(origin.label, bytes_of(item, "label"));
    origins.push_back(std::move(origin));
  }
  return origins;
}

Result<std::vector<Receipt>> receipts_from(const JsonView& view) {
  std::vector<Receipt> receipts;
  BH_TRY(const auto items, view.items());
  for (const auto& item : items) {
    BH_CHECK(item.only({"label", "from", "sha256", "tokens"}));
    Receipt receipt;
    BH_TRY(receipt.label, bytes_of(item, "label"));
    BH_TRY(receipt.from, bytes_of(item, "from"));
    BH_TRY(receipt.sha256, bytes_of(item, "sha256"));
    BH_TRY(const auto tokens, count_of(item, "tokens", std::numeric_limits<std::uint32_t>::max()));
    receipt.tokens = static_cast<std::uint32_t>(tokens);
    receipts.push_back(std::move(receipt));
  }
  return receipts;
}

Result<Ledger> ledger_from(const JsonView& view) {
  BH_CHECK(view.only({"prefilled_tokens", "reused_tokens", "generated_tokens", "removed_tokens", "prefill_ns",
                      "decode_ns", "messages"}));
  Ledger ledger;
  BH_TRY(ledger.prefilled_tokens, count_of(view, "prefilled_tokens"));
  BH_TRY(ledger.reused_tokens, count_of(view, "reused_tokens"));
  BH_TRY(ledger.generated_tokens, count_of(view, "generated_tokens"));
  BH_TRY(ledger.removed_tokens, count_of(view, "removed_tokens"));
  BH_TRY(const auto prefill, count_of(view, "prefill_ns"));
  BH_TRY(const auto decode, count_of(view, "decode_ns"));
  ledger.prefill_time = engine::Duration(static_cast<std::int64_t>(prefill));
  ledger.decode_time = engine::Duration(static_cast<std::int64_t>(decode));
  BH_TRY(const auto messages, view.at("messages"));
  BH_TRY(ledger.messages, receipts_from(messages));
  return ledger;
}

Result<Surplus> surplus_from(const JsonView& view) {
  BH_CHECK(view.only({"begin", "keep", "said", "end", "unfinished", "open"}));
  Surplus surplus;
  BH_TRY(surplus.begin, count_of(view, "begin"));
  BH_TRY(surplus.keep, count_of(view, "keep"));
  BH_TRY(surplus.said, bytes_of(view, "said"));
  BH_TRY(surplus.unfinished, bytes_of(view, "unfinished"));
  if (view.has("end")) {
    BH_TRY(const auto end, count_of(view, "end", std::numeric_limits<engine::Token>::max()));
    surplus.end = static_cast<engine::Token>(end);
  }
  BH_TRY(const auto open, view.at("open"));
  BH_TRY(surplus.open, open.boolean());
  return surplus;
}

Result<Books> read_books(const JsonView& view) {
  BH_CHECK(view.only({"owner", "partition", "saved_at", "fit", "origins", "ledger", "surplus", "finished_text"}));
  Books books;
  BH_TRY(books.owner, bytes_of(view, "owner"));
  BH_TRY(books.partition.name, bytes_of(view, "partition"));
  BH_TRY(const auto saved, count_of(view, "saved_at"));
  books.saved_at = static_cast<std::int64_t>(saved);
  BH_TRY(const auto fit, view.at("fit"));
  BH_TRY(books.fit, fit_from(fit));
  BH_TRY(const auto ledger, view.at("ledger"));
  BH_TRY(books.partition.ledger, ledger_from(ledger));
  BH_TRY(const auto origins, view.at("origins"));
  BH_TRY(books.partition.ledger.tokens.origins, origins_from(origins));
  if (view.has("surplus")) {
    BH_TRY(const auto surplus, view.at("surplus"));
    BH_TRY(books.partition.surplus, surplus_from(surplus));
  }
  if (view.has("finished_text")) {
    BH_TRY(books.partition.finished_text, bytes_of(view, "finished_text"));
  }
  return books;
}

}  // namespace

std::string books_text(const Books& books) {
  const auto& image = books.partition;
  Json fit = Json::object();
  for (const auto& [field, value] : books.fit) fit[field] = value;
  const Json document = {{"owner", escape_bytes(books.owner)},
                         {"partition", escape_bytes(image.name)},
                         {"saved_at", books.saved_at},
                         {"fit", std::move(fit)},
                         {"origins", origins_json(image.ledger.tokens.origins)},
                         {"ledger", ledger_json(image.ledger)},
                         {"surplus", image.surplus ? surplus_json(*image.surplus) : Json(nullptr)},
                         {"finished_text", image.finished_text ? Json(escape_bytes(*image.finished_text)) : Json()}};
  return json_text(document, JsonForm::kAscii);
}

Result<Books> books_from(std::string_view text) {
  auto document = JsonDocument::parse(std::string(text), "books");
  if (!document.ok()) return Error{ErrorCode::kCorrupt, document.error().message, {}, {}};
  auto books = read_books(JsonView(document.value()));
  if (books.ok()) return books;
  return Error{ErrorCode::kCorrupt, books.error().to_string(), {}, {}};
}

}  // namespace bulkhead::vault
