// SPDX-License-Identifier: MIT
#include "serve/generation_request.h"

#include "base/utf8.h"
#include "engine/generation.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <random>
#include <set>
#include <string_view>
#include <utility>

namespace bulkhead::serve {
namespace {

// Members that do not change the answer with these values. Null changes nothing anywhere.
struct Harmless {
  std::string_view name;
  std::string_view values;  // a JSON list; empty: any
  bool is_label;            // says who asks, or how to be served: is listed in the reply
};
constexpr std::array kHarmless = {Harmless{"user", "", true},
                                  Harmless{"metadata", "", true},
                                  Harmless{"store", "[false]", true},
                                  Harmless{"service_tier", "", true},
                                  Harmless{"safety_identifier", "", true},
                                  Harmless{"prompt_cache_key", "", true},
                                  Harmless{"prompt_cache_retention", "", true},
                                  Harmless{"session_id", "", true},
                                  Harmless{"cache_salt", "", true},
                                  Harmless{"cache_prompt", "", true},
                                  Harmless{"id_slot", "", true},
                                  Harmless{"prediction", "", true},
                                  Harmless{"frequency_penalty", "[0]", false},
                                  Harmless{"presence_penalty", "[0]", false},
                                  Harmless{"modalities", "[[\"text\"]]", false},
                                  Harmless{"verbosity", "[\"medium\"]", false},
                                  Harmless{"timings_per_token", "[false]", false},
                                  Harmless{"return_progress", "[false]", false},
                                  Harmless{"tools", "[[]]", false},
                                  Harmless{"functions", "[[]]", false},
                                  Harmless{"tool_choice", "[\"none\", \"auto\"]", false},
                                  Harmless{"function_call", "[\"none\", \"auto\"]", false},
                                  Harmless{"parallel_tool_calls", "[true, false]", false},
                                  Harmless{"best_of", "[1]", false},
                                  Harmless{"suffix", "[\"\"]", false},
                                  Harmless{"typical_p", "[1]", false}};

// nullptr: it changes the answer.
const Harmless* harmless(std::string_view name, const Json& value) {
  const auto found =
      std::find_if(kHarmless.begin(), kHarmless.end(), [&](const auto& one) { return one.name == name; });
  if (found == kHarmless.end() || found->values.empty()) return found == kHarmless.end() ? nullptr : &*found;
  const auto values = parse_json(found->values);
  const bool is_there = values.ok() && std::find(values->begin(), values->end(), value) != values->end();
  return is_there ? &*found : nullptr;
}

// GBNF of any JSON object.
constexpr std::string_view kJsonObject =
    "root ::= object\n"
    "value ::= object | array | string | number | (\"true\" | \"false\" | \"null\") space\n"
    "object ::= \"{\" space (string \":\" space value (\",\" space string \":\" space value)*)? \"}\" space\n"
    "array ::= \"[\" space (value (\",\" space value)*)? \"]\" space\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-fA-F]{4}))* \"\\\"\" "
    "space\n"
    "number ::= \"-\"? (\"0\" | [1-9] [0-9]{0,15}) (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,3})? space\n"
    "space ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

// 7 and 7.0; what 64 bits do not hold is none.
std::optional<std::int64_t> whole_number(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
    return number > kMost ? std::nullopt : std::optional(static_cast<std::int64_t>(number));
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  constexpr double kExact = 1e15;
  return std::floor(number) == number && std::abs(number) < kExact ? std::optional(static_cast<std::int64_t>(number))
                                                                   : std::nullopt;
}

// Reads members one by one; the first thing that is wrong is kept.
class Reader {
 public:
  explicit Reader(const Json& body) : body_(body) {}

  [[nodiscard]] const std::optional<ApiError>& error() const { return error_; }
  void fail(std::string message, std::string_view param) {
    if (!error_) error_ = invalid_request(std::move(message), std::string(param));
  }

  // The member, if it is there and not null; from now on it is known.
  [[nodiscard]] const Json* take(std::string_view name) {
    known_.emplace(name);
    const auto found = body_.find(std::string(name));
    return found == body_.end() || found->is_null() ? nullptr : &*found;
  }

  void number(std::string_view name, float& into) {
    const auto* value = take(name);
    if (value == nullptr) return;
    if (!value->is_number()) return fail(fmt::format("'{}' must be a number", name), name);
    into = static_cast<float>(value->get<double>());
  }

  template <typename Number>
  void integer(std::string_view name, Number& into, std::int64_t low, std::int64_t high) {
    const auto* value = take(name);
    if (value == nullptr) return;
    const auto read = whole_number(*value);
    if (!read || *read < low || *read > high) {
      return fail(fmt::format("'{}' must be a whole number from {} to {}", name, low, high), name);
    }
    into = static_cast<Number>(*read);
  }

  void boolean(std::string_view name, bool& into) {
    const auto* value = take(name);
    if (value == nullptr) return;
    if (!value->is_boolean()) return fail(fmt::format("'{}' must be true or false", name), name);
    into = value->get<bool>();
  }

  void string(std::string_view name, std::string& into) {
    const auto* value = take(name);
    if (value == nullptr) return;
    if (!value->is_string()) return fail(fmt::format("'{}' must be a string", name), name);
    into = value->get<std::string>();
  }

  // What nobody asked for is a label, asks for what is done anyway, or is refused.
  void judge_the_rest(std::vector<std::string>& labels) {
    for (const auto& [name, value] : body_.items()) {
      if (known_.contains(name)) continue;
      if (value.is_null()) continue;
      const auto* known = harmless(name, value);
      if (known == nullptr) {
        fail(fmt::format("'{}' is not supported here, or not with this value", name), name);
      } else if (known->is_label) {
        labels.push_back(name);
      }
    }
  }

 private:
  const Json& body_;
  std::set<std::string, std::less<>> known_;
  std::optional<ApiError> error_;
};

// {"type": "output", "partition": NAME, "turn": NUMBER}
void read_output(const Json& part, Reader& reader, const std::string& place, OutputPart output,
                 std::vector<OutputPart>& into) {
  for (const auto& [name, value] : part.items()) {
    const bool right = name == "type" || (name == "partition" && value.is_string() && value != "") ||
                       (name == "turn" && value.is_number_unsigned());
    if (!right) return reader.fail("an output has a 'partition' and perhaps a 'turn', a whole number", place);
  }
  if (!part.contains("partition")) return reader.fail("an output must name its 'partition'", place);
  output.partition = part["partition"].get<std::string>();
  if (part.contains("turn")) output.turn = part["turn"].get<std::uint64_t>();
  into.push_back(std::move(output));
}

// A content is a string, or a list of parts of type "text"; where `outputs` is there also of type "output", of which
// only the place is known here.
std::string text_of_content(const Json& content, Reader& reader, const std::string& place,
                            std::vector<OutputPart>* outputs = nullptr, std::size_t message = 0) {
  if (content.is_string()) return content.get<std::string>();
  if (content.is_null()) return {};
  if (!content.is_array()) {
    reader.fail("a content must be a string or a list of parts", place);
    return {};
  }
  std::string text;
  for (const auto& part : content) {
    const auto type = part.is_object() ? part.value("type", Json()) : Json();
    if (type == "output" && outputs != nullptr) {
      read_output(part, reader, place, {.message = message, .at = text.size()}, *outputs);
      continue;
    }
    const bool is_text = type == "text" || type == "input_text" || type == "output_text";
    if (!is_text || !part.contains("text") || !part["text"].is_string()) {
      reader.fail("only parts of type \"text\" are supported", place);
      return {};
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

void read_messages(Reader& reader, GenerationRequest& request, std::initializer_list<std::string_view> roles) {
  auto& into = request.messages;
  const auto* list = reader.take("messages");
  if (list == nullptr || !list->is_array() || list->empty() || list->size() > kMostMessages) {
    return reader.fail(fmt::format("'messages' must be a list of 1 to {} messages", kMostMessages), "messages");
  }
  for (std::size_t i = 0; i < list->size(); ++i) {
    const auto& message = (*list)[i];
    const auto place = fmt::format("messages[{}]", i);
    if (!message.is_object()) return reader.fail("a message must be an object", place);
    const auto role = message.contains("role") && message["role"].is_string() ? message["role"].get<std::string>() : "";
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) {
      return reader.fail(role == "tool" || role == "function"
                             ? "messages of tools are not supported here"
                             : fmt::format("a role must be one of {}", fmt::join(roles, ", ")),
                         place + ".role");
    }
    const auto calls = message.find("tool_calls");
    if (calls != message.end() && !calls->is_null() && !(calls->is_array() && calls->empty())) {
      return reader.fail("calls of tools are not supported here", place + ".tool_calls");
    }
    const auto content = message.find("content");
    if (content == message.end() || (content->is_null() && role != "assistant")) {
      return reader.fail("a message must have a content", place + ".content");
    }
    auto* outputs = role == "user" ? &request.outputs : nullptr;
    into.push_back({role == "developer" ? "system" : role,
                    text_of_content(*content, reader, place + ".content", outputs, into.size())});
  }
}

void refuse_open_answer(Reader& reader, const std::vector<engine::ChatMessage>& messages) {
  if (messages.empty() || messages.back().role == "assistant") {
    reader.fail("the last message must not be the assistant's: continuing an answer is not supported", "messages");
  }
}

void read_stops(Reader& reader, std::string_view name, std::vector<std::string>& into) {
  const auto* stop = reader.take(name);
  if (stop == nullptr) return;
  const auto list = stop->is_array() ? *stop : Json::array({*stop});
  constexpr std::size_t kMost = 16;
  const auto is_text = [](const Json& one) { return one.is_string() && !one.get_ref<const std::string&>().empty(); };
  if (list.size() > kMost || !std::all_of(list.begin(), list.end(), is_text)) {
    return reader.fail(fmt::format("'{}' must be a text, or a list of at most {}", name, kMost), name);
  }
  for (const auto& one : list) into.push_back(one.get<std::string>());
}

// {"TOKEN": BIAS, ...}
void read_bias(Reader& reader, std::vector<TokenBias>& into) {
  const auto* bias = reader.take("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) return reader.fail("'logit_bias' must be an object", "logit_bias");
  for (const auto& [name, value] : bias->items()) {
    std::int32_t token = 0;
    const auto* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data(), end, token);
    if (parsed.ec != std::errc() || parsed.ptr != end || !value.is_number()) {
      return reader.fail("'logit_bias' must map token ids to numbers", "logit_bias");
    }
    into.push_back({token, static_cast<float>(value.get<double>())});
  }
}

void read_response_format(Reader& reader, GenerateOptions& options) {
  const auto* format = reader.take("response_format");
  if (format == nullptr) return;
  const auto type = format->is_object() ? format->value("type", Json()) : Json();
  if (type == "text") return;
  if (type != "json_object") {
    return reader.fail("only the types \"text\" and \"json_object\" are supported here", "response_format");
  }
  if (!options.grammar.empty()) return reader.fail("give 'grammar' or 'response_format', not both", "grammar");
  options.grammar = kJsonObject;
}

void read_own(Reader& reader, GenerationRequest& request) {
  const auto* own = reader.take("bulkhead");
  if (own == nullptr) return;
  if (!own->is_object()) return reader.fail("'bulkhead' must be an object", "bulkhead");
  for (const auto& [name, value] : own->items()) {
    const bool right = (name == "partition" && value.is_string()) || (name == "logits_hash" && value.is_boolean());
    if (!right) return reader.fail("no such member, or not of its type", "bulkhead." + name);
  }
  request.logits_hash = own->value("logits_hash", false);
  request.options.hash_logits = request.logits_hash;
}

// What all forms have in common.
void read_common(Reader& reader, GenerationRequest& request) {
  auto& sampling = request.options.sampling;
  sampling.temperature = 1;
  sampling.seed = std::random_device()();
  reader.string("model", request.model);
  reader.number("temperature", sampling.temperature);
  if (sampling.temperature < 0) reader.fail("'temperature' must be 0 or more", "temperature");
  reader.number("top_p", sampling.top_p);
  reader.integer("top_k", sampling.top_k, 0, std::numeric_limits<std::int32_t>::max());
  reader.boolean("stream", request.stream);
  read_own(reader, request);
}

void read_length(Reader& reader, std::initializer_list<const char*> names, GenerationRequest& request) {
  std::int64_t most = -1;
  constexpr std::int64_t kMost = 1 << 20;
  for (const auto* name : names) reader.integer(name, most, -1, kMost);
  if (most == 0) reader.fail("at least one token must be asked for", *names.begin());
  if (most > 0) request.max_tokens = static_cast<std::uint32_t>(most);
}

// What chats and completions of OpenAI have in common.
void read_sampling(Reader& reader, GenerationRequest& request) {
  auto& sampling = request.options.sampling;
  read_common(reader, request);
  reader.number("min_p", sampling.min_p);
  reader.number("repeat_penalty", sampling.repeat_penalty);
  reader.integer("repeat_last_n", sampling.repeat_last_n, 0, std::numeric_limits<std::int32_t>::max());
  std::int64_t seed = -1;
  constexpr auto kSeeds = std::numeric_limits<std::int64_t>::max() / 1024;
  reader.integer("seed", seed, -kSeeds, kSeeds);
  if (seed != -1) sampling.seed = static_cast<std::uint32_t>(static_cast<std::uint64_t>(seed));
  read_length(reader, {"max_tokens", "max_completion_tokens", "n_predict"}, request);
  reader.integer("n", request.choices, 1, kMostChoices);
  if (const auto* options = reader.take("stream_options"); options != nullptr) {
    if (!options->is_object()) return reader.fail("'stream_options' must be an object", "stream_options");
    if (!request.stream) return reader.fail("'stream_options' goes with 'stream': true", "stream_options");
    request.stream_usage = options->value("include_usage", Json()) == true;
  }
  read_stops(reader, "stop", request.options.stop);
  read_bias(reader, request.options.logit_bias);
  reader.boolean("ignore_eos", request.options.ignore_end);
  reader.string("grammar", request.options.grammar);
  read_response_format(reader, request.options);
}

Answer<GenerationRequest> finished(Reader& reader, GenerationRequest request) {
  reader.judge_the_rest(request.labels);
  if (reader.error()) return *reader.error();
  if (const auto checked = engine::check_options(request.options); !checked.ok()) {
    return api_error_of(checked.error());
  }
  return request;
}

}  // namespace

Answer<GenerationRequest> read_chat_request(const Json& body) {
  if (!body.is_object()) return invalid_request("the body must be a JSON object");
  Reader reader(body);
  GenerationRequest request;
  read_messages(reader, request, {"system", "developer", "user", "assistant"});
  refuse_open_answer(reader, request.messages);
  read_sampling(reader, request);
  bool logprobs = false;
  std::uint32_t top = 0;
  reader.boolean("logprobs", logprobs);
  reader.integer("top_logprobs", top, 0, engine::kMostLogprobs);
  if (top > 0 && !logprobs) reader.fail("'top_logprobs' goes with 'logprobs': true", "top_logprobs");
  if (logprobs) request.options.logprobs = top;
  return finished(reader, std::move(request));
}

Answer<GenerationRequest> read_completion_request(const Json& body) {
  if (!body.is_object()) return invalid_request("the body must be a JSON object");
  Reader reader(body);
  GenerationRequest request;
  const auto* prompt = reader.take("prompt");
  const bool of_tokens = prompt != nullptr && prompt->is_array() && !prompt->empty() &&
                         std::all_of(prompt->begin(), prompt->end(), [](const Json& one) {
                           return one.is_number_integer() && one.get<std::int64_t>() >= 0 &&
                                  one.get<std::int64_t>() <= std::numeric_limits<engine::Token>::max();
                         });
  if (of_tokens) {
    request.prompt_tokens = prompt->get<std::vector<engine::Token>>();
  } else if (prompt != nullptr && prompt->is_string() && !prompt->get_ref<const std::string&>().empty()) {
    request.prompt = prompt->get<std::string>();
  } else {
    reader.fail("'prompt' must be a text or a list of token ids, and not empty", "prompt");
  }
  read_sampling(reader, request);
  reader.boolean("echo", request.echo);
  std::int64_t logprobs = -1;
  reader.integer("logprobs", logprobs, 0, engine::kMostLogprobs);
  if (logprobs >= 0) request.options.logprobs = static_cast<std::uint32_t>(logprobs);
  return finished(reader, std::move(request));
}

Answer<GenerationRequest> read_messages_request(const Json& body, bool counts_only) {
  if (!body.is_object()) return invalid_request("the body must be a JSON object");
  Reader reader(body);
  GenerationRequest request;
  if (const auto* system = reader.take("system"); system != nullptr) {
    request.messages.push_back({"system", text_of_content(*system, reader, "system")});
  }
  read_messages(reader, request, {"user", "assistant"});
  refuse_open_answer(reader, request.messages);
  read_common(reader, request);
  read_length(reader, {"max_tokens"}, request);
  if (!request.max_tokens && !counts_only) reader.fail("'max_tokens' must be given", "max_tokens");
  read_stops(reader, "stop_sequences", request.options.stop);
  if (const auto* thinking = reader.take("thinking"); thinking != nullptr) {
    const bool off = thinking->is_object() && thinking->value("type", Json()) == "disabled";
    if (!off) reader.fail("thinking is not supported here", "thinking");
  }
  return finished(reader, std::move(request));
}

Answer<GenerationRequest> read_history(const Json& body) {
  Reader reader(body);
  GenerationRequest request;
  read_messages(reader, request, {"system", "developer", "user", "assistant"});
  if (reader.error()) return *reader.error();
  return request;
}

}  // namespace bulkhead::serve
