// SPDX-License-Identifier: MIT
#include "engine/snapshot.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

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

Snapshot pack_snapshot(const SnapshotFit& fit, std::span<const std::int32_t> tokens,
                       std::span<const std::byte> payload) {
  Json header = {{"fit", Json::object()}, {"tokens", tokens.size()}};
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
  const auto parsed = parse_json(reader.text(header_bytes));
  const Json header = parsed.ok() ? *parsed : Json();
  if (!header.is_object() || !header.contains("fit") || !header.contains("tokens") || !header["fit"].is_object() ||
      !header["tokens"].is_number_unsigned()) {
    return damaged("it has no readable header");
  }
  for (const auto& [field, value] : fit) {
    const auto here = to_valid_utf8(value);  // as it was written
    if (const auto there = value_in(header["fit"], field); there != here) {
      return Error{ErrorCode::kBadInput,
                   fmt::format("the snapshot does not fit: its {} is \"{}\", here it is \"{}\"", field, there, here),
                   {},
                   "restore it where it was made, with the same model and options"};
    }
  }
  SnapshotContent content;
  content.tokens = reader.list<std::int32_t>(header["tokens"].get<std::size_t>());
  content.payload = reader.bytes(reader.left());
  if (reader.failed()) return damaged("it is shorter than its header says");
  return content;
}

}  // namespace bulkhead::engine
