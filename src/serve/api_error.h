// SPDX-License-Identifier: MIT
// What a client is told of a failure: an HTTP status and an object in OpenAI's form.
#pragma once

#include "base/json.h"
#include "base/result.h"

#include <optional>
#include <string>

namespace bulkhead::serve {

struct ApiError {
  int status = 500;
  std::string type = "server_error";  // as llama-server and OpenAI name it
  std::string message = {};
  std::string param = {};  // the field that is wrong; empty: none is
  Json more = {};          // further members of the error object
};

// What to answer for an error of the rooms below. What is the server's own matter is told without its place.
[[nodiscard]] ApiError api_error_of(const Error& error);

// The same for what an owner does with a partition by its name (serve/conversations.h).
[[nodiscard]] ApiError partition_error_of(const Error& error);

// {"error": {"code", "message", "type", "param"}}
[[nodiscard]] Json to_json(const ApiError& error);

[[nodiscard]] ApiError invalid_request(std::string message, std::string param = {});

// Either what was asked for, or what to answer instead.
template <typename T>
class Answer {
 public:
  Answer(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Answer(ApiError error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return value_.has_value(); }
  [[nodiscard]] T& value() { return value_.value(); }
  [[nodiscard]] const T& value() const { return value_.value(); }
  [[nodiscard]] const ApiError& error() const { return error_; }

 private:
  std::optional<T> value_;
  ApiError error_;
};

}  // namespace bulkhead::serve
