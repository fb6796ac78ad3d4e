/* common/postgres/postgres_schema.c - see postgres_schema.h. */
#include "common/postgres/postgres_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/crash_point.h"
#include "common/base/job.h"
#include "common/base/key_group.h"
#include "common/base/timestamp.h"
#include "common/base/log.h"
#include "common/postgres/postgres_session.h"

enum { GONE_WITHIN_US = 5000000, LOOK_EVERY_MS = 50 };

struct schema {
	struct postgres *postgres;
	const struct pipeline *pipeline;
	const char *job;
	struct postgres_objects *objects;
	struct buffer *report;
	struct error *error;
	int version; /* of sluice's own schema; 0: not there */
	bool row; /* the job has a frontier row */
	bool started; /* and its cut is set */
	char remembered[POSTGRES_NAME_MAX]; /* the schema of its tables; empty: it is not */
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

/* Not by to_regclass: it may answer from what this session knew before it waited for the lock. */
static enum sink_outcome version_read(struct schema *schema)
{
	PGresult *result = NULL;
	enum sink_outcome outcome = run(schema, &result,
	    "SELECT count(*) FILTER (WHERE c.relname = 'migrations') > 0, count(*) FILTER (WHERE c.relname = "
	    "'frontier') > 0 "
	    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'sluice' AND c.relkind = "
	    "'r'",
	    0, NULL);
	if (outcome != SINK_DONE)
		return outcome;
	bool migrated = PQgetvalue(result, 0, 0)[0] == 't', frontier = PQgetvalue(result, 0, 1)[0] == 't';
	PQclear(result);
	if (migrated != frontier) {
		error_stop(schema->error, STOP_SCHEMA_OF_OTHERS, "schema sluice is there, but not as Sluice makes it");
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
	error_stop(schema->error, STOP_NEWER_RELEASE,
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

/* How many of the tables are in this schema. */
static enum sink_outcome tables_count(struct schema *schema, const char *name, size_t *count)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	buffer_append_text(&sql, "SELECT count(*) FROM (VALUES ");
	for (size_t i = 0; i < ddl_tables(schema->pipeline); i++) {
		struct ddl_table table;
		ddl_table_describe(schema->pipeline, i, &table);
		buffer_printf(&sql, "%s('%s')", i ? ", " : "", table.name);
	}
	buffer_append_text(&sql, ") v(name) JOIN pg_class c ON c.relname = v.name JOIN pg_namespace n ON n.oid = "
	                         "c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = run(schema, &result, (const char *)sql.data, 1, &name);
	if (outcome == SINK_DONE)
		*count = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

/* The file names another schema than the one in which the tables were made: fine where somebody has moved all of them there. */
static enum sink_outcome schema_move(struct schema *schema, const char *named)
{
	size_t old = 0, new = 0;
	enum sink_outcome outcome = SINK_DONE;

	if (schema->started)
		outcome = tables_count(schema, schema->remembered, &old);
	if (schema->started && outcome == SINK_DONE)
		outcome = tables_count(schema, named, &new);
	if (outcome != SINK_DONE)
		return outcome;
	if (schema->started && (old > 0 || new < ddl_tables(schema->pipeline))) {
		error_stop(schema->error, STOP_OTHER_SCHEMA,
		    "the tables of job %s were made in schema \"%s\", and %zu of %zu are there; the pipeline file says "
		    "\"%s\", where %zu are",
		    schema->job, schema->remembered, old, ddl_tables(schema->pipeline), named, new);
		return SINK_CONFIG;
	}
	if (schema->started)
		log_warn("the tables of job %s have moved from schema \"%s\" to \"%s\", as the pipeline file says",
		    schema->job, schema->remembered, named);
	snprintf(schema->postgres->schema, sizeof schema->postgres->schema, "%s", named);
	return SINK_DONE;
}

/* Which schema the tables are in, for good. */
static enum sink_outcome schema_settle(struct schema *schema)
{
	const char *named = schema->pipeline->sinks.postgres_schema;
	enum sink_outcome outcome =
	    postgres_remembered_schema(schema->postgres, schema->job, schema->remembered, schema->error);

	if (outcome == SINK_DONE && schema->remembered[0] && named[0] && strcmp(schema->remembered, named) != 0)
		return schema_move(schema, named);
	if (outcome == SINK_DONE && schema->remembered[0])
		memcpy(schema->postgres->schema, schema->remembered, sizeof schema->remembered);
	if (outcome == SINK_DONE && !schema->postgres->schema[0]) {
		error_stop(schema->error, STOP_NO_SCHEMA,
		    "there is no schema for the tables of job %s: the search_path of this user names none that exists",
		    schema->job);
		outcome = SINK_CONFIG;
	}
	return outcome;
}

static enum sink_outcome schema_make(struct schema *schema)
{
	const char *name = schema->postgres->schema;
	struct buffer sql = {0};
	PGresult *result = NULL;
	enum sink_outcome outcome = run(schema, &result, "SELECT FROM pg_namespace WHERE nspname = $1", 1, &name);

	if (outcome == SINK_DONE && PQntuples(result) == 0) {
		buffer_append_text(&sql, "CREATE SCHEMA ");
		sql_identifier(&sql, name);
		buffer_append(&sql, "", 1);
		outcome = run(schema, NULL, (const char *)sql.data, 0, NULL);
		if (outcome == SINK_DONE)
			say(schema, "created schema", name);
		else
			error_wrap(schema->error, "cannot create schema \"%s\"", name);
	}
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

static enum sink_outcome schema_remember(struct schema *schema)
{
	const char *params[] = {schema->job, schema->postgres->schema};

	if (strcmp(schema->remembered, schema->postgres->schema) == 0)
		return SINK_DONE;
	return run(schema, NULL,
	    "INSERT INTO sluice.remembered (job, name, value) VALUES ($1, 'postgres.schema', $2) "
	    "ON CONFLICT (job, name) DO UPDATE SET value = EXCLUDED.value, since = now()",
	    2, params);
}

static enum sink_outcome table_check(struct schema *schema, size_t place)
{
	struct table_state *state = &schema->tables[place];
	struct ddl_table table;

	ddl_table_describe(schema->pipeline, place, &table);
	enum sink_outcome outcome = postgres_table_check(schema->postgres, &table, schema->job, state, schema->error);
	if (outcome != SINK_DONE)
		return outcome;
	if (!schema->started && state->rows) {
		error_stop(schema->error, STOP_ROWS_OF_OTHERS,
		    "table \"%s\" holds rows, but job %s has no frontier here: rows that Sluice did not write cannot "
		    "be continued",
		    table.name, schema->job);
		return SINK_CONFIG;
	}
	if (schema->started && !state->exists) {
		error_stop(schema->error, STOP_TABLE_GONE,
		    "job %s has a frontier, but table \"%s\" is gone from schema \"%s\"", schema->job, table.name,
		    schema->postgres->schema);
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

/* What an older release made does not say whose a letter is. */
static enum sink_outcome letters_tell_jobs(struct schema *schema)
{
	struct buffer name = {0};
	PGresult *result = NULL;

	sql_table(&name, schema->postgres->schema, DEAD_LETTERS_TABLE);
	buffer_append(&name, "", 1);
	const char *table = (const char *)name.data;
	enum sink_outcome outcome = run(
	    schema, &result, "SELECT sluice.letters_by_job(t) FROM to_regclass($1) t WHERE t IS NOT NULL", 1, &table);
	if (outcome == SINK_DONE && PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] != '\0') {
		error_stop(schema->error, STOP_LETTERS_OF_NOBODY,
		    "table %s was made by an older release, for one job, and cannot be changed to tell jobs apart: %s",
		    table, PQgetvalue(result, 0, 0));
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	buffer_fini(&name);
	return outcome;
}

/* Two jobs that write into one table would each find totals that they did not make. */
static enum sink_outcome table_own(struct schema *schema, size_t place)
{
	struct ddl_table table;
	PGresult *result = NULL;

	ddl_table_describe(schema->pipeline, place, &table);
	if (strcmp(table.name, DEAD_LETTERS_TABLE) == 0)
		return SINK_DONE;
	const char *params[] = {schema->postgres->schema, table.name, schema->job};
	/* One that was moved to another schema is mine there, and not here any more. */
	enum sink_outcome outcome =
	    run(schema, NULL, "DELETE FROM sluice.tables WHERE schema <> $1 AND name = $2 AND job = $3", 3, params);
	if (outcome == SINK_DONE)
		outcome = run(schema, NULL,
		    "INSERT INTO sluice.tables (schema, name, job) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", 3,
		    params);
	if (outcome == SINK_DONE)
		outcome = run(schema, &result,
		    "SELECT job FROM sluice.tables WHERE schema = $1 AND name = $2 AND job <> $3", 3, params);
	if (outcome == SINK_DONE && PQntuples(result) == 1) {
		error_stop(schema->error, STOP_TABLE_OF_ANOTHER,
		    "table \"%s\".\"%s\" belongs to job %s, and this is job %s", params[0], table.name,
		    PQgetvalue(result, 0, 0), schema->job);
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	return outcome;
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
	ddl_table_print(&table, schema->postgres->schema, &sql);
	ddl_indexes_print(&table, schema->postgres->schema, &sql);
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
	enum sink_outcome outcome = postgres_encoding_check(schema->postgres, schema->error);

	if (outcome == SINK_DONE)
		outcome = lock_take(schema);
	if (outcome == SINK_DONE)
		outcome = version_read(schema);
	if (outcome == SINK_DONE)
		outcome = frontier_state(schema);
	if (outcome == SINK_DONE)
		outcome = schema_settle(schema);
	if (outcome == SINK_DONE)
		outcome = migrate(schema);
	if (outcome == SINK_DONE)
		outcome = letters_tell_jobs(schema);
	for (size_t i = 0; i < tables && outcome == SINK_DONE; i++)
		outcome = table_own(schema, i);
	for (size_t i = 0; i < tables && outcome == SINK_DONE; i++)
		outcome = table_check(schema, i);
	if (outcome == SINK_DONE)
		outcome = schema_make(schema);
	for (size_t i = 0; i < tables && outcome == SINK_DONE; i++)
		outcome = table_make(schema, i);
	if (outcome == SINK_DONE)
		outcome = frontier_make(schema);
	if (outcome == SINK_DONE)
		outcome = schema_remember(schema);
	if (outcome == SINK_DONE)
		outcome = postgres_objects_look(
		    schema->postgres, schema->pipeline, schema->job, schema->objects, schema->error);
	return outcome;
}

enum sink_outcome postgres_schema_apply(struct postgres *postgres, const struct pipeline *pipeline, const char *job,
    struct postgres_objects *objects, struct buffer *report, struct error *error)
{
	struct schema schema = {.postgres = postgres,
	    .pipeline = pipeline,
	    .job = job,
	    .objects = objects,
	    .report = report,
	    .error = error};
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

static enum sink_outcome upgrade(struct schema *schema)
{
	enum sink_outcome outcome = lock_take(schema);

	if (outcome == SINK_DONE)
		outcome = version_read(schema);
	if (outcome != SINK_DONE || schema->version == 0)
		return outcome;
	outcome = migrate(schema);
	return outcome == SINK_DONE ? letters_tell_jobs(schema) : outcome;
}

enum sink_outcome postgres_schema_upgrade(struct postgres *postgres, const char *job, bool *there, struct error *error)
{
	struct schema schema = {.postgres = postgres, .job = job, .error = error};
	enum sink_outcome outcome = postgres_query(postgres, NULL, error, "BEGIN", 0, NULL);

	if (outcome == SINK_DONE)
		outcome = upgrade(&schema);
	if (outcome == SINK_DONE)
		outcome = postgres_query(postgres, NULL, error, "COMMIT", 0, NULL);
	if (outcome != SINK_DONE)
		postgres_rollback(postgres);
	*there = schema.version > 0;
	return outcome;
}

enum sink_outcome postgres_schema_find(struct postgres *postgres, bool *there, struct error *error)
{
	struct schema schema = {.postgres = postgres, .error = error};
	int newest = migrations[migrations_len - 1].version;
	enum sink_outcome outcome = version_read(&schema);

	*there = schema.version > 0;
	if (outcome != SINK_DONE || !*there || schema.version == newest)
		return outcome;
	error_stop(error, STOP_OLDER_SCHEMA,
	    "schema sluice has version %d, made by an older release than this one, which knows version %d",
	    schema.version, newest);
	return SINK_CONFIG;
}

enum sink_outcome postgres_schema_check(struct postgres *postgres, const char *job, struct error *error)
{
	bool there = false;
	enum sink_outcome outcome = postgres_schema_find(postgres, &there, error);

	if (outcome != SINK_DONE || there)
		return outcome;
	error_set(error, RESULT_CONFIG, "job %s was never started: this database has no schema sluice", job);
	return SINK_CONFIG;
}

enum sink_outcome postgres_lock_free(struct postgres *postgres, const char *job, struct error *error)
{
	uint64_t began_us = clock_monotonic_us();
	char key[24];
	const char *params[] = {key};
	PGresult *result = NULL;

	(void)snprintf(key, sizeof key, "%lld", (long long)postgres_lock_key(job));
	for (;;) {
		enum sink_outcome outcome =
		    postgres_query(postgres, &result, error, "SELECT pg_try_advisory_lock($1)", 1, params);
		if (outcome != SINK_DONE)
			return outcome;
		bool mine = PQgetvalue(result, 0, 0)[0] == 't';
		PQclear(result);
		if (mine)
			return SINK_DONE;
		if (clock_monotonic_us() - began_us > GONE_WITHIN_US || !postgres_pause(postgres, LOOK_EVERY_MS))
			break;
	}
	error_set(
	    error, RESULT_CONFIG, "job %s is running (a writer is connected to its database): stop it first", job);
	return SINK_CONFIG;
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
	struct postgres_objects objects = {0};
	char job[JOB_NAME_MAX];
	enum sink_outcome outcome = postgres_connect(&postgres, pipeline, application_name, error);
	if (outcome == SINK_DONE)
		outcome = postgres_schema_apply(
		    &postgres, pipeline, job_name(pipeline, JOB_TOTALS, job), &objects, report, error);
	postgres_fini(&postgres);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return error->code;
}
