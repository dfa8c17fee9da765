// SPDX-License-Identifier: MIT
#include "serve/unix_socket.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <thread>
#include <utility>

namespace bulkhead::serve {
namespace {

Error cannot_use(const std::string& path, int reason) {
  return {ErrorCode::kResource, fmt::format("cannot listen there: {}", std::strerror(reason)), path, {}};
}

// What comes of connecting: 0, or why not.
Result<int> connected(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return cannot_use(path, ENAMETOOLONG);
  std::copy(path.begin(), path.end(), std::begin(address.sun_path));
  const int asked = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (asked < 0) return cannot_use(path, errno);
  ::fcntl(asked, F_SETFD, FD_CLOEXEC);
  ::fcntl(asked, F_SETFL, O_NONBLOCK);  // one whose queue is full lives
  const int failed = ::connect(asked, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int reason = failed == 0 ? 0 : errno;
  ::close(asked);
  return reason;
}

}  // namespace

SocketFolder::SocketFolder(int folder, std::string path) : folder_(folder), path_(std::move(path)) {}

SocketFolder::SocketFolder(SocketFolder&& other) noexcept
    : folder_(std::exchange(other.folder_, -1)), path_(std::move(other.path_)) {}

SocketFolder::~SocketFolder() {
  if (folder_ >= 0) ::close(folder_);
}

Result<SocketFolder> SocketFolder::hold(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  const int folder = ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return cannot_use(path, errno);
  SocketFolder held(folder, path);
  constexpr int kTries = 100;
  for (int i = 0; ::flock(folder, LOCK_EX | LOCK_NB) != 0; ++i) {
    if (i == kTries) return Error{ErrorCode::kResource, "another server is starting in the same folder", path, {}};
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return held;
}

Result<void> SocketFolder::clear() const {
  struct stat there {};
  if (::lstat(path_.c_str(), &there) != 0) return errno == ENOENT ? Result<void>() : cannot_use(path_, errno);
  if (!S_ISSOCK(there.st_mode)) {
    return Error{ErrorCode::kBadInput, "there is something that is no socket, and it stays", path_,
                 "take another path for --host"};
  }
  BH_TRY(const auto reason, connected(path_));
  if (reason == ECONNREFUSED) {  // nobody listens any more
    return ::unlink(path_.c_str()) == 0 || errno == ENOENT ? Result<void>() : cannot_use(path_, errno);
  }
  if (reason == 0 || reason == EAGAIN || reason == EINPROGRESS) {
    return Error{ErrorCode::kResource, "another server listens there", path_, "take another path for --host"};
  }
  return cannot_use(path_, reason);
}

}  // namespace bulkhead::serve
