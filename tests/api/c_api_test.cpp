// SPDX-License-Identifier: MIT
// <bulkhead/c.h>: the same as the C++ classes, and errors for whatever C may hand over.
#include "api/public_surface.h"
#include "base/json.h"

#include <bulkhead/c.h>

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::testing {
namespace {

constexpr const char* kFake = R"({"path": "", "engine": "fake", "context_tokens": 256})";

std::string taken(bulkhead_text text) {
  std::string copy(text.data, text.size);
  bulkhead_text_free(&text);
  EXPECT_EQ(text.data, nullptr);
  return copy;
}

// "code: place", and frees it; "" where there is none.
std::string told(bulkhead_error* error) {
  if (error == nullptr) return {};
  auto text = fmt::format("{}: {}", bulkhead_error_code(error), bulkhead_error_place(error));
  EXPECT_NE(std::string(bulkhead_error_message(error)), "");
  EXPECT_GT(bulkhead_error_exit_code(error), 0);
  bulkhead_error_free(error);
  return text;
}

Json parsed(const std::string& text) {
  auto json = parse_json(text);
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? std::move(json).value() : Json();
}

class CApi : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(told(bulkhead_model_load(kFake, &model_)), ""); }
  void TearDown() override { bulkhead_model_free(model_); }

  bulkhead_partition* open(const char* name) {
    bulkhead_partition* partition = nullptr;
    EXPECT_EQ(told(bulkhead_partition_open(model_, name, nullptr, &partition)), "");
    return partition;
  }
  static void prefill(bulkhead_partition* partition, std::string_view text) {
    EXPECT_EQ(told(bulkhead_partition_prefill(partition, text.data(), text.size(), nullptr)), "");
  }
  Json generate(bulkhead_partition* partition, const char* options, bulkhead_on_token on_token = nullptr,
                void* user = nullptr, bulkhead_cancel* cancel = nullptr) {
    bulkhead_text results = {};
    EXPECT_EQ(told(bulkhead_model_generate(model_, &partition, 1, options, on_token, user, &cancel, &results)), "");
    return parsed(taken(results)).at(0);
  }

  bulkhead_model* model_ = nullptr;
};

TEST_F(CApi, GivesWhatTheClassesGive) {
  const char* options = R"({"temperature": 0.8, "seed": 7, "max_tokens": 9, "ignore_end": true, "hash_logits": true})";
  auto* partition = open("here");
  prefill(partition, "the same text");
  const auto here = generate(partition, options).at("generation");
  BULKHEAD_LOAD(model, fake_kind());
  auto there = testing::open(model, "here");
  ASSERT_TRUE(there.prefill("the same text").ok());
  const auto expected = there.generate(
      {.sampling = {.temperature = 0.8F, .seed = 7}, .max_tokens = 9, .ignore_end = true, .hash_logits = true});
  ASSERT_TRUE(expected.ok());
  EXPECT_EQ(here.at("text"), expected->text);
  EXPECT_EQ(here.at("tokens"), Json(expected->tokens));
  EXPECT_EQ(here.at("finish"), "length");
  Json hashes = Json::array();
  for (const auto hash : expected->logit_hashes) hashes.push_back(fmt::format("{:016x}", hash));
  EXPECT_EQ(here.at("logit_hashes"), hashes);

  bulkhead_text usage = {};
  ASSERT_EQ(told(bulkhead_partition_usage(partition, &usage)), "");
  EXPECT_EQ(parsed(taken(usage)).at("token_sha256"), there.usage().token_sha256);
  bulkhead_text text = {};
  ASSERT_EQ(told(bulkhead_partition_text(partition, &text)), "");
  EXPECT_EQ(taken(text), there.text());
  bulkhead_partition_free(partition);
}

TEST_F(CApi, MessagesForksAndTruncation) {
  auto* sender = open("sender");
  auto* reader = open("reader");
  bulkhead_message* message = nullptr;
  EXPECT_EQ(told(bulkhead_partition_last_output(sender, "A", &message)).substr(0, 9), "bad_input");
  EXPECT_EQ(message, nullptr);
  prefill(sender, "a report");
  const auto output = generate(sender, R"({"max_tokens": 4, "ignore_end": true})").at("generation");
  ASSERT_EQ(told(bulkhead_partition_last_output(sender, "A", &message)), "");
  bulkhead_text shown = {};
  ASSERT_EQ(told(bulkhead_message_show(message, &shown)), "");
  const auto document = parsed(taken(shown));
  EXPECT_EQ(document.at("text"), output.at("text"));
  EXPECT_EQ(document.at("from"), "sender");
  EXPECT_EQ(document.at("label"), "A");
  bulkhead_partition_free(sender);  // what it wrote stays
  ASSERT_EQ(told(bulkhead_partition_receive(reader, message, nullptr)), "");
  bulkhead_message_free(message);

  bulkhead_partition* fork = nullptr;
  ASSERT_EQ(told(bulkhead_partition_fork(reader, "fork", &fork)), "");
  ASSERT_EQ(told(bulkhead_partition_truncate(fork, 1)), "");
  EXPECT_EQ(told(bulkhead_partition_truncate(fork, 100)).substr(0, 9), "bad_input");
  bulkhead_text usage = {};
  ASSERT_EQ(told(bulkhead_partition_usage(fork, &usage)), "");
  EXPECT_EQ(parsed(taken(usage)).at("tokens"), 1);
  bulkhead_partition_free(fork);
  bulkhead_partition_free(reader);
}

TEST_F(CApi, ListenersStopAndCancelsAreEachTheirOwn) {
  auto* partition = open("stopped");
  prefill(partition, "text");
  const auto stop_behind_third = [](void* user, std::size_t which, std::int32_t, std::uint32_t index, const char* piece,
                                    std::size_t size) {
    static_cast<std::string*>(user)->append(piece, size);
    return which == 0 && index == 2 ? 1 : 0;
  };
  std::string heard;
  const char* options = R"({"max_tokens": 50, "ignore_end": true})";
  const auto stopped = generate(partition, options, stop_behind_third, &heard).at("generation");
  EXPECT_EQ(stopped.at("tokens").size(), 3U);
  EXPECT_EQ(stopped.at("finish"), "cancelled");
  EXPECT_EQ(heard, stopped.at("text").get<std::string>());

  auto* other = open("other");
  prefill(other, "text");
  auto* cancel = bulkhead_cancel_new();
  bulkhead_cancel_request(cancel);
  bulkhead_partition* both[] = {partition, other};
  bulkhead_cancel* cancels[] = {cancel, nullptr};
  bulkhead_text results = {};
  ASSERT_EQ(told(bulkhead_model_generate(model_, both, 2, options, nullptr, nullptr, cancels, &results)), "");
  const auto two = parsed(taken(results));
  EXPECT_EQ(two.at(0).at("generation").at("finish"), "cancelled");
  EXPECT_EQ(two.at(1).at("generation").at("tokens").size(), 50U);
  EXPECT_EQ(told(bulkhead_partition_prefill(partition, "more", 4, cancel)), "interrupted: ");
  bulkhead_cancel_free(cancel);
  bulkhead_partition_free(partition);
  bulkhead_partition_free(other);
}

TEST_F(CApi, WrongOptionsAreNamed) {
  auto* partition = open("wrong");
  prefill(partition, "text");
  struct Row {
    const char* options;
    const char* told;
  };
  for (const auto& row :
       {Row{"", "bad_input: options:1"}, Row{"{\"temprature\": 1}", "bad_input: options:1: temprature"},
        Row{"{\"max_tokens\": -1}", "bad_input: options:1: max_tokens"},
        Row{"{\"max_tokens\": 4294967296}", "bad_input: options:1: max_tokens"},
        Row{"{\"temperature\": 1e300}", "bad_input: options:1: temperature"},
        Row{"{\"stop\": \"x\"}", "bad_input: options:1: stop"},
        Row{"{\"logit_bias\": [{\"tok\": 1}]}", "bad_input: options:1: logit_bias[0].tok"},
        Row{"[7]", "bad_input: options:1: [0]"}, Row{nullptr, "usage: options"}}) {
    bulkhead_text results = {};
    EXPECT_EQ(told(bulkhead_model_generate(model_, &partition, 1, row.options, nullptr, nullptr, nullptr, &results)),
              row.told);
    EXPECT_EQ(results.data, nullptr);
  }
  bulkhead_model* model = nullptr;
  EXPECT_EQ(told(bulkhead_model_load("{\"grade\": \"walls\"}", &model)), "bad_input: options:1: grade");
  EXPECT_EQ(told(bulkhead_model_load("{\"isolation\": \"some\"}", &model)), "bad_input: options:1: isolation");
  EXPECT_EQ(told(bulkhead_model_load("{\"guard\": \"dog\"}", &model)), "bad_input: options:1: guard");
  EXPECT_EQ(told(bulkhead_model_load("{\"threads\": -1}", &model)), "bad_input: options:1: threads");
  EXPECT_EQ(told(bulkhead_model_load("{\"kernel\": \"stock\"}", &model)), "bad_input: options:1: kernel");
  EXPECT_EQ(told(bulkhead_model_load("{\"path\": 7}", &model)), "bad_input: options:1: path");
  EXPECT_EQ(told(bulkhead_model_load("{\"path\": \"no such model\"}", &model)).substr(0, 5), "usage");
  EXPECT_EQ(model, nullptr);
  EXPECT_EQ(told(bulkhead_model_set_budget(model_, "a", "{\"kv\": 1}")), "bad_input: budget:1: kv");
  EXPECT_EQ(told(bulkhead_model_set_budget(model_, "a", "{\"partitions\": 1}")), "");
  bulkhead_partition_free(partition);
}

TEST_F(CApi, NullIsAnErrorAndFreeingItIsNothing) {
  bulkhead_text text = {};
  bulkhead_partition* partition = nullptr;
  bulkhead_message* message = nullptr;
  EXPECT_EQ(told(bulkhead_model_load(nullptr, &model_)), "usage: options");
  EXPECT_EQ(told(bulkhead_model_load(kFake, nullptr)), "usage: model");
  EXPECT_EQ(told(bulkhead_model_info(nullptr, &text)), "usage: model");
  EXPECT_EQ(told(bulkhead_model_set_budget(nullptr, "", "{}")), "usage: model");
  EXPECT_EQ(told(bulkhead_model_generate(model_, nullptr, 1, "{}", nullptr, nullptr, nullptr, &text)),
            "usage: partitions");
  EXPECT_EQ(told(bulkhead_partition_open(nullptr, "name", nullptr, &partition)), "usage: model");
  EXPECT_EQ(told(bulkhead_partition_open(model_, nullptr, nullptr, &partition)), "usage: name");
  EXPECT_EQ(told(bulkhead_partition_prefill(nullptr, "x", 1, nullptr)), "usage: partition");
  EXPECT_EQ(told(bulkhead_partition_receive(nullptr, nullptr, nullptr)), "usage: partition");
  EXPECT_EQ(told(bulkhead_partition_chat(nullptr, "user", "x", 1, nullptr)), "usage: partition");
  EXPECT_EQ(told(bulkhead_partition_truncate(nullptr, 0)), "usage: partition");
  EXPECT_EQ(told(bulkhead_partition_fork(nullptr, "fork", &partition)), "usage: partition");
  EXPECT_EQ(told(bulkhead_partition_last_output(nullptr, "A", &message)), "usage: partition");
  EXPECT_EQ(told(bulkhead_partition_usage(nullptr, &text)), "usage: partition");
  EXPECT_EQ(told(bulkhead_partition_text(nullptr, &text)), "usage: partition");
  EXPECT_EQ(told(bulkhead_message_show(nullptr, &text)), "usage: message");
  EXPECT_EQ(told(bulkhead_embedder_load(nullptr, 0, nullptr)), "usage: model");
  EXPECT_EQ(told(bulkhead_embedder_embed(nullptr, "x", 1, nullptr, 0)), "usage: embedder");
  EXPECT_EQ(bulkhead_model_park(nullptr), 0U);
  EXPECT_EQ(bulkhead_embedder_dimensions(nullptr), 0U);
  EXPECT_STREQ(bulkhead_error_code(nullptr), "");
  bulkhead_error_free(nullptr);
  bulkhead_text_free(nullptr);
  bulkhead_cancel_request(nullptr);
  bulkhead_cancel_free(nullptr);
  bulkhead_model_free(nullptr);
  bulkhead_partition_free(nullptr);
  bulkhead_message_free(nullptr);
  bulkhead_embedder_free(nullptr);
  auto* empty = open("empty");
  EXPECT_EQ(told(bulkhead_partition_prefill(empty, nullptr, 0, nullptr)).substr(0, 9), "bad_input");
  EXPECT_EQ(told(bulkhead_partition_receive(empty, nullptr, nullptr)), "usage: message");
  bulkhead_partition_free(empty);
  EXPECT_STRNE(bulkhead_version(), "");
}

}  // namespace
}  // namespace bulkhead::testing
