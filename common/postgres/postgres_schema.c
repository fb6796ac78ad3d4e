/* common/postgres/postgres_schema.c - see postgres_schema.h. */
#include "common/postgres/postgres_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/job.h"
#include "common/base/key_group.h"

struct schema {
	struct postgres *postgres;
	const struct pipeline *pipeline;
	const char *job;
	struct buffer *report;
	struct error *error;
	int version; /* of sluice's own schema; 0: not there */
	bool row; /* the job has a frontier row */
	bool started; /* and its cut is set */
	struct table_state tables[1 + PIPELINE_ROLLUPS_MAX + 1];
};

static void say(struct schema *schema, const char *what, const char *name)
{
	if (schema->report)
		buffer_printf(schema->report, "%s %s\n", what, name);
}

static enum sink_outcome run(
    struct schema *schema, PGresult **result, const char *sql, int params_len, const char *const *params)
{
	return postgres_query(schema->postgres, result, schema->error, sql, params_len, params);
}

static enum sink_outcome lock_take(struct schema *schema)
{
	static const char name[] = "sluice schema";
	char sql[96];

	snprintf(sql, sizeof sql, "SELECT pg_advisory_xact_lock(%lld)",
	    (long long)key_hash((struct bytes){(const uint8_t *)name, sizeof name - 1}));
	return run(schema, NULL, sql, 0, NULL);
}

static enum sink_outcome version_read(struct schema *schema)
{
	PGresult *result = NULL;
	enum sink_outcome outcome = run(schema, &result,
	    "SELECT to_regclass('sluice.migrations') IS NOT NULL, to_regclass('sluice.frontier') IS NOT NULL", 0, NULL);
	if (outcome != SINK_DONE)
		return outcome;
	bool migrated = PQgetvalue(result, 0, 0)[0] == 't', frontier = PQgetvalue(result, 0, 1)[0] == 't';
	PQclear(result);
	if (migrated != frontier) {
		error_set(schema->error, RESULT_CONFIG, "schema sluice is there, but not as Sluice makes it");
		return SINK_CONFIG;
	}
	if (!migrated)
		return SINK_DONE;
	outcome = run(schema, &result, "SELECT coalesce(max(version), 0) FROM sluice.migrations", 0, NULL);
	if (outcome != SINK_DONE)
		return outcome;
	schema->version = (int)strtol(PQgetvalue(result, 0, 0), NULL, 10); /* an integer column */
	PQclear(result);
	int newest = migrations[migrations_len - 1].version;
	if (schema->version <= newest)
		return SINK_DONE;
	error_set(schema->error, RESULT_CONFIG,
	    "schema sluice has version %d, made by a newer release than this one, which knows version %d",
	    schema->version, newest);
	return SINK_CONFIG;
}

static enum sink_outcome frontier_state(struct schema *schema)
{
	struct buffer words = {0};
	enum meaning_change change;
	PGresult *result = NULL;

	if (!schema->version)
		return SINK_DONE;
	enum sink_outcome outcome = run(schema, &result,
	    "SELECT cut IS NOT NULL, fingerprint, meaning FROM sluice.frontier WHERE job = $1", 1, &schema->job);
	if (outcome != SINK_DONE)
		return outcome;
	schema->row = PQntuples(result) == 1;
	schema->started = schema->row && PQgetvalue(result, 0, 0)[0] == 't';
	if (schema->started)
		outcome = postgres_meaning_change(schema->pipeline, PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2),
		    &change, &words, schema->error);
	PQclear(result);
	buffer_fini(&words);
	return outcome;
}

static enum sink_outcome table_check(struct schema *schema, size_t place)
{
	struct table_state *state = &schema->tables[place];
	struct ddl_table table;

	ddl_table_describe(schema->pipeline, place, &table);
	enum sink_outcome outcome =
	    postgres_table_check(schema->postgres, schema->pipeline, &table, state, schema->error);
	if (outcome != SINK_DONE)
		return outcome;
	if (!schema->started && state->rows) {
		error_set(schema->error, RESULT_CONFIG,
		    "table \"%s\" holds rows, but job %s has no frontier here: rows that Sluice did not write cannot "
		    "be "
		    "continued; empty the table, or give it another name in the pipeline file",
		    table.name, schema->job);
		return SINK_CONFIG;
	}
	if (schema->started && !state->exists) {
		error_set(schema->error, RESULT_CONFIG,
		    "job %s has a frontier, but table \"%s\" is gone (or not in this user's search_path)", schema->job,
		    table.name);
		return SINK_CONFIG;
	}
	return SINK_DONE;
}

static enum sink_outcome migrate(struct schema *schema)
{
	for (size_t i = 0; i < migrations_len; i++) {
		char sql[96];
		if (migrations[i].version <= schema->version)
			continue;
		enum sink_outcome outcome = run(schema, NULL, migrations[i].sql, 0, NULL);
		if (outcome == SINK_DONE) {
			snprintf(sql, sizeof sql, "INSERT INTO sluice.migrations (version) VALUES (%d)",
			    migrations[i].version);
			outcome = run(schema, NULL, sql, 0, NULL);
		}
		if (outcome != SINK_DONE) {
			error_wrap(schema->error, "migration %s", migrations[i].name);
			return outcome;
		}
		CRASH_POINT(schema_migrated);
		say(schema, "applied migration", migrations[i].name);
	}
	return SINK_DONE;
}

static enum sink_outcome table_make(struct schema *schema, size_t place)
{
	struct ddl_table table;
	struct buffer sql = {0};

	ddl_table_describe(schema->pipeline, place, &table);
	if (schema->tables[place].exists) {
		say(schema, "found table", table.name);
		return SINK_DONE;
	}
	ddl_table_print(&table, &sql);
	ddl_indexes_print(&table, &sql);
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = run(schema, NULL, (const char *)sql.data, 0, NULL);
	if (outcome == SINK_DONE)
		say(schema, "created table", table.name);
	else
		error_wrap(schema->error, "cannot create table \"%s\"", table.name);
	buffer_fini(&sql);
	return outcome;
}

static enum sink_outcome frontier_make(struct schema *schema)
{
	if (schema->row) {
		say(schema, "found frontier", schema->job);
		return SINK_DONE;
	}
	CRASH_POINT(schema_made);
	say(schema, "created frontier", schema->job);
	return run(schema, NULL, "INSERT INTO sluice.frontier (job) VALUES ($1)", 1, &schema->job);
}

static enum sink_outcome check_and_make(struct schema *schema)
{
	size_t tables = ddl_tables(schema->pipeline);
	enum sink_outcome outcome = lock_take(schema);

	if (outcome == SINK_DONE)
		outcome = version_read(schema);
	if (outcome == SINK_DONE)
		outcome = frontier_state(schema);
	for (size_t i = 0; i < tables && outcome == SINK_DONE; i++)
		outcome = table_check(schema, i);
	if (outcome == SINK_DONE)
		outcome = migrate(schema);
	for (size_t i = 0; i < tables && outcome == SINK_DONE; i++)
		outcome = table_make(schema, i);
	if (outcome == SINK_DONE)
		outcome = frontier_make(schema);
	return outcome;
}

enum sink_outcome postgres_schema_apply(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct buffer *report, struct error *error)
{
	struct schema schema = {
	    .postgres = postgres, .pipeline = pipeline, .job = job, .report = report, .error = error};
	size_t said = report ? report->len : 0;

	enum sink_outcome outcome = postgres_query(postgres, NULL, error, "BEGIN", 0, NULL);
	if (outcome == SINK_DONE)
		outcome = check_and_make(&schema);
	if (outcome == SINK_DONE)
		outcome = postgres_query(postgres, NULL, error, "COMMIT", 0, NULL);
	if (outcome == SINK_DONE)
		return outcome;
	postgres_rollback(postgres);
	if (report)
		report->len = said;
	return outcome;
}

int64_t postgres_lock_key(const char *job)
{
	struct buffer name = {0};

	buffer_printf(&name, "sluice writer %s", job);
	uint64_t hash = key_hash(buffer_bytes(&name));
	buffer_fini(&name);
	return (int64_t)hash;
}

enum result postgres_init(
    const struct pipeline *pipeline, const char *application_name, struct buffer *report, struct error *error)
{
	struct postgres postgres = {.stop_fd = -1};
	char job[JOB_NAME_MAX];
	enum sink_outcome outcome = postgres_connect(&postgres, pipeline, application_name, error);
	if (outcome == SINK_DONE)
		outcome =
		    postgres_schema_apply(&postgres, pipeline, job_name(pipeline, JOB_TOTALS, job), report, error);
	postgres_disconnect(&postgres);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return error->code;
}
