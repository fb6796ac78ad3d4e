/* services/sluicectl/audit_report.h - what an audit found, for people and for programs.
 *
 * Differences are counted by kind; the first REPORT_SHOWN of each kind are kept in words.
 */
#ifndef AUDIT_REPORT_H
#define AUDIT_REPORT_H

#include "common/base/buffer.h"
#include "common/base/pipeline.h"

enum { REPORT_SHOWN = 10 };

enum difference_kind {
	DIFFERENCE_LOG,
	DIFFERENCE_ROW_MISSING,
	DIFFERENCE_ROW_EXTRA,
	DIFFERENCE_ROW,
	DIFFERENCE_TOTAL_MISSING,
	DIFFERENCE_TOTAL_EXTRA,
	DIFFERENCE_TOTAL,
	DIFFERENCE_LETTER_MISSING,
	DIFFERENCE_LETTER_EXTRA,
	DIFFERENCE_LETTER,
	DIFFERENCE_COUNTER,
	DIFFERENCE_KINDS,
};

/* A difference while it is described: fill the texts, then report_add. */
struct difference {
	enum difference_kind kind;
	struct buffer key, expected, found;
};

enum audit_counter {
	AUDIT_CONSUMED,
	AUDIT_ACCEPTED,
	AUDIT_DUPLICATES,
	AUDIT_CONFLICTS,
	AUDIT_DEAD,
	AUDIT_UNKNOWN_FIELDS,
	AUDIT_COUNTERS,
};
extern const char *const audit_counter_names[AUDIT_COUNTERS];

/* Where a partition's part of the log begins and ends. */
struct audit_partition {
	uint32_t partition;
	int64_t start, cut; /* of the job: the first offset, and the one behind the last */
	int64_t meant_from; /* the pipeline file's meaning counts from here on; 0: it always did */
	int64_t begin; /* what is read begins here: after start where Kafka does not hold all any more */
};

struct report {
	const struct pipeline *pipeline;
	char job[256];
	uint64_t attempt, epoch;
	struct audit_partition *partitions; /* in ascending order */
	size_t partitions_len;
	bool partial; /* Kafka does not hold the beginning, or it was judged by another pipeline file: */
	bool remeant;
	uint64_t counters_found[AUDIT_COUNTERS], counters_due[AUDIT_COUNTERS];
	uint64_t rows, letters, totals[PIPELINE_ROLLUPS_MAX]; /* of the database */
	uint64_t rows_unproved, letters_unproved; /* of before what Kafka holds */
	uint64_t differences[DIFFERENCE_KINDS], differences_len;
	struct difference shown[DIFFERENCE_KINDS][REPORT_SHOWN];
	double snapshot_seconds, seconds;
	uint64_t spool_bytes;
};

void report_fini(struct report *report);
/* Takes the texts; key, expected and found are empty afterwards. */
void report_add(struct report *report, struct difference *difference);
struct audit_partition *report_partition(const struct report *report, uint32_t partition); /* or NULL */

void report_print_text(const struct report *report, struct buffer *out);
void report_print_json(const struct report *report, struct buffer *out);

#endif
