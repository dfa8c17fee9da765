// SPDX-License-Identifier: MIT
// The report with pictures: report.html.
#pragma once

#include "base/json.h"

#include <string>

namespace bulkhead::report {

// One self-contained page: styles, scripts (src/report/assets, Observable Plot, D3) and data are in it, and its content
// security policy forbids every request and every script but these. Data goes in as JSON that cannot end its element,
// and the scripts set text only, never markup. kCorrupt for what check_results() refuses.
[[nodiscard]] Result<std::string> to_html(const Json& results);

// The scripts of to_html(), as a content security policy names them: "'sha256-...' 'sha256-...'". The same for all
// reports of this program, so that a page which shows one can allow these and no others.
[[nodiscard]] Result<std::string> script_sources();

// The same of an evaluation's summary. kCorrupt for what check_evaluation() refuses.
[[nodiscard]] Result<std::string> evaluation_html(const Json& evaluation);

}  // namespace bulkhead::report
