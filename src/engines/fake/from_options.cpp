// SPDX-License-Identifier: MIT
#include "engine/clock.h"
#include "engines/fake/fake_engine.h"
#include "engines/fake/mutant.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::engines::fake {

Result<std::unique_ptr<engine::Engine>> make_from_options(const ModelOptions& options) {
  FakeOptions fake;
  BH_TRY(fake.clock, engine::clock_from(options.clock));
  if (options.context_tokens > 0) fake.context_tokens = options.context_tokens;
  if (options.grade != Grade::kBuffer && options.grade != Grade::kMask) {
    return Error{ErrorCode::kUsage, fmt::format("the fake engine has no grade \"{}\"", engine::name(options.grade)),
                 "--grade", "use buffer or mask"};
  }
  BH_CHECK(engine::refuse_framework_switches(options));
  fake.grade = options.grade;
  constexpr std::string_view kPrefix = "mutant:";
  if (options.path.starts_with(kPrefix)) {
    const auto id = std::string_view(options.path).substr(kPrefix.size());
    const auto mutant = find_mutant(id);
    if (!mutant) {
      std::string known;
      for (const auto& info : mutants()) known += (known.empty() ? "" : ", ") + std::string(info.id);
      return Error{ErrorCode::kUsage, fmt::format("there is no mutant \"{}\"", id), "-m", "there are " + known};
    }
    fake.mutant = *mutant;
  }
  return make_fake_engine(std::move(fake));
}

}  // namespace bulkhead::engines::fake
