/* SPDX-License-Identifier: MIT
 *
 * The library for languages other than C++: models, partitions, messages, generations, embeddings. The same as
 * <bulkhead/model.h>, with options and results as JSON, so that new fields break nobody.
 *
 * Errors: a call that can fail gives NULL when it is done, else an error that the caller frees. What was to come out is
 * then untouched, and the state left behind is that of <bulkhead/model.h>. NULL where an object is due is kUsage.
 * Thread rule: as in <bulkhead/model.h>: any thread may call; freeing is the caller's to keep apart from calls.
 * Lifetime: objects are freed by their free(), in any order: a partition keeps its model's engine. free(NULL) is
 * nothing. Texts in: `size` bytes of UTF-8 at `data`, which need no NUL behind them. Names and JSON in: NUL-terminated.
 * Texts out: a bulkhead_text, freed by bulkhead_text_free(). The 64-bit hashes of JSON are strings of 16 hex digits.
 * Stability: what is declared here stays within a minor version (0.x), names of JSON fields too; more may come.
 */
#ifndef BULKHEAD_C_H
#define BULKHEAD_C_H

#include <bulkhead/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct bulkhead_error bulkhead_error;
typedef struct bulkhead_model bulkhead_model;
typedef struct bulkhead_partition bulkhead_partition;
typedef struct bulkhead_message bulkhead_message;
typedef struct bulkhead_cancel bulkhead_cancel;
typedef struct bulkhead_embedder bulkhead_embedder;

/* `size` bytes, and a NUL behind them that does not count. */
typedef struct bulkhead_text {
  char* data;
  size_t size;
} bulkhead_text;

/* Told of each token that generation `which` of a call draws, on the thread that called, perhaps a little later.
 * `piece` is valid during the call only, and may be a part of a character. Not 0: this generation stops behind this
 * token. It must not use the partitions of that call. */
typedef int (*bulkhead_on_token)(void* user, size_t which, int32_t token, uint32_t index, const char* piece,
                                 size_t piece_size);

/* ---- errors and texts ---- */

/* The code in words: "usage", "bad_input", ... (<bulkhead/error.h> says what each means). Valid until it is freed, as
 * are the following ones; place and advice may be "". */
BULKHEAD_API const char* bulkhead_error_code(const bulkhead_error* error);
BULKHEAD_API const char* bulkhead_error_message(const bulkhead_error* error);
BULKHEAD_API const char* bulkhead_error_place(const bulkhead_error* error);
BULKHEAD_API const char* bulkhead_error_advice(const bulkhead_error* error);
/* With which a program would end: 1 to 8, or 130. */
BULKHEAD_API int bulkhead_error_exit_code(const bulkhead_error* error);
BULKHEAD_API void bulkhead_error_free(bulkhead_error* error);
/* Frees the bytes and leaves an empty text. */
BULKHEAD_API void bulkhead_text_free(bulkhead_text* text);
/* Of the library that runs, such as "0.1.0". Lives forever. */
BULKHEAD_API const char* bulkhead_version(void);

/* ---- cancelling ---- */

/* Something that stops calls which were given it. One may be given to many calls; once requested it stays requested. */
BULKHEAD_API bulkhead_cancel* bulkhead_cancel_new(void);
/* Any thread, at any time before it is freed. */
BULKHEAD_API void bulkhead_cancel_request(bulkhead_cancel* cancel);
/* Calls that were given it must have returned. */
BULKHEAD_API void bulkhead_cancel_free(bulkhead_cancel* cancel);

/* ---- models ---- */

/* Loads weights. `options`: an object with the fields of ModelOptions by their names; enumerations are "buffer",
 * "mask", "process", "claimed"; "strict", "fast", "auto"; "none", "pages", "poison". kBadInput names a field that is
 * unknown or of another type; else as Model::load(). */
BULKHEAD_API bulkhead_error* bulkhead_model_load(const char* options, bulkhead_model** model);
/* {"description", "grade"} */
BULKHEAD_API bulkhead_error* bulkhead_model_info(const bulkhead_model* model, bulkhead_text* info);
/* `budget`: {"kv_bytes", "partitions", "calls"}, each 0 or missing for no limit. */
BULKHEAD_API bulkhead_error* bulkhead_model_set_budget(bulkhead_model* model, const char* owner, const char* budget);
/* How many partitions were parked. 0 for NULL. */
BULKHEAD_API uint64_t bulkhead_model_park(bulkhead_model* model);
BULKHEAD_API void bulkhead_model_free(bulkhead_model* model);

/* Generates for `count` partitions of the model in one batch. `options`: one object for all, or a list with one for
 * each, with the fields of GenerateOptions by their names; those of SamplingOptions stand beside them; a bias of null
 * forbids its token. `on_token` may be NULL; `user` is handed to it. `cancels`: NULL, or `count` of them, each of which
 * may be NULL. `results`: a list with, for each partition, {"generation": {"text", "tokens", "logit_hashes",
 * "logprobs", "finish", "ttft_ms", "decode_ms"}} or {"error": {"code", "message", "place", "advice", "exit_code"}}; a
 * log probability of null is minus infinity; finish is "end", "length", "stop" or "cancelled". */
BULKHEAD_API bulkhead_error* bulkhead_model_generate(bulkhead_model* model, bulkhead_partition* const* partitions,
                                                     size_t count, const char* options, bulkhead_on_token on_token,
                                                     void* user, bulkhead_cancel* const* cancels,
                                                     bulkhead_text* results);

/* ---- partitions ---- */

/* `options`: {"owner", "capacity_tokens"}, both of which may be missing; NULL: {}. */
BULKHEAD_API bulkhead_error* bulkhead_partition_open(bulkhead_model* model, const char* name, const char* options,
                                                     bulkhead_partition** partition);
/* `cancel` may be NULL, here and below. */
BULKHEAD_API bulkhead_error* bulkhead_partition_prefill(bulkhead_partition* partition, const char* data, size_t size,
                                                        bulkhead_cancel* cancel);
BULKHEAD_API bulkhead_error* bulkhead_partition_receive(bulkhead_partition* partition, const bulkhead_message* message,
                                                        bulkhead_cancel* cancel);
BULKHEAD_API bulkhead_error* bulkhead_partition_chat(bulkhead_partition* partition, const char* role, const char* data,
                                                     size_t size, bulkhead_cancel* cancel);
BULKHEAD_API bulkhead_error* bulkhead_partition_truncate(bulkhead_partition* partition, uint64_t tokens);
BULKHEAD_API bulkhead_error* bulkhead_partition_fork(const bulkhead_partition* partition, const char* name,
                                                     bulkhead_partition** fork);
BULKHEAD_API bulkhead_error* bulkhead_partition_last_output(const bulkhead_partition* partition, const char* label,
                                                            bulkhead_message** message);
/* An object with the fields of PartitionUsage by their names. */
BULKHEAD_API bulkhead_error* bulkhead_partition_usage(const bulkhead_partition* partition, bulkhead_text* usage);
/* The bytes of all tokens that it holds; they need not be UTF-8. */
BULKHEAD_API bulkhead_error* bulkhead_partition_text(const bulkhead_partition* partition, bulkhead_text* text);
/* Closes it. */
BULKHEAD_API void bulkhead_partition_free(bulkhead_partition* partition);

/* ---- messages ---- */

/* {"text", "from", "label", "sha256"} */
BULKHEAD_API bulkhead_error* bulkhead_message_show(const bulkhead_message* message, bulkhead_text* shown);
BULKHEAD_API void bulkhead_message_free(bulkhead_message* message);

/* ---- embeddings ---- */

/* As Embedder::load(). */
BULKHEAD_API bulkhead_error* bulkhead_embedder_load(const char* model, uint32_t threads, bulkhead_embedder** embedder);
/* How many numbers a vector has. 0 for NULL. */
BULKHEAD_API size_t bulkhead_embedder_dimensions(const bulkhead_embedder* embedder);
/* Fills `values`, which has room for `count` numbers; kUsage unless that is bulkhead_embedder_dimensions(). */
BULKHEAD_API bulkhead_error* bulkhead_embedder_embed(const bulkhead_embedder* embedder, const char* data, size_t size,
                                                     float* values, size_t count);
BULKHEAD_API void bulkhead_embedder_free(bulkhead_embedder* embedder);

#ifdef __cplusplus
}
#endif

#endif
