// SPDX-License-Identifier: MIT
#include "engine/snapshot.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace bulkhead::engine {
namespace {

constexpr std::string_view kMagic = "BHSNAP01";
constexpr std::size_t kDigestBytes = 16;

Error damaged(std::string what) {
  return {ErrorCode::kCorrupt, "the snapshot is damaged: " + std::move(what), {}, "make it anew"};
}

std::string value_in(const Json& fit, const std::string& field) {
  const auto found = fit.find(field);
  return found != fit.end() && found->is_string() ? found->get<std::string>() : "(nothing)";
}

// A snapshot taken apart. Its digest was right; the header is what it says.
struct Parts {
  Json header;
  std::vector<std::int32_t> tokens;
  std::size_t payload_begin = 0;
  std::span<const std::byte> payload;
};

Result<Parts> parts_of(const Snapshot& snapshot) {
  const std::span<const std::byte> all(snapshot.bytes());
  if (all.size() < kMagic.size() + sizeof(std::uint64_t) + kDigestBytes) {
    return damaged(fmt::format("{} bytes are too few", all.size()));
  }
  const auto body = all.first(all.size() - kDigestBytes);
  const auto digest = xxh3_128(body);
  if (!std::equal(digest.begin(), digest.end(), all.last(kDigestBytes).begin())) {
    return damaged(fmt::format("the digest of its {} bytes is another than it says", all.size()));
  }
  ByteReader reader(body);
  if (reader.text(kMagic.size()) != kMagic) return damaged("it does not begin as a snapshot of this version does");
  const auto header_bytes = reader.number<std::uint64_t>();
  auto parsed = parse_json(reader.text(header_bytes));
  Parts parts;
  if (parsed.ok()) parts.header = std::move(parsed).value();
  const auto& header = parts.header;
  if (!header.is_object() || !header.contains("fit") || !header.contains("tokens") || !header["fit"].is_object() ||
      !header["tokens"].is_number_unsigned()) {
    return damaged("it has no readable header");
  }
  parts.tokens = reader.list<std::int32_t>(header["tokens"].get<std::size_t>());
  parts.payload_begin = body.size() - reader.left();
  parts.payload = reader.bytes(reader.left());
  if (reader.failed()) return damaged("it is shorter than its header says");
  return parts;
}

// The sizes that the header names. nullopt: they do not make up the payload.
std::optional<std::vector<std::uint64_t>> pieces_in(const Parts& parts) {
  std::vector<std::uint64_t> sizes;
  const auto found = parts.header.find("pieces");
  if (found == parts.header.end()) return sizes;
  if (!found->is_array()) return std::nullopt;
  auto left = std::uint64_t{parts.payload.size()};
  for (const auto& size : *found) {
    if (!size.is_number_unsigned() || size.get<std::uint64_t>() > left) return std::nullopt;
    sizes.push_back(size.get<std::uint64_t>());
    left -= sizes.back();
  }
  return left == 0 ? std::optional(std::move(sizes)) : std::nullopt;
}

}  // namespace

SnapshotFit snapshot_fit(const Facts& facts, std::string model_digest) {
  const auto yes_or_no = [](bool value) { return std::string(value ? "yes" : "no"); };
  return {{"engine", facts.engine},
          {"build", facts.build},
          {"model", facts.model_name},
          {"architecture", facts.architecture},
          {"model_bytes", std::to_string(facts.model_bytes)},
          {"model_digest", std::move(model_digest)},
          {"vocabulary", std::to_string(facts.vocabulary)},
          {"window_tokens", std::to_string(facts.window_tokens)},
          {"kv_bytes_per_token", std::to_string(facts.kv_bytes_per_token)},
          {"kv_type_k", facts.kv_type_k},
          {"kv_type_v", facts.kv_type_v},
          {"flash_attention", yes_or_no(facts.flash_attention)},
          {"kernels", facts.kernels},
          {"isolation", std::string(name(facts.isolation))},
          {"batch_invariant", yes_or_no(facts.batch_invariant)},
          {"grade", std::string(name(facts.grade))}};
}

Snapshot pack_snapshot(const SnapshotFit& fit, std::span<const std::int32_t> tokens, std::span<const std::byte> payload,
                       std::span<const std::uint64_t> pieces) {
  Json header = {{"fit", Json::object()}, {"tokens", tokens.size()}};
  if (!pieces.empty()) header["pieces"] = std::vector<std::uint64_t>(pieces.begin(), pieces.end());
  for (const auto& [field, value] : fit) header["fit"][field] = to_valid_utf8(value);
  const auto text = json_text(header, JsonForm::kAscii);
  ByteWriter writer;
  writer.text(kMagic);
  writer.number(std::uint64_t{text.size()});
  writer.text(text);
  writer.list(tokens);
  writer.bytes(payload);
  const auto digest = xxh3_128(writer.written());
  writer.bytes(digest);
  return Snapshot(std::move(writer).take());
}

Result<SnapshotContent> unpack_snapshot(const Snapshot& snapshot, const SnapshotFit& fit) {
  BH_TRY(auto parts, parts_of(snapshot));
  for (const auto& [field, value] : fit) {
    const auto here = to_valid_utf8(value);  // as it was written
    if (const auto there = value_in(parts.header["fit"], field); there != here) {
      return Error{ErrorCode::kBadInput,
                   fmt::format("the snapshot does not fit: its {} is \"{}\", here it is \"{}\"", field, there, here),
                   {},
                   "restore it where it was made, with the same model and options"};
    }
  }
  return SnapshotContent{std::move(parts.tokens), parts.payload};
}

Result<SnapshotOutline> outline_of(const Snapshot& snapshot) {
  BH_TRY(auto parts, parts_of(snapshot));
  SnapshotOutline outline;
  for (const auto& [field, value] : parts.header["fit"].items()) {
    if (!value.is_string()) return damaged("a field of its header is no text: " + field);
    outline.fit.emplace_back(field, value.get<std::string>());
  }
  auto pieces = pieces_in(parts);
  if (!pieces) return damaged("its pieces do not make up what it holds");
  outline.pieces = *std::move(pieces);
  outline.tokens = std::move(parts.tokens);
  outline.payload_begin = parts.payload_begin;
  outline.payload_bytes = parts.payload.size();
  return outline;
}

}  // namespace bulkhead::engine
