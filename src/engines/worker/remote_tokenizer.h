// SPDX-License-Identifier: MIT
// The tokenizer of a model that lives in workers: what is known of single tokens is fetched once and kept here; texts
// are asked of a worker, which answers while it computes.
#pragma once

#include "engine/engine.h"
#include "engines/worker/worker_link.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engines::worker {

// Starts a worker and loads the model in it.
using MakeWorker = std::function<Result<std::shared_ptr<WorkerLink>>()>;

class RemoteTokenizer final : public engine::Tokenizer {
 public:
  // Fetches the vocabulary of `size` tokens from `worker`, and asks it from then on; `make` makes another one should
  // that die. `clock`: what templates take for now.
  [[nodiscard]] static Result<std::unique_ptr<RemoteTokenizer>> fetch(std::uint32_t size,
                                                                      std::shared_ptr<WorkerLink> worker,
                                                                      MakeWorker make, std::string clock);

  [[nodiscard]] Result<std::vector<engine::Token>> tokenize(std::string_view text) const override;
  [[nodiscard]] Result<std::vector<engine::Token>> tokenize_template(std::string_view text) const override;
  [[nodiscard]] std::optional<engine::Token> bos() const override { return bos_; }
  [[nodiscard]] std::string piece(engine::Token token) const override;
  [[nodiscard]] std::string spelling(engine::Token token) const override;
  [[nodiscard]] bool ends_generation(engine::Token token) const override;
  [[nodiscard]] Result<std::vector<engine::ChatPart>> render_chat(std::span<const engine::ChatMessage> messages,
                                                                  bool open_assistant_turn) const override;

 private:
  struct Word {
    std::string piece;
    std::string spelling;
    bool ends = false;
  };

  RemoteTokenizer(std::shared_ptr<WorkerLink> worker, MakeWorker make, std::string clock)
      : worker_(std::move(worker)), make_(std::move(make)), clock_(std::move(clock)) {}
  [[nodiscard]] Result<void> read_vocabulary(std::uint32_t size, const Frame& answer, const JsonView& ok);
  [[nodiscard]] Result<std::shared_ptr<WorkerLink>> worker() const;
  [[nodiscard]] Result<std::vector<engine::Token>> tokens_of(std::string_view text, bool as_template) const;
  [[nodiscard]] const Word* word(engine::Token token) const;

  mutable std::mutex mutex_;  // of worker_
  mutable std::shared_ptr<WorkerLink> worker_;
  MakeWorker make_;
  std::string clock_;
  std::vector<Word> words_;  // [n_vocabulary]
  std::optional<engine::Token> bos_;
};

}  // namespace bulkhead::engines::worker
