// SPDX-License-Identifier: MIT
#include "dataset/dataset.h"

#include "base/hash.h"
#include "conversation/input_text.h"
#include "dataset/conversation_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace bulkhead::dataset {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::string_view kKnown =
    "scenario files, data sets, OpenAI messages, ShareGPT and ChatGPT exports are read: docs/conversation-formats.md";

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  return text.starts_with(kMark) ? text.substr(kMark.size()) : text;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kBlanks) == std::string_view::npos;
}

struct Line {
  std::string_view text;
  std::size_t number = 0;  // in the file, from 1
};

// Without the blank ones.
std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    ++number;
    const auto line = text.substr(begin, end - begin);
    if (!is_blank(line)) lines.push_back({line, number});
    begin = end + 1;
  }
  return lines;
}

// A first line that is a whole value, with others behind it, tells JSON lines from one value over several lines.
bool is_json_lines(const std::vector<Line>& lines) {
  if (lines.size() < 2) return false;
  const auto first = parse_json(lines.front().text);
  return first.ok() && first->is_structured();
}

class DatasetReader {
 public:
  explicit DatasetReader(Dataset& dataset) : dataset_(dataset), notices_(dataset.name) {}

  Result<void> read(std::string_view text) {
    if (is_blank(text)) return {};
    const auto lines = lines_of(text);
    if (is_json_lines(lines)) {
      for (const auto& line : lines) {
        notices_.at_line(line.number);
        if (const auto read = read_document(line.text); !read.ok()) return on_line(line, read.error());
      }
    } else {
      BH_CHECK(read_document(text));
    }
    dataset_.notices = std::move(notices_.list());
    return {};
  }

 private:
  [[nodiscard]] Error on_line(const Line& line, Error error) const {
    error.place = place_on_line(error.place, dataset_.name, line.number);
    return error;
  }

  Result<void> read_document(std::string_view text) {
    BH_TRY(const auto document, JsonDocument::parse(std::string(text), dataset_.name));
    const JsonView root(document);
    // A list is one conversation when its elements are messages, else each is a conversation.
    const auto* format = format_of(root);
    if (format == nullptr && root.json().is_array()) {
      BH_TRY(const auto items, root.items());
      for (const auto& item : items) BH_CHECK(read_conversation(item, sha256_hex(json_text(item.json()))));
      return {};
    }
    return read_conversation(root, sha256_hex(text));
  }

  Result<void> read_conversation(const JsonView& value, std::string sha256) {
    const auto* format = format_of(value);
    if (format == nullptr)
      return value.fail("this is no conversation in a format that is known here", std::string(kKnown));
    if (dataset_.format.empty()) dataset_.format = format->name;
    BH_TRY(auto conversation, format->read(value, ++number_, notices_));
    auto& scenario = conversation.scenario;
    if (scenario.turns.empty() && !format->own) {
      notices_.add(value, scenario.id, 0, "a conversation without text is left out");
      return {};
    }
    scenario.path = dataset_.name;
    scenario.sha256 = std::move(sha256);
    BH_TRY(const bool is_new, keep_id_unique(value, *format, scenario));
    if (is_new) dataset_.conversations.push_back(std::move(conversation));
    return {};
  }

  // False: the same conversation is there already.
  Result<bool> keep_id_unique(const JsonView& value, const ConversationFormat& format,
                              conversation::Scenario& scenario) {
    const auto [known, is_new] = sha256_of_id_.emplace(scenario.id, scenario.sha256);
    if (is_new) return true;
    if (format.own) return value.fail(fmt::format("the id \"{}\" is used twice", scenario.id));
    if (known->second == scenario.sha256) {
      notices_.add(value, scenario.id, 0, "a conversation that is there twice is left out once");
      return false;
    }
    const auto given = scenario.id;
    auto& number = next_number_[given];
    do {
      scenario.id = fmt::format("{}-{}", given, number + 2);
      ++number;
    } while (!sha256_of_id_.emplace(scenario.id, scenario.sha256).second);
    notices_.add(value, scenario.id, 0,
                 fmt::format("another conversation has the id {}: this one is {}", given, scenario.id));
    return true;
  }

  Dataset& dataset_;
  Notices notices_;
  std::size_t number_ = 0;
  std::map<std::string, std::string> sha256_of_id_;
  std::map<std::string, std::size_t> next_number_;
};

}  // namespace

std::string_view name(QuestionKind kind) noexcept {
  switch (kind) {
    case QuestionKind::kOwn: return "own";
    case QuestionKind::kUpdated: return "updated";
    case QuestionKind::kAbsent: return "absent";
    case QuestionKind::kRelay: return "relay";
    case QuestionKind::kCompare: return "compare";
    case QuestionKind::kSum: return "sum";
  }
  return "";
}

bool needs_messages(QuestionKind kind) noexcept {
  return kind == QuestionKind::kRelay || kind == QuestionKind::kCompare || kind == QuestionKind::kSum;
}

const Fact* current_fact(const Conversation& conversation, std::string_view cluster, std::string_view entity,
                         std::string_view slot) noexcept {
  const Fact* last = nullptr;
  for (const auto& fact : conversation.facts) {
    if (fact.cluster == cluster && fact.entity == entity && fact.slot == slot) last = &fact;
  }
  return last;
}

Result<Dataset> read_dataset(const std::string& text, const std::string& name) {
  Dataset dataset{.name = name, .sha256 = sha256_hex(text), .format = {}, .conversations = {}, .notices = {}};
  DatasetReader reader(dataset);
  BH_CHECK(reader.read(without_byte_order_mark(text)));
  if (dataset.conversations.empty()) {
    return Error{ErrorCode::kBadInput, "the file holds no conversation with text", name, std::string(kKnown)};
  }
  return dataset;
}

Result<Dataset> load_dataset(const std::string& path) {
  BH_TRY(const auto text, conversation::read_input(path));
  return read_dataset(text, conversation::input_name(path));
}

}  // namespace bulkhead::dataset
