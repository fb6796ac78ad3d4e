/* services/sluicectl/audit.h - what the steps of an audit share. audit.c runs them in this order:
 *
 *   audit_database.c  one snapshot of PostgreSQL: frontier, totals, dead letters, rows; released before Kafka is read
 *   audit_log.c       the topic from the start of the job to the cut of the snapshot; audit_record.c says what it means
 *   audit_keys.c      rows against records; from it follow totals, conflicts and counters
 *   audit_totals.c, audit_letters.c    those against the database's
 *   audit_report.c    what was found
 *
 * Of the search job:
 *
 *   audit_search.c    Elasticsearch: control documents, documents and dead letters, by audit_elastic.c and audit_http.c;
 *                     audit_control.c and audit_document.c say what they mean
 *   audit_log.c       the topic, to its end: documents may be ahead of the cut
 *   audit_search_keys.c    documents against records
 *   audit_report.c, audit_search_report.c
 *
 * Nothing of the pipeline's own reading, folding and counting takes part: a mistake there does not hide itself here.
 *
 * Limits: memory does not grow with the number of records, rows, groups or letters: 12 MiB for the spool, at most some
 *         100 MiB for a part of it (audit_spool.h), 32 MiB for librdkafka's queues,
 *         a page of Elasticsearch (audit_http.h, audit_tree.h). Each row and each record takes about
 *         its size in the temporary file. What cannot be divided: the records of one key need no memory, but each
 *         partition in which its first record says something else does.
 * Errors: RETRY: a service is away (exit 69); CONFIG: a person has to act (exit 78).
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "services/sluicectl/audit_keys.h"
#include "services/sluicectl/audit_progress.h"
#include "services/sluicectl/audit_record.h"
#include "services/sluicectl/audit_report.h"
#include "services/sluicectl/audit_spool.h"
#include "services/sluicectl/audit_totals.h"

struct audit;

/* Where a job writes to: what its audit does in a way of its own. A row per job in audit.c. */
struct audit_target {
	enum result (*read)(struct audit *, struct error *); /* what is there, and up to which cut */
	void (*take_record)(struct audit *, const struct key_record *); /* one that may be accepted */
	void (*compare)(struct audit *);
	/* What was compared. */
	void (*print_text)(const struct report *, struct buffer *);
	void (*print_json)(const struct report *, struct buffer *);
	bool has_letters; /* of records that cannot be accepted; otherwise they are only counted */
	bool runs_ahead; /* of the cut: the topic is read to its end, and partitions that have come since */
};

struct audit {
	const struct audit_target *target;
	const struct pipeline *pipeline;
	struct spool spool;
	struct record_reader reader;
	struct totals totals;
	struct report report;
	struct progress progress;
};

/* Fills report (job, epoch, cut, start, counters found) and the lanes of rows, letters and totals. */
enum result audit_database_read(struct audit *audit, struct error *error) MUST_USE;
/* Fills the lanes of records and letters due, and counts. */
enum result audit_log_read(struct audit *audit, struct error *error) MUST_USE;

#endif
