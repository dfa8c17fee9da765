// SPDX-License-Identifier: MIT
// Who is speaking: what a request says of the partition, session or agent that it belongs to. The names that clients
// use stand in one table (identity.cpp), most telling first; docs/serving.md lists them.
//
// A name means something within its owner only: two owners that send the same one never meet.
#pragma once

#include "base/json.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::serve {

struct Identity {
  std::string partition = {};  // declared: the request is about this very partition
  std::string session = {};    // a conversation, or several agents of one
  std::string agent = {};      // an agent or thread of that session
  std::string cluster = {};    // of a conversation with many, as its messages say (serve/clusters.h)
  std::string said_by = {};    // the header or field that the most telling of these came from

  // Partitions of one scope may continue and fork each other; others never share a cell.
  [[nodiscard]] std::string scope() const {
    return std::to_string(session.size()) + ':' + session + std::to_string(agent.size()) + ':' + agent + cluster;
  }
};

// The value of a header, by its lower-case name; nullopt: it is not there.
using HeaderOf = std::function<std::optional<std::string>(std::string_view name)>;

// `body` is an object. A name that is empty or longer than 256 bytes counts as not given.
[[nodiscard]] Identity identify(const HeaderOf& header, const Json& body);

}  // namespace bulkhead::serve
