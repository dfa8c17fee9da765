// SPDX-License-Identifier: MIT
#include "serve/body_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

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
                                  Harmless{"functions", "[[]]", false},
                                  Harmless{"function_call", "[\"none\", \"auto\"]", false},
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

}  // namespace

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

void BodyReader::judge_the_rest(std::vector<std::string>& labels) {
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

namespace {

// {"type": "output", "partition": NAME, "turn": NUMBER}
void read_output(const Json& part, BodyReader& reader, const std::string& place, OutputPart output,
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

}  // namespace

std::string text_of_content(const Json& content, BodyReader& reader, const std::string& place,
                            std::vector<OutputPart>* outputs, std::size_t message) {
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

}  // namespace bulkhead::serve
