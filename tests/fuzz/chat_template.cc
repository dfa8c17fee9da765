// SPDX-License-Identifier: MIT
// Chat templates are programs that come with a model: whatever one is, it renders or is refused, in bounded time.
#include "fuzz/input.h"

#include "engines/llama/chat_template.h"

#include <array>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  const auto program = engines::llama::ChatTemplate::parse(std::string(fuzz::text(data, size)), "<bos>", "<eos>", 0);
  if (!program.ok()) return 0;
  const std::array<engine::ChatMessage, 3> messages = {
      {{"system", "Be brief."}, {"user", "Is {{ this }} content?"}, {"assistant", "It is."}}};
  for (const std::size_t count : {3U, 2U, 1U}) {
    const auto parts = program->render(std::span(messages).first(count), count == 2);
    if (!parts.ok()) fuzz::require(!parts.error().message.empty());
  }
  return 0;
}
