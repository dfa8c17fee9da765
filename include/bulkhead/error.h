// SPDX-License-Identifier: MIT
// Errors as values: every fallible call of Bulkhead returns a Result<T>, never throws.
//
// Thread rule: all types here are plain values; distinct objects may be used from distinct threads.
#pragma once

#include <bulkhead/export.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace bulkhead {

// What went wrong, in the terms in which a program reports it (see exit_code()).
enum class ErrorCode {
  kInternal,      // a defect of Bulkhead
  kUsage,         // a flag, a value, an unknown format, model or condition name
  kBadInput,      // a scenario, format or configuration file that breaks its rules
  kCorrupt,       // a damaged or incompatible file, a wrong checksum
  kResource,      // memory, disk, lock, a context longer than the model allows
  kRemote,        // network, remote server or worker process
  kInterference,  // isolation was tested and refuted
  kIncomplete,    // a run or a gate did not finish
  kInterrupted,   // stopped by the user or by the caller's stop token
  kUnsupported,   // this engine or model cannot do it (see engine capabilities)
  kClosed,        // the sequence or partition was closed or poisoned by an earlier failure
};

// The process exit code that stands for `code`: 1 internal, 2 usage, 3 bad input, 4 corrupt, 5 resource,
// 6 remote, 7 interference, 8 incomplete, 130 interrupted.
[[nodiscard]] BULKHEAD_API int exit_code(ErrorCode code) noexcept;

// A short lower-case name of `code`, such as "bad_input". The view lives forever.
[[nodiscard]] BULKHEAD_API std::string_view name(ErrorCode code) noexcept;

// One failure: what happened, where, and what the reader can do about it.
struct BULKHEAD_API Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // what is wrong, with the value and the limit
  std::string place;    // file:line, field, partition or flag; may be empty
  std::string advice;   // what to do; may be empty

  // "place: message (advice)", without the parts that are empty.
  [[nodiscard]] std::string to_string() const;
};

// Either a T or an Error. Reading the side that is not there ends the program: that is a bug of the caller.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] T& value() & noexcept { return *checked(std::get_if<0>(&state_)); }
  [[nodiscard]] const T& value() const& noexcept { return *checked(std::get_if<0>(&state_)); }
  [[nodiscard]] T&& value() && noexcept { return std::move(*checked(std::get_if<0>(&state_))); }

  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*this).value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }

  [[nodiscard]] const Error& error() const& noexcept { return *checked(std::get_if<1>(&state_)); }
  [[nodiscard]] Error&& error() && noexcept { return std::move(*checked(std::get_if<1>(&state_))); }

 private:
  template <typename P>
  static P* checked(P* pointer) noexcept {
    if (pointer == nullptr) std::abort();
    return pointer;
  }

  std::variant<T, Error> state_;
};

// A Result that carries nothing on success: `return {};` or `return Error{...};`.
template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const noexcept { return error_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  [[nodiscard]] const Error& error() const& noexcept {
    const Error* error = std::get_if<1>(&error_);
    if (error == nullptr) std::abort();
    return *error;
  }

 private:
  std::variant<std::monostate, Error> error_;
};

}  // namespace bulkhead
