/* services/sink/postgres_runner.c - see postgres_runner.h. */
#include "services/sink/postgres_runner.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mutant.h"

enum { CHANNEL_MAX = 32 };

/* Of the one that runs it; whoever waits notifies it there. */
static const char *channel(const struct postgres_writer *writer, char name[CHANNEL_MAX])
{
	snprintf(name, CHANNEL_MAX, "sluice_%016" PRIx64, (uint64_t)writer->lock);
	return name;
}

/* Both logs, once; and again where another backend of it is met. */
static enum sink_outcome tell(struct postgres_writer *writer, int backend, const char *words, struct error *error)
{
	char name[CHANNEL_MAX];
	const char *params[] = {channel(writer, name), writer->runner.coordinator};

	if (backend == writer->told_backend)
		return SINK_DONE;
	log_warn("%s", words);
	enum sink_outcome outcome =
	    postgres_query(&writer->postgres, NULL, error, "SELECT pg_notify($1, $2)", 2, params);
	if (outcome == SINK_DONE)
		writer->told_backend = backend;
	return outcome;
}

enum sink_outcome postgres_runner_look(struct postgres_writer *writer, struct error *error)
{
	const char *params[] = {writer->job, writer->runner.coordinator};
	PGresult *result = NULL;

	if (writer->runner.coordinator[0] == '\0' || MUTANT(runner_unseen))
		return SINK_DONE;
	enum sink_outcome outcome = postgres_query(&writer->postgres, &result, error,
	    "SELECT coordinator, process, to_char(since, 'YYYY-MM-DD HH24:MI:SS\"Z\"'), backend FROM "
	    "sluice.other_runner($1, $2)",
	    2, params);
	if (outcome == SINK_DONE && PQntuples(result) > 0) {
		struct error found;
		error_set(&found, RESULT_RETRY,
		    "job %s is run by another coordinator, %.200s: its %.150s has been there since %s. End one of the "
		    "two (scripts/down in its run directory), or, where this is another pipeline, give it a `job:` of "
		    "its own; this one takes over when that one has ended",
		    writer->job, PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
		outcome = tell(writer, (int)strtol(PQgetvalue(result, 0, 3), NULL, 10), found.text, error);
		if (outcome == SINK_DONE) {
			*error = found;
			outcome = SINK_UNKNOWN;
		}
	}
	PQclear(result);
	return outcome;
}

enum sink_outcome postgres_runner_note(struct postgres_writer *writer, struct error *error)
{
	const char *params[] = {writer->job, writer->runner.coordinator, writer->runner.process};
	char name[CHANNEL_MAX], sql[CHANNEL_MAX + 8];

	if (writer->runner.coordinator[0] == '\0')
		return SINK_DONE;
	snprintf(sql, sizeof sql, "LISTEN %s", channel(writer, name));
	enum sink_outcome outcome = postgres_query(&writer->postgres, NULL, error, sql, 0, NULL);
	if (outcome == SINK_DONE)
		outcome =
		    postgres_query(&writer->postgres, NULL, error, "SELECT sluice.runner_note($1, $2, $3)", 3, params);
	return outcome;
}

void postgres_runner_hear(struct postgres_writer *writer)
{
	PGconn *link = writer->postgres.link;

	for (PGnotify *said; link != NULL && (said = PQnotifies(link)) != NULL; PQfreemem(said))
		log_warn(
		    "another coordinator, %.200s, would run job %s, too: it waits, and takes over when this one has "
		    "ended",
		    said->extra, writer->job);
}
