// SPDX-License-Identifier: MIT
#include "vault/shelf.h"

#include "base/hash.h"
#include "store/plain_file.h"
#include "store/safe_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace bulkhead::vault {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMarker = "bulkhead-vault";
constexpr std::string_view kMarkerText = "bulkhead vault 1\n";
constexpr std::string_view kPieceMagic = "BHPIECE1";
constexpr std::string_view kPieceEncoding("\0\0\0\0\0\0\0\0", 8);  // u32 plain, u32 0

Error other_than(const fs::path& path, std::string_view wanted) {
  return {ErrorCode::kResource, fmt::format("is no {}", wanted), path.string(), "remove it, or name another folder"};
}

// kBadInput: nothing lies there; kResource: something else than a folder, a link to one included.
Result<void> check_folder(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    const int reason = errno;
    auto error = store::file_error("cannot open the folder", path, reason);
    if (reason == ENOENT || reason == ENOTDIR) error.code = ErrorCode::kBadInput;
    return error;
  }
  return S_ISDIR(status.st_mode) ? Result<void>() : other_than(path, "folder");
}

bool is_link(const fs::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
}

Result<void> make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return store::file_error("cannot make the folder", path, errno);
  }
  return check_folder(path);
}

Result<std::vector<HexName>> names_in(const fs::path& folder) {
  std::vector<HexName> names;
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
    if (auto name = HexName::from(entry->path().filename().string())) names.push_back(*std::move(name));
  }
  if (problem) return store::file_error("cannot list the folder", folder, problem.value());
  std::sort(names.begin(), names.end());
  return names;
}

Error misplaced(const fs::path& path, std::string_view what) {
  return {ErrorCode::kCorrupt, std::string(what), path.string(), "remove it: bulkhead cache rm"};
}

Error damaged_piece(const fs::path& path, std::string_view what) {
  return {ErrorCode::kCorrupt, fmt::format("a piece is damaged: {}", what), path.string(),
          "compute the partition from its tokens"};
}

}  // namespace

Result<Shelf> Shelf::open(const fs::path& folder) {
  if (const auto there = check_folder(folder); !there.ok()) {
    if (there.error().code != ErrorCode::kBadInput) return there.error();
    return Error{ErrorCode::kBadInput, "there is no vault", folder.string(), "name its folder with --cache-dir"};
  }
  const auto text = store::read_plain_file(folder / kMarker, 4096);
  if (!text.ok() && text.error().code == ErrorCode::kBadInput) {
    return Error{ErrorCode::kBadInput, "the folder is no vault", folder.string(), "name its folder with --cache-dir"};
  }
  if (!text.ok()) return text.error();
  if (text.value() != kMarkerText) {
    return Error{ErrorCode::kCorrupt, "the vault is of another version, or damaged", (folder / kMarker).string(),
                 "use the program that wrote it, or name another folder"};
  }
  BH_CHECK(check_folder(folder / "owners"));
  return Shelf(folder);
}

Result<Shelf> Shelf::create(const fs::path& folder) {
  std::error_code problem;
  if (folder.has_parent_path()) fs::create_directories(folder.parent_path(), problem);
  BH_CHECK(make_folder(folder));
  const bool marked = fs::exists(fs::symlink_status(folder / kMarker, problem));
  const std::array<std::string_view, 4> ours = {"lock", "aside", "owners", "index.sqlite"};
  for (fs::directory_iterator entry(folder, problem), end; !marked && !problem && entry != end;
       entry.increment(problem)) {
    const auto name = entry->path().filename().string();
    if (store::is_leftover(name) || std::find(ours.begin(), ours.end(), name) != ours.end()) continue;
    return Error{ErrorCode::kUsage, fmt::format("holds \"{}\", which is not a vault's", name), folder.string(),
                 "name an empty folder"};
  }
  for (const auto* name : {"owners", "aside"}) BH_CHECK(make_folder(folder / name));
  if (!marked) BH_CHECK(store::write_file_atomically(folder / kMarker, kMarkerText));
  return open(folder);
}

Result<std::vector<HexName>> Shelf::owners() const {
  BH_CHECK(check_folder(folder_ / "owners"));
  BH_TRY(auto owners, names_in(folder_ / "owners"));
  std::erase_if(owners, [&](const HexName& owner) {
    const auto whose = folder_ / "owners" / owner.text();
    return is_link(whose) || is_link(whose / "images") || is_link(whose / "pieces");
  });
  return owners;
}

Result<fs::path> Shelf::place_of(const HexName& owner, Kind kind) const {
  const auto whose = folder_ / "owners" / owner.text();
  auto place = whose / (kind == Kind::kImages ? "images" : "pieces");
  for (const auto& path : {folder_ / "owners", whose, place}) BH_CHECK(check_folder(path));
  return place;
}

Result<fs::path> Shelf::make_place(const HexName& owner, Kind kind) const {
  const auto whose = folder_ / "owners" / owner.text();
  for (const auto& path : {whose, whose / "images", whose / "pieces"}) BH_CHECK(make_folder(path));
  return place_of(owner, kind);
}

Result<std::vector<HexName>> Shelf::names(const HexName& owner, Kind kind) const {
  const auto place = place_of(owner, kind);
  if (!place.ok() && place.error().code == ErrorCode::kBadInput) return std::vector<HexName>();
  if (!place.ok()) return place.error();
  return names_in(place.value());
}

Result<std::string> Shelf::image_file(const HexName& owner, const HexName& name) const {
  BH_TRY(const auto place, place_of(owner, Kind::kImages));
  return store::read_plain_file(place / name.text(), kMostImageBytes);
}

Result<StoredImage> Shelf::image(const HexName& owner, const HexName& name) const {
  BH_TRY(const auto place, place_of(owner, Kind::kImages));
  BH_TRY(const auto bytes, store::read_plain_file(place / name.text(), kMostImageBytes));
  auto image = image_from(bytes);
  if (!image.ok()) {
    auto error = image.error();
    error.place = (place / name.text()).string();
    return error;
  }
  if (image->key.owner_name() != owner) return misplaced(place / name.text(), "the image is another owner's");
  if (image->key.name() != name) return misplaced(place / name.text(), "the image is not the one of its name");
  return image;
}

bool Shelf::has_size(const HexName& owner, const Piece& piece) const {
  const auto place = place_of(owner, Kind::kPieces);
  struct stat status {};
  if (!place.ok() || ::lstat((place.value() / piece.name.text()).c_str(), &status) != 0) return false;
  return S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) == piece.bytes + kPieceHeaderBytes;
}

Result<std::string> Shelf::piece(const HexName& owner, const Piece& piece, bool thoroughly) const {
  BH_TRY(const auto place, place_of(owner, Kind::kPieces));
  const auto path = place / piece.name.text();
  BH_TRY(const auto descriptor, store::open_plain_file(path, O_RDONLY));
  struct stat status {};
  const auto wanted = piece.bytes + kPieceHeaderBytes;
  if (::fstat(descriptor, &status) != 0 || static_cast<std::uint64_t>(status.st_size) != wanted) {
    ::close(descriptor);
    return damaged_piece(path, fmt::format("it has {} bytes, not {}", status.st_size, wanted));
  }
  std::string bytes(wanted, '\0');
  std::size_t done = 0;
  while (done < wanted) {
    const auto got = ::read(descriptor, bytes.data() + done, wanted - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  ::close(descriptor);
  if (done != wanted) return damaged_piece(path, "it cannot be read to its end");
  const auto header = std::string_view(bytes).substr(0, kPieceHeaderBytes);
  if (!header.starts_with(kPieceMagic) || !header.ends_with(kPieceEncoding)) {
    return damaged_piece(path, "it is none, or encoded in a way that this program does not know");
  }
  bytes.erase(0, kPieceHeaderBytes);
  if (xxh3_64(std::as_bytes(std::span(bytes))) != piece.hash) return damaged_piece(path, "its bytes are others");
  if (thoroughly && HexName::of(bytes) != piece.name) return damaged_piece(path, "its name is another's");
  return bytes;
}

Result<void> Shelf::put(const HexName& owner, Kind kind, const HexName& name, std::span<const std::string_view> parts) {
  BH_TRY(const auto place, make_place(owner, kind));
  const auto aside = folder_ / "aside" / name.text();
  BH_CHECK(check_folder(folder_ / "aside"));
  static_cast<void>(::unlink(aside.c_str()));  // of a writer that was killed
  BH_CHECK(store::write_new_file(aside, parts));
  const auto path = place / name.text();
  if (::rename(aside.c_str(), path.c_str()) == 0) return {};
  const int error = errno;
  static_cast<void>(::unlink(aside.c_str()));
  return store::file_error("moving the finished file here failed", path, error);
}

Result<void> Shelf::write_image(const HexName& owner, const HexName& name, std::string_view bytes) {
  const std::array parts = {bytes};
  return put(owner, Kind::kImages, name, parts);
}

Result<void> Shelf::write_piece(const HexName& owner, const Piece& piece, std::span<const std::byte> bytes) {
  const std::array parts = {kPieceMagic, kPieceEncoding,
                            std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
  return put(owner, Kind::kPieces, piece.name, parts);
}

void Shelf::sync(const HexName& owner, Kind kind) const {
  if (const auto place = place_of(owner, kind); place.ok()) store::sync_directory(place.value());
}

Result<void> Shelf::remove(const HexName& owner, Kind kind, const HexName& name) {
  const auto place = place_of(owner, kind);
  if (!place.ok()) return place.error().code == ErrorCode::kBadInput ? Result<void>() : place.error();
  const auto path = place.value() / name.text();
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return store::file_error("cannot remove the file", path, errno);
}

std::uint64_t Shelf::clear_aside() {
  std::uint64_t removed = 0;
  const auto names = names_in(folder_ / "aside");
  if (!names.ok() || !check_folder(folder_ / "aside").ok()) return 0;
  for (const auto& name : names.value()) {
    if (::unlink((folder_ / "aside" / name.text()).c_str()) == 0) ++removed;
  }
  return removed;
}

}  // namespace bulkhead::vault
