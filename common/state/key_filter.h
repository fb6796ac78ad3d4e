/* common/state/key_filter.h - says "never seen" of nearly all keys that never were: a Bloom filter that grows, and shrinks.
 *
 * Blocked: a key touches one cache line in each segment. A segment has 12 bits for each key that it is made for, and is at
 * least twice the one before it. Where memory is short it is made smaller, or halved later: then it is wrong more often.
 * Segments are files of the cache, mapped: what is set survives the process, not the machine. They have no checksum: a
 * bit that the disk lost makes a known key look new, so what has to be exact must not rest on it (a key of dedup is the
 * primary key of a table as well; rollup reads its cache whole).
 *
 * Errors:  RETRY where the disk is full: what was there stays as it is.
 * Threads: one that adds while others ask; growing and halving need the caller's lock.
 * Source:  Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters (2007).
 */
#ifndef STATE_KEY_FILTER_H
#define STATE_KEY_FILTER_H

#include <stdatomic.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

enum { FILTER_SEGMENTS_MAX = 24, FILTER_SEGMENT_LEAST_BYTES = 64 * 1024 };

struct filter_segment {
	_Atomic uint64_t *words; /* mapped */
	size_t bytes;
};
struct key_filter {
	char *path; /* of the segments: <path>.0, <path>.1, ... */
	struct filter_segment segments[FILTER_SEGMENTS_MAX];
	uint32_t segments_len;
	uint64_t room; /* for so many more keys, in the last segment */
};

/* Maps the segments that are there; room: as it was when it was used last. */
enum result key_filter_open(struct key_filter *filter, const char *path, uint64_t room, struct error *error) MUST_USE;
void key_filter_close(struct key_filter *filter);

/* The size of the segment that so many more keys would like to have; 0: the last one has room. */
size_t key_filter_wish(const struct key_filter *filter, uint64_t more_keys, uint64_t expected_keys);
/* Room for so many more keys: in a further segment of `bytes` instead of what was wished. Too small a one is left out. */
enum result key_filter_grow(
    struct key_filter *filter, uint64_t more_keys, size_t wish, size_t bytes, struct error *error) MUST_USE;
/* The size of its largest segment that can be halved; 0: none can. */
size_t key_filter_largest(const struct key_filter *filter);
enum result key_filter_halve(struct key_filter *filter, struct error *error) MUST_USE;

void key_filter_add(struct key_filter *filter, uint64_t hash);
bool key_filter_may_hold(const struct key_filter *filter, uint64_t hash);
size_t key_filter_bytes(const struct key_filter *filter);

#endif
