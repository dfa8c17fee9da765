// SPDX-License-Identifier: MIT
#include "engines/llama/assertions.h"

#include "base/console.h"

#include <ggml.h>

#include <string>
#include <string_view>

namespace bulkhead::engines::llama {
namespace {

thread_local int open_scopes = 0;  // NOLINT(*-global-variables): ggml's callback has no other way

// "/far/away/llama-model.cpp:1328: GGML_ASSERT(...) failed" without the folders of whoever built it.
std::string_view without_folders(std::string_view message) {
  const auto colon = message.find(':');
  const auto slash = message.substr(0, colon).rfind('/');
  return slash == std::string_view::npos ? message : message.substr(slash + 1);
}

// Called with the message by ggml_abort(), which aborts when this returns.
void on_abort(const char* message) {
  if (open_scopes > 0) throw AssertionFailed(std::string(without_folders(message)));
  console::say_line(without_folders(message));
}

}  // namespace

AssertionScope::AssertionScope() {
  ++open_scopes;
}

AssertionScope::~AssertionScope() {
  --open_scopes;
}

void catch_assertions() {
  ggml_set_abort_callback(on_abort);
}

}  // namespace bulkhead::engines::llama
