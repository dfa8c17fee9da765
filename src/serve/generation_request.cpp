// SPDX-License-Identifier: MIT
#include "serve/generation_request.h"

#include "engine/generation.h"
#include "engines/llama/json_schema.h"

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

void read_stops(BodyReader& reader, std::string_view name, std::vector<std::string>& into) {
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
void read_bias(BodyReader& reader, std::vector<TokenBias>& into) {
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

void use_schema(BodyReader& reader, const Json& holder, const std::string& place, GenerateOptions& options) {
  const auto schema = holder.find("schema");
  if (schema == holder.end() || !schema->is_object()) {
    return reader.fail("a JSON schema must be an object", place + ".schema");
  }
  auto rules = engines::llama::grammar_of_schema(*schema, holder.value("strict", Json()) == true);
  if (rules.ok()) {
    options.grammar = std::move(rules).value();
    return;
  }
  const auto& error = rules.error();
  reader.fail(error.message, place + ".schema" + (error.place.empty() ? "" : '.' + error.place));
}

// What text an answer may be: `format` has a type, and a schema in itself or in its member "json_schema".
void read_format(BodyReader& reader, const Json* format, const std::string& place, GenerateOptions& options) {
  if (format == nullptr) return;
  const auto type = format->is_object() ? format->value("type", Json()) : Json();
  if (type == "text") return;
  if (type != "json_object" && type != "json_schema") {
    return reader.fail("only the types \"text\", \"json_object\" and \"json_schema\" are supported here", place);
  }
  if (!options.grammar.empty()) return reader.fail("give 'grammar' or a format of the answer, not both", "grammar");
  const auto inner = format->find("json_schema");
  if (inner != format->end() && inner->is_object()) {
    use_schema(reader, *inner, place + ".json_schema", options);
  } else if (type == "json_schema" || format->contains("schema")) {
    use_schema(reader, *format, place, options);
  } else {
    options.grammar = kJsonObject;
  }
}

void read_own(BodyReader& reader, GenerationRequest& request) {
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
void read_common(BodyReader& reader, GenerationRequest& request) {
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

void read_length(BodyReader& reader, std::initializer_list<const char*> names, GenerationRequest& request) {
  std::int64_t most = -1;
  constexpr std::int64_t kMost = 1 << 20;
  for (const auto* name : names) reader.integer(name, most, -1, kMost);
  if (most == 0) reader.fail("at least one token must be asked for", *names.begin());
  if (most > 0) request.max_tokens = static_cast<std::uint32_t>(most);
}

// What chats and completions of OpenAI have in common.
void read_sampling(BodyReader& reader, GenerationRequest& request) {
  auto& sampling = request.options.sampling;
  read_common(reader, request);
  reader.number("min_p", sampling.min_p);
  reader.number("repeat_penalty", sampling.repeat_penalty);
  constexpr auto kAllTokens = std::numeric_limits<std::int32_t>::max();
  reader.integer("repeat_last_n", sampling.repeat_last_n, 0, kAllTokens);
  // vLLM's word for a penalty of all tokens, those of the prompt too.
  if (reader.take("repetition_penalty") != nullptr) {
    if (reader.take("repeat_penalty") != nullptr) {
      reader.fail("'repetition_penalty' and 'repeat_penalty' are one thing: give one of them", "repetition_penalty");
    }
    reader.number("repetition_penalty", sampling.repeat_penalty);
    if (reader.take("repeat_last_n") == nullptr) sampling.repeat_last_n = kAllTokens;
  }
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
  read_format(reader, reader.take("response_format"), "response_format", request.options);
}

Answer<GenerationRequest> finished(BodyReader& reader, GenerationRequest request) {
  reader.judge_the_rest(request.labels);
  if (!request.tools.tools.empty() && !request.options.grammar.empty()) {
    reader.fail("tools and a format of the answer cannot be asked for together", "tools");
  }
  if (reader.error()) return *reader.error();
  if (const auto checked = engine::check_options(request.options); !checked.ok()) {
    return api_error_of(checked.error());
  }
  return request;
}

}  // namespace

Answer<GenerationRequest> read_chat_request(const Json& body) {
  if (!body.is_object()) return invalid_request("the body must be a JSON object");
  BodyReader reader(body);
  GenerationRequest request;
  read_openai_messages(reader, request.messages, request.outputs, &request.cluster);
  read_openai_tools(reader, request.tools);
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
  BodyReader reader(body);
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

namespace {

bool says_cache_control(const Json& json) {
  if (json.is_object() && json.contains("cache_control") && !json["cache_control"].is_null()) return true;
  return json.is_structured() && std::ranges::any_of(json, says_cache_control);
}

}  // namespace

Answer<GenerationRequest> read_messages_request(const Json& body, bool counts_only) {
  if (!body.is_object()) return invalid_request("the body must be a JSON object");
  BodyReader reader(body);
  GenerationRequest request;
  read_anthropic_messages(reader, request.messages, request.outputs);
  read_anthropic_tools(reader, request.tools);
  request.asks_for_caching = says_cache_control(body);
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

namespace {

// Hints of clients, and what is done anyway.
void read_responses_hints(BodyReader& reader, GenerationRequest& request) {
  const auto* reasoning = reader.take("reasoning");
  const auto says_nothing = [](const Json& one) { return one.is_null(); };
  if (reasoning != nullptr && !(reasoning->is_object() && std::ranges::all_of(*reasoning, says_nothing))) {
    reader.fail("reasoning is not supported here", "reasoning");
  }
  const auto* truncation = reader.take("truncation");
  if (truncation != nullptr && *truncation != "disabled") {
    reader.fail("only \"disabled\" is supported: a context that is too long is refused", "truncation");
  }
  const auto* background = reader.take("background");
  if (background != nullptr && *background != false) reader.fail("there are no background responses", "background");
  const auto* include = reader.take("include");
  if (include == nullptr) return;
  // What else could be included is made by reasoning, searches and pictures, none of which is here.
  const bool logprobs = include->is_array() && std::ranges::count(*include, "message.output_text.logprobs") > 0;
  if (!include->is_array()) reader.fail("'include' must be a list", "include");
  if (logprobs && !request.options.logprobs) request.options.logprobs = 0;
}

}  // namespace

Answer<GenerationRequest> read_responses_request(const Json& body, const FindMessages& earlier) {
  if (!body.is_object()) return invalid_request("the body must be a JSON object");
  BodyReader reader(body);
  GenerationRequest request;
  std::string previous;
  reader.string("previous_response_id", previous);
  std::optional<std::vector<engine::ChatMessage>> before;
  if (!previous.empty() && !reader.error()) {
    before = earlier(previous);
    if (!before) reader.fail("there is no such response", "previous_response_id");
  }
  request.store = true;
  reader.boolean("store", request.store);
  read_responses_input(reader, before.value_or(std::vector<engine::ChatMessage>()), request.messages);
  read_responses_tools(reader, request.tools);
  read_common(reader, request);
  read_length(reader, {"max_output_tokens"}, request);
  if (const auto* text = reader.take("text"); text != nullptr) {
    if (!text->is_object()) reader.fail("'text' must be an object", "text");
    const auto format = text->is_object() ? text->find("format") : text->end();
    if (format != text->end() && !format->is_null()) read_format(reader, &*format, "text.format", request.options);
  }
  std::int64_t top = -1;
  reader.integer("top_logprobs", top, 0, engine::kMostLogprobs);
  if (top > 0) request.options.logprobs = static_cast<std::uint32_t>(top);
  read_responses_hints(reader, request);
  request.echoed = Json::object();
  for (const auto* name : {"instructions", "max_output_tokens", "previous_response_id", "text", "tool_choice", "tools",
                           "safety_identifier", "prompt_cache_key", "user", "metadata"}) {
    if (const auto found = body.find(name); found != body.end()) request.echoed[name] = *found;
  }
  return finished(reader, std::move(request));
}

Answer<GenerationRequest> read_history(const Json& body) {
  BodyReader reader(body);
  GenerationRequest request;
  read_openai_messages(reader, request.messages, request.outputs);
  if (reader.error()) return *reader.error();
  return request;
}

}  // namespace bulkhead::serve
