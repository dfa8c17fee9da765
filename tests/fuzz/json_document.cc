// SPDX-License-Identifier: MIT
// The one parser of JSON, and the walk over what it gives.
#include "fuzz/input.h"

#include "base/json.h"

namespace bulkhead::fuzz {
namespace {

// Every value can be walked to, and every error named.
void walk(const JsonView& view) {
  require(!view.fail("why").place.empty());
  if (const auto members = view.members(); members.ok()) {
    for (const auto& [key, value] : members.value()) {
      require(view.at(key).ok());
      walk(value);
    }
  }
  if (const auto items = view.items(); items.ok()) {
    for (const auto& item : items.value()) walk(item);
  }
  if (const auto number = view.integer(-5, 5); number.ok()) require(number.value() >= -5 && number.value() <= 5);
  static_cast<void>(view.number());
  static_cast<void>(view.strings());
}

}  // namespace
}  // namespace bulkhead::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bulkhead;
  const std::string input(fuzz::text(data, size));
  const auto document = JsonDocument::parse(input, "input.json");
  if (!document.ok()) {
    fuzz::require(document.error().code == ErrorCode::kBadInput);
    return 0;
  }
  // The costs of errors are not what is looked for: each counts the lines before it.
  if (size < 4096) fuzz::walk(JsonView(document.value()));
  return 0;
}
