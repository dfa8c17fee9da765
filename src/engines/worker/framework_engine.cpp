// SPDX-License-Identifier: MIT
#include "engines/worker/framework_engine.h"

#include "engine/clock.h"
#include "engine/json_fields.h"
#include "engine/model_options_json.h"
#include "engines/worker/remote_engine.h"
#include "measure/available_memory.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <utility>

namespace bulkhead::engines::worker {
namespace {

using engine::ForkResult;
using engine::OpenOptions;
using engine::SequenceId;
using engine::Snapshot;

// The one worker of a model: the same for all engines of it, and another one once that has failed. Any thread.
class SharedWorker {
 public:
  SharedWorker(ModelOptions options, WorkerCommand command, LoadedWorker first)
      : options_(std::move(options)),
        command_(std::move(command)),
        facts_(std::move(first.facts)),
        capabilities_(std::move(first.capabilities)),
        current_(std::move(first.worker)) {}

  // What it said of itself when it was loaded.
  [[nodiscard]] const engine::Facts& facts() const { return facts_; }
  [[nodiscard]] const std::set<std::string>& capabilities() const { return capabilities_; }

  [[nodiscard]] Result<std::shared_ptr<WorkerLink>> get() {
    const std::lock_guard lock(mutex_);
    if (!current_->alive()) {
      BH_TRY(auto loaded, load_worker(options_, command_));
      BH_CHECK(check_same_model(facts_, loaded.facts));
      current_ = std::move(loaded.worker);
    }
    return current_;
  }

  // Null when it has failed: no other is started.
  [[nodiscard]] std::shared_ptr<WorkerLink> running() {
    const std::lock_guard lock(mutex_);
    return current_->alive() ? current_ : nullptr;
  }

 private:
  ModelOptions options_;
  WorkerCommand command_;
  engine::Facts facts_;
  std::set<std::string> capabilities_;
  std::mutex mutex_;  // of what follows
  std::shared_ptr<WorkerLink> current_;
};

// The worker that engines of this model have already, else a new one.
Result<std::shared_ptr<SharedWorker>> worker_for(const ModelOptions& options, const WorkerCommand& command) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<SharedWorker>> known;
  const auto key =
      json_text(Json{engine::to_json(options), static_cast<int>(options.guard), command.arguments, command.variables});
  // Held while one loads: another engine of the same model waits for that, and does not load it too.
  const std::lock_guard lock(mutex);
  std::erase_if(known, [](const auto& one) { return one.second.expired(); });
  auto& entry = known[key];
  if (auto shared = entry.lock()) return shared;
  BH_TRY(auto first, load_worker(options, command));
  auto shared = std::make_shared<SharedWorker>(options, command, std::move(first));
  entry = shared;
  return shared;
}

class FrameworkEngine final : public RemoteEngine {
 public:
  FrameworkEngine(std::shared_ptr<SharedWorker> shared, std::unique_ptr<RemoteTokenizer> tokenizer, Grade grade,
                  std::string clock)
      : RemoteEngine(shared->facts(), shared->capabilities(), std::move(tokenizer), grade, std::move(clock)),
        shared_(std::move(shared)) {}
  // Where other engines need the worker, its sequences give their room back; else it ends, whatever it computes.
  ~FrameworkEngine() override {
    if (shared_.use_count() > 1) close_all();
  }
  FrameworkEngine(const FrameworkEngine&) = delete;
  FrameworkEngine& operator=(const FrameworkEngine&) = delete;

  [[nodiscard]] std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const override {
    return saturated_product(facts().kv_bytes_per_token, saturated_product(tokens_each, sequences));
  }
  [[nodiscard]] Result<engine::WorkerMemory> worker_memory() const override;
  [[nodiscard]] Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) override;
  [[nodiscard]] Result<SequenceId> open(const OpenOptions& options) override;
  [[nodiscard]] Result<ForkResult> fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) override;
  [[nodiscard]] Result<SequenceId> restore(const Snapshot& snapshot, const OpenOptions& options) override;

 private:
  [[nodiscard]] Result<SequenceId> begin(Json head, const OpenOptions& options, std::span<const std::byte> tail,
                                         std::optional<std::uint32_t> tokens = std::nullopt);

  std::shared_ptr<SharedWorker> shared_;
};

Result<engine::WorkerMemory> FrameworkEngine::worker_memory() const {
  const auto link = shared_->running();
  if (!link) return engine::WorkerMemory{};
  const auto told = link->call({{"do", "memory"}});
  // A worker installed before there was this request: a run is not lost for want of a figure.
  if (!told.ok() && told.error().code == ErrorCode::kUsage) return engine::WorkerMemory{1, 0, 0};
  BH_CHECK(told);
  return read_answer(*link, told.value(), [](const JsonView& ok) -> Result<engine::WorkerMemory> {
    BH_TRY(const auto resident, engine::number<std::uint64_t>(ok, "peak_rss_bytes"));
    BH_TRY(const auto device, engine::number<std::uint64_t>(ok, "peak_device_bytes"));
    return engine::WorkerMemory{1, resident, device};
  });
}

// Only checks: a cache gets its room with its first token.
Result<void> FrameworkEngine::reserve(std::uint32_t sequences, std::uint32_t tokens_each) {
  BH_CHECK(check_tokens(tokens_each));
  const auto needed = bytes_for(sequences, tokens_each);
  const auto available = measure::available_memory();
  if (needed <= available) return {};
  return Error{ErrorCode::kResource,
               fmt::format("{} sequences of {} tokens each need {} MiB, {} MiB are available", sequences, tokens_each,
                           needed >> 20U, available >> 20U),
               {},
               "use fewer or shorter sequences"};
}

Result<SequenceId> FrameworkEngine::begin(Json head, const OpenOptions& options, std::span<const std::byte> tail,
                                          std::optional<std::uint32_t> tokens) {
  BH_TRY(const auto link, shared_->get());
  BH_TRY(const auto made, link->call(with_options(std::move(head), options), tail));
  return keep(link, made, options, tokens);
}

Result<SequenceId> FrameworkEngine::open(const OpenOptions& options) {
  return begin({{"do", "open"}}, options, {}, 0);
}

Result<ForkResult> FrameworkEngine::fork(SequenceId source, std::uint32_t tokens, const OpenOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  BH_TRY(const auto* remote, find(source));
  BH_CHECK(check_idle(source));
  const auto link = remote->worker;
  ForkResult result;
  BH_TRY(const auto made,
         ask(source, with_options({{"do", "fork"}, {"tokens", tokens}}, options), {},
             [&](Frame& answer, const JsonView& ok) -> Result<Frame> {
               BH_TRY(result.reused_tokens, engine::number<std::uint32_t>(ok, "reused_tokens", 0, tokens));
               const std::int64_t rest = tokens - result.reused_tokens;
               BH_TRY(result.prefilled_tokens, engine::number<std::uint32_t>(ok, "prefilled_tokens", rest, rest));
               return std::move(answer);
             }));
  BH_TRY(result.sequence, keep(link, made, options, tokens));
  result.time = std::chrono::steady_clock::now() - start;
  return result;
}

Result<SequenceId> FrameworkEngine::restore(const Snapshot& snapshot, const OpenOptions& options) {
  return begin({{"do", "restore"}}, options, snapshot.bytes());
}

std::filesystem::path environment_folder() {
  if (const char* named = std::getenv("BULKHEAD_WORKERS"); named != nullptr && *named != '\0') return named;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return std::filesystem::path(cache) / "bulkhead" / "workers";
  }
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "." : home) / ".cache" / "bulkhead" / "workers";
}

Result<std::unique_ptr<engine::Engine>> make_in(std::string_view module, const ModelOptions& options) {
  BH_TRY(const auto command, framework_command(module));
  return make_framework_engine(options, command);
}

}  // namespace

Result<WorkerCommand> framework_command(std::string_view module) {
  const auto folder = environment_folder();
  const auto python = folder / "bin" / "python";
  std::error_code ignored;
  // .complete is written last: without it an installation is under way, or was broken off.
  if (!std::filesystem::exists(python, ignored) || !std::filesystem::exists(folder / ".complete", ignored)) {
    return Error{ErrorCode::kUsage, "the workers of other frameworks are not installed", folder.string(),
                 "run scripts/install_workers.sh, or let BULKHEAD_WORKERS name the folder where they are"};
  }
  WorkerCommand command;
  command.arguments = {python.string(), "-m", fmt::format("bulkhead_workers.{}", module)};
  command.variables = {{"OMP_WAIT_POLICY", "passive"}, {"TOKENIZERS_PARALLELISM", "false"}};
  // Python alone takes seconds to start where files are not cached.
  command.handshake = std::chrono::seconds(60);
  return command;
}

Result<std::unique_ptr<engine::Engine>> make_framework_engine(const ModelOptions& options,
                                                              const WorkerCommand& command) {
  if (options.grade != Grade::kBuffer) {
    return Error{ErrorCode::kUsage,
                 fmt::format("engine {} has no grade \"{}\"", options.engine, engine::name(options.grade)), "--grade",
                 "use buffer or process"};
  }
  BH_TRY(const auto clock, engine::clock_from(options.clock));
  auto timeless = options;  // the worker is shared whatever the time
  timeless.clock.clear();
  BH_TRY(auto shared, worker_for(timeless, command));
  BH_TRY(const auto link, shared->get());
  // Its engine keeps the worker. Were the tokenizer to do so too, nobody could tell how many engines there are.
  const auto another = [weak = std::weak_ptr(shared)]() -> Result<std::shared_ptr<WorkerLink>> {
    const auto kept = weak.lock();
    if (!kept) return Error{ErrorCode::kClosed, "the tokenizer's engine is gone", {}, {}};
    return kept->get();
  };
  BH_TRY(auto tokenizer, RemoteTokenizer::fetch(shared->facts().vocabulary, link, another, clock));
  return std::unique_ptr<engine::Engine>(std::make_unique<FrameworkEngine>(
      std::move(shared), std::move(tokenizer), options.leaky ? Grade::kClaimed : Grade::kBuffer, clock));
}

Result<std::unique_ptr<engine::Engine>> make_transformers_engine(const ModelOptions& options) {
  return make_in("transformers_worker", options);
}

Result<std::unique_ptr<engine::Engine>> make_mlx_engine(const ModelOptions& options) {
  return make_in("mlx_worker", options);
}

}  // namespace bulkhead::engines::worker
