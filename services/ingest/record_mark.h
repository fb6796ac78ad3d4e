/* services/ingest/record_mark.h - what a record is known by: Kafka's timestamp, key and payload, but neither its headers nor its place.
 *
 * The value is kept with frontiers and checkpoints: it must be the same in every release.
 */
#ifndef RECORD_MARK_H
#define RECORD_MARK_H

#include <xxhash.h>

#include "services/ingest/source_port.h"

static inline uint64_t record_mark_part(struct bytes part, uint64_t seed)
{
	/* None, and one of no bytes, differ. */
	return part.data == NULL ? XXH3_64bits_withSeed("", 0, ~seed) : XXH3_64bits_withSeed(part.data, part.len, seed);
}

static inline uint64_t record_mark(const struct source_record *record)
{
	uint64_t hash = (uint64_t)record->timestamp_ms;
	hash = record_mark_part(record->key, hash);
	return record_mark_part(record->payload, hash);
}

#endif
