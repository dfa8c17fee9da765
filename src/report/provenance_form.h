// SPDX-License-Identifier: MIT
// The form of what made a document's numbers (run/provenance.h, docs/results-format.md).
#pragma once

#include "report/document_form.h"

namespace bulkhead::report {

// NOLINTBEGIN(*-avoid-c-arrays,*-array-to-pointer-decay)
inline constexpr Field kBulkhead[] = {{"version", Kind::kText}, {"commit", Kind::kText}};
inline constexpr Field kMachine[] = {
    {"cpu", Kind::kText}, {"cores", Kind::kCount}, {"memory_bytes", Kind::kCount}, {"os", Kind::kText}};
inline constexpr Field kModel[] = {{"name", Kind::kText},          {"path", Kind::kText},
                                   {"sha256", Kind::kText},        {"architecture", Kind::kText},
                                   {"bytes", Kind::kCount},        {"context_tokens", Kind::kCount},
                                   {"window_tokens", Kind::kCount}};
inline constexpr Field kEngine[] = {{"name", Kind::kText},      {"build", Kind::kText},
                                    {"grade", Kind::kText},     {"kv_type_k", Kind::kText},
                                    {"kv_type_v", Kind::kText}, {"kernels", Kind::kText},
                                    {"isolation", Kind::kText}, {"batch_invariant", Kind::kFlag},
                                    {"variance", Kind::kText},  {"flash_attention", Kind::kFlag},
                                    {"threads", Kind::kCount},  {"kv_bytes_per_token", Kind::kCount}};
// NOLINTEND(*-avoid-c-arrays,*-array-to-pointer-decay)

}  // namespace bulkhead::report
