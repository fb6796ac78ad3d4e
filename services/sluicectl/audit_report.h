/* services/sluicectl/audit_report.h - what an audit found, for people and for programs.
 *
 * Differences are counted by kind; the first REPORT_SHOWN of each kind are kept in words.
 */
#ifndef AUDIT_REPORT_H
#define AUDIT_REPORT_H

#include "common/base/buffer.h"
#include "common/base/job.h"
#include "common/base/pipeline.h"
#include "services/sluicectl/audit_control.h"

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
	DIFFERENCE_DOCUMENT_MISSING,
	DIFFERENCE_DOCUMENT_EXTRA,
	DIFFERENCE_DOCUMENT,
	DIFFERENCE_DOCUMENT_PLACE,
	DIFFERENCE_MAPPING,
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
	/* search: cut is the least of the writers' cuts, and cut_most the greatest; since: where the first one began to count,
	 * since_most: where the last one did. */
	int64_t cut_most, since, since_most;
	int64_t meant_from; /* the pipeline file's meaning counts from here on; 0: it always did */
	bool gone; /* the topic does not have it any more */
	int64_t begin; /* what is read begins here: after start where Kafka does not hold all any more */
};

/* Records that a person had the job pass over. */
struct audit_skip {
	uint32_t partition;
	int64_t from, to;
	char at[32]; /* when: 2024-01-15T10:00:00Z */
};

/* What a person accepted as changed, see accept.c. */
struct audit_accepted {
	char names[160]; /* of facts: kafka.cluster_id, time_zone.rules */
	char at[32]; /* when: 2024-01-15T10:00:00Z */
};

/* What only the search job has. */
struct search_report {
	struct control controls[CONTROL_WRITERS_MAX]; /* of its writers, then of those that were */
	size_t controls_len, surplus;
	uint64_t documents;
	uint64_t valid; /* records in front of the cut */
	bool counted; /* the writers say from where they count */
	uint64_t valid_least, valid_most; /* records that have to be in the counters, and that may be */
	uint64_t letters_least, letters_most; /* likewise */
	uint64_t ahead; /* documents of keys that have no record in front of the cut */
	uint64_t
	    contested; /* keys whose first records in several partitions say different things; the first of them: */
	struct buffer contested_shown[REPORT_SHOWN];
};

struct report {
	const struct pipeline *pipeline;
	char job[JOB_NAME_MAX];
	bool nothing; /* was committed so far */
	uint64_t attempt, epoch;
	struct audit_partition *partitions; /* in ascending order */
	size_t partitions_len;
	struct audit_accepted *accepted; /* oldest first */
	size_t accepted_len;
	struct audit_skip *skips;
	size_t skips_len;
	bool partial; /* Kafka does not hold the beginning, or it was judged by another pipeline file: */
	bool remeant;
	uint64_t counters_found[AUDIT_COUNTERS], counters_due[AUDIT_COUNTERS];
	uint64_t rows, letters, totals[PIPELINE_ROLLUPS_MAX]; /* of the database */
	uint64_t rows_unproved, letters_unproved; /* of before what Kafka holds */
	uint64_t differences[DIFFERENCE_KINDS], differences_len;
	struct difference shown[DIFFERENCE_KINDS][REPORT_SHOWN];
	double snapshot_seconds, seconds;
	uint64_t spool_bytes;
	struct search_report *search; /* of the search job alone */
};

void report_fini(struct report *report);
/* Takes the texts; key, expected and found are empty afterwards. */
void report_add(struct report *report, struct difference *difference);
struct audit_partition *report_partition(const struct report *report, uint32_t partition); /* or NULL */
void report_add_skip(struct report *report, const struct audit_skip *skip);
/* The first offset at or behind this one that was not passed over; and the first one that was, up to most. */
int64_t report_skip_end(const struct report *report, uint32_t partition, int64_t from);
int64_t report_skip_begin(const struct report *report, uint32_t partition, int64_t from, int64_t most);
/* Each partition once, in ascending order; of two the one that was put first. */
void report_partitions_sort(struct report *report);

/* part: what was compared, of this kind of job. */
typedef void report_part(const struct report *, struct buffer *out);
void report_print_text(const struct report *report, report_part *part, struct buffer *out);
/* An object, without a line's end. */
void report_print_json(const struct report *report, report_part *part, struct buffer *out);
report_part totals_report_print_text, totals_report_print_json;

/* For the parts of a report: 1,234,567; the cut as {"0": 12}; a line of a count. */
void report_print_count(uint64_t count, struct buffer *out);
enum report_place { PLACE_CUT, PLACE_BEGIN };
void report_print_places(const struct report *report, enum report_place place, struct buffer *out);
void report_print_line(struct buffer *out, const char *name, uint64_t count, const char *what, const char *of);
/* audit_search_report.c */
report_part search_report_print_text, search_report_print_json;

#endif
