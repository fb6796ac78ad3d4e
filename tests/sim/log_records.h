/* tests/sim/log_records.h - the topic: records whose meaning is known because it was chosen here.
 *
 * A record's payload is JSON text for the real parser; beside it stands what the parser must make of it.
 */
#ifndef SIM_LOG_RECORDS_H
#define SIM_LOG_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/cut.h"

enum { PARTITIONS_MAX = 4, RECORDS_MAX = 48, KEYS_MAX = 12, GROUPS_MAX = 3, DAYS_MAX = 3, PAYLOAD_MAX = 160 };

struct world;

struct log_record {
	int64_t offset;
	bool valid, wide; /* wide: an amount that only the wide pipeline file accepts */
	uint32_t key, group, day;
	int64_t minor; /* amount */
	uint32_t unknown_fields;
	char payload[PAYLOAD_MAX];
	uint32_t payload_len;
};

struct log_partition {
	struct log_record records[RECORDS_MAX];
	uint32_t len;
	int64_t end; /* next offset; behind a hole it is more than the last record's offset + 1 */
};

/* One record that was read is another one now, or none. Whoever put it there puts it back once that is refused. */
struct alteration {
	bool there, gone;
	uint32_t partition;
	int64_t offset;
	struct log_record record; /* in its place */
};

struct record_log {
	struct log_partition partitions[PARTITIONS_MAX]; /* as they were written: what the database must hold */
	uint32_t len;
	bool holes; /* offsets are left out now and then, as transactions' markers do */
	/* The topic is not the one that was read: a person has moved or made it anew, and goes back once that is refused. */
	uint32_t cluster; /* the first one: 1 */
	bool foreign; /* in front of foreign_end there are other records */
	int64_t foreign_end[PARTITIONS_MAX];
	struct alteration alteration;
	bool swapped; /* so while it was read: nobody may begin on it, nor end; */
	bool told; /* and an ingest could see it: nothing is committed that was not read by then */
	int64_t read_by_then[PARTITIONS_MAX];
	uint64_t doubts; /* how often an ingest could see that something happened to it */
};

/* A partition's marks, flat: none, or the last one behind the one that is sure, where that is another one. */
struct stored_mark {
	uint32_t len;
	struct mark entries[2];
};

/* Wall clock of the days that records fall on; the first two in one month, the third in another year. */
extern const char *const day_texts[DAYS_MAX];

/* By the pipeline file that the processes have now. */
bool record_is_valid(const struct world *world, const struct log_record *record);
void log_produce(struct world *world);
/* NULL: there is none at this offset. */
const struct log_record *log_find(const struct record_log *log, uint32_t partition, int64_t offset);
/* Place of the first record at or behind the offset. */
uint32_t log_place(const struct log_partition *partition, int64_t offset);
/* What it was known by when it was read. */
uint64_t log_mark(uint32_t partition, const struct log_record *record);
/* Alters a record of the partition within [from, to); false: there is none. */
bool log_alter(struct world *world, uint32_t partition, int64_t from, int64_t to);
/* Another record is there now. */
bool log_is_foreign(const struct record_log *log, uint32_t partition, int64_t offset);
void marks_store(struct stored_mark to[PARTITIONS_MAX], const struct marks *from);
void marks_tell(const struct stored_mark from[PARTITIONS_MAX], struct marks *to);
/* They are of records in front of the cut; from not NULL: of the last ones behind it. */
void marks_check(struct world *world, const char *who, const struct stored_mark marks[PARTITIONS_MAX],
    const int64_t *from, const int64_t cut[PARTITIONS_MAX]);
/* Nobody may begin on a log of which one of these is not. */
void marks_check_own(struct world *world, const char *who, const struct stored_mark marks[PARTITIONS_MAX]);
/* Rightly so. */
bool says_other_log(const struct world *world, const char *why);
/* A fact's value; 0: not among these. */
uint32_t cluster_of(const struct facts *facts);
void cluster_tell(uint32_t cluster, struct facts *facts, struct arena *arena);
/* Behind the last record: what an ingest that has read everything stands at. */
int64_t log_last(const struct log_partition *partition);

#endif
