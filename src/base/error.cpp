// SPDX-License-Identifier: MIT
#include <bulkhead/error.h>
#include <bulkhead/version.h>

namespace bulkhead {

int exit_code(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInternal:
    case ErrorCode::kClosed: return 1;
    case ErrorCode::kUsage:
    case ErrorCode::kUnsupported: return 2;
    case ErrorCode::kBadInput: return 3;
    case ErrorCode::kCorrupt: return 4;
    case ErrorCode::kResource: return 5;
    case ErrorCode::kRemote: return 6;
    case ErrorCode::kInterference: return 7;
    case ErrorCode::kIncomplete: return 8;
    case ErrorCode::kInterrupted: return 130;
  }
  return 1;
}

std::string_view name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInternal: return "internal";
    case ErrorCode::kUsage: return "usage";
    case ErrorCode::kBadInput: return "bad_input";
    case ErrorCode::kCorrupt: return "corrupt";
    case ErrorCode::kResource: return "resource";
    case ErrorCode::kRemote: return "remote";
    case ErrorCode::kInterference: return "interference";
    case ErrorCode::kIncomplete: return "incomplete";
    case ErrorCode::kInterrupted: return "interrupted";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kClosed: return "closed";
  }
  return "internal";
}

std::string Error::to_string() const {
  std::string text;
  if (!place.empty()) text += place + ": ";
  text += message;
  if (!advice.empty()) text += " (" + advice + ")";
  return text;
}

std::string_view version() noexcept {
  return BULKHEAD_VERSION;
}

}  // namespace bulkhead
