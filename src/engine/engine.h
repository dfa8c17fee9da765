// SPDX-License-Identifier: MIT
// The engine seam: what a back end must offer so that plans can run on it.
//
// An engine holds one model and many sequences. Nothing that is done to one sequence may change what another shows;
// how strongly that holds is the engine's Grade, and a test can refute it.
//
// State after a failure, for every call that takes a sequence:
//   kResource, kBadInput, kUsage, kUnsupported   found before any work: the sequence is unchanged
//   kInterrupted                                 prefill: as before; generate: holds the tokens generated so far
//   any other code                               poisoned: only close() is allowed, the rest gives kClosed
// One kUnsupported is found in the middle: a grammar or a bias leaves a generation no token to draw. Its sequence holds
// what it had and the tokens drawn so far, as after a cancel, and is not poisoned.
// All other sequences go on unharmed in every case.
//
// An id means something in the engine that gave it and nowhere else: another engine answers kClosed, and touches
// nothing.
//
// What is computed is a job: submit() takes it in, advance() computes one step for all that are running, and each tells
// what came of it as events. Jobs join and leave between two steps. prefill() and generate() are jobs that the caller
// waits for. From submit() to the end of its job a sequence is busy: every other call about it that could change or
// copy it gives kBadInput, inspect() shows what it holds so far, and close() ends the job first.
//
// Thread rule: one thread at a time per engine. Tokenizer calls are const and may run on any thread, and so may wake().
#pragma once

#include "base/id.h"
#include "base/result.h"
#include "engine/snapshot.h"
#include "engine/tokenizer.h"

#include <bulkhead/options.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bulkhead::engine {

using SequenceId = Id<struct SequenceTag>;
using JobId = Id<struct JobTag>;
using Duration = std::chrono::nanoseconds;

// An id that no sequence of this process has had, in whatever engine: every engine takes its ids from here, so that one
// engine's id is kClosed in all others. Any thread.
[[nodiscard]] SequenceId new_sequence_id() noexcept;

// An id that no job of this process has had. Any thread.
[[nodiscard]] JobId new_job_id() noexcept;

enum class Capability {
  kFork,         // fork at the end of a sequence without computing it again
  kForkEarlier,  // fork at an earlier position without computing it again
  kScore,
  kLogitHash,
  kChatTemplate,
  kSnapshot,
  kConstraint,  // GenerateOptions::grammar
  kEmbed,
  kLogitBias,
  kLogprobs,
};

[[nodiscard]] std::string_view name(Capability capability) noexcept;
[[nodiscard]] std::string_view name(Grade grade) noexcept;          // "process", "buffer", "mask", "claimed"
[[nodiscard]] std::string_view name(Isolation isolation) noexcept;  // "strict", "fast", "auto"

// What does not change while an engine lives.
struct Facts {
  std::string engine;  // "llama", "fake"
  std::string build;   // version of the back end
  std::string model_path;
  std::string model_name;    // as the model file calls itself
  std::string architecture;  // "qwen2", "gemma3"
  std::uint64_t model_bytes = 0;
  std::uint32_t vocabulary = 0;      // tokens
  std::uint32_t context_tokens = 0;  // most tokens one sequence may hold here
  std::uint32_t trained_context_tokens = 0;
  std::uint32_t window_tokens = 0;       // sliding window; 0: none
  std::uint64_t kv_bytes_per_token = 0;  // of one sequence, all layers
  std::string kv_type_k;
  std::string kv_type_v;
  std::string kernels;                       // what multiplies with the weights: "bulkhead (avx512-vnni)", "stock"
  Isolation isolation = Isolation::kStrict;  // what was taken; never kAuto
  // The logits of a token are the same bits whatever is computed with it, at whatever step and in whatever chunks.
  bool batch_invariant = false;
  std::string variance;  // why not; empty if they are
  std::uint32_t threads = 0;
  bool flash_attention = false;
  bool chat_template = false;  // the model brings one; it may still turn out broken when it is used
  std::string clock = {};      // what templates that print the date take for now (engine/clock.h)
  Grade grade = Grade::kBuffer;
  // How this back end does what others do in another way, in its own words, for people who compare engines. Keys that
  // all of them use: loading, tokenizer, context, generation, sampling, cache, attention, device, weights, computing.
  std::map<std::string, std::string> implementation = {};
};

// Memory of processes that an engine runs beside this one, as each asks its own system. Of grade `process` those that
// were there at once when they held most.
struct WorkerMemory {
  std::uint32_t processes = 0;
  std::uint64_t peak_rss_bytes = 0;     // most that was ever resident, summed over them
  std::uint64_t peak_device_bytes = 0;  // most on a GPU, where the framework counts it; else 0
};

struct OpenOptions {
  std::uint32_t capacity_tokens = 0;  // most tokens it will ever hold
  // A hint, never needed for right results: this sequence will only be forked, not decoded. Engines keep those apart so
  // that the sequences decoded together lie side by side.
  bool only_forked = false;
  std::string name = {};   // for transcripts and people
  std::string owner = {};  // at a desk (desk/desk.h): who it counts for; engines do not look at it
};

// Called on the caller's thread after each chunk of a prefill, with the tokens of this call computed so far.
using PrefillProgress = std::function<void(std::uint32_t tokens)>;

struct PrefillResult {
  std::uint32_t tokens = 0;
  Duration time{};
};

struct ForkResult {
  SequenceId sequence{0};
  std::uint32_t reused_tokens = 0;     // taken over
  std::uint32_t prefilled_tokens = 0;  // computed again because the cache could not serve that position
  Duration time{};
};

struct GenerateRequest {
  SequenceId sequence{0};
  GenerateOptions options;
};

struct GenerateResult {
  std::vector<Token> tokens;                // [n_generated], the end token included if one was drawn
  std::string text;                         // bytes of the tokens, without end token and stop string; valid UTF-8
  std::vector<std::uint64_t> logit_hashes;  // [n_generated] or empty
  std::vector<Duration> token_times;        // [n_generated] since the call began
  std::vector<TokenLogprobs> logprobs;      // [n_generated] or empty
  std::uint32_t drafted_tokens = 0;         // proposed and computed ahead (prompt lookup) ...
  std::uint32_t accepted_tokens = 0;        // ... and of these, found right
  enum class Finish { kEnd, kLength, kStop, kCancelled } finish = Finish::kLength;
};

[[nodiscard]] std::string_view name(GenerateResult::Finish finish) noexcept;  // "end", "length", "stop", "cancelled"

// What one sequence wants computed: tokens appended, then perhaps a generation behind them.
struct Job {
  SequenceId sequence{0};
  std::vector<Token> prefill = {};  // may be empty where there is a generation
  std::optional<GenerateOptions> generate = {};
  // Like cancel(), from any thread and within one step; generate->cancel does the same.
  std::stop_token cancel = {};
};

// The outcome of a job that did not fail.
struct JobResult {
  PrefillResult prefill;  // fewer tokens than were given: it was cancelled there
  GenerateResult
      generated;  // kCancelled, without tokens, where the prefill was cancelled; kLength where none was asked
};

struct Prefilled {
  std::uint32_t tokens = 0;  // of the job's prefill, computed so far
};

struct Drawn {
  Token token = 0;
  std::uint32_t index = 0;                     // 0 is the first token of the generation
  std::string piece;                           // its raw bytes, maybe part of a UTF-8 character
  std::optional<TokenLogprobs> logprobs = {};  // where they were asked for
};

// What came of a step. The last event of a job is its outcome, and after it the job is gone.
struct JobEvent {
  JobId job{0};
  std::variant<Prefilled, Drawn, Result<JobResult>> what;
};

// What one step may do. Where logits depend on what is computed together (facts().batch_invariant), chunks are those of
// a prefill alone whatever stands here.
struct StepLimits {
  std::uint32_t prefill_tokens = 256;        // of all jobs, when nobody draws in this step
  std::uint32_t prefill_tokens_beside = 32;  // when somebody does, who then waits for little
};

// What the back end itself says it holds, asked anew: the ledger is compared with this.
struct SequenceState {
  std::uint32_t tokens = 0;          // prefilled and generated
  std::uint32_t pending_tokens = 0;  // of these, drawn or forked at, but not yet in the cache (0 or 1)
  std::int64_t first_position = -1;  // oldest position still in the cache; -1: empty
  std::int64_t last_position = -1;   // newest position in the cache; -1: empty
  std::string token_sha256;          // of all tokens, pending one included (base/hash.h, sha256_of_tokens)
  std::uint64_t kv_bytes_used = 0;
  std::uint64_t kv_bytes_allocated = 0;
};

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  [[nodiscard]] virtual const Facts& facts() const = 0;
  [[nodiscard]] virtual const Tokenizer& tokenizer() const = 0;
  [[nodiscard]] virtual bool can(Capability capability) const = 0;

  // Of the workers that run now; none for an engine inside this process, and none for grade `process`, whose workers
  // end with their sequences. kRemote when one does not answer.
  [[nodiscard]] virtual Result<WorkerMemory> worker_memory() const;

  // Bytes that the cells of all open sequences take now, shared ones once; 0 where that cannot be told.
  [[nodiscard]] virtual std::uint64_t kv_bytes_taken() const { return 0; }

  // Bytes that reserve() would allocate for the same arguments.
  [[nodiscard]] virtual std::uint64_t bytes_for(std::uint32_t sequences, std::uint32_t tokens_each) const = 0;

  // Makes room for `sequences` sequences of `tokens_each` tokens that can be decoded together. kResource, and nothing
  // allocated, when the model's context or the memory does not allow it; the message says by how much.
  [[nodiscard]] virtual Result<void> reserve(std::uint32_t sequences, std::uint32_t tokens_each) = 0;

  // An empty sequence. Takes reserved room, or allocates some. kResource when neither is there.
  [[nodiscard]] virtual Result<SequenceId> open(const OpenOptions& options) = 0;

  // Takes in a job, to be computed from the next advance() on. Nothing is done yet: kClosed; kBadInput for a busy
  // sequence, nothing to do, a token outside the vocabulary, a broken grammar, or a generation behind nothing; kUsage
  // for options out of range; kUnsupported for options without their capability; kResource where the tokens do not fit
  // into the sequence, or its cells beside what the running jobs may need.
  [[nodiscard]] virtual Result<JobId> submit(Job job) = 0;

  // Ends this job and no other at the next advance(): its sequence keeps what was computed. Nothing for a job that is
  // not running. Once cancelled, a job draws no further token.
  virtual void cancel(JobId job) = 0;

  // One step for the jobs that are running, and its events behind those in `events`. Does nothing where none runs. Jobs
  // fail, one by one; the step does not. on_token of a generation is called here. What a job computes is the same bits
  // whatever joins, leaves or is cancelled beside it, where facts().batch_invariant. An engine whose jobs are computed
  // in several places waits for the first that has made its step, and gives what has come; those that take longer are
  // in the events of a later one. Where some job has an on_token it waits for all.
  virtual void advance(const StepLimits& limits, std::vector<JobEvent>& events) = 0;

  // Any thread: makes an advance() that waits return soon, with the events that have come by then, perhaps none; where
  // none waits, the next one does. Nothing for an engine that computes in this process, whose steps are short.
  virtual void wake() noexcept {}

  // Jobs whose last event has not been given out yet.
  [[nodiscard]] virtual std::size_t running_jobs() const = 0;

  // Appends tokens and computes their KV. Chunk boundaries depend on this call's tokens only. An empty span is
  // kBadInput. `progress` is told of every chunk, of the last one with all tokens.
  [[nodiscard]] virtual Result<PrefillResult> prefill(SequenceId sequence, std::span<const Token> tokens,
                                                      std::stop_token cancel = {},
                                                      const PrefillProgress& progress = {}) = 0;

  // A new sequence that holds the first `tokens` tokens of `source`. Where the cache cannot serve that position
  // (sliding window moved on, engine without the capability) they are computed again: the result is right in every
  // case.
  [[nodiscard]] virtual Result<ForkResult> fork(SequenceId source, std::uint32_t tokens,
                                                const OpenOptions& options) = 0;

  // Makes the sequence as if it had only had its first `tokens` tokens. Where the cache cannot serve that position (see
  // fork()), they are computed again: the result gives how many. kBadInput: it holds fewer.
  [[nodiscard]] virtual Result<PrefillResult> truncate(SequenceId sequence, std::uint32_t tokens) = 0;

  // Generates for all requests together, one batched step after another; results in the order of requests. A sequence
  // may appear once; it must not be empty (kBadInput). Generated tokens stay in the sequence. A request's stop token
  // ends that request within one step, as kCancelled with the tokens it has by then; the others go on, and get the
  // tokens and bits that they get without it.
  [[nodiscard]] virtual std::vector<Result<GenerateResult>> generate(std::span<const GenerateRequest> requests) = 0;

  // Appends `tokens` and gives the natural-log probability of each, given all before it. [n_tokens]
  [[nodiscard]] virtual Result<std::vector<double>> score(SequenceId sequence, std::span<const Token> tokens) = 0;

  // For each of `continuations`, the natural-log probability of its tokens right behind `sequence`, which stays as it
  // is: forced choice. The same numbers as fork(), score() and close() of one after the other, which is what an engine
  // does that has nothing faster; bit for bit where facts().batch_invariant. An empty continuation is kBadInput. Takes
  // room for one sequence at least, and for one of each continuation at most; none is left taken.
  // [n_continuations][n_tokens of it]
  [[nodiscard]] virtual Result<std::vector<std::vector<double>>> score_continuations(
      SequenceId sequence, std::span<const std::vector<Token>> continuations);

  [[nodiscard]] virtual Result<SequenceState> inspect(SequenceId sequence) const = 0;

  // XXH3-64 of all that is stored for this sequence, as the back end stores it. It says whether another's action has
  // touched it: it changes with the sequence's own actions only. Not comparable between sequences or processes.
  // kUnsupported when this engine cannot tell, or not before the next computation. Slow: reads the whole cache.
  [[nodiscard]] virtual Result<std::uint64_t> state_hash(SequenceId sequence) const;

  // All that `sequence` is: its tokens, the pending one, the logits it holds and its cells, as plain bytes. Does not
  // change it. Samplers belong to a generation and are no part of it. kUnsupported without Capability::kSnapshot.
  [[nodiscard]] virtual Result<Snapshot> snapshot(SequenceId sequence);

  // A new sequence that goes on as the source of the snapshot would have: bit for bit where facts().batch_invariant, or
  // in a buffer of its own without a sliding window. Cells that cannot be taken over are computed anew from the tokens.
  // kCorrupt: damaged or cut; kBadInput: made with another model or other options, and the message names the field;
  // kResource: its tokens do not fit into the capacity, or there is no room. After any failure the engine is as before,
  // and the unfinished sequence has left no cells.
  [[nodiscard]] virtual Result<SequenceId> restore(const Snapshot& snapshot, const OpenOptions& options);

  // Frees the room; the id is never used again. kClosed if it is not open.
  [[nodiscard]] virtual Result<void> close(SequenceId sequence) = 0;
};

// Makes an engine. Called with a path that exists.
using Factory = Result<std::unique_ptr<Engine>> (*)(const ModelOptions& options);

struct Registration {
  std::string_view name;
  std::string_view description;
  Factory make;
};

// kUsage, naming the flag, when an option is set that only the framework engines know: for all others to ask.
[[nodiscard]] Result<void> refuse_framework_switches(const ModelOptions& options);

// The engines of a program: filled by engines/builtin, asked by name.
class Registry {
 public:
  void add(const Registration& registration) { entries_.push_back(registration); }
  [[nodiscard]] std::span<const Registration> entries() const noexcept { return entries_; }
  // kUsage, with the list of known names, when there is none called options.engine.
  [[nodiscard]] Result<std::unique_ptr<Engine>> make(const ModelOptions& options) const;

 private:
  std::vector<Registration> entries_;
};

}  // namespace bulkhead::engine
