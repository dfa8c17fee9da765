// SPDX-License-Identifier: MIT
#include "cli/line_reader.h"

#include <histedit.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <iostream>

namespace bulkhead::cli {
namespace {

constexpr int kRemembered = 1000;  // lines

}  // namespace

struct LineReader::Editor {
  Editor() : line(el_init("bulkhead", stdin, stderr, stderr)), history(history_init()) {
    HistEvent event = {};
    ::history(history, &event, H_SETSIZE, kRemembered);
    el_set(line, EL_CLIENTDATA, this);
    el_set(line, EL_PROMPT, &Editor::show_prompt);
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_HIST, ::history, history);
    el_source(line, nullptr);  // ~/.editrc
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;
  ~Editor() {
    history_end(history);
    el_end(line);
  }

  static char* show_prompt(EditLine* line) {
    Editor* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return self->prompt.data();
  }

  EditLine* line;
  History* history;
  std::string prompt;
};

LineReader::LineReader() : on_terminal_(isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1) {
  if (!on_terminal_) return;
  // What is a character is asked of the terminal's locale.
  if (std::setlocale(LC_CTYPE, "") == nullptr) static_cast<void>(std::setlocale(LC_CTYPE, "C.UTF-8"));
  editor_ = std::make_unique<Editor>();
}

LineReader::~LineReader() = default;

std::optional<std::string> LineReader::read(const std::string& prompt) {
  std::string text;
  if (editor_ == nullptr) {
    if (!std::getline(std::cin, text)) return std::nullopt;
    if (text.ends_with('\r')) text.pop_back();
    return text;
  }
  editor_->prompt = prompt;
  int size = 0;
  const char* line = el_gets(editor_->line, &size);
  if (line == nullptr || size <= 0) return std::nullopt;
  text.assign(line, static_cast<std::size_t>(size));
  if (text.ends_with('\n')) text.pop_back();
  HistEvent event = {};
  if (!text.empty()) ::history(editor_->history, &event, H_ENTER, text.c_str());
  return text;
}

}  // namespace bulkhead::cli
