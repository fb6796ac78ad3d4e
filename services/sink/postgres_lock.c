/* services/sink/postgres_lock.c - who is this job's writer, and how an older one is ended; see postgres_writer.h.
 *
 * A backend lets go of its session locks only after it has ended its transaction, one way or the other. So whoever gets
 * the lock knows that nothing of the former holder is still to be committed.
 */
#include "services/sink/postgres_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "common/postgres/ddl.h"

enum { GONE_WITHIN_MS = 10000, LOOK_EVERY_MS = 20 };

static enum sink_outcome ask(struct postgres *postgres, const char *sql, bool *yes, struct error *error)
{
	PGresult *result = NULL;
	enum sink_outcome outcome = postgres_query(postgres, &result, error, sql, 0, NULL);

	*yes = outcome == SINK_DONE && PQntuples(result) > 0 && PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return outcome;
}

static enum sink_outcome right_missing(enum sink_outcome outcome, struct error *error)
{
	if (outcome == SINK_CONFIG)
		error_wrap(error,
		    "cannot end the backend of the older writer: this user has to be the same one, or a member "
		    "of pg_signal_backend");
	return outcome;
}

enum sink_outcome postgres_holder_end(struct postgres_writer *writer, uint64_t attempt, struct error *error)
{
	uint64_t key = (uint64_t)writer->lock;
	struct buffer sql = {0};
	bool ended = false;

	buffer_printf(&sql,
	    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
	    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
	    "AND classid = %" PRIu32 " AND objid = %" PRIu32 " AND pid <> pg_backend_pid() "
	    "AND (SELECT fence FROM sluice.frontier WHERE job = ",
	    (uint32_t)(key >> 32), (uint32_t)key);
	sql_literal(&sql, (struct bytes){(const uint8_t *)writer->job, strlen(writer->job)});
	buffer_printf(&sql, ") <= %" PRIu64, attempt);
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = ask(&writer->postgres, (const char *)sql.data, &ended, error);
	buffer_fini(&sql);
	if (ended)
		log_warn("ended the PostgreSQL backend of another writer of job %s", writer->job);
	return right_missing(outcome, error);
}

enum sink_outcome postgres_lock_take(struct postgres_writer *writer, uint64_t attempt, struct error *error)
{
	uint64_t began_us = clock_monotonic_us();
	enum sink_outcome outcome;
	char sql[64];
	bool mine = false;

	snprintf(sql, sizeof sql, "SELECT pg_try_advisory_lock(%" PRId64 ")", writer->lock);
	for (;;) {
		outcome = ask(&writer->postgres, sql, &mine, error);
		if (outcome != SINK_DONE || mine)
			return outcome;
		outcome = postgres_holder_end(writer, attempt, error);
		if (outcome != SINK_DONE)
			return outcome;
		if (clock_monotonic_us() - began_us > GONE_WITHIN_MS * 1000ULL ||
		    !postgres_pause(&writer->postgres, LOOK_EVERY_MS)) {
			error_set(error, RESULT_RETRY,
			    "PostgreSQL: the backend of another writer of job %s does not end", writer->job);
			return SINK_UNKNOWN;
		}
	}
}

enum sink_outcome postgres_backend_end(struct postgres *postgres, int pid, const char *started, struct error *error)
{
	uint64_t began_us = clock_monotonic_us();
	enum sink_outcome outcome;
	char sql[256];
	bool there = false;

	if (!pid || !*started)
		return SINK_DONE;
	snprintf(sql, sizeof sql,
	    "SELECT pg_terminate_backend(pid) IS NOT NULL FROM pg_stat_activity WHERE pid = %d AND backend_start = "
	    "'%s'",
	    pid, started);
	for (;;) {
		outcome = ask(postgres, sql, &there, error);
		if (outcome != SINK_DONE || !there)
			return right_missing(outcome, error);
		if (clock_monotonic_us() - began_us > GONE_WITHIN_MS * 1000ULL ||
		    !postgres_pause(postgres, LOOK_EVERY_MS)) {
			error_set(
			    error, RESULT_RETRY, "PostgreSQL: this writer's old backend (pid %d) does not end", pid);
			return SINK_UNKNOWN;
		}
	}
}
