// SPDX-License-Identifier: MIT
// One answer while it is generated: its text and its calls, as far as they may be sent.
#pragma once

#include "engine/tokenizer.h"
#include "serve/text_stream.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::serve {

// What is new of one call.
struct CallDelta {
  std::uint32_t index = 0;  // 0 is the first of this answer
  bool begins = false;      // then id and name are told
  std::string id = {};
  std::string name = {};
  std::string arguments = {};  // more of their JSON text
};

// What is new of an answer.
struct Delta {
  std::string text = {};
  std::vector<CallDelta> calls = {};
  [[nodiscard]] bool empty() const { return text.empty() && calls.empty(); }
};

class AnswerStream {
 public:
  // `reader`: of a chat with tools, else null. `new_id` names calls.
  AnswerStream(const std::vector<std::string>& stops, std::shared_ptr<const engine::AnswerReader> reader,
               std::function<std::string()> new_id);

  // The bytes of the next token; gives what may be sent now.
  [[nodiscard]] Delta append(std::string_view piece);
  // `text`: all of it, as the generation gave it. Gives what was not sent yet.
  [[nodiscard]] Delta finish(std::string_view text);
  // What was said, once it is finished.
  [[nodiscard]] const engine::AnswerParts& answer() const { return said_; }

 private:
  [[nodiscard]] Delta advance(const engine::AnswerParts& parts);

  TextStream plain_;
  std::shared_ptr<const engine::AnswerReader> reader_;
  std::function<std::string()> new_id_;
  std::string text_;          // that may be looked at
  engine::AnswerParts said_;  // that was sent
};

}  // namespace bulkhead::serve
