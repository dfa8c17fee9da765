// SPDX-License-Identifier: MIT
#include "engines/llama/constraint.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>

namespace bulkhead::engines::llama {
namespace {

using engine::Token;

// Behind the root rule: the text may end.
constexpr Grammar::Place kNowhere = std::numeric_limits<Grammar::Place>::max();

constexpr std::size_t kMostThreads = 16384;  // of one step
constexpr std::size_t kMostTodo = 16 * kMostThreads;
constexpr std::size_t kTable = 2 * kMostThreads;           // a power of two
constexpr std::size_t kMostNodes = std::size_t{1} << 18U;  // that are kept
// Of one call, in elements and threads looked at: about a second for all tokens, a tenth of that for one.
constexpr std::uint64_t kMostWork = std::uint64_t{1} << 25U;
constexpr std::uint64_t kMostWorkOfOne = std::uint64_t{1} << 22U;

std::size_t common_length(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

Spellings::Spellings(const engine::Tokenizer& tokenizer, std::uint32_t vocabulary)
    : pieces(vocabulary), ends(vocabulary) {
  for (std::size_t i = 0; i < vocabulary; ++i) {
    const auto token = static_cast<Token>(i);
    ends[i] = tokenizer.ends_generation(token);
    if (!ends[i]) pieces[i] = tokenizer.piece(token);
    if (pieces[i].find('\0') != std::string::npos) pieces[i].clear();
    if (!pieces[i].empty()) sorted.push_back(token);
  }
  std::sort(sorted.begin(), sorted.end(), [&](Token a, Token b) {
    const auto order = pieces[static_cast<std::size_t>(a)].compare(pieces[static_cast<std::size_t>(b)]);
    return order < 0 || (order == 0 && a < b);
  });
}

Constraint::Constraint(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const Spellings> spellings)
    : grammar_(std::move(grammar)), spellings_(std::move(spellings)), called_(grammar_->rules()), seen_(kTable) {}

Result<Constraint> Constraint::make(std::shared_ptr<const Grammar> grammar,
                                    std::shared_ptr<const Spellings> spellings) {
  Constraint made(std::move(grammar), std::move(spellings));
  made.begin_work(kMostWorkOfOne);
  ++made.step_;
  made.nodes_.push_back({.step = 0});
  made.nodes_.front().readers = {{kNowhere, 0}};
  for (const auto begin : made.grammar_->alternatives(made.grammar_->root())) made.todo_.push_back({begin, 0});
  made.advance(made.front_);
  if (!made.is_too_much()) return made;
  auto error = too_much();
  error.code = ErrorCode::kBadInput;
  return error;
}

Error Constraint::too_much() {
  return {ErrorCode::kUnsupported, "the grammar can be read in too many ways here", "grammar",
          "write it with fewer alternatives that begin alike"};
}

void Constraint::begin_work(std::uint64_t most) {
  work_ = 0;
  most_work_ = most;
}

bool Constraint::is_too_much() const {
  return work_ > most_work_ || n_seen_ > kMostThreads || nodes_.size() > kMostNodes || todo_.size() > kMostTodo;
}

bool Constraint::is_new(const Thread& thread) {
  const auto mixed = (std::uint64_t{thread.place} << 32U | thread.node) * 0x9E3779B97F4A7C15U;
  for (auto slot = static_cast<std::size_t>(mixed >> 40U) % kTable;; slot = (slot + 1) % kTable) {
    auto& seen = seen_[slot];
    ++work_;
    if (seen.step == step_ && seen.thread == thread) return false;
    if (seen.step == step_) continue;
    seen = {step_, thread};
    ++n_seen_;
    return true;
  }
}

// Follows what is to be done until each way stands in front of a character. Begins a step before that: ++step_.
void Constraint::advance(Front& to) {
  n_seen_ = 0;
  while (!todo_.empty() && !is_too_much()) {
    const auto thread = todo_.back();
    todo_.pop_back();
    if (thread.place == kNowhere) {
      to.complete = true;
    } else if (is_new(thread)) {
      follow(thread, to);
    }
  }
  todo_.clear();
}

void Constraint::follow(const Thread& thread, Front& to) {
  const auto& element = grammar_->at(thread.place);
  switch (element.kind) {
    case Grammar::Kind::kCharacter: to.threads.push_back(thread); return;
    case Grammar::Kind::kRule: call(element.first, {thread.place + 1, thread.node}); return;
    case Grammar::Kind::kEnd: break;
  }
  auto& node = nodes_[thread.node];
  node.returned = node.returned || node.step == step_;
  work_ += node.readers.size();
  todo_.insert(todo_.end(), node.readers.begin(), node.readers.end());
}

// A rule is begun once in a step, whoever reads it.
void Constraint::call(std::uint32_t rule, Thread reader) {
  auto& called = called_[rule];
  if (called.step != step_) {
    called = {step_, static_cast<NodeId>(nodes_.size())};
    nodes_.push_back({.step = step_});
    for (const auto begin : grammar_->alternatives(rule)) todo_.push_back({begin, called.node});
    work_ += grammar_->alternatives(rule).size();
  }
  // Behind the last element of a rule its own readers go on: they become this one's, so that a list of any length is no
  // chain of nodes. Those of a rule that was begun in this step may not all be known yet.
  const auto node = called.node;
  if (grammar_->at(reader.place).kind != Grammar::Kind::kEnd || nodes_[reader.node].step == step_) {
    add_reader(node, reader);
    return;
  }
  for (std::size_t i = 0; i < nodes_[reader.node].readers.size() && !is_too_much(); ++i) {
    add_reader(node, nodes_[reader.node].readers[i]);
  }
}

void Constraint::add_reader(NodeId node, Thread reader) {
  auto& readers = nodes_[node].readers;
  work_ += readers.size() + 1;
  if (std::find(readers.begin(), readers.end(), reader) != readers.end()) return;
  readers.push_back(reader);
  if (nodes_[node].returned) todo_.push_back(reader);
}

bool Constraint::feed_character(const Front& from, std::uint32_t character, Front& to) {
  to.threads.clear();
  to.complete = false;
  to.bits = to.bytes_left = to.least = 0;
  for (const auto& thread : from.threads) {
    work_ += 1 + grammar_->ranges(thread.place);
    if (grammar_->matches(thread.place, character)) todo_.push_back({thread.place + 1, thread.node});
  }
  if (todo_.empty()) return false;
  ++step_;
  advance(to);
  return !is_too_much() && (to.complete || !to.threads.empty());
}

// Of more than one byte. UTF-8 has no others.
bool Constraint::begin_character(const Front& from, unsigned char byte, Front& to) const {
  const std::uint32_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
  if (byte < 0xC2 || byte > 0xF4) return false;
  constexpr std::uint32_t kFirstOfLength[] = {0, 0, 0x80, 0x800, 0x10000};  // NOLINT(*-avoid-c-arrays)
  to = from;
  to.complete = false;
  to.bits = byte & (0xFFU >> (length + 1));
  to.bytes_left = length - 1;
  to.least = kFirstOfLength[length];
  return true;
}

bool Constraint::can_finish_character(const Front& front) {
  const auto shift = 6 * front.bytes_left;
  const auto low = std::max(front.bits << shift, front.least);
  const auto high = std::min((front.bits << shift) | ((1U << shift) - 1), 0x10FFFFU);
  return std::any_of(front.threads.begin(), front.threads.end(), [&](const Thread& thread) {
    // Each range may be looked at once for each.
    const std::uint64_t ranges = grammar_->ranges(thread.place);
    work_ += 1 + (grammar_->at(thread.place).none_of ? ranges * ranges : ranges);
    return grammar_->matches_any(thread.place, low, high);
  });
}

bool Constraint::feed(const Front& from, char byte, Front& to) {
  const auto value = static_cast<unsigned char>(byte);
  if (from.bytes_left == 0) {
    if (value < 0x80) return feed_character(from, value, to);
    return begin_character(from, value, to) && can_finish_character(to) && !is_too_much();
  }
  if ((value & 0xC0U) != 0x80U) return false;
  const auto bits = (from.bits << 6U) | (value & 0x3FU);
  if (from.bytes_left == 1) {
    const bool is_character = bits >= from.least && bits <= 0x10FFFF && (bits < 0xD800 || bits > 0xDFFF);
    return is_character && feed_character(from, bits, to);
  }
  to = from;
  to.bits = bits;
  --to.bytes_left;
  return can_finish_character(to) && !is_too_much();
}

// Leaves the nodes it makes.
bool Constraint::feed_all(std::string_view piece, Front& to) {
  Front from = front_;
  for (const char byte : piece) {
    if (!feed(from, byte, to)) return false;
    from = to;
  }
  return !piece.empty();
}

Result<bool> Constraint::allows(Token token) {
  const auto index = static_cast<std::size_t>(token);
  if (spellings_->ends[index]) return front_.complete;
  begin_work(kMostWorkOfOne);
  const auto nodes = nodes_.size();
  Front reached;
  const bool fits = feed_all(spellings_->pieces[index], reached);
  if (is_too_much()) return too_much();
  nodes_.resize(nodes);
  return fits;
}

// Tokens that begin alike lie side by side: what they have in common is read once.
Result<void> Constraint::mask(std::span<float> logits) {
  begin_work(kMostWork);
  const auto forbid = [&](std::size_t token) { logits[token] = -std::numeric_limits<float>::infinity(); };
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const bool silent = spellings_->pieces[i].empty();
    if (silent && !(spellings_->ends[i] && front_.complete)) forbid(i);
  }
  std::vector<Front> path = {front_};  // behind the first bytes of `before`
  std::vector<std::size_t> nodes = {nodes_.size()};
  std::size_t read = 0;  // how many of them fit
  std::string_view before;
  for (const auto token : spellings_->sorted) {
    const std::string_view piece = spellings_->pieces[static_cast<std::size_t>(token)];
    const auto common = common_length(before, piece);
    if (common > read) {  // the byte that did not fit is in both
      forbid(static_cast<std::size_t>(token));
      continue;
    }
    read = common;
    nodes_.resize(nodes[read]);
    path.resize(std::max(path.size(), piece.size() + 1));
    nodes.resize(std::max(nodes.size(), piece.size() + 1));
    while (read < piece.size() && feed(path[read], piece[read], path[read + 1])) nodes[++read] = nodes_.size();
    if (is_too_much()) return too_much();
    if (read < piece.size()) forbid(static_cast<std::size_t>(token));
    before = piece;
  }
  nodes_.resize(nodes.front());
  return {};
}

Result<void> Constraint::accept(Token token) {
  const auto index = static_cast<std::size_t>(token);
  if (spellings_->ends[index]) return {};
  begin_work(kMostWorkOfOne);
  Front reached;
  const bool fits = feed_all(spellings_->pieces[index], reached);
  if (is_too_much() || !fits) return too_much();
  front_ = std::move(reached);
  forget_unreachable();
  return is_too_much() ? Result<void>(too_much()) : Result<void>();
}

Result<bool> Constraint::accept_text(std::string_view text) {
  begin_work(kMostWork);
  const auto nodes = nodes_.size();
  Front reached;
  const bool fits = feed_all(text, reached);
  if (is_too_much()) return too_much();
  if (!fits) {
    nodes_.resize(nodes);
    return false;
  }
  front_ = std::move(reached);
  forget_unreachable();
  return true;
}

void Constraint::forget_unreachable() {
  constexpr auto kGone = std::numeric_limits<NodeId>::max();
  std::vector<NodeId> place(nodes_.size(), kGone);
  std::vector<NodeId> waiting;
  const auto reach = [&](NodeId node) {
    if (place[node] != kGone) return;
    place[node] = 0;
    waiting.push_back(node);
  };
  for (const auto& thread : front_.threads) reach(thread.node);
  while (!waiting.empty()) {
    const auto node = waiting.back();
    waiting.pop_back();
    for (const auto& reader : nodes_[node].readers) reach(reader.node);
  }
  NodeId kept = 0;
  for (NodeId node = 0; node < nodes_.size(); ++node) {
    if (place[node] == kGone) continue;
    place[node] = kept;
    if (kept != node) nodes_[kept] = std::move(nodes_[node]);
    ++kept;
  }
  nodes_.resize(kept);
  for (auto& node : nodes_) {
    for (auto& reader : node.readers) reader.node = place[reader.node];
  }
  for (auto& thread : front_.threads) thread.node = place[thread.node];
}

}  // namespace bulkhead::engines::llama
