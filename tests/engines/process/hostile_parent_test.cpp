// SPDX-License-Identifier: MIT
// The worker's side: whatever it is sent, it answers with an error and goes on, or ends with code 6. It never crashes,
// and it never waits for what will not come.
#include "engines/worker/frame.h"
#include "paths.h"
#include "subprocess/child_process.h"
#include "temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::testing {
namespace {

using engines::worker::encode;
using engines::worker::Frame;
using engines::worker::FrameReader;
using ::testing::HasSubstr;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

const Json kOptions = {
    {"temperature", "0"},   {"top_k", 0},        {"top_p", "1"},    {"min_p", "0"},       {"repeat_penalty", "1"},
    {"repeat_last_n", 0},   {"seed", 1},         {"max_tokens", 2}, {"ignore_end", true}, {"stop_bytes", Json::array()},
    {"hash_logits", false}, {"speculate", false}};

const Json kModel = {
    {"path", ""},         {"engine", "fake"},   {"grade", "buffer"},       {"context_tokens", 0},
    {"threads", 0},       {"gpu_layers", 0},    {"flash_attention", true}, {"full_window_cache", false},
    {"kv_type_k", "f16"}, {"kv_type_v", "f16"}, {"kernels", "auto"},       {"isolation", "strict"}};

class HostileParent : public ::testing::Test {
 protected:
  void SetUp() override {
    auto child = subprocess::ChildProcess::start(
        {.arguments = {build_folder() + "/tests/bulkhead_evil_worker", "honest", (folder_ / "mark").string()},
         .variables = {},
         .append_output_to = {},
         .talks = true});
    ASSERT_TRUE(child.ok()) << child.error().to_string();
    child_.emplace(std::move(child).value());
  }

  void send_bytes(std::span<const std::byte> bytes) {
    // It may have ended by now.
    static_cast<void>(::send(child_->input.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }
  void send(const Json& head, std::string_view tail = {}) { send_bytes(encode(head, std::as_bytes(std::span(tail)))); }
  void send_json(std::string_view json) {
    auto bytes = encode(Json::object(), {});
    bytes.resize(16);
    const auto size = static_cast<std::uint32_t>(json.size());
    std::memcpy(bytes.data() + 4, &size, sizeof(size));
    const auto text = std::as_bytes(std::span(json));
    bytes.insert(bytes.end(), text.begin(), text.end());
    send_bytes(bytes);
  }

  // Nothing when it ended first.
  std::optional<Json> answer() {
    const auto deadline = Clock::now() + 60s;
    while (Clock::now() < deadline) {
      auto frame = reader_.next();
      if (!frame.ok()) return std::nullopt;
      if (frame.value()) return frame.value()->head.root();
      pollfd ready{child_->output.get(), POLLIN, 0};
      if (::poll(&ready, 1, 1000) <= 0) continue;
      std::array<std::byte, 4096> buffer{};
      const auto got = ::read(child_->output.get(), buffer.data(), buffer.size());
      if (got <= 0) return std::nullopt;
      reader_.add(std::span(buffer).first(static_cast<std::size_t>(got)));
    }
    ADD_FAILURE() << "no answer within a minute";
    return std::nullopt;
  }

  std::string code_of(const Json& request) {
    send(request);
    const auto told = answer();
    return told && told->contains("error") ? (*told)["error"]["code"].get<std::string>() : "none";
  }

  void load() {
    send({{"id", 1}, {"do", "load"}, {"options", kModel}});
    ASSERT_TRUE(answer().value_or(Json()).contains("ok"));
    send({{"id", 2}, {"do", "open"}, {"capacity_tokens", 64}});
    const auto opened = answer().value_or(Json());
    ASSERT_TRUE(opened.contains("ok"));
    sequence_ = opened["ok"]["sequence"];
  }

  void expect_it_ends_with_six() {
    const auto deadline = Clock::now() + 60s;
    while (!child_->exit_code() && Clock::now() < deadline) ::poll(nullptr, 0, 5);
    EXPECT_EQ(child_->exit_code(), 6);
  }

  TemporaryFolder folder_;
  std::optional<subprocess::ChildProcess> child_;
  FrameReader reader_{"answer"};
  Json sequence_;
};

TEST_F(HostileParent, GetsErrorsForRequestsOfAnotherForm) {
  load();
  std::uint64_t id = 10;
  const auto request = [&](Json fields) {
    fields["id"] = id++;
    if (!fields.contains("sequence")) fields["sequence"] = sequence_;
    return fields;
  };
  const Json list(10, 1);
  const auto generate = [&](std::string_view field, const Json& value) {
    auto changed = kOptions;
    changed[field] = value;
    return request({{"do", "job"}, {"tokens", Json::array()}, {"options", changed}});
  };
  const auto job = [&](const Json& tokens) {
    return request({{"do", "job"}, {"tokens", tokens}, {"options", nullptr}});
  };
  const auto step = [&](const Json& jobs) {
    return request({{"do", "step"}, {"jobs", jobs}, {"prefill_tokens", 9}, {"prefill_tokens_beside", 9}});
  };
  EXPECT_EQ(code_of(request({{"do", "job"}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "job"}, {"tokens", {1}}})), "bad_input") << "options may be null, not absent";
  EXPECT_EQ(code_of(job("x")), "bad_input");
  EXPECT_EQ(code_of(job({1, -1})), "bad_input");
  EXPECT_EQ(code_of(job({1, 100000})), "bad_input") << "outside the vocabulary";
  EXPECT_EQ(code_of(job({1, std::int64_t{1} << 40U})), "bad_input") << "would wrap";
  EXPECT_EQ(code_of(job({1.5})), "bad_input");
  EXPECT_EQ(code_of(job(Json::array())), "bad_input") << "nothing to do";
  EXPECT_EQ(code_of(job(Json(100, 1))), "resource") << "more than it has room for";
  EXPECT_EQ(code_of(request({{"do", "job"}, {"sequence", -1}, {"tokens", {1}}, {"options", nullptr}})), "bad_input");
  EXPECT_EQ(
      code_of(request({{"do", "job"}, {"sequence", std::int64_t{1} << 32U}, {"tokens", {1}}, {"options", nullptr}})),
      "bad_input");
  EXPECT_EQ(code_of(request({{"do", "job"}, {"sequence", 77777}, {"tokens", {1}}, {"options", nullptr}})), "closed");
  EXPECT_EQ(code_of(request({{"do", "job"}, {"tokens", {1}}, {"options", 5}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "job"}, {"tokens", {1}}, {"options", Json::object()}})), "bad_input");
  EXPECT_EQ(code_of(generate("seed", 1)), "bad_input") << "behind nothing";
  EXPECT_EQ(code_of(request({{"do", "step"}})), "bad_input");
  EXPECT_EQ(code_of(step("x")), "bad_input");
  EXPECT_EQ(code_of(step(Json::array({-1}))), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "step"}, {"jobs", Json::array()}})), "bad_input");
  EXPECT_EQ(code_of(step({1, 77})), "none") << "those that have ended have no part in it";
  EXPECT_EQ(code_of(request({{"do", "truncate"}, {"tokens", 5}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "truncate"}, {"tokens", -5}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "open"}, {"capacity_tokens", -1}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "open"}, {"capacity_tokens", 1}, {"only_forked", 1}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "open"}, {"capacity_tokens", 4294967295U}})), "resource");
  EXPECT_EQ(code_of(request({{"do", "fork"}, {"tokens", 5}, {"capacity_tokens", 5}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "prefill"}, {"tokens", {1}}})), "usage") << "of version 1";
  EXPECT_EQ(code_of(generate("temperature", 1)), "bad_input") << "numbers with a point are texts";
  EXPECT_EQ(code_of(generate("temperature", "hot")), "bad_input");
  EXPECT_EQ(code_of(generate("temperature", "1x")), "bad_input");
  EXPECT_EQ(code_of(generate("max_tokens", -1)), "bad_input");
  EXPECT_EQ(code_of(generate("stop_bytes", {5})), "bad_input") << "they are not all there";
  EXPECT_EQ(code_of(generate("stop_bytes", {-5})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "score"}, {"tokens", list}, {"sequence", nullptr}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "restore"}, {"capacity_tokens", 8}})), "corrupt") << "no snapshot at all";
  EXPECT_EQ(code_of(request({{"do", "render_chat"}, {"messages", 5}, {"open_assistant_turn", true}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "tokenize"}, {"template", "x"}})), "bad_input");
  EXPECT_EQ(code_of(request({{"do", "load"}, {"options", {}}})), "usage");
  EXPECT_EQ(code_of(request({{"do", "d\x1b[2Jance"}})), "usage");
  // It is well.
  const auto last = job({1, 2, 3});
  send(last);
  EXPECT_EQ(code_of(step(Json::array())), "unsupported") << "not all its jobs";
  send(step(Json::array({last["id"]})));
  EXPECT_EQ(answer().value_or(Json())["progress"]["tokens"], 3);
  EXPECT_EQ(answer().value_or(Json()), (Json{{"id", last["id"]}, {"ok", {{"prefilled", 3}}}}));
  EXPECT_TRUE(answer().value_or(Json()).contains("ok"));
  EXPECT_EQ(child_->end(60s), 0) << "the end of its stdin ends it, well";
}

TEST_F(HostileParent, CannotHaveAThousandThreadsMade) {
  auto options = kModel;
  options["threads"] = 100000;
  EXPECT_EQ(code_of({{"id", 1}, {"do", "load"}, {"options", options}}), "bad_input");
  options["threads"] = -1;
  EXPECT_EQ(code_of({{"id", 2}, {"do", "load"}, {"options", options}}), "bad_input");
  options["threads"] = 2;
  options["gpu_layers"] = "all";
  EXPECT_EQ(code_of({{"id", 3}, {"do", "load"}, {"options", options}}), "bad_input");
}

TEST_F(HostileParent, EndsItWithWhatIsNoFrame) {
  send_bytes(std::as_bytes(std::span(std::string_view("GET / HTTP/1.1\r\n\r\n"))));
  expect_it_ends_with_six();
}

TEST_F(HostileParent, EndsItWithALengthBeyondReason) {
  auto bytes = encode(Json::object(), {});
  bytes[15] = std::byte{255};
  send_bytes(bytes);
  expect_it_ends_with_six();
}

struct Head {
  std::string_view name;
  std::string json;
};

void PrintTo(const Head& head, std::ostream* out) {
  *out << head.name;
}

class HostileHead : public HostileParent, public ::testing::WithParamInterface<Head> {};

TEST_P(HostileHead, EndsIt) {
  send_json(GetParam().json);
  expect_it_ends_with_six();
}

const std::string kDepth(500'000, '[');

INSTANTIATE_TEST_SUITE_P(
    All, HostileHead,
    ::testing::Values(Head{"cut", R"({"id":)"}, Head{"list", "[1]"}, Head{"number", "5"}, Head{"nothing", "{}"},
                      Head{"no_id", R"({"do":"hello"})"}, Head{"no_do", R"({"id":1})"},
                      Head{"id_as_text", R"({"id":"1","do":"hello"})"},
                      Head{"id_negative", R"({"id":-1,"do":"hello"})"},
                      Head{"id_fractional", R"({"id":1e300,"do":"hello"})"}, Head{"do_as_number", R"({"id":1,"do":5})"},
                      Head{"cancel_of_text", R"({"id":"x","do":"cancel"})"},
                      Head{"cancelled_as_text", R"({"id":1,"do":"job","cancelled":"x"})"},
                      Head{"cancelled_as_number", R"({"id":1,"do":"step","cancelled":5})"},
                      Head{"no_utf8", "{\"id\":1,\"do\":\"\xff\"}"},
                      Head{"deep", R"({"id":1,"do":"hello","x":)" + kDepth + std::string(kDepth.size(), ']') + "}"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST_F(HostileParent, CannotFillItsMemoryWithRequestsThatWait) {
  load();
  // Nobody reads its answers: what it would say next holds up all that comes behind it.
  for (int i = 0; i < 20'000; ++i) send({{"id", 10 + i}, {"do", "inspect"}, {"sequence", sequence_}});
  expect_it_ends_with_six();
}

TEST_F(HostileParent, CannotFillItsMemoryWithWordsBeforeTheirTime) {
  for (int i = 0; i < 2000; ++i) send({{"id", 100000 + i}, {"do", "cancel"}});
  EXPECT_EQ(code_of({{"id", 1}, {"do", "open"}}), "usage") << "words about nothing are nothing";
}

TEST_F(HostileParent, CannotUseAnIdTwiceAtATime) {
  load();
  send({{"id", 6}, {"do", "job"}, {"sequence", sequence_}, {"tokens", {1}}, {"options", kOptions}});
  send({{"id", 6}, {"do", "inspect"}, {"sequence", sequence_}});
  expect_it_ends_with_six();
}

TEST_F(HostileParent, CannotHaveTwoJobsOfOneSequence) {
  load();
  send({{"id", 6}, {"do", "job"}, {"sequence", sequence_}, {"tokens", {1}}, {"options", kOptions}});
  EXPECT_EQ(code_of({{"id", 7}, {"do", "job"}, {"sequence", sequence_}, {"tokens", {1}}, {"options", nullptr}}),
            "bad_input");
  EXPECT_EQ(code_of({{"id", 8}, {"do", "score"}, {"sequence", sequence_}, {"tokens", {1}}}), "bad_input");
  EXPECT_EQ(code_of({{"id", 9}, {"do", "snapshot"}, {"sequence", sequence_}}), "bad_input");
}

}  // namespace
}  // namespace bulkhead::testing
