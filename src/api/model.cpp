// SPDX-License-Identifier: MIT
#include "api/handles.h"
#include "engines/builtin.h"
#include "models/model_files.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

namespace bulkhead {

double milliseconds(engine::Duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

Error moved_from(std::string_view what) {
  return {ErrorCode::kUsage, fmt::format("the {} was moved from", what), {}, "use the object it was moved to"};
}

engine::OpenOptions Model::Impl::engine_options(const PartitionOptions& options) const {
  const auto context = engine->facts().context_tokens;
  return {.capacity_tokens = options.capacity_tokens == 0 ? context : options.capacity_tokens, .owner = options.owner};
}

Result<void> Model::Impl::take_name(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (names_.insert(name).second) return {};
  return Error{ErrorCode::kUsage, fmt::format("a partition named \"{}\" is open already", name), name,
               "use another name"};
}

void Model::Impl::give_back_name(const std::string& name) {
  const std::lock_guard lock(mutex_);
  names_.erase(name);
}

Model::Model(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Result<Model> Model::load(const ModelOptions& options) {
  ModelOptions resolved = options;
  if (options.engine != "fake") {  // which has no file
    const auto environment = models::Environment::from_process();
    BH_TRY(const auto path, options.engine == "llama" ? models::find_model(options.path, environment)
                                                      : models::find_model_or_folder(options.path, environment));
    resolved.path = path.string();
  }
  BH_TRY(auto made, engines::builtin_engines().make(resolved));
  return Model(std::make_shared<Impl>(std::move(made)));
}

Result<Partition> Model::open(std::string name, const PartitionOptions& options) {
  if (!impl_) return moved_from("model");
  BH_CHECK(impl_->take_name(name));
  auto opened = partition::Partition::open(*impl_->engine, name, impl_->engine_options(options));
  if (!opened.ok()) {
    impl_->give_back_name(name);
    return opened.error();
  }
  return Partition(std::make_unique<Partition::Impl>(impl_, std::move(opened).value(), options));
}

Result<void> Model::set_budget(const std::string& owner, const OwnerBudget& budget) {
  if (!impl_) return moved_from("model");
  impl_->desk->set_budget(owner, {budget.kv_bytes, budget.partitions, budget.calls});
  return {};
}

std::vector<Result<Generation>> Model::generate(std::span<Partition* const> partitions,
                                                std::span<const GenerateOptions> options) {
  if (partitions.empty() || (options.size() != 1 && options.size() != partitions.size())) {
    const Error error{ErrorCode::kUsage,
                      fmt::format("{} partitions and {} options: give one for all or one for each", partitions.size(),
                                  options.size()),
                      "Model::generate",
                      {}};
    return {partitions.size(), error};
  }
  if (!impl_) return {partitions.size(), moved_from("model")};
  std::vector<partition::GenerateRequest> requests;
  std::set<Partition::Impl*> members;  // each locked once, in one order for all who do this
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const bool there = partitions[i] != nullptr && partitions[i]->impl_;
    if (there) members.insert(partitions[i]->impl_.get());
    requests.push_back({there ? &partitions[i]->impl_->partition : nullptr, options[options.size() == 1 ? 0 : i], {}});
  }
  std::vector<std::unique_lock<std::mutex>> locks;
  for (auto* member : members) locks.emplace_back(member->calls);
  const auto begin = std::chrono::steady_clock::now();
  const auto results = partition::generate(*impl_->engine, requests);
  const auto total = milliseconds(std::chrono::steady_clock::now() - begin);
  std::vector<Result<Generation>> generations;
  for (std::size_t i = 0; i < results.size(); ++i) {
    generations.push_back(results[i].ok() ? partitions[i]->impl_->finish(results[i], total)
                                          : Result<Generation>(results[i].error()));
  }
  return generations;
}

std::uint64_t Model::park() {
  return impl_ ? impl_->desk->park_all() : 0;
}

std::string Model::description() const {
  if (!impl_) return {};
  const auto& facts = impl_->engine->facts();
  return fmt::format("{} ({}, {} tokens of context) on {}", facts.model_name, facts.architecture, facts.context_tokens,
                     facts.engine);
}

Grade Model::grade() const noexcept {
  return impl_ ? impl_->engine->facts().grade : Grade::kClaimed;
}

}  // namespace bulkhead
