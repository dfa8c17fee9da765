// SPDX-License-Identifier: MIT
#include "cli/run_flags.h"

namespace bulkhead::cli {

void add_run_flags(CLI::App& app, RunFlags& flags) {
  add_experiment_flags(app, flags.experiment);
  add_model_flags(app, flags.model);
  add_sampling_flags(app, flags.sampling);
  app.add_option("--repeat", flags.repeat, "how many seeds: the given one, +1, +2, ... (1 when greedy)")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--parallel", flags.parallel, "-np: most sequences open at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_flag("--ignore-eos", flags.ignore_end, "generate on after an end token (for timings)");
  app.add_flag("--no-speculation", flags.no_speculation,
               "do not verify drafts looked up in the context: the same texts, more slowly");
  app.add_option("--out", flags.folder, "run folder, new or empty; default: runs/DATE-TIME");
  app.add_flag("--force", flags.force, "replace the run that lies in the folder of --out");
  add_common_flags(app, flags.common);
}

}  // namespace bulkhead::cli
