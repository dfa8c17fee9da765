// SPDX-License-Identifier: MIT
// What a worker can do wrong, as data: bulkhead_evil_worker does it, evil_worker_test.cpp says what must come of it.
#pragma once

#include "base/json.h"

#include <bulkhead/error.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::testing {

// One frame of an honest worker, on its way to the parent. What stands here when the misbehaviour is done is sent.
struct Said {
  Json head;
  std::vector<std::byte> tail;
  std::optional<std::string> json = {};  // in place of the head
  std::uint64_t claimed_tail = 0;        // a length said in place of that of the tail
  std::size_t cut = SIZE_MAX;            // so many bytes are sent, then the worker dies
  std::size_t times = 1;                 // how often it is sent
  bool hangs = false;                    // and then nothing more
  std::chrono::milliseconds late_by{0};  // so much later it is sent
  std::optional<Json> then = {};         // is sent behind it
  std::uint64_t last_job = 0;            // the request that asked for it
};

// Where it happens: at the start, or in what is said about a request. A job is a "prefill", a "generate" or a "prefill
// and generate".
struct Misbehaviour {
  std::string_view name;
  std::string_view request;  // "start", or what was asked
  bool event = false;        // in what it tells before the answer
  void (*act)(Said& said) = nullptr;
  ErrorCode code = ErrorCode::kRemote;
  std::string_view says = {};  // in the message
  bool silent = false;         // found by a time limit
  bool late = false;           // what was asked for is there already: met by the next call
};

inline Json& ok(Said& said) {
  return said.head["ok"];
}

inline Json& result(Said& said) {
  return said.head["ok"]["generated"];
}

// The tail without its last bytes; at most all of them.
inline void cut_tail(Said& said, std::size_t bytes) {
  while (bytes-- > 0 && !said.tail.empty()) said.tail.pop_back();
}

inline std::string nested(std::string_view begin, std::string_view end) {
  const std::string depth(500'000, '[');
  return std::string(begin) + depth + std::string(depth.size(), ']') + std::string(end);
}

inline constexpr auto kHuge = std::int64_t{1} << 60U;

// clang-format off
inline const std::vector<Misbehaviour>& misbehaviours() {
  using S = Said&;
  constexpr auto kEvent = true;
  static const std::vector<Misbehaviour> all = {
    // Before it says anything of its own.
    {"garbage", "start", false, nullptr, ErrorCode::kRemote, "not the worker protocol"},
    {"half_a_magic", "start", false, nullptr, ErrorCode::kRemote, "within", true},
    {"silent", "start", false, nullptr, ErrorCode::kRemote, "within", true},
    {"ends_well", "start", false, nullptr, ErrorCode::kRemote, "exit code 0"},
    {"ends_badly", "start", false, nullptr, ErrorCode::kRemote, "my last words"},
    {"last_words_that_move_the_cursor", "start", false, nullptr, ErrorCode::kRemote, "\\u001b[2Jgone"},
    {"floods_stderr", "start", false, nullptr, ErrorCode::kRemote, "within", true},
    {"closes_stdout", "start", false, nullptr, ErrorCode::kRemote, "closed its stdout"},
    {"closes_stdin", "start", false, nullptr, ErrorCode::kRemote, "", true},
    {"leaves_a_child_with_its_stdout", "start", false, nullptr, ErrorCode::kRemote, "exit code 5"},
    {"endless_json", "start", false, nullptr, ErrorCode::kRemote, "at most"},
    {"endless_tail", "start", false, nullptr, ErrorCode::kRemote, "at most"},
    {"lengths_that_wrap", "start", false, nullptr, ErrorCode::kRemote, "at most"},
    {"does_not_end", "start", false, nullptr, ErrorCode::kRemote, "within", true},
    // The handshake.
    {"version_as_text", "hello", false, [](S s) { ok(s)["protocol"] = "2"; }, ErrorCode::kRemote, "expected an integer"},
    {"version_missing", "hello", false, [](S s) { ok(s) = Json::object(); }, ErrorCode::kRemote, "\"protocol\" is missing"},
    {"version_negative", "hello", false, [](S s) { ok(s)["protocol"] = -1; }, ErrorCode::kRemote, "outside"},
    {"version_other", "hello", false, [](S s) { ok(s)["protocol"] = 1; }, ErrorCode::kRemote, "speaks version 1"},
    {"answer_null", "hello", false, [](S s) { ok(s) = nullptr; }, ErrorCode::kRemote, "none of"},
    {"answer_list", "hello", false, [](S s) { ok(s) = {1}; }, ErrorCode::kRemote, "expected an object"},
    {"head_list", "hello", false, [](S s) { s.json = "[1]"; }, ErrorCode::kRemote, "not the worker protocol"},
    {"head_no_json", "hello", false, [](S s) { s.json = "{\"id\":"; }, ErrorCode::kRemote, "not valid JSON"},
    {"head_no_utf8", "hello", false, [](S s) { s.json = "{\"id\":1,\"ok\":{\"protocol\":2,\"x\":\"\xff\"}}"; }, ErrorCode::kRemote, "UTF-8"},
    {"head_deep", "hello", false, [](S s) { s.json = nested("{\"id\":1,\"ok\":{\"protocol\":2,\"x\":", "}}"); }, ErrorCode::kRemote, "does not keep to the protocol"},
    {"error_number", "hello", false, [](S s) { s.head = {{"id", 1}, {"error", 5}}; }, ErrorCode::kRemote, "expected an object"},
    {"id_missing", "hello", false, [](S s) { s.head.erase("id"); }, ErrorCode::kRemote, "\"id\" is missing"},
    {"id_as_text", "hello", false, [](S s) { s.head["id"] = "1"; }, ErrorCode::kRemote, "expected an integer"},
    {"id_of_nobody", "hello", false, [](S s) { s.head["id"] = 99; }, ErrorCode::kRemote, "awaits no answer"},
    {"ok_and_error", "hello", false, [](S s) { s.head["error"] = {{"code", "usage"}, {"message", ""}}; }, ErrorCode::kRemote, "both"},
    {"event_of_a_greeting", "hello", false, [](S s) { s.head = {{"id", 1}, {"progress", {{"tokens", 1}}}}; }, ErrorCode::kRemote, "events"},
    {"a_tail_that_nobody_asked_for", "hello", false, [](S s) { s.tail.resize(100); }, ErrorCode::kRemote, "at most 0"},
    // Loading.
    {"facts_number", "load", false, [](S s) { ok(s)["facts"] = 7; }, ErrorCode::kRemote, "expected an object"},
    {"facts_missing", "load", false, [](S s) { ok(s).erase("facts"); }, ErrorCode::kRemote, "\"facts\" is missing"},
    {"vocabulary_huge", "load", false, [](S s) { ok(s)["facts"]["vocabulary"] = 4294967295U; }, ErrorCode::kRemote, "outside"},
    {"vocabulary_none", "load", false, [](S s) { ok(s)["facts"]["vocabulary"] = 0; }, ErrorCode::kRemote, "outside"},
    {"context_none", "load", false, [](S s) { ok(s)["facts"]["context_tokens"] = 0; }, ErrorCode::kRemote, "outside"},
    {"model_bytes_huge", "load", false, [](S s) { ok(s)["facts"]["model_bytes"] = kHuge; }, ErrorCode::kRemote, "outside"},
    {"cell_bytes_huge", "load", false, [](S s) { ok(s)["facts"]["kv_bytes_per_token"] = kHuge; }, ErrorCode::kRemote, "outside"},
    {"threads_fractional", "load", false, [](S s) { ok(s)["facts"]["threads"] = 1e300; }, ErrorCode::kRemote, "expected an integer"},
    {"capabilities_numbers", "load", false, [](S s) { ok(s)["capabilities"] = {1, 2}; }, ErrorCode::kRemote, "expected a string"},
    {"load_refused", "load", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "corrupt"}, {"message", "cut"}}}}; }, ErrorCode::kCorrupt, "cut"},
    {"load_refused_unknown_code", "load", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "zzz"}, {"message", "x"}}}}; }, ErrorCode::kInternal, "x"},
    // The vocabulary.
    {"words_none", "vocabulary", false, [](S s) { s.tail.clear(); }, ErrorCode::kRemote, "less than"},
    {"words_cut", "vocabulary", false, [](S s) { cut_tail(s, 3); }, ErrorCode::kRemote, "less than"},
    {"words_more", "vocabulary", false, [](S s) { s.tail.resize(s.tail.size() + 3); }, ErrorCode::kRemote, "more than"},
    {"word_endless", "vocabulary", false, [](S s) { for (int i = 0; i < 4; ++i) s.tail.at(static_cast<std::size_t>(i)) = std::byte{255}; }, ErrorCode::kRemote, "less than"},
    {"bos_outside", "vocabulary", false, [](S s) { ok(s)["bos"] = std::int64_t{1} << 40U; }, ErrorCode::kRemote, "outside"},
    // Texts to tokens.
    {"token_negative", "tokenize", false, [](S s) { ok(s)["tokens"] = {-5}; }, ErrorCode::kRemote, "outside"},
    {"token_outside", "tokenize", false, [](S s) { ok(s)["tokens"] = {100000}; }, ErrorCode::kRemote, "outside"},
    {"token_beyond_numbers", "tokenize", false, [](S s) { s.json = "{\"id\":" + s.head["id"].dump() + ",\"ok\":{\"tokens\":[1180591620717411303424]}}"; }, ErrorCode::kRemote, "expected an integer"},
    {"tokens_by_the_million", "tokenize", false, [](S s) { ok(s)["tokens"] = std::vector<int>(300'000, 1); }, ErrorCode::kRemote, "at most"},
    {"tokens_no_list", "tokenize", false, [](S s) { ok(s)["tokens"] = {{"a", 1}}; }, ErrorCode::kRemote, "expected a list"},
    // Opening.
    {"sequence_negative", "open", false, [](S s) { ok(s)["sequence"] = -1; }, ErrorCode::kRemote, "outside"},
    {"sequence_as_text", "open", false, [](S s) { ok(s)["sequence"] = "0"; }, ErrorCode::kRemote, "expected an integer"},
    {"open_interrupted_by_nobody", "open", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "interrupted"}, {"message", ""}}}}; }, ErrorCode::kRemote, "nobody"},
    {"reserve_answers_another", "reserve", false, [](S s) { s.head["id"] = 1; }, ErrorCode::kRemote, "awaits no answer"},
    // Prefill.
    {"progress_huge", "prefill", kEvent, [](S s) { s.head["progress"]["tokens"] = kHuge; }, ErrorCode::kRemote, "outside"},
    {"progress_backwards", "prefill", kEvent, [](S s) { s.head["progress"]["tokens"] = 0; }, ErrorCode::kRemote, "outside"},
    {"progress_as_text", "prefill", kEvent, [](S s) { s.head["progress"] = "x"; }, ErrorCode::kRemote, "expected an object"},
    {"progress_flood", "prefill", kEvent, [](S s) { s.times = 1'000'000; }, ErrorCode::kRemote, ""},
    {"token_of_a_prefill", "prefill", kEvent, [](S s) { s.head = {{"id", s.head["id"]}, {"token", {{"token", 1}, {"index", 0}}}}; }, ErrorCode::kRemote, "nothing to generate"},
    {"prefill_as_text", "prefill", false, [](S s) { ok(s)["prefilled"] = "x"; }, ErrorCode::kRemote, "expected an integer"},
    {"prefill_of_less", "prefill", false, [](S s) { ok(s)["prefilled"] = 1; }, ErrorCode::kRemote, "it told of"},
    {"prefill_of_more", "prefill", false, [](S s) { ok(s)["prefilled"] = 1000; }, ErrorCode::kRemote, "outside"},
    {"prefill_of_nothing", "prefill", false, [](S s) { ok(s) = Json::object(); }, ErrorCode::kRemote, "is missing"},
    {"prefill_untold", "prefill", kEvent, [](S s) { s.times = 0; }, ErrorCode::kRemote, "it told of 0"},
    {"prefill_interrupted_by_nobody", "prefill", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "interrupted"}, {"message", ""}}}}; }, ErrorCode::kRemote, "ends as interrupted"},
    {"progress_of_more", "prefill", kEvent, [](S s) { s.head["progress"]["tokens"] = 8; }, ErrorCode::kRemote, "outside"},
    {"progress_twice", "prefill", kEvent, [](S s) { s.times = 2; }, ErrorCode::kRemote, "outside"},
    {"prefill_twice", "prefill", false, [](S s) { s.times = 2; }, ErrorCode::kRemote, "awaits no answer"},
    {"prefill_dies_within", "prefill", false, [](S s) { s.cut = 20; }, ErrorCode::kRemote, "in the middle of an answer"},
    {"prefill_never", "prefill", false, [](S s) { s.times = 0; s.hangs = true; }, ErrorCode::kRemote, "silent for", true},
    {"error_without_message", "prefill", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "zzz"}, {"message", 5}}}}; }, ErrorCode::kRemote, "expected a string"},
    {"error_that_accuses", "prefill", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "interference"}, {"message", std::string(500'000, 'x')}, {"place", "\x1b[31m"}}}}; }, ErrorCode::kRemote, "xxx..."},
    {"error_closed", "prefill", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "closed"}, {"message", "gone"}}}}; }, ErrorCode::kClosed, "gone"},
    {"answer_endless", "prefill", false, [](S s) { ok(s)["x"] = std::string(std::size_t{2} << 20U, 'x'); }, ErrorCode::kRemote, "at most"},
    // Generating.
    {"token_of_nobody", "generate", kEvent, [](S s) { s.head["id"] = 1'000'000'000; }, ErrorCode::kRemote, "awaits no answer"},
    {"drawn_outside", "generate", kEvent, [](S s) { s.head["token"]["token"] = 100000; }, ErrorCode::kRemote, "outside"},
    {"drawn_skips_one", "generate", kEvent, [](S s) { s.head["token"]["index"] = 7; }, ErrorCode::kRemote, "outside"},
    {"drawn_malformed", "generate", kEvent, [](S s) { s.head["token"] = Json::object(); }, ErrorCode::kRemote, "is missing"},
    {"drawn_flood", "generate", kEvent, [](S s) { s.times = 1'000'000; }, ErrorCode::kRemote, ""},
    {"results_none", "generate", false, [](S s) { ok(s).erase("generated"); }, ErrorCode::kRemote, "is missing"},
    {"results_list", "generate", false, [](S s) { ok(s)["generated"] = {1}; }, ErrorCode::kRemote, "expected an object"},
    {"result_null", "generate", false, [](S s) { ok(s)["generated"] = nullptr; }, ErrorCode::kRemote, "expected an object"},
    {"result_other_tokens", "generate", false, [](S s) { result(s)["tokens"][0] = (result(s)["tokens"][0].get<int>() + 1) % 256; }, ErrorCode::kRemote, "other tokens"},
    {"result_negative_tokens", "generate", false, [](S s) { result(s)["tokens"][0] = -1; }, ErrorCode::kRemote, "outside"},
    {"result_no_tokens", "generate", false, [](S s) { for (const auto* list : {"tokens", "logit_hashes", "token_ns"}) result(s)[list] = Json::array(); }, ErrorCode::kRemote, "other tokens"},
    {"result_more_tokens", "generate", false, [](S s) { result(s)["tokens"] = std::vector<int>(1000, 5); }, ErrorCode::kRemote, "at most"},
    {"result_few_hashes", "generate", false, [](S s) { result(s)["logit_hashes"].erase(0); }, ErrorCode::kRemote, "hashes of"},
    {"result_no_hash", "generate", false, [](S s) { result(s)["logit_hashes"][0] = "xyz"; }, ErrorCode::kRemote, "hexadecimal"},
    {"result_few_times", "generate", false, [](S s) { result(s)["token_ns"].erase(0); }, ErrorCode::kRemote, "times of"},
    {"result_before_its_time", "generate", false, [](S s) { result(s)["token_ns"][0] = std::numeric_limits<std::int64_t>::min(); }, ErrorCode::kRemote, "outside"},
    {"result_unknown_finish", "generate", false, [](S s) { result(s)["finish"] = "nope"; }, ErrorCode::kRemote, "finish"},
    {"result_no_utf8", "generate", false, [](S s) { result(s)["text"] = ""; s.json = s.head.dump(); s.json->replace(s.json->find("\"text\":\"") + 8, 0, "\xff\xfe"); }, ErrorCode::kRemote, "UTF-8"},
    {"result_accepts_more_than_drafted", "generate", false, [](S s) { result(s)["accepted_tokens"] = 9; }, ErrorCode::kRemote, "outside"},
    {"generate_never", "generate", false, [](S s) { s.times = 0; s.hangs = true; }, ErrorCode::kRemote, "silent for", true},
    {"drawn_twice", "generate", kEvent, [](S s) { s.times = 2; }, ErrorCode::kRemote, ""},
    {"result_cancelled_by_nobody", "generate", false, [](S s) { result(s)["finish"] = "cancelled"; }, ErrorCode::kRemote, "nobody did that"},
    {"result_prefilled", "generate", false, [](S s) { ok(s)["prefilled"] = 1; }, ErrorCode::kRemote, "outside"},
    {"generate_interrupted_by_nobody", "generate", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "interrupted"}, {"message", ""}}}}; }, ErrorCode::kRemote, "ends as interrupted"},
    // Questions.
    {"inspect_empty", "inspect", false, [](S s) { ok(s) = Json::object(); }, ErrorCode::kRemote, "is missing"},
    {"inspect_no_hash", "inspect", false, [](S s) { ok(s)["token_sha256"] = "\x1b[31m"; }, ErrorCode::kRemote, "SHA-256"},
    {"inspect_beyond_the_context", "inspect", false, [](S s) { ok(s)["tokens"] = kHuge; }, ErrorCode::kRemote, "outside"},
    {"hash_as_number", "state_hash", false, [](S s) { ok(s)["hash"] = 5; }, ErrorCode::kRemote, "expected a string"},
    {"scores_too_few", "score", false, [](S s) { cut_tail(s, 8); }, ErrorCode::kRemote, "bytes of scores"},
    {"scores_too_many", "score", false, [](S s) { s.tail.resize(s.tail.size() + 8); }, ErrorCode::kRemote, "at most"},
    {"score_not_a_number", "score", false, [](S s) { for (auto& byte : s.tail) byte = std::byte{255}; }, ErrorCode::kRemote, "finite"},
    {"memory_as_text", "memory", false, [](S s) { ok(s)["peak_rss_bytes"] = "x"; }, ErrorCode::kRemote, "expected an integer"},
    {"bytes_as_text", "bytes_for", false, [](S s) { ok(s)["bytes"] = "x"; }, ErrorCode::kRemote, "expected an integer"},
    // Snapshots: the engine that is given one checks it.
    {"snapshot_damaged", "snapshot", false, [](S s) { s.tail.at(s.tail.size() / 2) ^= std::byte{1}; }, ErrorCode::kCorrupt, ""},
    {"snapshot_empty", "snapshot", false, [](S s) { s.tail.clear(); }, ErrorCode::kCorrupt, ""},
    {"snapshot_endless", "snapshot", false, [](S s) { s.claimed_tail = std::uint64_t{1} << 37U; s.hangs = true; }, ErrorCode::kRemote, "at most"},
  };
  return all;
}
// clang-format on

inline bool is_progress(const Said& said) {
  return said.head.contains("progress");
}

// That nobody drew.
inline Json token_of(const Said& said, int index) {
  return {{"id", said.last_job}, {"token", {{"token", 1}, {"index", index}}}};
}

// A generation that ended well with nothing.
inline Json nothing_drawn() {
  const auto none = Json::array();
  return {{"tokens", none},      {"text", ""},           {"logit_hashes", none}, {"token_ns", none},
          {"drafted_tokens", 0}, {"accepted_tokens", 0}, {"finish", "length"}};
}

// In jobs that prefill and then generate token by token, and in their steps.
// clang-format off
inline const std::vector<Misbehaviour>& misbehaviours_in_jobs() {
  using S = Said&;
  constexpr auto kEvent = true;
  static const std::vector<Misbehaviour> all = {
    {"job_token_before_its_prefill", "prefill and generate", kEvent, [](S s) { if (is_progress(s)) s.head = token_of(s, 0); }, ErrorCode::kRemote, "before the prefill is done"},
    {"job_progress_while_it_draws", "prefill and generate", kEvent, [](S s) { if (!is_progress(s)) s.head = {{"id", s.head["id"]}, {"progress", {{"tokens", 7}}}}; }, ErrorCode::kRemote, "outside"},
    {"job_two_tokens_in_a_step", "prefill and generate", kEvent, [](S s) { if (!is_progress(s)) s.then = token_of(s, 1); }, ErrorCode::kRemote, "another token in one step"},
    {"job_without_its_generation", "prefill and generate", false, [](S s) { ok(s).erase("generated"); }, ErrorCode::kRemote, "is missing"},
    {"job_other_tokens_than_told", "prefill and generate", false, [](S s) { result(s)["tokens"][2] = 1; }, ErrorCode::kRemote, "other tokens than it told of"},
    {"job_ends_before_its_prefill", "prefill and generate", kEvent, [](S s) { if (is_progress(s)) s.head = {{"id", s.head["id"]}, {"ok", {{"prefilled", 0}, {"generated", nothing_drawn()}}}}; }, ErrorCode::kRemote, "half a prefill"},
    {"job_cancelled_by_nobody", "prefill and generate", kEvent, [](S s) { if (is_progress(s)) { s.head = {{"id", s.head["id"]}, {"ok", {{"prefilled", 0}, {"generated", nothing_drawn()}}}}; result(s)["finish"] = "cancelled"; } }, ErrorCode::kRemote, "nobody did that"},
    {"job_token_after_its_end", "prefill and generate", false, [](S s) { s.then = token_of(s, 6); }, ErrorCode::kRemote, "awaits no answer", false, true},
    {"job_answered_twice", "prefill and generate", false, [](S s) { s.times = 2; }, ErrorCode::kRemote, "awaits no answer", false, true},
    {"job_never_answered", "prefill and generate", false, [](S s) { s.times = 0; }, ErrorCode::kRemote, "nothing comes of them"},
    {"job_error_that_accuses", "prefill and generate", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "incomplete"}, {"message", "x"}}}}; }, ErrorCode::kRemote, "x"},
    {"job_of_another", "prefill and generate", kEvent, [](S s) { s.head["id"] = 1; }, ErrorCode::kRemote, "awaits no answer"},
    {"step_answered_twice", "step", false, [](S s) { s.times = 2; }, ErrorCode::kRemote, "awaits no answer"},
    {"step_refused", "step", false, [](S s) { s.head = {{"id", s.head["id"]}, {"error", {{"code", "unsupported"}, {"message", "no steps"}}}}; }, ErrorCode::kRemote, "no steps"},
    {"step_event", "step", false, [](S s) { s.head = {{"id", s.head["id"]}, {"progress", {{"tokens", 1}}}}; }, ErrorCode::kRemote, "more events"},
    {"step_with_a_tail", "step", false, [](S s) { s.tail.resize(10); }, ErrorCode::kRemote, "at most 0"},
    {"step_dies_within", "step", false, [](S s) { s.cut = 20; }, ErrorCode::kRemote, "in the middle of an answer"},
    {"step_never", "step", false, [](S s) { s.times = 0; s.hangs = true; }, ErrorCode::kRemote, "silent for", true},
    {"inspect_and_a_token", "inspect", false, [](S s) { s.then = token_of(s, 1); }, ErrorCode::kRemote, " step"},
  };
  return all;
}
// clang-format on

// Those that need more than one sequence or worker to be seen. A name that begins with "second" is for all children but
// the first.
inline const std::vector<Misbehaviour>& misbehaviours_of_many() {
  static const std::vector<Misbehaviour> all = {
      {"every_sequence_is_the_first", "open", false, [](Said& said) { ok(said)["sequence"] = 0; }, ErrorCode::kRemote,
       "its sequence 0 is in use"},
      {"second_has_another_model", "load", false, [](Said& said) { ok(said)["facts"]["model_bytes"] = 12345; },
       ErrorCode::kRemote, "other weights"},
      {"draws_after_a_cancel", "prefill and generate", false,
       [](Said& said) { said.head = token_of(said, static_cast<int>(result(said)["tokens"].size())); },
       ErrorCode::kRemote, "one after a cancel"},
      {"slow_chunks", "prefill", true, [](Said& said) { said.late_by = std::chrono::milliseconds(500); }}};
  return all;
}

}  // namespace bulkhead::testing
