// SPDX-License-Identifier: MIT
#include "report/marks.h"

#include "measure/terms.h"
#include "report/view.h"

#include <algorithm>

namespace bulkhead::report {

std::vector<Segment> marked_text(const Json& output, const Json& scenario) {
  // Foreign terms that were not found need not be searched again: the list the count was made from decides.
  const std::string own_cluster = text(output, "cluster");
  auto terms = texts(cluster_of(scenario, own_cluster), "terminology");
  const std::size_t own_terms = terms.size();
  std::vector<std::string> owners(own_terms, own_cluster);
  for (const auto& foreign : list(output, "foreign")) {
    terms.push_back(text(foreign, "term"));
    owners.push_back(text(foreign, "cluster"));
  }
  const std::string whole = text(output, "text");
  std::vector<Segment> segments;
  std::size_t at = 0;
  const auto plain_until = [&](std::size_t end) {
    if (end > at) segments.push_back({whole.substr(at, end - at), Mark::kPlain, {}});
  };
  for (const auto& hit : measure::find_terms(whole, terms)) {
    const auto term = static_cast<std::size_t>(std::find(terms.begin(), terms.end(), hit.term) - terms.begin());
    plain_until(hit.begin);
    segments.push_back(
        {whole.substr(hit.begin, hit.end - hit.begin), term < own_terms ? Mark::kOwn : Mark::kForeign, owners[term]});
    at = hit.end;
  }
  plain_until(whole.size());
  return segments;
}

}  // namespace bulkhead::report
