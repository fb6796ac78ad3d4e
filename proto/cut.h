/* proto/cut.h - small maps that travel in barriers: offsets by partition, counters by actor.
 *
 * Ownership: entries lie in an arena (decoded frames) or on the heap (state: cut_set, cut_fini).
 */
#ifndef PROTO_CUT_H
#define PROTO_CUT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"

/* (attempt, n); shown as 7.42. */
struct epoch_id {
	uint64_t attempt, n;
};
static inline bool epoch_equal(struct epoch_id a, struct epoch_id b)
{
	return a.attempt == b.attempt && a.n == b.n;
}
static inline int epoch_compare(struct epoch_id a, struct epoch_id b)
{
	if (a.attempt != b.attempt)
		return a.attempt < b.attempt ? -1 : 1;
	return a.n < b.n ? -1 : a.n > b.n;
}

/* Epochs are counted from 1: as if by an empty one, a choice of what is restored moves the frontier here. */
static inline struct epoch_id epoch_of_choice(uint64_t attempt)
{
	return (struct epoch_id){attempt, 0};
}

/* The offset vector: next offset to read of every partition, sorted by partition. */
struct cut_entry {
	uint32_t partition;
	int64_t offset;
};
struct cut {
	struct cut_entry *entries;
	uint32_t len;
};

/* The partition's offset, or otherwise where the cut does not name it. */
int64_t cut_get(const struct cut *cut, uint32_t partition, int64_t otherwise);
bool cut_names(const struct cut *cut, uint32_t partition);
/* Heap cuts only. */
void cut_set(struct cut *cut, uint32_t partition, int64_t offset);
void cut_copy(struct cut *to, const struct cut *from);
void cut_fini(struct cut *cut);
bool cut_equal(const struct cut *a, const struct cut *b);
/* Adds what `from` names; false when both name a partition with different offsets. */
bool cut_union(struct cut *into, const struct cut *from);
/* Partition by partition the later of both. Heap cuts only. */
void cut_raise(struct cut *cut, const struct cut *by);
/* Partition by partition the earlier of both; what only one of them names is not named any more. Heap cuts only. */
void cut_lower(struct cut *cut, const struct cut *by);
/* How many offsets lie between, at most; partitions that `from` does not name count from 0. */
uint64_t cut_distance(const struct cut *from, const struct cut *to);
/* {"0": 12, "1": 7} */
void cut_print(const struct cut *cut, struct buffer *out);

/* What a record is known by when the log is asked for it again: the one that was read last in front of a cut. */
struct mark {
	uint32_t partition;
	int64_t offset;
	uint64_t hash; /* see record_mark.h */
};
/* Sorted by partition and offset. In front of one cut a partition has two marks at most, none before its first record: the last one, and
 * the last one that was there still when what followed had been read (see ingest.c). */
struct marks {
	struct mark *entries;
	uint32_t len;
};

/* Heap marks only. Adds a mark, unless one of its partition and offset is there. */
void marks_add(struct marks *marks, const struct mark *mark);
/* Heap marks only: of a partition that both name, those stay whose last one is the later one. */
void marks_raise(struct marks *marks, const struct marks *by);
void marks_copy(struct marks *to, const struct marks *from);
void marks_fini(struct marks *marks);
/* {"0": "7:beef000000000001,11:00c0ffee00c0ffee", "1": ...}: of marks in front of one cut. */
void marks_print(const struct marks *marks, struct buffer *out);
enum { MARKS_TEXT_MAX = 96 }; /* of one partition, with its NUL */
/* Heap marks only. "11:00c0ffee00c0ffee", or two of them; false: something else. */
bool marks_add_text(struct marks *marks, uint32_t partition, const char *text);

#define FACT_CLUSTER "kafka.cluster_id"

/* Something that exactness rests on, as it was found, or as it is remembered. */
struct fact {
	const char *name, *value;
};
struct facts {
	struct fact *entries;
	uint32_t len;
};
/* NULL: there is none of this name. */
const char *facts_get(const struct facts *facts, const char *name);
/* Entries and texts are the arena's. */
void facts_add(struct facts *facts, struct arena *arena, const char *name, const char *value);
void facts_copy(struct facts *to, struct arena *arena, const struct facts *from);
/* What `by` says is so from now on. */
void facts_raise(struct facts *facts, struct arena *arena, const struct facts *by);
/* {"kafka.cluster_id": "..."} */
void facts_print(const struct facts *facts, struct buffer *out);

enum counter {
	COUNTER_CONSUMED,
	COUNTER_ACCEPTED,
	COUNTER_DUPLICATES,
	COUNTER_CONFLICTS,
	COUNTER_DEAD,
	COUNTER_UNKNOWN_FIELDS,
	COUNTER_DIGEST, /* of what was consumed, modulo 2^64: two replays that consumed the same have the same */
	COUNTERS,
	COUNTERS_FOR_PEOPLE = COUNTER_DIGEST /* so many, from the first on, count something */
};
extern const char *const counter_names[COUNTERS];

struct counters {
	uint64_t n[COUNTERS];
};
void counters_add(struct counters *into, const struct counters *from);

/* One actor's counters of one epoch. */
struct share {
	uint32_t actor; /* unique in the job: role and index, see topology.h */
	struct counters counters;
};
struct shares {
	struct share *entries;
	uint32_t len;
};

/* A record whose fate depended on arrival, decided once. */
enum verdict { VERDICT_DUPLICATE = 1, VERDICT_CONFLICT = 2 };
const char *verdict_name(enum verdict verdict); /* "duplicates", "conflicts" */
struct decision {
	uint32_t partition;
	int64_t offset;
	enum verdict verdict;
};
struct decisions {
	struct decision *entries;
	uint32_t len;
};

/* A record that was not accepted. */
struct letter {
	uint32_t partition;
	int64_t offset;
	struct bytes key; /* data NULL: the record had none */
	struct bytes payload;
	bool payload_raw; /* the record's own bytes; false: re-encoded by us */
	struct bytes reason, detail; /* texts */
};
struct letters {
	struct letter *entries;
	uint32_t len;
};

/* A group of a rollup with its measures: deltas on the way to rollup, absolute totals behind it. */
struct group {
	uint32_t rollup; /* place in the pipeline file */
	struct bytes
	    key; /* msgpack array of the group's columns: days, months, years and integers as int, texts as str */
	struct bytes measures; /* measures_len times 16 bytes, signed 128 bit little endian, minor units */
};
struct groups {
	struct group *entries;
	uint32_t len;
};

#endif
