// SPDX-License-Identifier: MIT
// What stops a job: its own stop token, that of its generation, or whoever holds this.
#pragma once

#include "engine/engine.h"

#include <stop_token>

namespace bulkhead::engine {

class JobStop {
 public:
  explicit JobStop(const Job& job)
      : of_job_(job.cancel, Request{&source_}),
        of_generation_(job.generate ? job.generate->cancel : std::stop_token(), Request{&source_}) {}

  void request() noexcept { source_.request_stop(); }
  [[nodiscard]] bool requested() const noexcept { return source_.stop_requested(); }
  [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  struct Request {
    std::stop_source* source;
    void operator()() const noexcept { source->request_stop(); }
  };
  std::stop_source source_;
  std::stop_callback<Request> of_job_;
  std::stop_callback<Request> of_generation_;
};

}  // namespace bulkhead::engine
