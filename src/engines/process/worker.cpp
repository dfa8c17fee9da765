// SPDX-License-Identifier: MIT
#include "engines/process/worker.h"

#include "base/console.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"
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

// Of requests that wait: the other side sends one after another.
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

// One that the engine has taken in.
struct Job {
  RequestId request = 0;
  bool generates = false;
};

// Two threads: one reads, and answers what may be asked at any time; the other computes, one request after another. A
// job is answered by the step that it ends in.
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
      cancel(id);
      return {};
    }
    const auto* engine = engine_.load();
    if (is_asked_any_time(what) && engine != nullptr) {
      answers_.answer(id, answer_any_time(what, frame, *engine));
      return {};
    }
    BH_TRY(const auto cancelled, view.boolean_or("cancelled", false));
    std::stop_source stop;
    if (cancelled) stop.request_stop();
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMostWaiting) return view.fail(fmt::format("more than {} requests wait", kMostWaiting));
    if (!stops_.emplace(id, std::move(stop)).second) return view.fail(fmt::format("request {} a second time", id));
    waiting_.push_back(std::move(frame));
    changed_.notify_all();
    return {};
  }

  void cancel(RequestId id) {
    auto stop = [&] {
      const std::lock_guard lock(mutex_);
      const auto found = stops_.find(id);
      return found != stops_.end() ? found->second : std::stop_source(std::nostopstate);
    }();
    stop.request_stop();
  }

  void perform(const Frame& frame) {
    // take() has read both.
    const auto id = engine::number<RequestId>(frame.view(), "id").value();
    const auto what = engine::text(frame.view(), "do").value();
    if (what != "job") return end(id, compute(what, frame));
    const auto taken = guarded(what, [&] { return take_in(id, frame); });
    if (!taken.ok()) end(id, taken.error());
  }

  void end(RequestId id, const Result<Answer>& result) {
    answers_.answer(id, result);
    const std::lock_guard lock(mutex_);
    stops_.erase(id);
  }

  Result<Answer> compute(const std::string& what, const Frame& frame) {
    if (what == "hello") return Answer{{{"protocol", kProtocolVersion}}, {}};
    if (what == "load") return load(frame);
    if (engine_.load() == nullptr) return not_loaded();
    if (what == "step") return guarded(what, [&] { return step(frame.view()); });
    return answer(what, frame, *owned_);
  }

  static Error not_loaded() { return {ErrorCode::kUsage, "no engine is loaded yet", {}, {}}; }

  Result<void> take_in(RequestId id, const Frame& frame) {
    if (engine_.load() == nullptr) return not_loaded();
    BH_TRY(auto job, job_from(frame, *owned_));
    job.cancel = stop_of(id);
    const bool generates = job.generate.has_value();
    BH_TRY(const auto taken, owned_->submit(std::move(job)));
    jobs_[taken] = {id, generates};
    return {};
  }

  std::stop_token stop_of(RequestId id) {
    const std::lock_guard lock(mutex_);
    return stops_.at(id).get_token();
  }

  // An engine's step is one of all its jobs.
  Result<Answer> step(const JsonView& request) {
    BH_TRY(const auto limits, limits_from(request));
    BH_TRY(const auto named, engine::numbers<RequestId>(request, "jobs", 0, engine::kHighest<RequestId>));
    const bool all = std::all_of(jobs_.begin(), jobs_.end(), [&](const auto& job) {
      return std::find(named.begin(), named.end(), job.second.request) != named.end();
    });
    if (!all) return Error{ErrorCode::kUnsupported, "this engine lets no job stand still", "jobs", "name them all"};
    std::vector<engine::JobEvent> events;
    owned_->advance(limits, events);
    for (const auto& event : events) tell(event);
    return Answer{};
  }

  void tell(const engine::JobEvent& event) {
    const auto found = jobs_.find(event.job);
    if (found == jobs_.end()) return;
    const auto [request, generates] = found->second;
    if (const auto* part = std::get_if<engine::Prefilled>(&event.what)) {
      return answers_.send({{"id", request}, {"progress", {{"tokens", part->tokens}}}});
    }
    if (const auto* drawn = std::get_if<engine::Drawn>(&event.what)) {
      return answers_.send({{"id", request}, {"token", to_json(*drawn)}});
    }
    const auto& outcome = std::get<Result<engine::JobResult>>(event.what);
    end(request, outcome.ok() ? Result<Answer>(Answer{to_json(outcome.value(), generates), {}}) : outcome.error());
    jobs_.erase(found);
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
  std::map<engine::JobId, Job> jobs_;              // those that run; the computing thread's own
  std::mutex mutex_;                               // of what follows
  std::condition_variable changed_;
  std::deque<Frame> waiting_;
  std::map<RequestId, std::stop_source> stops_;
};

}  // namespace

void serve(int in, int out, const engine::Registry& registry) {
  Worker(in, out, registry).run();
}

}  // namespace bulkhead::engines::process
