// SPDX-License-Identifier: MIT
// Everything an embedding program needs.
#pragma once

#include <bulkhead/embedder.h>
#include <bulkhead/error.h>
#include <bulkhead/message.h>
#include <bulkhead/model.h>
#include <bulkhead/options.h>
#include <bulkhead/version.h>
