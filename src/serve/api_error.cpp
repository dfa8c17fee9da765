// SPDX-License-Identifier: MIT
#include "serve/api_error.h"

#include <utility>

namespace bulkhead::serve {

ApiError invalid_request(std::string message, std::string param) {
  return {.status = 400, .type = "invalid_request_error", .message = std::move(message), .param = std::move(param)};
}

ApiError api_error_of(const Error& error) {
  const auto text = error.advice.empty() ? error.message : error.message + " (" + error.advice + ")";
  switch (error.code) {
    case ErrorCode::kUsage:
    case ErrorCode::kBadInput:
    case ErrorCode::kUnsupported: return invalid_request(text);
    case ErrorCode::kResource:
      return {.status = 429, .type = "rate_limit_exceeded", .message = text, .more = {{"retry_after_seconds", 1}}};
    case ErrorCode::kClosed: return {.status = 409, .type = "conflict", .message = "the partition is gone"};
    case ErrorCode::kInterrupted: return {.status = 503, .type = "unavailable_error", .message = "stopped"};
    case ErrorCode::kRemote: return {.status = 502, .type = "server_error", .message = "a worker of the engine failed"};
    default: return {.status = 500, .type = "server_error", .message = "the server failed; its log says more"};
  }
}

ApiError partition_error_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage: return {.status = 404, .type = "not_found_error", .message = error.message};
    case ErrorCode::kClosed: return {.status = 409, .type = "conflict", .message = error.message};
    default: return api_error_of(error);
  }
}

Json to_json(const ApiError& error) {
  Json object = {{"code", error.status}, {"message", error.message}, {"type", error.type}};
  object["param"] = error.param.empty() ? Json(nullptr) : Json(error.param);
  if (error.more.is_object()) object.update(error.more);
  return {{"error", std::move(object)}};
}

}  // namespace bulkhead::serve
