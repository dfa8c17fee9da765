// SPDX-License-Identifier: MIT
// Reads the members of a request's body one by one. A member that nobody takes is a label, asks for what is done
// anyway, or is refused by name.
#pragma once

#include "base/json.h"
#include "serve/api_error.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::serve {

// 7 and 7.0; what 64 bits do not hold is none.
[[nodiscard]] std::optional<std::int64_t> whole_number(const Json& value);

// The first thing that is wrong is kept. `body` must outlive it.
class BodyReader {
 public:
  explicit BodyReader(const Json& body) : body_(body) {}

  [[nodiscard]] const std::optional<ApiError>& error() const { return error_; }
  void fail(std::string message, std::string_view param) {
    if (!error_) error_ = invalid_request(std::move(message), std::string(param));
  }

  // The member, if it is there and not null; from now on it is known.
  [[nodiscard]] const Json* take(std::string_view name) {
    known_.emplace(name);
    const auto found = body_.find(std::string(name));
    return found == body_.end() || found->is_null() ? nullptr : &*found;
  }

  void number(std::string_view name, float& into) {
    const auto* value = take(name);
    if (value == nullptr) return;
    if (!value->is_number()) return fail(fmt::format("'{}' must be a number", name), name);
    into = static_cast<float>(value->get<double>());
  }

  template <typename Number>
  void integer(std::string_view name, Number& into, std::int64_t low, std::int64_t high) {
    const auto* value = take(name);
    if (value == nullptr) return;
    const auto read = whole_number(*value);
    if (!read || *read < low || *read > high) {
      return fail(fmt::format("'{}' must be a whole number from {} to {}", name, low, high), name);
    }
    into = static_cast<Number>(*read);
  }

  void boolean(std::string_view name, bool& into) {
    const auto* value = take(name);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(fmt::format("'{}' must be true or false", name), name);
    into = value->get<bool>();
  }

  void string(std::string_view name, std::string& into) {
    const auto* value = take(name);
    if (value == nullptr) return;
    if (!value->is_string()) return fail(fmt::format("'{}' must be a string", name), name);
    into = value->get<std::string>();
  }

  // Of the members that nobody took: the names of labels go into `labels`, what changes the answer fails.
  void judge_the_rest(std::vector<std::string>& labels);

 private:
  const Json& body_;
  std::set<std::string, std::less<>> known_;
  std::optional<ApiError> error_;
};

// A content part of type "output": there comes the text of a finished answer of another partition.
struct OutputPart {
  std::size_t message = 0;                 // of the chat
  std::size_t at = 0;                      // in its content, behind so many bytes of the client's own
  std::string partition = {};              // name or id
  std::optional<std::uint64_t> turn = {};  // none: the last answer
};

// A content is a string, or a list of parts of type "text"; where `outputs` is there also of type "output", of which
// only the place is known here, in message number `message`. What is wrong fails at `place`.
[[nodiscard]] std::string text_of_content(const Json& content, BodyReader& reader, const std::string& place,
                                          std::vector<OutputPart>* outputs = nullptr, std::size_t message = 0);

}  // namespace bulkhead::serve
