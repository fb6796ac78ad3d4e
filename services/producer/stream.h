/* services/producer/stream.h - the sequence of records that a producer sends: new ones, repeats, conflicts, poison.
 *
 * A function of the seed, except for the time of the events where no days were given (then they happen when the record
 * is made).
 */
#ifndef PRODUCER_STREAM_H
#define PRODUCER_STREAM_H

#include "services/producer/values.h"

enum { STREAM_MEMORY = 8192 }; /* repeats are of one of the last so many new records */

struct stream_mix {
	uint64_t seed;
	double duplicates, conflicts, poison; /* percent */
	uint32_t days; /* 0: now */
};

struct stream_counts {
	uint64_t fresh, duplicates, conflicts, poison;
};

struct stream_original {
	uint64_t number;
	int64_t event_us;
};

struct stream {
	struct stream_mix mix;
	struct randomness random; /* of the choices, not of the records */
	struct stream_counts counts;
	struct stream_original originals[STREAM_MEMORY]; /* ring of the new records */
	struct transaction transaction;
};

void stream_init(struct stream *stream, struct stream_mix mix);
void stream_fini(struct stream *stream);
/* Borrowed until the next call; payload.data NULL: a tombstone. */
void stream_next(struct stream *stream, struct bytes *key, struct bytes *payload);

#endif
