// SPDX-License-Identifier: MIT
// What the readers of other people's formats share: turns with roles and topics become a scenario, and what cannot
// become a turn is noticed.
//
// Thread rule: plain values.
#pragma once

#include "base/json.h"
#include "dataset/dataset.h"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::dataset {

// A place on the first line of a document that is the line `number` of the file `name`: "name:1: x" to "name:7: x".
[[nodiscard]] std::string place_on_line(const std::string& place, const std::string& name, std::size_t number);

// The notices of one input.
class Notices {
 public:
  explicit Notices(std::string name) : name_(std::move(name)) {}

  // Of JSON lines: the line that is read from now on.
  void at_line(std::size_t number) noexcept { line_ = number; }
  void add(const JsonView& where, const std::string& conversation, int turn, std::string what);
  [[nodiscard]] std::vector<Notice>& list() noexcept { return list_; }

 private:
  std::string name_;
  std::size_t line_ = 1;
  std::vector<Notice> list_;
};

// `text` as an id: what an id cannot hold becomes "_", and 80 bytes are kept. Empty when no letter or digit is left.
[[nodiscard]] std::string plain_id(std::string_view text);

class ConversationBuilder {
 public:
  // Takes id ("id", "conversation_id", "custom_id": text or number; else "conversation-NUMBER") and "title" from
  // `object`; a list has neither. kBadInput when one of them has another type or is too long.
  [[nodiscard]] static Result<ConversationBuilder> open(const JsonView& object, std::size_t number, Notices& notices);

  // "a picture is left out": of the turn that the next add() makes.
  void leave_out(const JsonView& where, std::string_view what);

  // The same of something that belongs to no turn.
  void leave_out_of_all(const JsonView& where, std::string_view what);

  // The next turn. A blank text makes none: it is left out. The topic is that of the field "cluster" (text or number)
  // or "topic" of `message`. kBadInput: too long, too many turns or topics.
  [[nodiscard]] Result<void> add(const JsonView& message, std::string_view role, std::string text);

  // The conversation; without turns when no message had a text. kBadInput when only some messages name a topic. The
  // builder is empty afterwards.
  [[nodiscard]] Result<Conversation> finish();

 private:
  struct LeftOut {
    JsonView where;
    std::string what;
  };

  explicit ConversationBuilder(Notices& notices) : notices_(&notices) {}
  [[nodiscard]] Result<std::string> cluster_of(const JsonView& message);
  [[nodiscard]] Result<std::string> cluster_named(const JsonView& view, const std::string& name, std::string topic);
  void tell(int turn);

  Notices* notices_;
  conversation::Scenario scenario_;
  std::string topic_ = "conversation";
  std::map<std::string, std::size_t> cluster_of_name_;
  std::optional<JsonView> first_without_topic_;
  std::vector<LeftOut> left_out_;
};

}  // namespace bulkhead::dataset
