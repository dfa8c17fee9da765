// SPDX-License-Identifier: MIT
// UTF-8 checks (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead {

// Byte offset of the first sequence that is not valid UTF-8, if any.
[[nodiscard]] std::optional<std::size_t> first_invalid_utf8(std::string_view text) noexcept;

// How many bytes at the end begin a character that is not finished yet (0 to 3). For text that arrives in pieces.
[[nodiscard]] std::size_t unfinished_utf8_tail(std::string_view text) noexcept;

// `text` with every invalid byte replaced by U+FFFD.
[[nodiscard]] std::string to_valid_utf8(std::string_view text);

// `bytes`, a path most of all, as valid UTF-8 from which unescape_bytes() makes the same bytes again: valid text stays
// as it is, an invalid byte 0xNN becomes the private character U+10FFNN. Those 128 characters themselves, which nobody
// uses, are written byte by byte in the same way.
[[nodiscard]] std::string escape_bytes(std::string_view bytes);
[[nodiscard]] std::string unescape_bytes(std::string_view text);

}  // namespace bulkhead
