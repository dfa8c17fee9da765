// SPDX-License-Identifier: MIT
// The packed matrices of one model, kept on disk: the next start reads them, which takes a fraction of packing them.
//
// A file holds for one model as it is (the place, size and times of change of all its files) and for the packed layout
// of this program; for another it is not read. A symbolic link or a FIFO in its place is passed over. Each piece is
// held to its XXH3-64, so a damaged or cut file costs time and no bit. It is a cache: nothing waits for the disk, and
// what cannot be written is not kept.
//
// Thread rule: one thread at a time. Processes may share a folder.
#pragma once

#include "base/file_identity.h"
#include "engines/llama/kernels/packed_matrix.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::engines::llama::kernels {

class PackedFile {
 public:
  // A smaller model is packed faster than its file is opened.
  static constexpr std::uint64_t kWorthKeeping = std::uint64_t{32} << 20U;

  // What `folder` has of `model`; if nothing, what is packed now is kept there. Null when neither is to be had: no such
  // model, one below `smallest` bytes, a folder without room for it, or another process that is keeping it just now.
  [[nodiscard]] static std::unique_ptr<PackedFile> open(const std::filesystem::path& folder,
                                                        const std::filesystem::path& model,
                                                        std::uint64_t smallest = kWorthKeeping);
  ~PackedFile();  // what was begun and not finished is removed
  PackedFile(const PackedFile&) = delete;
  PackedFile& operator=(const PackedFile&) = delete;

  // The matrix `name` into packed_bytes() at `to`. False when it is not there as it was written, or has another shape:
  // what is at `to` is then of no use, and the file goes when this object does.
  [[nodiscard]] bool read(std::string_view name, const MatrixShape& shape, std::uint8_t* to, int threads);
  // Writes the packed matrix, where a file was begun.
  void keep(std::string_view name, const MatrixShape& shape, const std::uint8_t* packed, int threads);
  // The model is loaded: what was begun gets its name, and files of this folder go whose model is gone or changed.
  // False when a file of the model is no longer the one that was there at open(): then what was read may be of another
  // model.
  [[nodiscard]] bool finish();

 private:
  struct Matrix {
    MatrixShape shape;
    std::uint64_t offset = 0;
    std::vector<std::uint64_t> digests;  // of its pieces
  };
  enum class State { kReading, kWriting, kDamaged, kDone };

  PackedFile(std::filesystem::path folder, std::filesystem::path model, ModelIdentity identity);
  [[nodiscard]] bool begin_reading();
  [[nodiscard]] bool begin_writing();
  [[nodiscard]] std::string index() const;
  [[nodiscard]] bool write_index();
  void give_up(std::string_view what);
  void remove_stale() const;

  std::filesystem::path folder_;
  std::filesystem::path model_;
  ModelIdentity identity_;
  std::filesystem::path file_;
  std::filesystem::path unfinished_;
  State state_ = State::kDone;
  int descriptor_ = -1;
  std::uint64_t end_ = 0;  // of the matrices
  std::map<std::string, Matrix, std::less<>> matrices_;
};

}  // namespace bulkhead::engines::llama::kernels
