// SPDX-License-Identifier: MIT
// Image files of a vault behind a right digest, which a forger can make too: what is read is written again as it was,
// names its own key, and asks for no more memory than lies in files.
#include "fuzz/input.h"

#include "base/hash.h"
#include "vault/books.h"
#include "vault/image.h"

#include <cstring>
#include <string>

namespace {

using namespace bulkhead;

std::string with_digest(std::string body) {
  const auto digest = xxh3_128(std::as_bytes(std::span(body)));
  return body.append(reinterpret_cast<const char*>(digest.data()), digest.size());
}

void look_at(const std::string& file) {
  const auto image = vault::image_from(file);
  if (!image.ok()) return;
  const auto again = vault::image_from(vault::image_bytes(image.value()));
  fuzz::require(again.ok() && again->key.name() == image->key.name() && again->pieces.size() == image->pieces.size());
  fuzz::require(!vault::repeats_too_much(image.value()));
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz::text(data, size);
  look_at(std::string(text));
  look_at(with_digest(std::string(text)));
  if (const auto books = vault::books_from(text); books.ok()) {
    const auto written = vault::books_text(books.value());
    fuzz::require(vault::books_from(written).ok());
  }
  return 0;
}
