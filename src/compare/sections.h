// SPDX-License-Identifier: MIT
// The sections of a comparison's page, each appended to `page` from the document of compare().
#pragma once

#include "compare/page.h"

#include <string>
#include <vector>

namespace bulkhead::compare {

void add_quality(Page& page, const Json& comparison);         // own and foreign terms, texts, where they part
void add_caches(Page& page, const Json& comparison);          // sizes, isolation, input tokens, clusters
void add_times(Page& page, const Json& comparison);           // load, prefill, decode
void add_implementation(Page& page, const Json& comparison);  // how each engine does things
void add_memory(Page& page, const Json& comparison);
void add_seeds(Page& page, const Json& comparison);
void add_reference(Page& page, const Json& comparison);  // what the reference rows are

// "Engine", then the entries' names.
[[nodiscard]] std::vector<std::string> engine_names(const Json& comparison);
// The name of a reference row in a table of ours.
[[nodiscard]] std::string reference_name(const Json& row);
// The title of a table's first column, then those of the conditions.
[[nodiscard]] std::vector<std::string> condition_titles(const Json& comparison, std::string first);

}  // namespace bulkhead::compare
