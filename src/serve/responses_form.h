// SPDX-License-Identifier: MIT
// OpenAI's responses. A response goes on with an earlier one of the same owner by its id.
#pragma once

#include "serve/form.h"
#include "serve/response_store.h"

#include <memory>
#include <string>

namespace bulkhead::serve {

// `store` must outlive it.
[[nodiscard]] std::shared_ptr<const Form> responses_form(ResponseStore& store, std::string owner);

}  // namespace bulkhead::serve
