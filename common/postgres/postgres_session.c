/* common/postgres/postgres_session.c - see postgres_session.h. */
#include "common/postgres/postgres_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/job.h"
#include "common/base/log.h"
#include "common/base/mutant.h"
#include "common/postgres/ddl.h"

const struct session_setting session_settings[] = {
    {"search_path", "pg_catalog, pg_temp",
        "every name of ours is written whole; no other function, operator or type comes first"},
    {"default_transaction_isolation", "read committed",
        "who waits for the frontier's row goes on with its newest version"},
    {"default_transaction_deferrable", "off", "a transaction begins at once"},
    {"synchronous_commit", "on", "what is acknowledged lasts; remote_apply is more than that, and is left"},
    {"standard_conforming_strings", "on", "texts are quoted so"},
    {"backslash_quote", "safe_encoding", "the same"},
    {"array_nulls", "on", "arrays are written so"},
    {"transform_null_equals", "off", "= is never IS NULL"},
    {"quote_all_identifiers", "off", "names of types are compared with the catalog's"},
    {"bytea_output", "hex", "what is read as text"},
    {"DateStyle", "ISO, MDY", "the same"},
    {"IntervalStyle", "postgres", "the same"},
    {"extra_float_digits", "1", "the same"},
    {"TimeZone", "UTC", "CURRENT_TIMESTAMP in a column without a time zone"},
    {"client_encoding", "UTF8", "what is sent and read"},
    {"row_security", "off", "a policy that would hide rows is an error instead"},
    {"default_table_access_method", "heap", "rows are found by their place; tables are made with it"},
    {"check_function_bodies", "on", "a migration fails at once, or not at all"},
    {"statement_timeout", "60000", "a statement that takes longer ends the wait for it; see POSTGRES_STATEMENT_MS"},
    {"lock_timeout", "30000", "the same; see POSTGRES_LOCK_MS"},
    {"idle_in_transaction_session_timeout", "60000", "a stopped process lets go of its locks"},
    {"tcp_keepalives_idle", "5", "a machine that has died lets go of its locks"},
    {"tcp_keepalives_interval", "2", "the same"},
    {"tcp_keepalives_count", "3", "the same"},
    {"idle_session_timeout", "0", "an idle pipeline keeps its session"},
    {"transaction_timeout", "0", "each statement has its own"},
    {"client_min_messages", "warning", "nobody reads the others"},
    {"jit", "off", "statements are short: compiling one takes longer"},
};
const size_t session_settings_len = sizeof session_settings / sizeof session_settings[0];

_Static_assert(POSTGRES_STATEMENT_MS == 60000 && POSTGRES_LOCK_MS == 30000, "as the rows above say");

/* The names are resolved by pg_catalog alone from the first statement on. */
static void settings_print(struct buffer *sql)
{
	buffer_append_text(
	    sql, "SET search_path = pg_catalog, pg_temp;\nSELECT set_config(s.name, v.value, false) FROM (VALUES ");
	for (size_t i = 0; i < session_settings_len; i++) {
		const struct session_setting *setting = &session_settings[i];
		if (MUTANT(session_default_left) && i == 1)
			continue;
		buffer_printf(sql, "%s('%s', '%s')", i ? ", " : "", setting->name, setting->value);
	}
	buffer_append_text(sql, ") v(name, value) JOIN pg_settings s ON s.name = v.name WHERE s.setting <> v.value "
	                        "AND NOT (s.name = 'synchronous_commit' AND s.setting = 'remote_apply');\n");
}

static enum sink_outcome settings_set(struct postgres *postgres, struct error *error)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	settings_print(&sql);
	buffer_append_text(&sql,
	    "SELECT coalesce((SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()), ''), "
	    "current_setting('fsync'), pg_backend_pid()");
	buffer_append(&sql, "", 1);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 0, NULL);
	buffer_fini(&sql);
	if (outcome != SINK_DONE)
		return outcome;
	postgres->pid = (int)strtol(PQgetvalue(result, 0, 2), NULL, 10);
	snprintf(postgres->started, sizeof postgres->started, "%s", PQgetvalue(result, 0, 0));
	if (strcmp(PQgetvalue(result, 0, 1), "on") != 0)
		log_warn("PostgreSQL runs with fsync=off: a power failure can lose or damage what was committed");
	PQclear(result);
	return SINK_DONE;
}

/* One value of one row; empty where there is none. */
static enum sink_outcome name_ask(struct postgres *postgres, const char *sql, int params_len, const char *const *params,
    char name[POSTGRES_NAME_MAX], struct error *error)
{
	PGresult *result = NULL;
	enum sink_outcome outcome = postgres_query(postgres, &result, error, sql, params_len, params);

	name[0] = '\0';
	if (outcome == SINK_DONE && PQntuples(result) > 0)
		snprintf(name, POSTGRES_NAME_MAX, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	return outcome;
}

enum sink_outcome postgres_remembered_schema(
    struct postgres *postgres, const char *job, char schema[POSTGRES_NAME_MAX], struct error *error)
{
	char there[POSTGRES_NAME_MAX];
	enum sink_outcome outcome = name_ask(postgres,
	    "SELECT 'yes' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'sluice' AND "
	    "c.relname = 'remembered'",
	    0, NULL, there, error);

	schema[0] = '\0';
	if (outcome != SINK_DONE || !there[0])
		return outcome;
	return name_ask(postgres, "SELECT value FROM sluice.remembered WHERE job = $1 AND name = 'postgres.schema'", 1,
	    &job, schema, error);
}

static const char path_schema_sql[] =
    "SELECT s.name FROM unnest($1::name[]) WITH ORDINALITY s(name, place) "
    "ORDER BY NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = s.name AND c.relname = $2), s.place LIMIT 1";

/* path: what the user's search_path comes to, as an array. */
static enum sink_outcome schema_find(
    struct postgres *postgres, const struct pipeline *pipeline, const char *path, struct error *error)
{
	char job[JOB_NAME_MAX];
	const char *params[] = {path, pipeline->record.table};
	enum sink_outcome outcome =
	    postgres_remembered_schema(postgres, job_name(pipeline, JOB_TOTALS, job), postgres->schema, error);

	if (outcome != SINK_DONE || (postgres->schema[0] && !MUTANT(schema_forgotten)))
		return outcome;
	if (pipeline->sinks.postgres_schema[0]) {
		snprintf(postgres->schema, sizeof postgres->schema, "%s", pipeline->sinks.postgres_schema);
		return SINK_DONE;
	}
	return name_ask(postgres, path_schema_sql, 2, params, postgres->schema, error);
}

enum sink_outcome postgres_session_set_up(
    struct postgres *postgres, const struct pipeline *pipeline, struct error *error)
{
	PGresult *path = NULL;
	enum sink_outcome outcome =
	    postgres_query(postgres, &path, error, "SELECT pg_catalog.current_schemas(false)", 0, NULL);

	if (outcome == SINK_DONE)
		outcome = settings_set(postgres, error);
	if (outcome == SINK_DONE)
		outcome = schema_find(postgres, pipeline, PQgetvalue(path, 0, 0), error);
	PQclear(path);
	return outcome;
}
