// SPDX-License-Identifier: MIT
#include "serve/partition_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace bulkhead::serve {
namespace {

constexpr std::uint64_t kMostOfAnything = std::uint64_t{1} << 40U;

std::optional<ApiError> refuse_others(const Json& body, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : body.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return invalid_request(fmt::format("'{}' is not supported here", name), name);
    }
  }
  return std::nullopt;
}

// A whole number from `low` on; nullopt: it is not there.
Answer<std::optional<std::uint64_t>> count_of(const Json& body, const std::string& name, std::uint64_t low,
                                              std::uint64_t high = kMostOfAnything) {
  const auto found = body.find(name);
  if (found == body.end() || found->is_null()) return std::optional<std::uint64_t>();
  if (found->is_number_unsigned()) {
    const auto number = found->get<std::uint64_t>();
    if (number >= low && number <= high) return std::optional(number);
  }
  return invalid_request(fmt::format("'{}' must be a whole number from {} to {}", name, low, high), name);
}

// {"names": [...]} or {"n": NUMBER}: a name for each, "" for none.
Answer<std::vector<std::string>> names_of(const Json& body) {
  const auto number = count_of(body, "n", 1, kMostForks);
  if (!number.ok()) return number.error();
  const auto list = body.find("names");
  const bool is_listed = list != body.end() && !list->is_null();
  if (is_listed == number.value().has_value()) return invalid_request("give 'names' or 'n'", "names");
  if (!is_listed) return std::vector<std::string>(*number.value());
  const auto is_name = [](const Json& one) { return one.is_string() && !one.get_ref<const std::string&>().empty(); };
  if (!list->is_array() || list->empty() || list->size() > kMostForks ||
      !std::all_of(list->begin(), list->end(), is_name)) {
    return invalid_request(fmt::format("'names' must be a list of 1 to {} names", kMostForks), "names");
  }
  return list->get<std::vector<std::string>>();
}

}  // namespace

Answer<DeclareRequest> read_declare_request(const Json& body) {
  if (const auto other = refuse_others(body, {"name", "messages"})) return *other;
  const auto name = body.find("name");
  if (name == body.end() || !name->is_string()) return invalid_request("'name' must be a text", "name");
  DeclareRequest request{.name = name->get<std::string>()};
  if (const auto messages = body.find("messages"); messages != body.end() && !messages->is_null()) {
    auto read = read_history(Json{{"messages", *messages}});
    if (!read.ok()) return read.error();
    request.history = std::move(read.value());
  }
  return request;
}

Answer<ForkRequest> read_fork_request(const Json& body) {
  if (const auto other = refuse_others(body, {"names", "n", "turns"})) return *other;
  auto names = names_of(body);
  if (!names.ok()) return names.error();
  const auto turns = count_of(body, "turns", 0);
  if (!turns.ok()) return turns.error();
  return ForkRequest{.names = std::move(names.value()), .turns = turns.value()};
}

Answer<TruncateRequest> read_truncate_request(const Json& body) {
  if (const auto other = refuse_others(body, {"turns", "tokens"})) return *other;
  const auto turns = count_of(body, "turns", 0);
  if (!turns.ok()) return turns.error();
  const auto tokens = count_of(body, "tokens", 0);
  if (!tokens.ok()) return tokens.error();
  if (turns.value().has_value() == tokens.value().has_value()) {
    return invalid_request("give 'turns' or 'tokens'", "turns");
  }
  return TruncateRequest{.turns = turns.value(), .tokens = tokens.value()};
}

}  // namespace bulkhead::serve
