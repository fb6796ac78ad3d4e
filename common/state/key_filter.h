/* common/state/key_filter.h - says "never seen" of nearly all keys that never were: a Bloom filter in a file.
 *
 * A key touches one block of 32 bytes, in which it sets a bit in each of eight lanes: asking many filters for one key is
 * as many independent loads, without a branch in between. It is made for as many keys as it will hold, KEY_FILTER_BYTES
 * each (wrong for one key in a thousand), and may be halved later where memory is short: then it is wrong more often.
 *
 * The file is mapped: what is set survives the process, not the machine. It has no checksum: a bit that the disk lost makes
 * a known key look new, so what has to be exact must not rest on it (a key of dedup is the primary key of a table as well;
 * rollup has none).
 *
 * Errors:  RETRY where the disk is full: what was there stays as it is. CORRUPT: the file is missing, or no filter.
 * Threads: one that adds while others ask; making, halving and closing need the caller's lock.
 * Source:  Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters (2007); the lanes as in the
 *          split block Bloom filter of the Parquet format.
 */
#ifndef STATE_KEY_FILTER_H
#define STATE_KEY_FILTER_H

#include <stdatomic.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

enum { KEY_FILTER_BYTES = 2, KEY_FILTER_LEAST_BYTES = 64 * 1024, FILTER_BLOCK_WORDS = 4 };

struct key_filter {
	_Atomic uint64_t *words; /* mapped; NULL: a filter that holds everything */
	size_t bytes;
};

/* A new one, empty; bytes: rounded up. */
enum result key_filter_make(struct key_filter *filter, const char *path, size_t bytes, struct error *error) MUST_USE;
/* One that is there. */
enum result key_filter_open(struct key_filter *filter, const char *path, struct error *error) MUST_USE;
void key_filter_close(struct key_filter *filter);
bool key_filter_can_be_halved(const struct key_filter *filter);
enum result key_filter_halve(struct key_filter *filter, const char *path, struct error *error) MUST_USE;

/* What a key sets, and where. */
struct filter_mask {
	uint64_t words[FILTER_BLOCK_WORDS];
	uint64_t place;
};
struct filter_mask filter_mask_of(uint64_t hash);

static inline _Atomic uint64_t *key_filter_block(const struct key_filter *filter, uint64_t place)
{
	size_t blocks = filter->bytes / (FILTER_BLOCK_WORDS * sizeof *filter->words);
	return filter->words + (size_t)(place * blocks >> 32) * FILTER_BLOCK_WORDS;
}

static inline void key_filter_prefetch(const struct key_filter *filter, uint64_t hash)
{
	if (filter->words != NULL)
		__builtin_prefetch((const void *)key_filter_block(filter, hash >> 32));
}

static inline bool key_filter_may_hold(const struct key_filter *filter, const struct filter_mask *mask)
{
	uint64_t missing = 0;
	if (filter->words == NULL)
		return true;
	const _Atomic uint64_t *block = key_filter_block(filter, mask->place);
	for (int i = 0; i < FILTER_BLOCK_WORDS; i++)
		missing |= mask->words[i] & ~atomic_load_explicit(&block[i], memory_order_relaxed);
	return missing == 0;
}

/* Many at once: the waits for memory overlap. */
void key_filter_add(struct key_filter *filter, const uint64_t *hashes, size_t len);

#endif
