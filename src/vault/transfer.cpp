// SPDX-License-Identifier: MIT
#include "vault/transfer.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "store/plain_file.h"
#include "store/safe_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bulkhead::vault {
namespace {

constexpr std::string_view kExportMagic = "BHEXPRT1";
constexpr std::uint64_t kExportHeaderBytes = 16;

Error damaged_export(const std::filesystem::path& path, std::string_view what) {
  return {ErrorCode::kCorrupt, fmt::format("the export is damaged: {}", what), path.string(), "export it again"};
}

// A plain file that is read from its beginning, and never beyond what it had when it was opened.
class ExportFile {
 public:
  static Result<ExportFile> open(const std::filesystem::path& path) {
    BH_TRY(const int descriptor, store::open_plain_file(path, O_RDONLY));
    struct stat status {};
    if (::fstat(descriptor, &status) != 0) status.st_size = 0;
    return ExportFile(descriptor, static_cast<std::uint64_t>(status.st_size));
  }
  ExportFile(ExportFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)), left_(other.left_) {}
  ExportFile(const ExportFile&) = delete;
  ExportFile& operator=(const ExportFile&) = delete;
  ExportFile& operator=(ExportFile&&) = delete;
  ~ExportFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  [[nodiscard]] std::uint64_t left() const { return left_; }
  // Empty: there are not so many.
  [[nodiscard]] std::string take(std::uint64_t count) {
    if (count > left_) return {};
    std::string bytes(count, '\0');
    std::size_t done = 0;
    while (done < count) {
      const auto got = ::read(descriptor_, bytes.data() + done, count - done);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return {};
      done += static_cast<std::size_t>(got);
    }
    left_ -= count;
    return bytes;
  }

 private:
  ExportFile(int descriptor, std::uint64_t bytes) : descriptor_(descriptor), left_(bytes) {}
  int descriptor_;
  std::uint64_t left_;
};

Result<StoredImage> image_in(ExportFile& file, const std::filesystem::path& path) {
  const auto header = file.take(kExportHeaderBytes);
  if (!header.starts_with(kExportMagic)) return damaged_export(path, "it does not begin as one does");
  ByteReader reader(std::as_bytes(std::span(header)).subspan(kExportMagic.size()));
  const auto bytes = reader.number<std::uint64_t>();
  if (bytes > kMostImageBytes || bytes > file.left()) return damaged_export(path, "it is cut");
  auto image = image_from(file.take(bytes));
  if (image.ok()) return image;
  auto error = image.error();
  error.place = path.string();
  return error;
}

// The bytes of each piece of the image, those that are named again too.
Result<std::vector<std::string>> pieces_in_export(ExportFile& file, const StoredImage& image,
                                                  const std::filesystem::path& path) {
  std::map<HexName, std::string> once;
  std::vector<std::string> all;
  for (const auto& piece : image.pieces) {
    const auto found = once.find(piece.name);
    auto bytes = found != once.end() ? found->second : file.take(piece.bytes);
    if (bytes.size() != piece.bytes) return damaged_export(path, "it is cut");
    if (xxh3_64(std::as_bytes(std::span(bytes))) != piece.hash || HexName::of(bytes) != piece.name) {
      return damaged_export(path, "a piece has other bytes than its image says");
    }
    if (found == once.end()) once.emplace(piece.name, bytes);
    all.push_back(std::move(bytes));
  }
  if (file.left() != 0) return damaged_export(path, "there is more than its image says");
  return all;
}

}  // namespace

Result<void> export_image(const Shelf& shelf, const HexName& owner, const HexName& name,
                          const std::filesystem::path& path) {
  std::error_code problem;
  if (std::filesystem::exists(std::filesystem::symlink_status(path, problem))) {
    return Error{ErrorCode::kUsage, "there is something already", path.string(), "name a new file"};
  }
  BH_CHECK(verify(shelf, owner, name));
  BH_TRY(const auto bytes, shelf.image_file(owner, name));
  BH_TRY(const auto image, image_from(bytes));
  ByteWriter header;
  header.text(kExportMagic);
  header.number(std::uint64_t{bytes.size()});
  std::vector<std::string> pieces;
  std::set<HexName> seen;
  for (const auto& piece : image.pieces) {
    if (!seen.insert(piece.name).second) continue;
    BH_TRY(auto part, shelf.piece(owner, piece));
    pieces.push_back(std::move(part));
  }
  const auto begin = header.written();
  std::vector<std::string_view> parts = {{reinterpret_cast<const char*>(begin.data()), begin.size()}, bytes};
  parts.insert(parts.end(), pieces.begin(), pieces.end());
  auto aside = path;
  aside += fmt::format(".{}.tmp", ::getpid());
  BH_CHECK(store::write_new_file(aside, parts));
  auto moved = store::move_into_place(aside, path);
  if (!moved.ok()) static_cast<void>(::unlink(aside.c_str()));
  return moved;
}

Result<SavedImage> import_image(Vault& vault, const std::filesystem::path& path) {
  BH_TRY(auto file, ExportFile::open(path));
  BH_TRY(const auto image, image_in(file, path));
  BH_TRY(const auto pieces, pieces_in_export(file, image, path));
  std::vector<std::byte> snapshot = image.head;
  for (const auto& piece : pieces) {
    const auto bytes = std::as_bytes(std::span(piece));
    snapshot.insert(snapshot.end(), bytes.begin(), bytes.end());
  }
  snapshot.insert(snapshot.end(), image.tail.begin(), image.tail.end());
  BH_CHECK(check_cells(image, engine::Snapshot(std::move(snapshot))));
  return vault.adopt(image, pieces);
}

}  // namespace bulkhead::vault
