// SPDX-License-Identifier: MIT
#include "base/json.h"

#include "base/printable.h"
#include "base/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <unordered_set>

template class nlohmann::basic_json<nlohmann::ordered_map>;
template class nlohmann::detail::serializer<nlohmann::ordered_json>;

namespace bulkhead {
namespace {

std::size_t line_at(std::string_view text, std::size_t offset) {
  const auto* const end = text.begin() + static_cast<std::ptrdiff_t>(std::min(offset, text.size()));
  return 1 + static_cast<std::size_t>(std::count(text.begin(), end, '\n'));
}

// A forward iterator that tells others how far it came: nlohmann's events carry no position.
class Cursor {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor() = default;
  Cursor(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    const Cursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Cursor& other) const { return at_ == other.at_; }
  bool operator!=(const Cursor& other) const { return at_ != other.at_; }

 private:
  const char* at_ = nullptr;
  const char** furthest_ = nullptr;
};

// A first pass over the text, which builds nothing: what it lets through can be built and walked safely.
class Checker final : public nlohmann::json_sax<Json> {
 public:
  struct Complaint {
    std::string message;
    std::string advice;
    std::optional<std::size_t> offset;  // where nlohmann says so itself
  };
  [[nodiscard]] const std::optional<Complaint>& complaint() const { return complaint_; }

  bool null() override { return count(); }
  bool boolean(bool /*value*/) override { return count(); }
  bool number_integer(number_integer_t /*value*/) override { return count(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return count(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return count(); }
  bool string(string_t& /*value*/) override { return count(); }
  bool binary(binary_t& /*value*/) override { return count(); }
  bool start_array(std::size_t /*elements*/) override { return open(); }
  bool end_array() override { return close(); }
  bool start_object(std::size_t /*elements*/) override { return open(); }
  bool end_object() override { return close(); }

  bool key(string_t& name) override {
    auto& names = open_.back();
    if (!names.insert(name).second) {
      return refuse(fmt::format("the key \"{}\" stands twice in one object", shortened(name)), "remove one of them");
    }
    // An ordered object is a list: each new key is compared with those before it.
    comparisons_ += names.size();
    if (comparisons_ > kMostComparisons) return refuse(fmt::format("{} keys in one object are too many", names.size()));
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/, const Json::exception& error) override {
    complaint_ = {fmt::format("not valid JSON: {}", shortened(error.what())), {}, position};
    return false;
  }

 private:
  // Some seconds.
  static constexpr std::uint64_t kMostComparisons = std::uint64_t{1} << 31U;
  static constexpr std::size_t kMostMessage = 300;

  // nlohmann quotes the token that it stumbled over, which may be the whole text.
  static std::string shortened(std::string_view text) {
    if (text.size() <= kMostMessage) return std::string(text);
    text = text.substr(0, kMostMessage);
    return fmt::format("{}...", text.substr(0, kMostMessage - unfinished_utf8_tail(text)));
  }

  bool refuse(std::string message, std::string advice = {}) {
    complaint_ = {std::move(message), std::move(advice), std::nullopt};
    return false;
  }

  bool count() {
    return ++values_ <= kMostJsonValues || refuse(fmt::format("it holds more than {} values", kMostJsonValues));
  }

  bool open() {
    if (open_.size() == kMostJsonDepth) {
      return refuse(fmt::format("lists and objects are nested more than {} deep", kMostJsonDepth));
    }
    open_.emplace_back();
    return count();
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::vector<std::unordered_set<std::string>> open_;  // the keys of each object (none of a list) around here
  std::size_t values_ = 0;
  std::uint64_t comparisons_ = 0;
  std::optional<Complaint> complaint_;
};

Error not_json(std::string message, std::string advice, std::string_view text, std::string_view name,
               std::size_t offset) {
  return {ErrorCode::kBadInput, std::move(message),
          name.empty() ? std::string() : fmt::format("{}:{}", name, line_at(text, offset)), std::move(advice)};
}

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

Result<Json> parse_json(std::string_view text, std::string_view name) {
  if (const auto bad = first_invalid_utf8(text)) {
    return not_json(fmt::format("byte {} is not valid UTF-8", *bad), "save the file as UTF-8", text, name, *bad);
  }
  // nlohmann takes it for the end, and what follows for nothing.
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    return not_json(fmt::format("byte {} is NUL", zero), {}, text, name, zero);
  }
  try {
    const char* furthest = text.data();
    Checker checker;
    if (!Json::sax_parse(Cursor(text.data(), &furthest), Cursor(text.data() + text.size(), &furthest), &checker)) {
      const auto complaint = checker.complaint().value_or(Checker::Complaint{"not valid JSON", {}, {}});
      const auto here = static_cast<std::size_t>(furthest - text.data());
      return not_json(complaint.message, complaint.advice, text, name, complaint.offset.value_or(here));
    }
    return Json::parse(text);
  } catch (const Json::exception& failure) {
    return not_json(fmt::format("not valid JSON: {}", failure.what()), {}, text, name, 0);
  }
}

std::string json_text(const Json& json, JsonForm form) {
  const auto text =
      json.dump(form == JsonForm::kPretty ? 1 : -1, ' ', form == JsonForm::kAscii, Json::error_handler_t::replace);
  return escape_steering(text);
}

Result<JsonDocument> JsonDocument::parse(std::string text, std::string name) {
  BH_TRY(auto root, parse_json(text, name));
  return JsonDocument(std::move(text), std::move(name), std::move(root));
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
    return fail(fmt::format("{} is outside {} to {}", json_text(*value_), low, high));
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
  const auto fail = [&](const std::string& why) { return Error{ErrorCode::kBadInput, why, path, {}}; };
  const auto cannot = [&] { return fail(std::string("cannot read the file: ") + std::strerror(errno)); };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             [](std::FILE* open) { return std::fclose(open); });
  if (file == nullptr) return cannot();
  // The size, where it is known, saves reading a large file to refuse it. A pipe has none.
  std::error_code none;
  const auto size = std::filesystem::file_size(path, none);
  const auto too_large = [&](std::uint64_t bytes, std::string_view more) {
    return fail(fmt::format("the file has {}{} bytes; the limit is {}", more, bytes, limit_bytes));
  };
  if (!none && size > limit_bytes) return too_large(size, "");
  std::string content;
  std::array<char, std::size_t{1} << 16U> piece{};
  while (const auto got = std::fread(piece.data(), 1, piece.size(), file.get())) {
    if (content.size() + got > limit_bytes) return too_large(limit_bytes, "more than ");
    content.append(piece.data(), got);
  }
  if (std::ferror(file.get()) != 0) return cannot();
  return content;
}

}  // namespace bulkhead
