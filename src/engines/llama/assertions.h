// SPDX-License-Identifier: MIT
// What libllama and ggml assert: where it comes from a model file or a text, it is an error of that input, and the
// process goes on.
//
// libllama checks many hyperparameters and tables of a file by assertions that end the process, hundreds of them in the
// code of its architectures. While an AssertionScope lives, one that fails on its thread throws AssertionFailed in
// their place. Assertions on other threads (ggml's workers in the middle of a graph) and outside of any scope end the
// process as before: there they speak of our own defects.
//
// Limits: what the failed call had allocated by hand may leak, and divisions by zero or wild reads are no assertions:
// gguf_check.h looks for their causes beforehand.
#pragma once

#include <stdexcept>

namespace bulkhead::engines::llama {

class AssertionFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Nests. Whoever opens one catches std::exception around the calls of libllama.
class AssertionScope {
 public:
  AssertionScope();
  ~AssertionScope();
  AssertionScope(const AssertionScope&) = delete;
  AssertionScope& operator=(const AssertionScope&) = delete;
};

// Tells ggml. Part of start_backend().
void catch_assertions();

}  // namespace bulkhead::engines::llama
