// SPDX-License-Identifier: MIT
// One conversation with many clusters: its caller labels the messages, and a request is about the cluster of its last
// user's message. What is of other clusters is left out before anything is rendered.
#pragma once

#include "base/json.h"
#include "serve/body_reader.h"
#include "serve/chat_fields.h"

#include <string>
#include <vector>

namespace bulkhead::serve {

// `list`: as the client sent them, objects; `messages`: what was read of each, in order. Those of another cluster than
// the asked one go, with the `outputs` in them. A system message is of all clusters; an answer or a tool's result
// without a label is of the cluster of the user's message before it. `cluster` stays empty where nothing is labelled.
void keep_asked_cluster(const Json& list, BodyReader& reader, Messages& messages, std::vector<OutputPart>& outputs,
                        std::string& cluster);

// Where a form knows no clusters: a label fails by name.
void refuse_cluster(const Json& message, BodyReader& reader, const std::string& place);

}  // namespace bulkhead::serve
