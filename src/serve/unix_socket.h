// SPDX-License-Identifier: MIT
// The path of a Unix socket to listen on: what a server that was killed has left there goes, everything else stays.
#pragma once

#include "base/result.h"

#include <string>

namespace bulkhead::serve {

// Holds the folder of a path: servers that start or stop there do so one after the other.
class SocketFolder {
 public:
  // kResource: somebody else holds it, or there is no such folder.
  [[nodiscard]] static Result<SocketFolder> hold(const std::string& path);
  SocketFolder(SocketFolder&& other) noexcept;
  SocketFolder& operator=(SocketFolder&&) = delete;
  SocketFolder(const SocketFolder&) = delete;
  SocketFolder& operator=(const SocketFolder&) = delete;
  ~SocketFolder();

  // Nothing is at the path then. kResource: a server listens there; kBadInput: it is no socket.
  [[nodiscard]] Result<void> clear() const;

 private:
  SocketFolder(int folder, std::string path);
  int folder_;  // -1: moved from
  std::string path_;
};

}  // namespace bulkhead::serve
