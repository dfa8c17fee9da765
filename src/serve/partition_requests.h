// SPDX-License-Identifier: MIT
// The bodies of POST /v1/partitions and of what is done with one, checked. `body` is an object.
#pragma once

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/generation_request.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bulkhead::serve {

inline constexpr std::uint64_t kMostForks = 64;

struct DeclareRequest {
  std::string name = {};
  std::optional<GenerationRequest> history = {};  // what it is to hold
};

struct ForkRequest {
  std::vector<std::string> names = {};      // one for each, "" for none
  std::optional<std::uint64_t> turns = {};  // that they begin with; none: all
};

// What stays: one of the two.
struct TruncateRequest {
  std::optional<std::uint64_t> turns = {};
  std::optional<std::uint64_t> tokens = {};
};

[[nodiscard]] Answer<DeclareRequest> read_declare_request(const Json& body);
[[nodiscard]] Answer<ForkRequest> read_fork_request(const Json& body);
[[nodiscard]] Answer<TruncateRequest> read_truncate_request(const Json& body);

}  // namespace bulkhead::serve
