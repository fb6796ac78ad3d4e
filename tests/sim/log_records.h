/* tests/sim/log_records.h - the topic: records whose meaning is known because it was chosen here.
 *
 * A record's payload is JSON text for the real parser; beside it stands what the parser must make of it.
 */
#ifndef SIM_LOG_RECORDS_H
#define SIM_LOG_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

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

struct record_log {
	struct log_partition partitions[PARTITIONS_MAX];
	uint32_t len;
	bool holes; /* offsets are left out now and then, as transactions' markers do */
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
/* Behind the last record: what an ingest that has read everything stands at. */
int64_t log_last(const struct log_partition *partition);

#endif
