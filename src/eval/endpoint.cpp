// SPDX-License-Identifier: MIT
#include "eval/endpoint.h"

#include "dataset/dataset.h"

#include <algorithm>
#include <array>

namespace bulkhead::eval {
namespace {

double is_chosen(const Cell& cell, Standing standing) {
  return chosen(cell, Scoring::kPerToken).standing == standing ? 1.0 : 0.0;
}

double nll_per_token(const Cell& cell) {
  const auto& text = cell.candidates.front();
  return -text.log_probability / text.tokens;
}

bool is_absent(const Cell& cell) {
  return cell.kind == "absent";
}

bool needs_message(const Cell& cell) {
  return cell.kind == "relay" || cell.kind == "compare" || cell.kind == "sum";
}

bool is_reference(const Cell& cell) {
  return cell.kind == kReferenceKind;
}

double is_intrusion(const Cell& cell) {
  return is_chosen(cell, Standing::kForeign);
}

double is_right(const Cell& cell) {
  return is_chosen(cell, Standing::kRight);
}

constexpr std::array<Endpoint, 5> kEndpoints = {{
    {"intrusions", "share of own and updated questions", Better::kLower, is_primary, is_intrusion},
    {"accuracy", "share of own and updated questions", Better::kHigher, is_primary, is_right},
    {"absent", "share of absent questions answered with not known here", Better::kHigher, is_absent, is_right},
    {"messages", "share of relay, compare and sum questions", Better::kHigher, needs_message, is_right},
    {"nll", "nats per token of a reference text, mean over texts", Better::kLower, is_reference, nll_per_token},
}};

}  // namespace

std::string_view name(Better better) noexcept {
  return better == Better::kLower ? "lower" : "higher";
}

std::span<const Endpoint> endpoints() noexcept {
  return kEndpoints;
}

const Endpoint* find_endpoint(std::string_view name) noexcept {
  const auto* found =
      std::find_if(kEndpoints.begin(), kEndpoints.end(), [&](const Endpoint& one) { return one.name == name; });
  return found == kEndpoints.end() ? nullptr : found;
}

bool is_primary(const Cell& cell) noexcept {
  return cell.kind == name(dataset::QuestionKind::kOwn) || cell.kind == name(dataset::QuestionKind::kUpdated);
}

}  // namespace bulkhead::eval
