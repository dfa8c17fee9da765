// SPDX-License-Identifier: MIT
// The knobs of a model, a partition and a generation. All are plain values with working defaults.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead {

// How the next token is drawn. The order is that of llama.cpp: penalties, top-k, top-p, min-p, temperature, draw.
struct SamplingOptions {
  float temperature = 0.7F;         // 0 or less: greedy, and no other field matters but the penalty
  std::int32_t top_k = 0;           // keep the k most likely tokens; 0: all
  float top_p = 1.0F;               // keep the smallest set of tokens with this much probability; 1: all
  float min_p = 0.0F;               // drop tokens below this share of the best one's probability; 0: none
  float repeat_penalty = 1.0F;      // divide the logits of recent tokens; 1: off
  std::int32_t repeat_last_n = 64;  // how many recent tokens the penalty looks at
  std::uint32_t seed = 42;          // each generation owns a generator seeded with this
};

// What separates the KV caches of two partitions (docs/architecture.md, "Guarantees").
enum class Grade { kProcess, kBuffer, kMask, kClaimed };

// What a partition may show of the others (docs/architecture.md, "Guarantees").
enum class Isolation {
  kStrict,  // nothing, bit for bit. A model that this cannot be held for with these options is refused (kUnsupported)
  kFast,    // its numbers may depend in the last bits on what is computed beside it: saves memory with sliding windows
  kAuto     // strict where that holds, else fast. What was taken is noted in results, ledgers and snapshots, and logged
};

// What makes a computation show that it does not touch other partitions' memory. Each costs time; for tests and audits.
enum class Guard {
  kNone,
  kPages,  // other partitions' pages are locked meanwhile (mprotect): touching one is a fault
  kPoison  // other partitions' cells hold NaN meanwhile, and free cells too: a value read from there is seen
};

// How to load a model. Models of one process share their weights when they are of the same file and agree in `kernels`
// and `gpu_layers`, whatever their context size, cache types or other options; their partitions never meet.
struct ModelOptions {
  std::string path = {};  // a GGUF file, or a name of the manifest that was pulled before; not for llama: a folder
  std::string engine = "llama";  // see `bulkhead --version` for those built in
  Grade grade =
      Grade::kBuffer;  // kBuffer: own cells each; kMask: one buffer, masked; kProcess: own process and weights
  std::uint32_t context_tokens =
      0;                        // most tokens one partition may hold; 0: what the model was trained for, 4,096 at most
  std::uint32_t threads = 0;    // 0: one per physical core
  std::int32_t gpu_layers = 0;  // layers on the GPU where ggml was built for one; -1: all
  bool flash_attention = true;  // off: slower at long contexts; quantized V needs it on
  // Sliding-window models: keep every cell, so that any earlier position can be forked. Strict isolation does so too.
  bool full_window_cache = false;
  // What weights and computation are in, for engines that choose: f32, bf16 or f16. auto: as the checkpoint says, and
  // f32 for a GGUF file. Engine llama keeps to its file: auto only.
  std::string dtype = "auto";
  std::string kv_type_k = "auto";  // engine llama: f16 (auto), q8_0 or q4_0; others: auto, which is their own type
  std::string kv_type_v = "auto";  // the same
  // What multiplies with the weights on the CPU. bulkhead: our kernels, whose results do not depend on the batch;
  // stock: ggml's; auto: ours where this processor has an instruction set they are fast on.
  std::string kernels = "auto";
  // Our kernels hold weights in an order of their own. That is kept on disk for the next start, which is then faster:
  // as many bytes as the model has, in the folder BULKHEAD_PACKED, else bulkhead/packed in the cache folder. A file
  // there goes when its model is gone or changed and another model is packed; all of them may be removed at any time.
  bool keep_packed = true;
  Isolation isolation = Isolation::kAuto;
  // Engines transformers and mlx: a fork goes on writing to its source's very cache, the mistake of the seed
  // experiment, to measure what it does. Every output names it, and the grade is `claimed`.
  bool leaky = false;
  // Engine transformers, to measure what the seed experiment may have got wrong. How scores become attention: eager, or
  // sdpa (torch's fused one, which cannot cap scores, as Gemma 2 needs, and is refused there); auto: sdpa where it can.
  std::string attention = "auto";
  // Engine transformers too. continued: a token's position is its place in the sequence. restart: every prefill counts
  // from 0 again, as pieces do that are appended to a cache without telling where they stand.
  std::string positions = "continued";
  // What chat templates that print the date take for now: "2026-11-29", or with a time "2026-11-29T23:20:05". Empty:
  // the local time when the model is loaded, which stays the same for all that is done with it.
  std::string clock = {};
  Guard guard = Guard::kNone;  // needs grade buffer, and caches in main memory

  friend bool operator==(const ModelOptions&, const ModelOptions&) = default;
};

// A number added to the logit of one token.
struct TokenBias {
  std::int32_t token = 0;
  float bias = 0;  // -infinity forbids the token

  friend bool operator==(const TokenBias&, const TokenBias&) = default;
};

// How likely a token was.
struct TokenLogprob {
  std::int32_t token = 0;
  double logprob = 0;  // natural log of its probability; -infinity: it had none

  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

// How likely a drawn token was, and the likeliest ones beside it: the softmax of the model's own logits, before bias,
// penalty, grammar, filters and temperature, summed in double.
struct TokenLogprobs {
  double logprob = 0;                  // of the drawn token
  std::vector<TokenLogprob> top = {};  // best first, of equals the lower id first; the drawn one may be among them

  friend bool operator==(const TokenLogprobs&, const TokenLogprobs&) = default;
};

// One generated token, as it appears.
struct TokenEvent {
  std::int32_t token = 0;
  std::uint32_t index = 0;      // 0 is the first token of this generation
  std::string_view piece = {};  // its raw bytes, maybe part of a UTF-8 character; valid during the call only
  const TokenLogprobs* logprobs = nullptr;  // null unless asked for; valid during the call only
};

// How to generate.
struct GenerateOptions {
  SamplingOptions sampling = {};
  std::uint32_t max_tokens = 256;
  bool ignore_end = false;             // go on after an end-of-generation token (benchmarks)
  std::vector<std::string> stop = {};  // end as soon as the text contains one; it is cut off the text
  bool hash_logits = false;            // keep a hash of the logits of every step
  bool speculate = true;               // verify drafts looked up in the context, where that gives the very same tokens
  // Added to the logits before all else (penalty, filters, temperature), greedy or not. -infinity: the token is never
  // drawn. Every finite number from -1000 to 1000 is just added: -100 makes a token unlikely, and forbids nothing. A
  // token that is named twice gets both. At most 1,024 entries; other numbers are kUsage, a token outside the
  // vocabulary kBadInput. kUnsupported where the engine cannot, and where no token is left to draw.
  std::vector<TokenBias> logit_bias = {};
  // For each token, how likely it and the so many likeliest ones were: 0 to 20, else kUsage. None: nothing is reported.
  // kUnsupported where the engine cannot.
  std::optional<std::uint32_t> logprobs = {};
  // What the text of this generation must be: rules in GBNF as llama.cpp reads it, which begin at `root`, at most 64
  // KiB. Only tokens that the rules allow are drawn, and an end token only where the text is complete. Control tokens
  // are never drawn. Empty: any text.
  // kUsage together with ignore_end; kBadInput for rules that are broken or too large; kUnsupported where the engine
  // cannot, where no token fits, or where a token could be read in too many ways.
  std::string grammar = {};
  // Words of the text from which on the grammar holds: what stands before the first of them is free, what begins with
  // it must be as the rules say. Empty: the grammar holds from the first token on. At most 16, of 1 to 256 bytes;
  // kUsage otherwise, and without a grammar.
  std::vector<std::string> grammar_triggers = {};
  // What the rules have read already when the generation begins, as if it had been drawn: for rules that begin with the
  // text of a prompt. At most 4 KiB; kBadInput where they do not allow it.
  std::string grammar_prefix = {};
  // Called on the thread that called generate(), perhaps a little after the token was drawn; return false to stop this
  // generation behind this token. It must not throw, and not use the partitions of that call.
  std::function<bool(const TokenEvent&)> on_token = {};
  // Stops this generation within one step: it ends as kCancelled with the tokens it has by then; behind the token that
  // on_token is told of, where that asks for it. Others of the same call go on.
  std::stop_token cancel = {};
};

}  // namespace bulkhead
