/* common/state/level.h - leveldb behind a few calls in C: tables are read with pread, never mapped, so that memory is what
 * the limits say.
 *
 * Implemented by level.cpp. Every read verifies checksums; writes are not synced: a store that matters is written to
 * files first, and one that a power failure may have torn is thrown away (see state_cache.h).
 *
 * Errors:  CORRUPT for whatever leveldb complains of: the store is to be thrown away. RETRY: the disk is full or away.
 * Threads: any; leveldb's own compaction thread is shared by the process.
 */
#ifndef STATE_LEVEL_H
#define STATE_LEVEL_H

#include "common/base/buffer.h"
#include "common/base/error.h"

struct level;
struct level_cache; /* of blocks; shared by several stores, outlives them */
struct level_cache *level_cache_new(size_t bytes);
void level_cache_free(struct level_cache *cache);

struct level_limits {
	struct level_cache *cache;
	size_t write_buffer; /* bytes; twice that while it is written out */
	size_t file_bytes; /* of a table */
	int files_open;
};

enum result level_open(
    struct level **level, const char *path, const struct level_limits *limits, struct error *error) MUST_USE;
void level_close(struct level *level);

/* Appends the value; *found false: there is none. */
enum result level_get(
    struct level *level, struct bytes key, struct buffer *value, bool *found, struct error *error) MUST_USE;

/* A batch: what it holds is written at once or not at all. */
struct level_batch;
struct level_batch *level_batch_new(void);
void level_batch_free(struct level_batch *batch);
void level_batch_put(struct level_batch *batch, struct bytes key, struct bytes value);
/* Writes it and leaves it empty. */
enum result level_write(struct level *level, struct level_batch *batch, struct error *error) MUST_USE;

#endif
