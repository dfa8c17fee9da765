// SPDX-License-Identifier: MIT
#include "base/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

namespace bulkhead {

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  // Fails only without memory, and then nothing else works either.
  if (impl_->context == nullptr || EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr) != 1) std::abort();
}

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size());
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text)));
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  EVP_DigestFinal_ex(impl_->context, digest.data(), &length);
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(std::size_t{length} * 2);
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[digest[i] >> 4U];
    text += kDigits[digest[i] & 15U];
  }
  return text;
}

std::string sha256_hex(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.hex();
}

std::string sha256_of_tokens(std::span<const std::int32_t> tokens) {
  static_assert(std::endian::native == std::endian::little, "token hashes are defined on little-endian bytes");
  Sha256 hash;
  hash.update(std::as_bytes(tokens));
  return hash.hex();
}

namespace {

// Hands the file to `take` in pieces. False when reading failed.
bool read_in_pieces(std::istream& file, const std::function<void(std::string_view)>& take) {
  std::vector<char> buffer(std::size_t{1} << 20U);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    take(std::string_view(buffer.data(), static_cast<std::size_t>(file.gcount())));
  }
  return !file.bad();
}

}  // namespace

Result<std::string> sha256_of_file(const std::filesystem::path& path,
                                   const std::function<void(std::uint64_t)>& progress) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Error{ErrorCode::kResource, std::string("cannot read the file: ") + std::strerror(errno), path.string(), {}};
  }
  Sha256 hash;
  std::uint64_t done = 0;
  const auto take = [&](std::string_view piece) {
    hash.update(piece);
    done += piece.size();
    if (progress) progress(done);
  };
  if (!read_in_pieces(file, take)) return Error{ErrorCode::kResource, "reading the file failed", path.string(), {}};
  return hash.hex();
}

Result<std::uint64_t> xxh3_64_of_file(std::istream& file) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  if (state == nullptr || XXH3_64bits_reset(state.get()) != XXH_OK) std::abort();  // no memory for some 600 bytes
  file.clear();
  file.seekg(0);
  const bool read = file.good() && read_in_pieces(file, [&](std::string_view piece) {
                      XXH3_64bits_update(state.get(), piece.data(), piece.size());
                    });
  if (!read) return Error{ErrorCode::kResource, "reading the file failed", {}, {}};
  return std::uint64_t{XXH3_64bits_digest(state.get())};
}

std::uint64_t xxh3_64(std::span<const std::byte> bytes) noexcept {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::array<std::byte, 16> xxh3_128(std::span<const std::byte> bytes) noexcept {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return std::bit_cast<std::array<std::byte, 16>>(canonical.digest);
}

}  // namespace bulkhead
