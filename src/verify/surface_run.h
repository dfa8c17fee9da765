// SPDX-License-Identifier: MIT
// Runs a trace on the public surface (include/bulkhead): Model and Partition, as an application uses them. What no
// check on the engine seam can see is seen here: whose partition a handle is, what a message says and what is on the
// books.
//
//   books           a partition holds what it was told and what it said; a refused call has changed nothing of it
//   local respect   what every other partition, and a partition of another model, says of itself is what it was
#pragma once

#include "base/result.h"
#include "verify/solo.h"
#include "verify/trace.h"

#include <bulkhead/model.h>
#include <bulkhead/options.h>

#include <memory>

namespace bulkhead::verify {

// Runs traces on models of one kind, each in a model loaded for it alone. Kept open beside them: a second model of the
// same options, whose partition is the foreign one that a batch must refuse, and whose long output is the message that
// does not fit. Errors: those of Model::load().
class Surface {
 public:
  [[nodiscard]] static Result<Surface> make(const ModelOptions& options);

  // The result refers to this, which must outlive it.
  [[nodiscard]] RunTrace runner();

 private:
  Surface(ModelOptions options, Model other, Partition foreign, Message message)
      : options_(std::move(options)),
        other_(std::make_unique<Model>(std::move(other))),
        foreign_(std::make_unique<Partition>(std::move(foreign))),
        message_(std::make_unique<Message>(std::move(message))) {}

  ModelOptions options_;
  std::unique_ptr<Model> other_;
  std::unique_ptr<Partition> foreign_;
  std::unique_ptr<Message> message_;
};

}  // namespace bulkhead::verify
