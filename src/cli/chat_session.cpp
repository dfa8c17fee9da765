// SPDX-License-Identifier: MIT
#include "cli/chat_session.h"

#include "base/utf8.h"
#include "store/safe_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace bulkhead::cli {
namespace {

constexpr std::string_view kFirstTopic = "main";

Error wrong_line(std::string message, std::string advice) {
  return {ErrorCode::kUsage, std::move(message), {}, std::move(advice)};
}

std::string megabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

}  // namespace

struct ChatSession::Command {
  std::string_view name;
  std::string_view argument;  // what it is called in the help; empty: it takes none
  std::string_view about;
  Result<void> (*run)(ChatSession&, const std::string& argument);
};

const std::vector<ChatSession::Command>& ChatSession::commands() {
  using Line = const std::string&;
  static const std::vector<Command> all = {
      {"topic", "NAME", "go to a topic; a new one begins with nothing",
       [](ChatSession& chat, Line name) { return chat.go_to(name); }},
      {"partitions", "", "all topics, and what they hold", [](ChatSession& chat, Line) { return chat.list(); }},
      {"fork", "NAME", "a new topic that begins as a copy of this one",
       [](ChatSession& chat, Line name) { return chat.fork(name); }},
      {"undo", "", "take back the last turn and its answer", [](ChatSession& chat, Line) { return chat.undo(); }},
      {"message", "TOPIC", "read the last answer of another topic here",
       [](ChatSession& chat, Line from) { return chat.receive(from); }},
      {"save", "FILE", "keep what was said; `bulkhead run FILE` reads it",
       [](ChatSession& chat, Line path) { return chat.save(path); }},
      {"help", "", "this list", [](ChatSession& chat, Line) { return chat.help(); }},
      {"quit", "", "leave; the end of the input does it too",
       [](ChatSession& chat, Line) {
         chat.left_ = true;
         return Result<void>();
       }},
  };
  return all;
}

ChatSession::ChatSession(Model model, Options options, Write write)
    : model_(std::move(model)), options_(std::move(options)), write_(std::move(write)) {}

Result<ChatSession> ChatSession::open(Model model, Options options, Write write) {
  ChatSession chat(std::move(model), std::move(options), std::move(write));
  BH_CHECK(chat.go_to(std::string(kFirstTopic)));
  return chat;
}

Result<void> ChatSession::take(const std::string& line, const std::stop_token& cancel) {
  if (line.find_first_not_of(" \t") == std::string::npos) return {};
  if (!line.starts_with('/')) return answer(line, cancel);
  const auto end = std::min(line.find(' '), line.size());
  const auto name = line.substr(1, end - 1);
  const auto begin = line.find_first_not_of(' ', end);
  const auto last = line.find_last_not_of(' ');
  const auto argument = begin == std::string::npos ? std::string() : line.substr(begin, last + 1 - begin);
  for (const auto& command : commands()) {
    if (command.name != name) continue;
    if (command.argument.empty() != argument.empty()) {
      return wrong_line(command.argument.empty() ? fmt::format("/{} takes nothing behind it", name)
                                                 : fmt::format("/{} needs a {}", name, command.argument),
                        "/help lists the commands");
    }
    return command.run(*this, argument);
  }
  return wrong_line(fmt::format("there is no command /{}", name),
                    "/help lists them; begin a turn with a blank instead");
}

std::string ChatSession::status() const {
  const auto usage = topics_.at(current_).partition.usage();
  return fmt::format("{}: {} tokens, {}", current_, usage.tokens, megabytes(usage.kv_bytes_used));
}

Json ChatSession::conversation() const {
  std::map<std::uint64_t, Json> ordered;
  for (const auto& [name, topic] : topics_) {
    for (const auto& said : topic.said) {
      ordered[said.order] = {{"role", said.role}, {"content", said.content}, {"topic", name}};
    }
  }
  Json messages = Json::array();
  for (auto& [order, message] : ordered) messages.push_back(std::move(message));
  return {{"id", "chat"}, {"messages", std::move(messages)}};
}

// ---- turns

// By the model's own template where it has one; else words are just text that goes on.
Result<void> ChatSession::append(const std::string& role, const std::string& words, const std::stop_token& cancel) {
  auto& partition = current().partition;
  const auto done = partition.chat(role, words, cancel);
  if (done.ok() || done.error().code != ErrorCode::kUnsupported) return done;
  return partition.prefill((partition.usage().tokens == 0 ? "" : "\n\n") + words + "\n", cancel);
}

void ChatSession::say(Topic& topic, std::string role, std::string content) {
  topic.said.push_back({++said_, std::move(role), std::move(content)});
}

Result<void> ChatSession::answer(const std::string& words, const std::stop_token& cancel) {
  auto& topic = current();
  const Turn turn{.tokens_before = topic.partition.usage().tokens, .said_before = topic.said.size()};
  if (turn.tokens_before == 0 && !options_.system.empty()) BH_CHECK(append("system", options_.system, cancel));
  BH_CHECK(append("user", words, cancel));
  topic.turns.push_back(turn);
  say(topic, "user", words);
  auto options = options_.generate;
  options.cancel = cancel;
  std::string unwritten;  // a character may come in two pieces
  options.on_token = [this, &unwritten](const TokenEvent& event) {
    unwritten += event.piece;
    const auto whole = unwritten.size() - unfinished_utf8_tail(unwritten);
    write_(std::string_view(unwritten).substr(0, whole));
    unwritten.erase(0, whole);
    return true;
  };
  const auto generation = topic.partition.generate(options);
  write_(unwritten + "\n");
  if (!generation.ok()) {
    const auto error = generation.error();
    BH_CHECK(undo());  // a turn without an answer would stand before the next one
    return error;
  }
  say(topic, "assistant", generation->text);
  return {};
}

// ---- commands

Result<void> ChatSession::help() {
  for (const auto& command : commands()) {
    write_(fmt::format("/{:22} {}\n", fmt::format("{} {}", command.name, command.argument), command.about));
  }
  return {};
}

ChatSession::Topic& ChatSession::add_topic(const std::string& name, Partition partition) {
  order_.push_back(name);
  current_ = name;
  return topics_.emplace(name, Topic{.partition = std::move(partition)}).first->second;
}

Result<void> ChatSession::go_to(const std::string& name) {
  if (topics_.contains(name)) {
    current_ = name;
    return {};
  }
  BH_TRY(auto partition, model_.open(name));
  add_topic(name, std::move(partition));
  return {};
}

Result<void> ChatSession::list() {
  for (const auto& name : order_) {
    const auto usage = topics_.at(name).partition.usage();
    write_(fmt::format("{} {:16} {:6} tokens  {:>9}  {} message{}\n", name == current_ ? '*' : ' ', name, usage.tokens,
                       megabytes(usage.kv_bytes_used), usage.messages_received,
                       usage.messages_received == 1 ? "" : "s"));
  }
  return {};
}

Result<void> ChatSession::fork(const std::string& name) {
  if (topics_.contains(name)) return wrong_line(fmt::format("there is a topic \"{}\"", name), "take another name");
  const auto& from = current();
  BH_TRY(auto partition, from.partition.fork(name));
  auto& made = add_topic(name, std::move(partition));
  made.turns = from.turns;
  for (const auto& said : from.said) say(made, said.role, said.content);
  return {};
}

Result<void> ChatSession::undo() {
  auto& topic = current();
  if (topic.turns.empty()) return wrong_line("nothing was said in this topic", {});
  const auto turn = topic.turns.back();
  BH_CHECK(topic.partition.truncate(turn.tokens_before));
  topic.turns.pop_back();
  topic.said.resize(turn.said_before);
  return {};
}

Result<void> ChatSession::receive(const std::string& from) {
  const auto sender = topics_.find(from);
  if (sender == topics_.end())
    return wrong_line(fmt::format("there is no topic \"{}\"", from), "/partitions lists them");
  if (from == current_) return wrong_line("a topic needs no message from itself", {});
  BH_TRY(const auto message, sender->second.partition.last_output(from));
  auto& topic = current();
  const Turn turn{.tokens_before = topic.partition.usage().tokens, .said_before = topic.said.size()};
  BH_CHECK(topic.partition.receive(message));
  topic.turns.push_back(turn);
  say(topic, "user", message.text());
  write_(fmt::format("{} reads {} of {}\n", current_, message.text().substr(0, 60), from));
  return {};
}

Result<void> ChatSession::save(const std::string& path) {
  BH_CHECK(store::write_file_atomically(path, json_text(conversation(), JsonForm::kPretty) + '\n'));
  write_(
      fmt::format("{} messages of {} topics are in {}\n", conversation().at("messages").size(), topics_.size(), path));
  return {};
}

}  // namespace bulkhead::cli
