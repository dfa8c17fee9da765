// SPDX-License-Identifier: MIT
// <bulkhead/c.h> over the C++ handles.
#include <bulkhead/c.h>

#include "api/c_json.h"
#include "engine/engine.h"

#include <bulkhead/embedder.h>
#include <bulkhead/model.h>
#include <bulkhead/version.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct bulkhead_error {
  bulkhead::Error error;
  std::string code;
};

struct bulkhead_model {
  bulkhead::Model model;
};

struct bulkhead_partition {
  bulkhead::Partition partition;
};

struct bulkhead_message {
  bulkhead::Message message;
};

struct bulkhead_cancel {
  std::stop_source source;
};

struct bulkhead_embedder {
  bulkhead::Embedder embedder;
};

namespace bulkhead {
namespace {

// What a call came to, for callers that know no exceptions.
template <typename Call>
bulkhead_error* guarded(const Call& call) noexcept {
  try {
    Result<void> done;
    try {
      done = call();
    } catch (const std::bad_alloc&) {
      done = Error{ErrorCode::kResource, "there is no memory left", {}, {}};
    } catch (const std::exception& failure) {
      done = Error{ErrorCode::kInternal, failure.what(), {}, {}};
    }
    if (done.ok()) return nullptr;
    return new bulkhead_error{done.error(), std::string(name(done.error().code))};
  } catch (...) {
    std::abort();  // no memory even for saying so
  }
}

Error missing(std::string_view what) {
  return {ErrorCode::kUsage, fmt::format("{} is NULL", what), std::string(what), {}};
}

std::string_view bytes(const char* data, std::size_t size) {
  return data == nullptr ? std::string_view() : std::string_view(data, size);
}

std::stop_token token_of(const bulkhead_cancel* cancel) {
  return cancel == nullptr ? std::stop_token() : cancel->source.get_token();
}

Result<void> give(std::string_view from, bulkhead_text* text) {
  auto* data = static_cast<char*>(std::malloc(from.size() + 1));
  if (data == nullptr) return Error{ErrorCode::kResource, "there is no memory left", {}, {}};
  std::memcpy(data, from.data(), from.size());
  data[from.size()] = '\0';
  *text = {data, from.size()};
  return {};
}

Result<void> generate(Model& model, std::span<bulkhead_partition* const> handles, std::string_view json,
                      bulkhead_on_token on_token, void* user, bulkhead_cancel* const* cancels, bulkhead_text* results) {
  BH_TRY(auto options, read_generate_options(json));
  if (options.size() == 1 && handles.size() != 1) options.resize(handles.size(), options.front());
  for (std::size_t i = 0; i < std::min(options.size(), handles.size()); ++i) {
    if (cancels != nullptr) options[i].cancel = token_of(cancels[i]);
    if (on_token == nullptr) continue;
    options[i].on_token = [=](const TokenEvent& event) {
      return on_token(user, i, event.token, event.index, event.piece.data(), event.piece.size()) == 0;
    };
  }
  std::vector<Partition*> partitions;
  for (auto* handle : handles) partitions.push_back(handle == nullptr ? nullptr : &handle->partition);
  Json all = Json::array();
  for (const auto& result : model.generate(partitions, options)) all.push_back(shown(result));
  return give(json_text(all), results);
}

}  // namespace
}  // namespace bulkhead

using bulkhead::bytes;
using bulkhead::give;
using bulkhead::guarded;
using bulkhead::json_text;
using bulkhead::missing;
using bulkhead::Result;
using bulkhead::token_of;

const char* bulkhead_error_code(const bulkhead_error* error) {
  return error == nullptr ? "" : error->code.c_str();
}

const char* bulkhead_error_message(const bulkhead_error* error) {
  return error == nullptr ? "" : error->error.message.c_str();
}

const char* bulkhead_error_place(const bulkhead_error* error) {
  return error == nullptr ? "" : error->error.place.c_str();
}

const char* bulkhead_error_advice(const bulkhead_error* error) {
  return error == nullptr ? "" : error->error.advice.c_str();
}

int bulkhead_error_exit_code(const bulkhead_error* error) {
  return error == nullptr ? 0 : bulkhead::exit_code(error->error.code);
}

void bulkhead_error_free(bulkhead_error* error) {
  delete error;
}

void bulkhead_text_free(bulkhead_text* text) {
  if (text == nullptr) return;
  std::free(text->data);
  *text = {nullptr, 0};
}

const char* bulkhead_version() {
  return bulkhead::version().data();  // of a literal
}

bulkhead_cancel* bulkhead_cancel_new() {
  return new (std::nothrow) bulkhead_cancel;
}

void bulkhead_cancel_request(bulkhead_cancel* cancel) {
  if (cancel != nullptr) cancel->source.request_stop();
}

void bulkhead_cancel_free(bulkhead_cancel* cancel) {
  delete cancel;
}

bulkhead_error* bulkhead_model_load(const char* options, bulkhead_model** model) {
  return guarded([&]() -> Result<void> {
    if (options == nullptr) return missing("options");
    if (model == nullptr) return missing("model");
    BH_TRY(const auto read, bulkhead::read_model_options(options));
    BH_TRY(auto loaded, bulkhead::Model::load(read));
    *model = new bulkhead_model{std::move(loaded)};
    return {};
  });
}

bulkhead_error* bulkhead_model_info(const bulkhead_model* model, bulkhead_text* info) {
  return guarded([&]() -> Result<void> {
    if (model == nullptr) return missing("model");
    if (info == nullptr) return missing("info");
    return give(json_text({{"description", model->model.description()},
                           {"grade", bulkhead::engine::name(model->model.grade())}}),
                info);
  });
}

bulkhead_error* bulkhead_model_set_budget(bulkhead_model* model, const char* owner, const char* budget) {
  return guarded([&]() -> Result<void> {
    if (model == nullptr) return missing("model");
    if (owner == nullptr) return missing("owner");
    if (budget == nullptr) return missing("budget");
    BH_TRY(const auto read, bulkhead::read_budget(budget));
    return model->model.set_budget(owner, read);
  });
}

uint64_t bulkhead_model_park(bulkhead_model* model) {
  return model == nullptr ? 0 : model->model.park();
}

void bulkhead_model_free(bulkhead_model* model) {
  delete model;
}

bulkhead_error* bulkhead_model_generate(bulkhead_model* model, bulkhead_partition* const* partitions, size_t count,
                                        const char* options, bulkhead_on_token on_token, void* user,
                                        bulkhead_cancel* const* cancels, bulkhead_text* results) {
  return guarded([&]() -> Result<void> {
    if (model == nullptr) return missing("model");
    if (partitions == nullptr && count > 0) return missing("partitions");
    if (options == nullptr) return missing("options");
    if (results == nullptr) return missing("results");
    return bulkhead::generate(model->model, {partitions, count}, options, on_token, user, cancels, results);
  });
}

bulkhead_error* bulkhead_partition_open(bulkhead_model* model, const char* name, const char* options,
                                        bulkhead_partition** partition) {
  return guarded([&]() -> Result<void> {
    if (model == nullptr) return missing("model");
    if (name == nullptr) return missing("name");
    if (partition == nullptr) return missing("partition");
    BH_TRY(const auto read, bulkhead::read_partition_options(options == nullptr ? "{}" : options));
    BH_TRY(auto opened, model->model.open(name, read));
    *partition = new bulkhead_partition{std::move(opened)};
    return {};
  });
}

bulkhead_error* bulkhead_partition_prefill(bulkhead_partition* partition, const char* data, size_t size,
                                           bulkhead_cancel* cancel) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    return partition->partition.prefill(bytes(data, size), token_of(cancel));
  });
}

bulkhead_error* bulkhead_partition_receive(bulkhead_partition* partition, const bulkhead_message* message,
                                           bulkhead_cancel* cancel) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    if (message == nullptr) return missing("message");
    return partition->partition.receive(message->message, token_of(cancel));
  });
}

bulkhead_error* bulkhead_partition_chat(bulkhead_partition* partition, const char* role, const char* data, size_t size,
                                        bulkhead_cancel* cancel) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    if (role == nullptr) return missing("role");
    return partition->partition.chat(role, bytes(data, size), token_of(cancel));
  });
}

bulkhead_error* bulkhead_partition_truncate(bulkhead_partition* partition, uint64_t tokens) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    return partition->partition.truncate(tokens);
  });
}

bulkhead_error* bulkhead_partition_fork(const bulkhead_partition* partition, const char* name,
                                        bulkhead_partition** fork) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    if (name == nullptr) return missing("name");
    if (fork == nullptr) return missing("fork");
    BH_TRY(auto made, partition->partition.fork(name));
    *fork = new bulkhead_partition{std::move(made)};
    return {};
  });
}

bulkhead_error* bulkhead_partition_last_output(const bulkhead_partition* partition, const char* label,
                                               bulkhead_message** message) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    if (message == nullptr) return missing("message");
    BH_TRY(auto output, partition->partition.last_output(label == nullptr ? "" : label));
    *message = new bulkhead_message{std::move(output)};
    return {};
  });
}

bulkhead_error* bulkhead_partition_usage(const bulkhead_partition* partition, bulkhead_text* usage) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    if (usage == nullptr) return missing("usage");
    return give(json_text(bulkhead::shown(partition->partition.usage())), usage);
  });
}

bulkhead_error* bulkhead_partition_text(const bulkhead_partition* partition, bulkhead_text* text) {
  return guarded([&]() -> Result<void> {
    if (partition == nullptr) return missing("partition");
    if (text == nullptr) return missing("text");
    return give(partition->partition.text(), text);
  });
}

void bulkhead_partition_free(bulkhead_partition* partition) {
  delete partition;
}

bulkhead_error* bulkhead_message_show(const bulkhead_message* message, bulkhead_text* shown) {
  return guarded([&]() -> Result<void> {
    if (message == nullptr) return missing("message");
    if (shown == nullptr) return missing("shown");
    return give(json_text(bulkhead::shown(message->message)), shown);
  });
}

void bulkhead_message_free(bulkhead_message* message) {
  delete message;
}

bulkhead_error* bulkhead_embedder_load(const char* model, uint32_t threads, bulkhead_embedder** embedder) {
  return guarded([&]() -> Result<void> {
    if (model == nullptr) return missing("model");
    if (embedder == nullptr) return missing("embedder");
    BH_TRY(auto loaded, bulkhead::Embedder::load(model, threads));
    *embedder = new bulkhead_embedder{std::move(loaded)};
    return {};
  });
}

size_t bulkhead_embedder_dimensions(const bulkhead_embedder* embedder) {
  return embedder == nullptr ? 0 : embedder->embedder.dimensions();
}

bulkhead_error* bulkhead_embedder_embed(const bulkhead_embedder* embedder, const char* data, size_t size, float* values,
                                        size_t count) {
  return guarded([&]() -> Result<void> {
    if (embedder == nullptr) return missing("embedder");
    if (values == nullptr) return missing("values");
    if (count != embedder->embedder.dimensions()) {
      return bulkhead::Error{bulkhead::ErrorCode::kUsage,
                             fmt::format("a vector has {} numbers, not {}", embedder->embedder.dimensions(), count),
                             "count",
                             {}};
    }
    BH_TRY(const auto embedding, embedder->embedder.embed(bytes(data, size)));
    std::copy(embedding.values.begin(), embedding.values.end(), values);
    return {};
  });
}

void bulkhead_embedder_free(bulkhead_embedder* embedder) {
  delete embedder;
}
