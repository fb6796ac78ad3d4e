/* common/state/state_cache.h - the cache of one actor's state on this machine: leveldb, one or more stores a generation.
 *
 * It holds exactly one complete checkpoint, and says which one in a file beside the stores (state_identity.h). While a
 * checkpoint is being taken in, the file says so; as values are absolute, taking it in again completes what was cut
 * off. Nothing is synced: after a restart of the machine the cache is thrown away and rebuilt from the files of the
 * checkpoint, which are the truth.
 *
 * A generation that expires some day is filled in slices: the stored key is slice, key group, key. What is put into one
 * slice never overlaps with what stands in another, so leveldb moves the tables of older slices from level to level as they
 * are: its compaction, otherwise the greater part of what a new key costs, only ever merges within the newest slice. A slice
 * has a filter of its own, so a key that was never seen is looked for in none, nearly always. A state that never expires
 * changes its values over and over: it has one slice, which is compacted, and no filter.
 *
 * A folder belongs to one process at a time (flock): another process that hosts the same actor uses another folder.
 *
 * Errors:  CORRUPT where leveldb complains: the cache has lost its identity then, and is made anew when it is opened
 *          next. RETRY: disk full or away.
 * Threads: all that changes on one thread (state_cache.c, state_slices.c); get and hide on another
 *          (state_cache_read.c).
 */
#ifndef STATE_CACHE_H
#define STATE_CACHE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/state/key_filter.h"
#include "common/state/level.h"
#include "common/state/state_identity.h"
#include "common/state/state_port.h"

enum { SLICE_BYTES = 1, PREFIX_BYTES = 3, CACHE_BATCH = 512 };

struct cache_slice {
	uint64_t keys; /* that were put, at most */
	struct key_filter filter;
};
struct cache_store {
	uint64_t generation;
	struct level *level;
	struct cache_slice slices[SLICES_MAX]; /* oldest first */
	uint32_t slices_len;
};

struct state_cache {
	char *folder;
	int lock_fd;
	char *about;
	bool sliced, open;
	struct level_limits limits;
	size_t filter_bytes; /* of all slices, at most */
	pthread_mutex_t mutex; /* guards stores */
	struct cache_store stores[STORES_MAX]; /* oldest generation first */
	uint32_t stores_len;
	uint64_t hidden_below; /* generations that get does not look into */
	_Atomic bool broken; /* leveldb complained */
	struct cache_identity identity; /* as it was last read or written */
	struct level_batch *batch;
	uint64_t batch_hashes[CACHE_BATCH];
	size_t batch_len;
	struct cache_store *target; /* its last slice is put into; since the last room */
	struct buffer key; /* scratch */
};

struct state_config;
/* Finds or makes a folder. identity: what it holds; checkpoint (0,0) and no store: nothing. */
enum result state_cache_open(
    struct state_cache *cache, const struct state_config *config, struct error *error) MUST_USE;
void state_cache_close(struct state_cache *cache);
/* Throws away what it holds. */
enum result state_cache_clear(struct state_cache *cache, struct error *error) MUST_USE;

/* From here to end, entries of this checkpoint are put. room: for so many keys of a generation, at most. */
enum result state_cache_begin(struct state_cache *cache, struct epoch_id checkpoint, struct error *error) MUST_USE;
enum result state_cache_room(
    struct state_cache *cache, uint64_t generation, uint64_t keys, struct error *error) MUST_USE;
/* Into the generation that room was made in last; key groups rising, keys of one in order. */
enum result state_cache_put(struct state_cache *cache, uint32_t group, uint64_t hash, struct bytes key,
    struct bytes value, struct error *error) MUST_USE;
/* After the last put into a generation. */
enum result state_cache_flush(struct state_cache *cache, struct error *error) MUST_USE;
/* It holds the checkpoint now; generations below are dropped. */
enum result state_cache_end(struct state_cache *cache, uint64_t drop_below, struct error *error) MUST_USE;

void state_cache_prefetch(struct state_cache *cache, uint64_t hash);
/* Appends to value; found false: there is none. */
enum result state_cache_get(struct state_cache *cache, uint32_t group, uint64_t hash, struct bytes key,
    struct buffer *value, bool *found, struct error *error) MUST_USE;
void state_cache_hide(struct state_cache *cache, uint64_t below);

/* state_slices.c: the last slice of the store has room for so many more keys. The caller writes the identity. */
enum result cache_slice_room(
    struct state_cache *cache, struct cache_store *store, uint64_t keys, struct error *error) MUST_USE;
void cache_filter_path(const struct state_cache *cache, uint64_t generation, uint32_t slice, char path[PATH_MAX]);

/* What leveldb said; a cache that it complained of is never used again. */
enum result state_cache_judge(struct state_cache *cache, enum result result);

#endif
