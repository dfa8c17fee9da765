// SPDX-License-Identifier: MIT
// Message: the only thing that crosses from one partition into another.
#pragma once

#include <bulkhead/export.h>

#include <cstdint>
#include <string>
#include <utility>

namespace bulkhead {

// The finished output of one partition, as text with its provenance. It holds no tokens, no cache and no reference
// to the sender, so nothing but these bytes can pass. Only a finished generation can make one.
class BULKHEAD_API Message {
 public:
  // The bytes that cross.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  // Name of the partition that wrote it.
  [[nodiscard]] const std::string& from() const noexcept { return from_; }
  // Label of the output, such as "A"; may be empty.
  [[nodiscard]] const std::string& label() const noexcept { return label_; }
  // Lower-case hex SHA-256 of text(), taken when the output was finished.
  [[nodiscard]] const std::string& sha256() const noexcept { return sha256_; }

 private:
  friend class MessageAccess;  // src/partition: made from a finished generation
  Message(std::string text, std::string from, std::string label, std::string sha256)
      : text_(std::move(text)), from_(std::move(from)), label_(std::move(label)), sha256_(std::move(sha256)) {}

  std::string text_;
  std::string from_;
  std::string label_;
  std::string sha256_;
};

}  // namespace bulkhead
