// SPDX-License-Identifier: MIT
// A chat about several topics, each in a partition of its own: what `bulkhead chat` does with a line.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <bulkhead/model.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::cli {

// Thread rule: one thread at a time.
class ChatSession {
 public:
  struct Options {
    GenerateOptions generate;
    std::string system;  // said first in each topic; may be empty
  };
  // Told of what the model says, piece by piece, and of what commands say, line by line.
  using Write = std::function<void(std::string_view)>;

  // Begins with the topic "main".
  [[nodiscard]] static Result<ChatSession> open(Model model, Options options, Write write);

  // A command ("/topic garden") or a turn of the current topic, which is answered. `cancel` stops the answer, and what
  // was said of it stays. An error changes nothing but what it says.
  [[nodiscard]] Result<void> take(const std::string& line, const std::stop_token& cancel);
  [[nodiscard]] bool left() const noexcept { return left_; }

  // "main: 212 tokens, 5.1 MB"
  [[nodiscard]] std::string status() const;
  // What was said, as a conversation with topics that `bulkhead run` reads (docs/conversation-formats.md).
  [[nodiscard]] Json conversation() const;

 private:
  // What an undo goes back to.
  struct Turn {
    std::uint64_t tokens_before = 0;
    std::size_t said_before = 0;
  };
  struct Said {
    std::uint64_t order = 0;  // among all topics
    std::string role;
    std::string content;
  };
  struct Topic {
    Partition partition;
    std::vector<Turn> turns = {};
    std::vector<Said> said = {};
  };
  struct Command;

  ChatSession(Model model, Options options, Write write);
  [[nodiscard]] static const std::vector<Command>& commands();
  [[nodiscard]] Topic& current() { return topics_.at(current_); }
  Topic& add_topic(const std::string& name, Partition partition);
  void say(Topic& topic, std::string role, std::string content);
  [[nodiscard]] Result<void> answer(const std::string& words, const std::stop_token& cancel);
  [[nodiscard]] Result<void> append(const std::string& role, const std::string& words, const std::stop_token& cancel);

  [[nodiscard]] Result<void> help();
  [[nodiscard]] Result<void> go_to(const std::string& name);
  [[nodiscard]] Result<void> list();
  [[nodiscard]] Result<void> fork(const std::string& name);
  [[nodiscard]] Result<void> undo();
  [[nodiscard]] Result<void> receive(const std::string& from);
  [[nodiscard]] Result<void> save(const std::string& path);

  Model model_;
  Options options_;
  Write write_;
  std::map<std::string, Topic> topics_;
  std::vector<std::string> order_;  // of the topics
  std::string current_;
  std::uint64_t said_ = 0;  // messages so far
  bool left_ = false;
};

}  // namespace bulkhead::cli
