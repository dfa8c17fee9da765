// SPDX-License-Identifier: MIT
// What stands behind the public handles.
#pragma once

#include <bulkhead/model.h>

#include "conversation/traced_tokens.h"
#include "desk/desk.h"
#include "engine/engine.h"
#include "partition/partition.h"
#include "prompt/chat_log.h"

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead {

struct Model::Impl {
  explicit Impl(std::unique_ptr<engine::Engine> made)
      : desk(desk::Desk::open(std::move(made))), engine(desk->client()) {}

  // kUsage if a partition of that name is open.
  [[nodiscard]] Result<void> take_name(const std::string& name);
  void give_back_name(const std::string& name);
  [[nodiscard]] engine::OpenOptions engine_options(const PartitionOptions& options) const;

  std::shared_ptr<desk::Desk> desk;
  std::unique_ptr<engine::Engine> engine;  // the desk's, for any thread

 private:
  std::mutex mutex_;
  std::set<std::string, std::less<>> names_;  // of the open partitions
};

struct Partition::Impl {
  // A number of tokens at which the chat was at the end of something, and how much of it there was.
  struct Mark {
    std::size_t tokens = 0;
    std::size_t messages = 0;
    std::size_t last_bytes = 0;  // of the last message
    std::size_t rendered = 0;
    bool answered = false;
    std::optional<engine::Token> end_token = {};
  };

  // Takes over a name that was taken.
  Impl(std::shared_ptr<Model::Impl> owner, partition::Partition opened, PartitionOptions its_options)
      : model(std::move(owner)), partition(std::move(opened)), options(std::move(its_options)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { model->give_back_name(partition.name()); }

  // All of these with `calls` locked.
  [[nodiscard]] Result<conversation::TracedTokens> traced(std::string_view text,
                                                          const conversation::Origin& origin) const;
  // Makes the cache hold what the text says, and notes that.
  [[nodiscard]] Result<Generation> finish(const Result<engine::GenerateResult>& result, double total_ms);
  [[nodiscard]] Generation note(const engine::GenerateResult& result, double total_ms);
  void mark();
  // The chat as it was at the mark of so many tokens; lost where there is none.
  void go_back(std::size_t tokens);

  std::shared_ptr<Model::Impl> model;  // first, so that the engine outlives the partition
  partition::Partition partition;
  PartitionOptions options;
  prompt::ChatLog chat = {};
  bool chat_lost = false;  // cut in the middle of something
  std::vector<Mark> marks = {};
  mutable std::mutex calls;  // one at a time
};

[[nodiscard]] Error moved_from(std::string_view what);
[[nodiscard]] double milliseconds(engine::Duration time);

}  // namespace bulkhead
