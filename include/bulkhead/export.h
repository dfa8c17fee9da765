// SPDX-License-Identifier: MIT
// BULKHEAD_API marks what the shared library exports; everything else in it is hidden.
#pragma once

#if defined(_WIN32)
#define BULKHEAD_API
#else
#define BULKHEAD_API __attribute__((visibility("default")))
#endif
