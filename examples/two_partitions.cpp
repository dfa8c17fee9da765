// SPDX-License-Identifier: MIT
// Two partitions of one model, and a message between them: the smallest useful program.
#include <bulkhead/bulkhead.h>

#include <cstdio>

int fail(const bulkhead::Error& error) {
  std::fprintf(stderr, "%s\n", error.to_string().c_str());
  return bulkhead::exit_code(error.code);
}

int main(int argc, char** argv) {
  auto model = bulkhead::Model::load({.path = argc > 1 ? argv[1] : "gemma-3-270m"});
  if (!model.ok()) return fail(model.error());

  auto engineer = model->open("engineer");
  auto board = model->open("board");
  if (!engineer.ok() || !board.ok()) return fail(engineer.ok() ? board.error() : engineer.error());

  if (auto ok = engineer->prefill("The pump failed at 3 bar. The cause was"); !ok.ok()) return fail(ok.error());
  auto cause = engineer->generate({.sampling = {.temperature = 0}, .max_tokens = 24});
  if (!cause.ok()) return fail(cause.error());

  auto message = engineer->last_output("cause");  // the only thing that crosses
  if (!message.ok()) return fail(message.error());
  if (auto ok = board->prefill("Engineering wrote:"); !ok.ok()) return fail(ok.error());
  if (auto ok = board->receive(*message); !ok.ok()) return fail(ok.error());
  if (auto ok = board->prefill("\nIn one sentence:"); !ok.ok()) return fail(ok.error());
  auto summary = board->generate({.sampling = {.temperature = 0}, .max_tokens = 24});
  if (!summary.ok()) return fail(summary.error());

  std::printf("%s\n---\n%s\n", cause->text.c_str(), summary->text.c_str());
}
