/* services/sink/postgres_written.h - the rows that an epoch sent are those that the database says it wrote.
 *
 * PostgreSQL counts what a session inserts, updates and deletes, by table. An epoch's transaction notes these counts before its first
 * row, and right before COMMIT compares how they have grown with what was sent: where that differs it raises, and nothing is
 * committed. That costs no round trip, as sending COMMIT after the answers would. Whatever drops, adds, changes or takes away rows in
 * the same transaction is found, wherever it hangs; what somebody's triggers have put off to the commit is done before (SET CONSTRAINTS).
 * Both questions are prepared and call nothing but the server's own functions: they are asked in every epoch.
 */
#ifndef POSTGRES_WRITTEN_H
#define POSTGRES_WRITTEN_H

#include "common/postgres/postgres_objects.h"

/* Tables in the order of ddl_table_describe (rows, rollups, dead letters), then the decisions. */
enum { WRITTEN_MAX = 3 + PIPELINE_ROLLUPS_MAX };

/* What one epoch sends, by table. */
struct written {
	size_t put[WRITTEN_MAX]; /* inserted or updated */
	size_t deleted[WRITTEN_MAX]; /* at most */
	size_t len;
};

/* CONFIG where this server does not count. */
enum sink_outcome written_possible(struct postgres *postgres, struct error *error) MUST_USE;
/* PREPARE rows_before ..., rows_after ...; for tables that were looked at. */
void written_prepare_print(const struct postgres_objects *objects, const struct pipeline *pipeline, struct buffer *out);
#define WRITTEN_BEFORE "EXECUTE rows_before;\n"
/* SET CONSTRAINTS ALL IMMEDIATE; EXECUTE rows_after (...); */
void written_after_print(const struct written *written, struct buffer *sql);

#endif
