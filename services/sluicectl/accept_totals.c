/* services/sluicectl/accept_totals.c - see accept.h: in PostgreSQL. */
#include "services/sluicectl/accept.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/postgres/postgres_schema.h"

static enum result ask(struct postgres *postgres, PGresult **result, struct error *error, const char *sql, int len,
    const char *const *params)
{
	enum sink_outcome outcome = postgres_query(postgres, result, error, sql, len, params);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	return error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
}

static enum result open_database(struct postgres *postgres, const struct memory *memory, struct error *error)
{
	enum sink_outcome outcome = postgres_connect(postgres, memory->pipeline, "sluicectl accept", error);
	if (outcome == SINK_DONE)
		outcome = postgres_schema_check(postgres, memory->job, error);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	return error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
}

static enum result read_facts(struct postgres *postgres, struct memory *memory, struct error *error)
{
	PGresult *result = NULL;
	enum result outcome = ask(postgres, &result, error,
	    "SELECT name, value FROM sluice.remembered WHERE job = $1 ORDER BY name", 1, &memory->job);
	for (int i = 0; outcome == RESULT_OK && i < PQntuples(result); i++)
		facts_add(&memory->facts, &memory->arena, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
	PQclear(result);
	return outcome;
}

static enum result read_marks(struct postgres *postgres, struct memory *memory, struct error *error)
{
	PGresult *result = NULL;
	const char *params[] = {memory->job, memory->frontier_only ? "f" : "t"};
	enum result outcome = ask(postgres, &result, error,
	    "WITH newest AS (SELECT cut, marks FROM sluice.checkpoints WHERE job = $1 ORDER BY attempt DESC, epoch "
	    "DESC LIMIT 1) "
	    "SELECT m.key, m.value, f.cut IS DISTINCT FROM (SELECT cut FROM newest) FROM sluice.frontier f LEFT JOIN "
	    "LATERAL ("
	    "SELECT * FROM jsonb_each_text(f.marks) UNION SELECT e.* FROM newest n, jsonb_each_text(n.marks) e WHERE "
	    "$2) "
	    "m ON true WHERE f.job = $1 AND f.cut IS NOT NULL",
	    2, params);
	if (outcome == RESULT_OK && PQntuples(result) == 0)
		outcome =
		    error_set(error, RESULT_CONFIG, "job %s was never started: it remembers nothing", memory->job);
	for (int i = 0; outcome == RESULT_OK && i < PQntuples(result); i++) {
		uint32_t partition = (uint32_t)strtoul(PQgetvalue(result, i, 0), NULL, 10);
		memory->replays = *PQgetvalue(result, i, 2) == 't';
		if (!PQgetisnull(result, i, 0))
			(void)marks_add_text(&memory->marks, partition, PQgetvalue(result, i, 1));
	}
	PQclear(result);
	return outcome;
}

enum result accept_totals_read(struct memory *memory, struct error *error)
{
	struct postgres postgres = {.stop_fd = -1};
	enum result result = open_database(&postgres, memory, error);
	if (result == RESULT_OK)
		result = read_facts(&postgres, memory, error);
	if (result == RESULT_OK)
		result = read_marks(&postgres, memory, error);
	postgres_disconnect(&postgres);
	return result;
}

/* No writer is connected, and none can be while this session lasts: it would go on by what was. */
static enum result take_lock(struct postgres *postgres, const struct memory *memory, struct error *error)
{
	char key[24];
	const char *params[] = {key};
	PGresult *result = NULL;
	(void)snprintf(key, sizeof key, "%" PRId64, postgres_lock_key(memory->job));
	if (ask(postgres, &result, error, "SELECT pg_try_advisory_lock($1)", 1, params) != RESULT_OK)
		return error->code;
	bool mine = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	if (mine)
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG,
	    "job %s is running (a writer is connected to its database): stop it first", memory->job);
}

/* anew: records are read otherwise from the frontier on. As with another pipeline file (checkpoint_rename), no checkpoint of before is
 * restored, and the audit begins there. */
static const char write_sql[] =
    "WITH held AS (SELECT job, cut FROM sluice.frontier WHERE job = $1 FOR UPDATE), newest AS (SELECT attempt, epoch "
    "FROM "
    "sluice.checkpoints WHERE job = $1 ORDER BY attempt DESC, epoch DESC LIMIT 1), written AS (INSERT INTO "
    "sluice.remembered (job, name, value) SELECT held.job, n.key, n.value FROM held, jsonb_each_text($2) n ON CONFLICT "
    "(job, name) DO UPDATE SET value = excluded.value, since = now()), meant AS (UPDATE sluice.frontier f SET "
    "meant_attempt "
    "= newest.attempt, meant_epoch = newest.epoch, meant_from = f.cut FROM newest WHERE f.job = $1 AND $4::boolean) "
    "INSERT INTO sluice.interventions (job, verb, detail) SELECT job, 'accept', $3::jsonb FROM held";

enum result accept_totals_write(
    const struct memory *memory, const struct facts *now, bool anew, const char *detail, struct error *error)
{
	struct postgres postgres = {.stop_fd = -1};
	struct buffer facts = {0};
	facts_print(now, &facts);
	buffer_append(&facts, "", 1);
	const char *params[] = {memory->job, (const char *)facts.data, detail, anew ? "t" : "f"};
	enum result result = open_database(&postgres, memory, error);
	if (result == RESULT_OK)
		result = take_lock(&postgres, memory, error);
	if (result == RESULT_OK)
		result = ask(&postgres, NULL, error, write_sql, 4, params);
	postgres_disconnect(&postgres);
	buffer_fini(&facts);
	return result;
}
