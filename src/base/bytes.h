// SPDX-License-Identifier: MIT
// Plain values to bytes and back, for what is stored or sent: little-endian, no padding, independent of addresses.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace bulkhead {

static_assert(std::endian::native == std::endian::little, "stored numbers are defined as little-endian");

class ByteWriter {
 public:
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  void number(Number value) {
    list(std::span<const Number>(&value, 1));
  }
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  void list(std::span<const Number> values) {
    bytes(std::as_bytes(values));
  }
  void bytes(std::span<const std::byte> more) {
    if (more.empty()) return;
    const auto before = bytes_.size();
    bytes_.resize(before + more.size());
    std::memcpy(bytes_.data() + before, more.data(), more.size());
  }
  void text(std::string_view more) { bytes(std::as_bytes(std::span(more))); }

  [[nodiscard]] std::span<const std::byte> written() const { return bytes_; }
  [[nodiscard]] std::vector<std::byte> take() && { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

// Reads what a ByteWriter wrote. Never beyond the end: what is not there any more reads as zero or empty, and failed()
// is true from then on. The bytes must outlive the reader and the spans it gives.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : left_(bytes) {}

  template <typename Number>
    requires std::is_arithmetic_v<Number>
  [[nodiscard]] Number number() {
    Number value{};
    const auto found = bytes(sizeof(Number));
    if (!found.empty()) std::memcpy(&value, found.data(), sizeof(Number));
    return value;
  }
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  [[nodiscard]] std::vector<Number> list(std::size_t count) {
    if (count > left_.size() / sizeof(Number)) failed_ = true;
    std::vector<Number> values(failed_ ? 0 : count);
    const auto found = bytes(values.size() * sizeof(Number));
    if (!found.empty()) std::memcpy(values.data(), found.data(), found.size());
    return values;
  }
  [[nodiscard]] std::span<const std::byte> bytes(std::size_t count) {
    if (failed_ || count > left_.size()) {
      failed_ = true;
      return {};
    }
    const auto found = left_.first(count);
    left_ = left_.subspan(count);
    return found;
  }
  [[nodiscard]] std::string_view text(std::size_t count) {
    const auto found = bytes(count);
    return {reinterpret_cast<const char*>(found.data()), found.size()};
  }

  [[nodiscard]] std::size_t left() const { return left_.size(); }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::span<const std::byte> left_;
  bool failed_ = false;
};

}  // namespace bulkhead
