// SPDX-License-Identifier: MIT
#include "base/json.h"

#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace bulkhead {
namespace {

std::size_t line_at(std::string_view text, std::size_t offset) {
  const auto* const end = text.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text.size()));
  return 1 + static_cast<std::size_t>(std::count(text.begin(), end, '\n'));
}

// nlohmann keeps the last of two equal keys without a word; a scenario with a key twice is a mistake worth naming.
struct DuplicateKeys {
  std::vector<std::set<std::string>> open;
  std::optional<std::string> found;

  bool operator()(int /*depth*/, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end && !open.empty()) open.pop_back();
    if (event == Json::parse_event_t::key && !open.empty() && !found) {
      const auto key = parsed.get<std::string>();
      if (!open.back().insert(key).second) found = key;
    }
    return true;
  }
};

std::string_view type_word(const Json& value) {
  if (value.is_number_integer()) return "an integer";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  if (value.is_boolean()) return "a boolean";
  if (value.is_array()) return "a list";
  if (value.is_object()) return "an object";
  return "null";
}

}  // namespace

Result<JsonDocument> JsonDocument::parse(std::string text, std::string name) {
  if (const auto bad = first_invalid_utf8(text)) {
    return Error{ErrorCode::kBadInput, fmt::format("byte {} is not valid UTF-8", *bad),
                 fmt::format("{}:{}", name, line_at(text, *bad)), "save the file as UTF-8"};
  }
  try {
    DuplicateKeys duplicates;
    Json root = Json::parse(text, std::ref(duplicates));
    if (duplicates.found) {
      const auto first = text.find('"' + *duplicates.found + '"');
      return Error{ErrorCode::kBadInput, fmt::format("the key \"{}\" stands twice in one object", *duplicates.found),
                   fmt::format("{}:{}", name, line_at(text, first)), "remove one of them"};
    }
    return JsonDocument(std::move(text), std::move(name), std::move(root));
  } catch (const Json::parse_error& failure) {
    return Error{ErrorCode::kBadInput,
                 fmt::format("not valid JSON: {}", failure.what()),
                 fmt::format("{}:{}", name, line_at(text, failure.byte)),
                 {}};
  } catch (const Json::exception& failure) {  // such as a number that fits no type; it comes without a position
    return Error{ErrorCode::kBadInput, fmt::format("not valid JSON: {}", failure.what()), name, {}};
  }
}

std::size_t JsonDocument::line_of(const Json& value) const noexcept {
  const std::size_t start = value.start_pos();
  return start == std::string::npos ? 1 : line_at(text_, start);
}

Error JsonView::fail(std::string message, std::string advice) const {
  auto place = fmt::format("{}:{}", document_->name(), document_->line_of(*value_));
  if (!path_.empty()) place += ": " + path_;
  return Error{ErrorCode::kBadInput, std::move(message), std::move(place), std::move(advice)};
}

std::string JsonView::path_to(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

bool JsonView::has(std::string_view key) const {
  if (!value_->is_object()) return false;
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

Result<JsonView> JsonView::at(std::string_view key) const {
  if (!value_->is_object()) return fail(fmt::format("expected an object, found {}", type_word(*value_)));
  const auto found = value_->find(key);
  if (found == value_->end()) return fail(fmt::format("the field \"{}\" is missing", key));
  return JsonView(*document_, *found, path_to(key));
}

Result<std::vector<JsonView>> JsonView::items() const {
  if (!value_->is_array()) return fail(fmt::format("expected a list, found {}", type_word(*value_)));
  std::vector<JsonView> views;
  for (std::size_t i = 0; i < value_->size(); ++i) {
    views.push_back(JsonView(*document_, (*value_)[i], fmt::format("{}[{}]", path_, i)));
  }
  return views;
}

Result<std::vector<std::pair<std::string, JsonView>>> JsonView::members() const {
  if (!value_->is_object()) return fail(fmt::format("expected an object, found {}", type_word(*value_)));
  std::vector<std::pair<std::string, JsonView>> views;
  for (const auto& [key, value] : value_->items()) {
    views.emplace_back(key, JsonView(*document_, value, path_to(key)));
  }
  return views;
}

Result<void> JsonView::only(std::initializer_list<std::string_view> allowed) const {
  BH_TRY(const auto fields, members());
  for (const auto& [key, view] : fields) {
    if (std::find(allowed.begin(), allowed.end(), key) == allowed.end()) {
      return view.fail(fmt::format("unknown field \"{}\"", key),
                       fmt::format("known here: {}", fmt::join(allowed, ", ")));
    }
  }
  return {};
}

Result<std::string> JsonView::string() const {
  if (!value_->is_string()) return fail(fmt::format("expected a string, found {}", type_word(*value_)));
  return value_->get<std::string>();
}

Result<std::int64_t> JsonView::integer(std::int64_t low, std::int64_t high) const {
  if (!value_->is_number_integer()) return fail(fmt::format("expected an integer, found {}", type_word(*value_)));
  // An unsigned value above the signed range would wrap.
  const bool too_big =
      value_->is_number_unsigned() && value_->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  const auto number = too_big ? INT64_MAX : value_->get<std::int64_t>();
  if (too_big || number < low || number > high) {
    return fail(fmt::format("{} is outside {} to {}", value_->dump(), low, high));
  }
  return number;
}

Result<double> JsonView::number() const {
  if (!value_->is_number()) return fail(fmt::format("expected a number, found {}", type_word(*value_)));
  return value_->get<double>();
}

Result<bool> JsonView::boolean() const {
  if (!value_->is_boolean()) return fail(fmt::format("expected true or false, found {}", type_word(*value_)));
  return value_->get<bool>();
}

Result<std::vector<std::string>> JsonView::strings() const {
  BH_TRY(const auto views, items());
  std::vector<std::string> texts;
  for (const auto& view : views) {
    BH_TRY(auto text, view.string());
    texts.push_back(std::move(text));
  }
  return texts;
}

Result<std::string> JsonView::string_or(std::string_view key, std::string otherwise) const {
  if (!has(key)) return otherwise;
  BH_TRY(const auto view, at(key));
  return view.string();
}

Result<bool> JsonView::boolean_or(std::string_view key, bool otherwise) const {
  if (!has(key)) return otherwise;
  BH_TRY(const auto view, at(key));
  return view.boolean();
}

Result<std::string> read_text_file(const std::string& path, std::uint64_t limit_bytes) {
  std::error_code problem;
  const auto size = std::filesystem::file_size(path, problem);
  if (problem) return Error{ErrorCode::kBadInput, "cannot read the file: " + problem.message(), path, {}};
  if (size > limit_bytes) {
    return Error{
        ErrorCode::kBadInput, fmt::format("the file has {} bytes; the limit is {}", size, limit_bytes), path, {}};
  }
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file) return Error{ErrorCode::kBadInput, std::string("cannot read the file: ") + std::strerror(errno), path, {}};
  return std::move(content).str();
}

}  // namespace bulkhead
