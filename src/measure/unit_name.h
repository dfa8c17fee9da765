// SPDX-License-Identifier: MIT
// One name for the spellings of a unit. The views live forever.
#pragma once

#include <string_view>

namespace bulkhead::measure {

// "kilometre" for km, kilometers, ...; empty when `word` is no unit that is known. Symbols are taken as written (mW is
// not MW); a word or symbol that is not known so is looked up in lower case.
[[nodiscard]] std::string_view unit_name(std::string_view word);

// Whether a name that unit_name() gave is a currency.
[[nodiscard]] bool is_currency(std::string_view name);

}  // namespace bulkhead::measure
