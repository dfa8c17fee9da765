// SPDX-License-Identifier: MIT
#include "models/known_sums.h"

#include "base/cache_folder.h"
#include "base/hash.h"
#include "base/json.h"
#include "store/safe_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::models {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kWorthKeeping = 1U << 20U;  // a smaller file is read as fast as a note
constexpr std::size_t kMostNotes = 512;
constexpr std::size_t kPiece = 1U << 20U;

class OpenFile {
 public:
  explicit OpenFile(const fs::path& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {}
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  [[nodiscard]] int get() const noexcept { return descriptor_; }
  [[nodiscard]] bool is_plain() const {
    struct stat status {};
    return ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
  }

 private:
  int descriptor_;
};

Error unreadable(const fs::path& path, int error) {
  return Error{ErrorCode::kResource, fmt::format("cannot read the file: {}", std::strerror(error)), path.string(), {}};
}

fs::path notes_folder() {
  return cache_folder() / "sums";
}

fs::path note_of(const FileIdentity& identity) {
  return notes_folder() / fmt::format("{:016x}.json", xxh3_64(std::as_bytes(std::span(identity))));
}

Result<KnownSum> read_note(const FileIdentity& identity) {
  const auto path = note_of(identity);
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return unreadable(path, ENOENT);
  BH_TRY(auto text, read_text_file(path.string(), 4096));
  BH_TRY(const auto document, JsonDocument::parse(std::move(text), path.string()));
  const JsonView root(document);
  // Two files may share a note's name, though nobody will see that happen.
  BH_TRY(const auto named, root.at("file"));
  BH_TRY(const auto file, named.string());
  if (file != json_text(Json(identity))) return unreadable(path, ENOENT);
  KnownSum sum;
  BH_TRY(const auto hex, root.at("sha256"));
  BH_TRY(sum.sha256, hex.string());
  BH_TRY(const auto verified, root.at("verified"));
  BH_TRY(sum.verified, verified.boolean());
  return sum;
}

// The newest stay.
void remove_old_notes() {
  std::vector<std::pair<fs::file_time_type, fs::path>> notes;
  std::error_code problem;
  for (fs::directory_iterator entry(notes_folder(), problem), end; !problem && entry != end; entry.increment(problem)) {
    std::error_code gone;
    notes.emplace_back(entry->last_write_time(gone), entry->path());
  }
  if (notes.size() <= kMostNotes) return;
  std::sort(notes.begin(), notes.end());
  for (std::size_t i = 0; i < notes.size() - kMostNotes; ++i) fs::remove(notes[i].second, problem);
}

void write_note(const FileIdentity& identity, const KnownSum& sum) {
  if (bytes_of(identity) < kWorthKeeping && !sum.verified) return;
  std::error_code problem;
  fs::create_directories(notes_folder(), problem);
  const Json json = {{"file", json_text(Json(identity))}, {"sha256", sum.sha256}, {"verified", sum.verified}};
  // Without the note the sum is computed again next time; that is all.
  if (store::write_file_atomically(note_of(identity), json_text(json) + "\n").ok()) remove_old_notes();
}

Result<std::string> read_all(int descriptor, const fs::path& path, const std::function<void(std::uint64_t)>& progress) {
  Sha256 sha256;
  std::vector<std::byte> piece(kPiece);
  std::uint64_t done = 0;
  for (;;) {
    const ssize_t got = ::read(descriptor, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(path, errno);
    if (got == 0) return sha256.hex();
    sha256.update(std::span(piece).first(static_cast<std::size_t>(got)));
    done += static_cast<std::uint64_t>(got);
    if (progress) progress(done);
  }
}

// A file system's clock goes by some milliseconds, and in one of its steps a file can be changed twice. Once the step
// in which the file was last changed is over, a change that comes after the file was read shows in its times.
void let_the_clock_step(const FileIdentity& identity) {
  constexpr std::chrono::milliseconds kStep{20};
  const auto changed = std::chrono::seconds(identity[5]) + std::chrono::nanoseconds(identity[6]);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  if (now >= changed && now - changed < kStep) std::this_thread::sleep_for(kStep);
}

}  // namespace

Result<KnownSum> sum_of_file(const fs::path& path, const std::function<void(std::uint64_t)>& progress) {
  const OpenFile file(path);
  if (file.get() < 0) return unreadable(path, errno);
  if (!file.is_plain()) return Error{ErrorCode::kResource, "is no plain file", path.string(), {}};
  if (const auto now = file_identity(file.get())) let_the_clock_step(*now);
  const auto before = file_identity(file.get());
  if (before) {
    if (auto known = read_note(*before); known.ok()) return known;
  }
  BH_TRY(auto sha256, read_all(file.get(), path, progress));
  KnownSum sum{std::move(sha256), false};
  // A file that is being written while it is read gets no note.
  if (before && before == file_identity(file.get())) write_note(*before, sum);
  return sum;
}

void keep_sum(const fs::path& path, const KnownSum& sum) {
  if (const auto identity = file_identity(path)) write_note(*identity, sum);
}

}  // namespace bulkhead::models
