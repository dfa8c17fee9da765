// SPDX-License-Identifier: MIT
#include "engines/llama/context_batch.h"

#include "engines/llama/backend.h"

#include <fmt/format.h>

#include <exception>

namespace bulkhead::engines::llama {
namespace {

// What llama_decode() gives.
constexpr int kNoSlot = 1;
constexpr int kStopped = 2;

bool stop_asked(void* cancellation) {
  return static_cast<const Cancellation*>(cancellation)->requested();
}

}  // namespace

void ContextBatch::add(const BatchToken& token, llama_seq_id id) {
  tokens_.push_back(token.token);
  positions_.push_back(static_cast<llama_pos>(token.position));
  counts_.push_back(1);
  sequences_.push_back(id);
  wanted_.push_back(token.want_logits ? 1 : 0);
}

Decoded ContextBatch::decode(llama_context& context, kernels::AttentionChoice attention, std::string& reason) {
  std::vector<llama_seq_id*> pointers;
  pointers.reserve(sequences_.size());
  for (auto& id : sequences_) pointers.push_back(&id);
  const llama_batch batch{static_cast<std::int32_t>(tokens_.size()),
                          tokens_.data(),
                          nullptr,
                          positions_.data(),
                          counts_.data(),
                          pointers.data(),
                          wanted_.data()};
  const LoggedErrors errors;
  const kernels::AttentionScope scope(attention);
  try {
    const int code = llama_decode(&context, batch);
    if (code == 0) return Decoded::kDone;
    reason = fmt::format("libllama could not decode (code {}): {}", code, errors.text());
    return code == kStopped ? Decoded::kAborted : code == kNoSlot ? Decoded::kNoRoom : Decoded::kFailed;
  } catch (const std::exception& failure) {
    reason = fmt::format("libllama could not decode: {}; {}", failure.what(), errors.text());
    return Decoded::kFailed;
  }
}

std::span<const float> logits_of(llama_context& context, std::size_t row, std::uint32_t vocabulary) {
  const float* logits = llama_get_logits_ith(&context, static_cast<std::int32_t>(row));
  return logits == nullptr ? std::span<const float>() : std::span(logits, vocabulary);
}

void set_cancellation(llama_context& context, const Cancellation& cancellation) {
  // libllama takes an untyped pointer and hands it back unchanged.
  llama_set_abort_callback(&context, stop_asked, const_cast<Cancellation*>(&cancellation));  // NOLINT(*-const-cast)
}

}  // namespace bulkhead::engines::llama
