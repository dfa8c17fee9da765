// SPDX-License-Identifier: MIT
#include "engines/llama/kernels/packed_file.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "engines/llama/kernels/parallel_for.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace bulkhead::engines::llama::kernels {
namespace {

// The file: matrices one after another, the index as JSON, and this.
struct Trailer {
  std::uint64_t index_bytes = 0;
  std::uint64_t index_digest = 0;
  std::array<char, 8> magic = {};
};
constexpr std::array<char, 8> kMagic = {'B', 'H', 'P', 'A', 'C', 'K', '1', '\n'};

constexpr std::uint64_t kPiece = std::uint64_t{4} << 20U;
constexpr std::uint64_t kMostIndexBytes = std::uint64_t{64} << 20U;
constexpr std::string_view kSuffix = ".packed";
constexpr std::string_view kUnfinished = ".unfinished-";
constexpr std::chrono::hours kAbandoned{24};  // no start takes that long

bool read_all(int descriptor, void* to, std::uint64_t bytes, std::uint64_t at) {
  auto* next = static_cast<char*>(to);
  while (bytes > 0) {
    const auto got = ::pread(descriptor, next, bytes, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    next += got;
    at += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::uint64_t>(got);
  }
  return true;
}

bool write_all(int descriptor, const void* from, std::uint64_t bytes, std::uint64_t at) {
  const auto* next = static_cast<const char*>(from);
  while (bytes > 0) {
    const auto put = ::pwrite(descriptor, next, bytes, static_cast<off_t>(at));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    next += put;
    at += static_cast<std::uint64_t>(put);
    bytes -= static_cast<std::uint64_t>(put);
  }
  return true;
}

// The plain file `path`, -1 when there is none: no symbolic link is followed, and no FIFO waited for.
int open_plain(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (descriptor < 0) return -1;
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) return descriptor;
  ::close(descriptor);
  return -1;
}

// The file `path`, empty and ours alone until it is closed; -1 when another process writes it, or it cannot be made.
int locked_empty_file(const std::filesystem::path& path) {
  const int descriptor = open_plain(path, O_RDWR | O_CREAT);
  if (descriptor < 0) return -1;
  struct stat locked {};
  struct stat named {};
  // Whoever had the lock may have given this very file another name since: then it is not ours to write.
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && ::fstat(descriptor, &locked) == 0 &&
      ::lstat(path.c_str(), &named) == 0 && locked.st_ino == named.st_ino && ::ftruncate(descriptor, 0) == 0) {
    return descriptor;
  }
  ::close(descriptor);
  return -1;
}

std::uint64_t digest_of(const void* bytes, std::uint64_t size) {
  return xxh3_64({static_cast<const std::byte*>(bytes), static_cast<std::size_t>(size)});
}

std::int64_t pieces_of(std::uint64_t bytes) {
  return static_cast<std::int64_t>((bytes + kPiece - 1) / kPiece);
}

std::uint64_t piece_bytes(std::uint64_t bytes, std::uint64_t begin) {
  return std::min(kPiece, bytes - begin);
}

// What packing makes of fixed bytes in each format: another layout, another number, without anybody counting versions.
std::uint64_t layout_fingerprint() {
  static const std::uint64_t fingerprint = [] {
    std::uint64_t all = 0;
    for (int format = 0; format < kFormats; ++format) {
      const MatrixShape shape{static_cast<WeightFormat>(format), 19, 512};
      std::vector<std::uint8_t> from(static_cast<std::size_t>(shape.rows) * row_bytes(shape));
      for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::uint8_t>(i * 167 + (i >> 8U));
      std::vector<std::uint8_t> room(packed_bytes(shape) + 63);
      auto* packed = room.data() + (64 - reinterpret_cast<std::uintptr_t>(room.data()) % 64) % 64;
      pack(shape, from.data(), packed, 1);
      const std::array<std::uint64_t, 2> chained = {all, digest_of(packed, packed_bytes(shape))};
      all = digest_of(chained.data(), sizeof(chained));
    }
    return all;
  }();
  return fingerprint;
}

// The index of the packed file behind `descriptor`, and where its matrices end; nothing when it is not whole.
std::optional<std::pair<Json, std::uint64_t>> read_index(int descriptor) {
  struct stat status {};
  Trailer trailer;
  if (::fstat(descriptor, &status) != 0 || status.st_size < static_cast<off_t>(sizeof(trailer))) return std::nullopt;
  const auto end = static_cast<std::uint64_t>(status.st_size) - sizeof(trailer);
  if (!read_all(descriptor, &trailer, sizeof(trailer), end) || trailer.magic != kMagic) return std::nullopt;
  if (trailer.index_bytes > std::min(end, kMostIndexBytes)) return std::nullopt;
  std::string text(trailer.index_bytes, '\0');
  const auto begin = end - trailer.index_bytes;
  if (!read_all(descriptor, text.data(), text.size(), begin)) return std::nullopt;
  if (digest_of(text.data(), text.size()) != trailer.index_digest) return std::nullopt;
  auto index = parse_json(text);
  if (!index.ok()) return std::nullopt;
  return std::pair(std::move(index).value(), begin);
}

// Left behind by a process that was killed.
bool is_abandoned(const std::filesystem::path& file) {
  std::error_code failed;
  const auto written = std::filesystem::last_write_time(file, failed);
  return !failed && std::filesystem::file_time_type::clock::now() - written > kAbandoned;
}

// Its model is gone or changed, or has just been packed anew.
bool is_stale(const std::filesystem::path& file, const std::filesystem::path& own_model) {
  const int descriptor = open_plain(file, O_RDONLY);
  if (descriptor < 0) return false;
  const auto found = read_index(descriptor);
  ::close(descriptor);
  if (!found) return true;
  try {
    const auto model = std::filesystem::path(unescape_bytes(found->first.at("model").get<std::string>()));
    return model == own_model || model_identity(model) != found->first.at("identity").get<ModelIdentity>();
  } catch (const Json::exception&) {
    return true;
  }
}

}  // namespace

PackedFile::PackedFile(std::filesystem::path folder, std::filesystem::path model, ModelIdentity identity)
    : folder_(std::move(folder)), model_(std::move(model)), identity_(std::move(identity)) {
  const auto named = fmt::format("{}|{}|{}", model_.string(), json_text(Json(identity_)), layout_fingerprint());
  file_ = folder_ / fmt::format("{}-{:016x}{}", model_.stem().string(), digest_of(named.data(), named.size()), kSuffix);
}

PackedFile::~PackedFile() {
  std::error_code ignored;
  if (state_ == State::kWriting) std::filesystem::remove(unfinished_, ignored);
  if (state_ == State::kDamaged) std::filesystem::remove(file_, ignored);
  // Last, since it gives the lock back.
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::unique_ptr<PackedFile> PackedFile::open(const std::filesystem::path& folder, const std::filesystem::path& model,
                                             std::uint64_t smallest) {
  std::error_code failed;
  // The parts of a split model are found by their names, which those that links lead to need not have.
  const bool split = files_of_model(model).size() > 1;
  const auto place = split ? std::filesystem::absolute(model, failed) : std::filesystem::canonical(model, failed);
  auto identity = failed ? std::nullopt : model_identity(place);
  if (!identity || bytes_of(*identity) < smallest) return nullptr;
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): the constructor is private
  std::unique_ptr<PackedFile> file(new PackedFile(folder, place, *std::move(identity)));
  if (file->begin_reading() || file->begin_writing()) return file;
  return nullptr;
}

bool PackedFile::begin_reading() {
  descriptor_ = open_plain(file_, O_RDONLY);
  if (descriptor_ < 0) return false;
  state_ = State::kReading;
  const auto found = read_index(descriptor_);
  try {
    if (found && found->first.at("identity").get<ModelIdentity>() == identity_) {
      end_ = found->second;
      for (const auto& entry : found->first.at("matrices")) {
        const MatrixShape shape{static_cast<WeightFormat>(entry.at("format").get<int>()), entry.at("rows"),
                                entry.at("k")};
        matrices_[entry.at("name")] = {shape, entry.at("offset"), entry.at("digests")};
      }
      return true;
    }
  } catch (const Json::exception&) {  // as if it were not there
  }
  ::close(std::exchange(descriptor_, -1));
  state_ = State::kDone;
  return false;
}

bool PackedFile::begin_writing() {
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  const auto space = std::filesystem::space(folder_, failed);
  // As much again must stay for others.
  if (failed || space.available < 2 * bytes_of(identity_)) return false;
  unfinished_ = folder_ / fmt::format("{}{}", kUnfinished, file_.filename().string());
  descriptor_ = locked_empty_file(unfinished_);
  if (descriptor_ < 0) return false;
  state_ = State::kWriting;
  return true;
}

bool PackedFile::read(std::string_view name, const MatrixShape& shape, std::uint8_t* to, int threads) {
  if (state_ != State::kReading) return false;
  const auto bytes = packed_bytes(shape);
  const auto found = matrices_.find(name);
  const bool fits = found != matrices_.end() && found->second.shape == shape && found->second.offset <= end_ &&
                    bytes <= end_ - found->second.offset &&
                    found->second.digests.size() == static_cast<std::size_t>(pieces_of(bytes));
  std::atomic<bool> right{fits};
  if (fits) {
    parallel_for(pieces_of(bytes), threads, [&](std::int64_t piece) {
      const auto begin = static_cast<std::uint64_t>(piece) * kPiece;
      const auto size = piece_bytes(bytes, begin);
      if (!read_all(descriptor_, to + begin, size, found->second.offset + begin) ||
          digest_of(to + begin, size) != found->second.digests[static_cast<std::size_t>(piece)]) {
        right = false;
      }
    });
  }
  if (right) return true;
  log::get().warn("{} is damaged or of another program: the weights are packed anew", file_.string());
  state_ = State::kDamaged;
  return false;
}

void PackedFile::keep(std::string_view name, const MatrixShape& shape, const std::uint8_t* packed, int threads) {
  if (state_ != State::kWriting) return;
  const auto bytes = packed_bytes(shape);
  Matrix matrix{shape, end_, std::vector<std::uint64_t>(static_cast<std::size_t>(pieces_of(bytes)))};
  std::atomic<int> failure{0};
  parallel_for(pieces_of(bytes), threads, [&](std::int64_t piece) {
    const auto begin = static_cast<std::uint64_t>(piece) * kPiece;
    const auto size = piece_bytes(bytes, begin);
    matrix.digests[static_cast<std::size_t>(piece)] = digest_of(packed + begin, size);
    errno = ENOSPC;  // what a write of no bytes at all means
    if (!write_all(descriptor_, packed + begin, size, matrix.offset + begin)) failure = errno;
  });
  if (failure != 0) return give_up(std::generic_category().message(failure));
  end_ += bytes;
  matrices_.insert_or_assign(std::string(name), std::move(matrix));
}

std::string PackedFile::index() const {
  Json matrices = Json::array();
  for (const auto& [name, matrix] : matrices_) {
    matrices.push_back({{"name", name},
                        {"format", static_cast<int>(matrix.shape.format)},
                        {"rows", matrix.shape.rows},
                        {"k", matrix.shape.k},
                        {"offset", matrix.offset},
                        {"digests", matrix.digests}});
  }
  return json_text(
      Json{{"model", escape_bytes(model_.string())}, {"identity", identity_}, {"matrices", std::move(matrices)}});
}

bool PackedFile::write_index() {
  const auto text = index();
  const Trailer trailer{text.size(), digest_of(text.data(), text.size()), kMagic};
  return write_all(descriptor_, text.data(), text.size(), end_) &&
         write_all(descriptor_, &trailer, sizeof(trailer), end_ + text.size());
}

bool PackedFile::finish() {
  const bool same = model_identity(model_) == identity_;
  if (state_ != State::kWriting) return same;
  if (!same || matrices_.empty()) {
    give_up({});
  } else if (!write_index() || ::rename(unfinished_.c_str(), file_.c_str()) != 0) {
    give_up(std::generic_category().message(errno));
  } else {
    state_ = State::kDone;
    remove_stale();
  }
  return same;
}

void PackedFile::give_up(std::string_view what) {
  if (!what.empty()) log::get().warn("packed weights are not kept in {}: {}", folder_.string(), what);
  std::error_code ignored;
  std::filesystem::remove(unfinished_, ignored);
  state_ = State::kDone;
}

void PackedFile::remove_stale() const {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, failed)) {
    const auto name = entry.path().filename().string();
    const bool goes = name.starts_with(kUnfinished)
                          ? is_abandoned(entry.path())
                          : name.ends_with(kSuffix) && entry.path() != file_ && is_stale(entry.path(), model_);
    if (goes) std::filesystem::remove(entry.path(), failed);
  }
}

}  // namespace bulkhead::engines::llama::kernels
