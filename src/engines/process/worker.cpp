// SPDX-License-Identifier: MIT
#include "engines/process/worker.h"

#include "base/bytes.h"
#include "base/console.h"
#include "engine/model_options_json.h"
#include "engines/process/requests.h"
#include "engines/worker/frame.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::engines::process {
namespace {

using RequestId = std::uint64_t;
using worker::encode;
using worker::FrameReader;
using worker::kProtocolVersion;
using worker::to_json;

// The descriptor that answers go to. Any thread.
class Answers {
 public:
  explicit Answers(int out) : out_(out) {}

  void send(const Json& head, std::span<const std::byte> tail = {}) {
    const auto bytes = encode(head, tail);
    const std::lock_guard lock(mutex_);
    for (std::size_t done = 0; done < bytes.size();) {
      const auto wrote = ::write(out_, bytes.data() + done, bytes.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) std::_Exit(exit_code(ErrorCode::kRemote));  // nobody is there to hear more
      done += static_cast<std::size_t>(wrote);
    }
  }

  void answer(RequestId id, const Result<Frame>& result) {
    if (result.ok()) {
      send({{"id", id}, {"ok", result.value().head}}, result.value().tail);
    } else {
      send({{"id", id}, {"error", to_json(result.error())}});
    }
  }

 private:
  std::mutex mutex_;
  int out_;
};

// Two threads: one reads, and answers what may be asked at any time; the other computes, one request after another.
class Worker {
 public:
  Worker(int in, int out, const engine::Registry& registry) : in_(in), answers_(out), registry_(&registry) {}

  [[noreturn]] void run() {
    std::thread([this] { read_all(); }).detach();  // it ends with the process
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !waiting_.empty(); });
      const auto frame = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      perform(frame);
    }
  }

 private:
  void read_all() {
    FrameReader reader;
    std::array<std::byte, std::size_t{1} << 16U> buffer{};
    for (;;) {
      const auto got = ::read(in_, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) std::_Exit(0);  // the other side is gone or wants us to go
      reader.add(std::span(buffer).first(static_cast<std::size_t>(got)));
      for (;;) {
        auto frame = reader.next();
        if (!frame.ok()) give_up(frame.error());
        if (!frame.value()) break;
        try {
          take(std::move(*frame.value()));
        } catch (const Json::exception& error) {
          give_up({ErrorCode::kBadInput, error.what(), {}, {}});
        }
      }
    }
  }

  [[noreturn]] static void give_up(const Error& error) {
    console::say("bulkhead worker: {}", error.message);
    std::_Exit(exit_code(ErrorCode::kRemote));
  }

  void take(Frame frame) {
    const auto what = frame.head.value("do", "");
    const auto id = frame.head.value("id", RequestId{0});
    if (what == "cancel") return cancel(id, frame.head.value("request", std::size_t{0}));
    if (what == "go" || what == "stop") return decide(id, what == "go");
    const auto* engine = engine_.load();
    if (is_asked_any_time(what) && engine != nullptr) return answers_.answer(id, answer_any_time(what, frame, *engine));
    const std::lock_guard lock(mutex_);
    stops_[id] = stops_for(frame.head);
    waiting_.push_back(std::move(frame));
    changed_.notify_all();
  }

  // One for each generation that is asked for; for all other requests, one.
  static std::vector<std::stop_source> stops_for(const Json& head) {
    const auto parts = head.value("requests", Json::array());
    std::vector<std::stop_source> stops(std::max<std::size_t>(parts.size(), 1));
    if (head.value("cancelled", false)) stops[0].request_stop();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].value("cancelled", false)) stops[i].request_stop();
    }
    return stops;
  }

  void cancel(RequestId id, std::size_t part) {
    const auto stop = [&] {
      const std::lock_guard lock(mutex_);
      const auto found = stops_.find(id);
      const bool there = found != stops_.end() && part < found->second.size();
      return there ? found->second[part] : std::stop_source(std::nostopstate);
    }();
    stop.request_stop();
  }

  void decide(RequestId id, bool go_on) {
    const std::lock_guard lock(mutex_);
    decisions_[id].push_back(go_on);
    changed_.notify_all();
  }

  // Tells of a token; where the other side has a callback, waits for what that says.
  bool tell_token(RequestId id, std::size_t request, const TokenEvent& event, bool paced) {
    answers_.send({{"id", id}, {"token", {{"request", request}, {"token", event.token}, {"index", event.index}}}});
    if (!paced) return true;
    std::unique_lock lock(mutex_);
    auto& decisions = decisions_[id];
    changed_.wait(lock, [&] { return !decisions.empty(); });
    const bool go_on = decisions.front();
    decisions.pop_front();
    return go_on;
  }

  void perform(const Frame& frame) {
    const auto id = frame.head.value("id", RequestId{0});
    const auto what = frame.head.value("do", "");
    if (what == "hello") {
      answers_.answer(id, Frame{{{"protocol", kProtocolVersion}}, {}});
    } else if (what == "load") {
      answers_.answer(id, load(frame));
    } else if (engine_.load() == nullptr) {
      answers_.answer(id, Error{ErrorCode::kUsage, "no engine is loaded yet", {}, {}});
    } else {
      const Asked asked{
          frame, cancels_of(id),
          [this, id, paced = frame.head.value("paced", false)](std::size_t request, const TokenEvent& event) {
            return tell_token(id, request, event, paced);
          },
          [this, id](std::uint32_t tokens) {
            answers_.send({{"id", id}, {"progress", {{"tokens", tokens}}}});
          }};
      answers_.answer(id, answer(what, asked, *owned_));
    }
    const std::lock_guard lock(mutex_);
    stops_.erase(id);
    decisions_.erase(id);
  }

  std::vector<std::stop_token> cancels_of(RequestId id) {
    const std::lock_guard lock(mutex_);
    std::vector<std::stop_token> cancels;
    for (const auto& stop : stops_[id]) cancels.push_back(stop.get_token());
    return cancels;
  }

  Result<Frame> load(const Frame& frame) {
    if (owned_ != nullptr) return Error{ErrorCode::kUsage, "an engine is loaded already", {}, {}};
    try {
      const auto options = engine::model_options_from(frame.head.at("options"));
      BH_TRY(owned_, registry_->make(options));
    } catch (const Json::exception& error) {
      return Error{ErrorCode::kBadInput, fmt::format("a load request of another form: {}", error.what()), {}, {}};
    } catch (const std::exception& error) {
      return Error{ErrorCode::kInternal, error.what(), {}, {}};
    }
    engine_.store(owned_.get());
    return describe(*owned_);
  }

  int in_;
  Answers answers_;
  const engine::Registry* registry_;
  std::unique_ptr<engine::Engine> owned_;
  std::atomic<engine::Engine*> engine_ = nullptr;  // owned_, once it is loaded
  std::mutex mutex_;                               // of what follows
  std::condition_variable changed_;
  std::deque<Frame> waiting_;
  std::map<RequestId, std::vector<std::stop_source>> stops_;
  std::map<RequestId, std::deque<bool>> decisions_;
};

}  // namespace

void serve(int in, int out, const engine::Registry& registry) {
  Worker(in, out, registry).run();
}

}  // namespace bulkhead::engines::process
