// SPDX-License-Identifier: MIT
// The desk: it owns an engine and the one thread that computes there, and takes what many threads ask of it on behalf
// of owners. Jobs of all owners join and leave the running steps; waiting ones take turns by owner. Where memory is
// short, sequences that nobody uses are parked: their cells become bytes, and come back, bit for bit, when somebody
// asks for them. This room alone knows threads and locks.
//
// Thread rule: any thread, for all calls of a desk and of its clients. A client must not be used from a callback that
// it calls. Lifetime: clients keep their desk alive.
#pragma once

#include "base/result.h"
#include "engine/engine.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>

namespace bulkhead::desk {

// What one owner may have at a time. 0: no limit.
struct Budget {
  std::uint64_t kv_bytes = 0;   // of cells that are not parked
  std::uint32_t sequences = 0;  // open ones, parked or not
  std::uint32_t jobs = 0;       // running in one step: tokens a step, when all draw

  friend bool operator==(const Budget&, const Budget&) = default;
};

struct DeskOptions {
  engine::StepLimits limits = {};
  std::uint32_t most_jobs = 64;  // running at a time, of all owners
  std::uint64_t kv_bytes = 0;    // of all cells that are not parked; 0: what the engine has room for
};

// Counts of what a desk holds and did, for people and metrics.
struct DeskStatus {
  std::uint64_t sequences = 0;        // open, parked ones too
  std::uint64_t parked = 0;           // of these
  std::uint64_t parked_bytes = 0;     // that those take
  std::uint64_t kv_bytes = 0;         // of cells that are not parked, as they count against budgets
  std::uint64_t engine_kv_bytes = 0;  // what the engine says that its cells take
  std::uint64_t running = 0;          // jobs
  std::uint64_t waiting = 0;
  std::uint64_t steps = 0;  // so far, as all that follows
  std::uint64_t prefilled_tokens = 0;
  std::uint64_t drawn_tokens = 0;
  std::uint64_t parks = 0;
  std::uint64_t unparks = 0;
};

// Where the cells of one sequence are.
struct CellsAt {
  enum class Place {
    kNone,    // it holds no token
    kCache,   // ready to be computed with
    kParked,  // bytes beside the cache, until somebody asks for it
  };
  Place place = Place::kNone;
  std::uint64_t bytes = 0;  // in the cache: as they count against budgets, with what is shared

  friend bool operator==(const CellsAt&, const CellsAt&) = default;
};

class Desk : public std::enable_shared_from_this<Desk> {
 public:
  // Starts the thread.
  [[nodiscard]] static std::shared_ptr<Desk> open(std::unique_ptr<engine::Engine> engine, DeskOptions options = {});

  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;
  // Cancels what is running, and ends the thread.
  ~Desk();

  // The engine for any number of threads at the same time. Each client has what it opened, and no other: an id of
  // another client is kClosed. What it opens counts for OpenOptions::owner, or for `owner` where that is empty; owners
  // are the same for all clients.
  //
  // Beside the contract of the seam: kResource also when a budget is spent; a job whose cells find no room while others
  // run waits for them; a job's tokens that do not fit are its outcome, not submit()'s. on_token is called by the
  // thread that waits, a little later than the token was drawn: a generation that it stops is cut back to there.
  // advance() waits for an event of a job that this client's submit() took in; no on_token is called for those.
  [[nodiscard]] std::unique_ptr<engine::Engine> client(std::string owner = {});

  // From now on; what is there already stays.
  void set_budget(const std::string& owner, const Budget& budget);

  [[nodiscard]] DeskStatus status() const;

  // Of all that a client has open, by the names that were given: where its cells are, as of the end of its last job.
  // `client`: one of this desk's; nothing for any other.
  [[nodiscard]] std::map<std::string, CellsAt> cells_of(const engine::Engine& client) const;

  // Parks every sequence that no job uses; how many. For tests, and for who wants the memory back.
  [[nodiscard]] std::uint64_t park_all();

 private:
  friend class Client;
  class Core;
  explicit Desk(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace bulkhead::desk
