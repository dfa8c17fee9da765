// SPDX-License-Identifier: MIT
#include "engines/process/worker.h"

#include "base/console.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"
#include "engine/sampling_json.h"
#include "engines/process/requests.h"
#include "engines/worker/frame.h"
#include "measure/available_memory.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
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

// Of requests, or of words about one, that came before they were needed: the other side sends one after another.
constexpr std::size_t kMostWaiting = 1024;

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

  void answer(RequestId id, const Result<Answer>& result) {
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
    FrameReader reader("the request");
    // More than there is memory for is not begun.
    const worker::FrameLimits limits{.tail_bytes = measure::available_memory()};
    std::array<std::byte, std::size_t{1} << 16U> buffer{};
    try {
      for (;;) {
        const auto got = ::read(in_, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) std::_Exit(0);  // the other side is gone or wants us to go
        reader.add(std::span(buffer).first(static_cast<std::size_t>(got)));
        for (;;) {
          auto frame = reader.next(limits);
          if (!frame.ok()) give_up(frame.error());
          if (!frame.value()) break;
          if (const auto taken = take(std::move(*frame.value())); !taken.ok()) give_up(taken.error());
        }
      }
    } catch (const std::exception& error) {
      give_up({ErrorCode::kInternal, error.what(), {}, {}});
    }
  }

  [[noreturn]] static void give_up(const Error& error) {
    console::say("bulkhead worker: {}", error.to_string());
    std::_Exit(exit_code(ErrorCode::kRemote));
  }

  // A frame that cannot be attributed to a request is an error: there is nobody to answer.
  Result<void> take(Frame frame) {
    const auto view = frame.view();
    BH_TRY(const auto what, engine::text(view, "do"));
    BH_TRY(const auto id, engine::number<RequestId>(view, "id"));
    if (what == "cancel") {
      BH_TRY(const auto part, view.has("request") ? engine::number<std::size_t>(view, "request") : std::size_t{0});
      cancel(id, part);
      return {};
    }
    if (what == "go" || what == "stop") return decide(id, what == "go", view);
    const auto* engine = engine_.load();
    if (is_asked_any_time(what) && engine != nullptr) {
      answers_.answer(id, answer_any_time(what, frame, *engine));
      return {};
    }
    BH_TRY(auto stops, stops_for(view));
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostWaiting) return view.fail(fmt::format("more than {} requests wait", kMostWaiting));
    if (!stops_.emplace(id, std::move(stops)).second) return view.fail(fmt::format("request {} a second time", id));
    waiting_.push_back(std::move(frame));
    changed_.notify_all();
    return {};
  }

  // One for each generation that is asked for; for all other requests, one.
  static Result<std::vector<std::stop_source>> stops_for(const JsonView& request) {
    std::vector<JsonView> parts = {request};
    if (request.has("requests")) {
      BH_TRY(const auto list, request.at("requests"));
      BH_TRY(parts, list.items());
    }
    std::vector<std::stop_source> stops(std::max<std::size_t>(parts.size(), 1));
    for (std::size_t i = 0; i < parts.size(); ++i) {
      BH_TRY(const auto cancelled, parts[i].boolean_or("cancelled", false));
      if (cancelled) stops[i].request_stop();
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

  Result<void> decide(RequestId id, bool go_on, const JsonView& view) {
    const std::lock_guard lock(mutex_);
    if (!stops_.contains(id)) return {};  // it has ended
    auto& decisions = decisions_[id];
    if (decisions.size() >= kMostWaiting) return view.fail(fmt::format("more than {} words wait", kMostWaiting));
    decisions.push_back(go_on);
    changed_.notify_all();
    return {};
  }

  // Tells of a token; where the other side has a callback, waits for what that says.
  bool tell_token(RequestId id, std::size_t request, const TokenEvent& event, bool paced) {
    Json told = {{"request", request}, {"token", event.token}, {"index", event.index}};
    if (event.logprobs != nullptr) told["logprobs"] = engine::to_json(*event.logprobs);
    answers_.send({{"id", id}, {"token", std::move(told)}});
    if (!paced) return true;
    std::unique_lock lock(mutex_);
    auto& decisions = decisions_[id];
    changed_.wait(lock, [&] { return !decisions.empty(); });
    const bool go_on = decisions.front();
    decisions.pop_front();
    return go_on;
  }

  void perform(const Frame& frame) {
    // take() has read both.
    const auto id = engine::number<RequestId>(frame.view(), "id").value();
    const auto what = engine::text(frame.view(), "do").value();
    answers_.answer(id, compute(id, what, frame));
    const std::lock_guard lock(mutex_);
    stops_.erase(id);
    decisions_.erase(id);
  }

  Result<Answer> compute(RequestId id, const std::string& what, const Frame& frame) {
    if (what == "hello") return Answer{{{"protocol", kProtocolVersion}}, {}};
    if (what == "load") return load(frame);
    if (engine_.load() == nullptr) return Error{ErrorCode::kUsage, "no engine is loaded yet", {}, {}};
    BH_TRY(const auto paced, frame.view().boolean_or("paced", false));
    const Asked asked{frame, cancels_of(id),
                      [this, id, paced](std::size_t request, const TokenEvent& event) {
                        return tell_token(id, request, event, paced);
                      },
                      [this, id](std::uint32_t tokens) {
                        answers_.send({{"id", id}, {"progress", {{"tokens", tokens}}}});
                      }};
    return answer(what, asked, *owned_);
  }

  std::vector<std::stop_token> cancels_of(RequestId id) {
    const std::lock_guard lock(mutex_);
    std::vector<std::stop_token> cancels;
    for (const auto& stop : stops_[id]) cancels.push_back(stop.get_token());
    return cancels;
  }

  Result<Answer> load(const Frame& frame) {
    if (owned_ != nullptr) return Error{ErrorCode::kUsage, "an engine is loaded already", {}, {}};
    BH_TRY(const auto told, frame.view().at("options"));
    BH_TRY(const auto options, engine::model_options_from(told));
    try {
      BH_TRY(owned_, registry_->make(options));
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
