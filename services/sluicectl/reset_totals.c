/* services/sluicectl/reset_totals.c - what PostgreSQL and the checkpoint folder hold of a job; see reset.h. */
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/crash_point.h"
#include "common/postgres/postgres_schema.h"
#include "services/sluicectl/reset.h"

enum { FOLDERS_OPEN = 16 };

struct totals {
	struct reset *reset;
	struct postgres postgres;
	/* What empties its tables: at once, or where that is not allowed one by one. */
	struct buffer truncate, delete;
	bool may_truncate;
};

static enum result ask(
    struct totals *totals, PGresult **result, struct error *error, const char *sql, int len, const char *const *params)
{
	enum sink_outcome outcome = postgres_query(&totals->postgres, result, error, sql, len, params);
	if (outcome == SINK_DONE)
		return RESULT_OK;
	error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	return error->code;
}

static enum result ask_count(
    struct totals *totals, long long *count, const char *sql, int len, const char *const *params, struct error *error)
{
	PGresult *found = NULL;
	enum result result = ask(totals, &found, error, sql, len, params);
	if (result == RESULT_OK)
		*count = strtoll(PQgetvalue(found, 0, 0), NULL, 10);
	PQclear(found);
	return result;
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

/* Its own, and of a database that does not know owners yet those that the file names, if the job was ever started. */
static const char owned_sql[] =
    "SELECT format('%I.%I', n.nspname, c.relname), c.relname, has_table_privilege(c.oid, 'TRUNCATE') FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN sluice.tables t ON t.schema = n.nspname AND t.name = "
    "c.relname "
    "WHERE c.relkind IN ('r', 'p') AND (t.job = $1 OR (t.job IS NULL AND n.nspname = $2 AND c.relname = ANY "
    "($3::text[]) "
    "AND EXISTS (SELECT FROM sluice.frontier f WHERE f.job = $1 AND f.cut IS NOT NULL))) ORDER BY 1";

static void declared(const struct pipeline *pipeline, struct buffer *out)
{
	for (size_t i = 0; i < ddl_tables(pipeline); i++) {
		struct ddl_table table;
		ddl_table_describe(pipeline, i, &table);
		if (strcmp(table.name, DEAD_LETTERS_TABLE) != 0)
			buffer_printf(out, "%s%s", out->len > 0 ? "," : "{", table.name); /* letters, digits and _ */
	}
	buffer_append(out, "}", 2);
}

static enum result table_say(struct totals *totals, const char *quoted, const char *name, struct error *error)
{
	struct buffer sql = {0};
	long long count = 0;

	buffer_printf(&sql, "SELECT count(*) FROM %s", quoted);
	buffer_append(&sql, "", 1);
	enum result result = ask_count(totals, &count, (const char *)sql.data, 0, NULL, error);
	buffer_fini(&sql);
	reset_say(totals->reset, "table", name, count, "rows, emptied");
	buffer_printf(&totals->truncate, "%s%s", totals->truncate.len > 0 ? ", " : "TRUNCATE ", quoted);
	buffer_printf(&totals->delete, "DELETE FROM %s; ", quoted);
	return result;
}

static enum result tables_find(struct totals *totals, struct error *error)
{
	struct buffer names = {0};
	PGresult *found = NULL;

	declared(totals->reset->pipeline, &names);
	const char *params[] = {totals->reset->job, totals->postgres.schema, (const char *)names.data};
	enum result result = ask(totals, &found, error, owned_sql, 3, params);
	totals->may_truncate = true;
	for (int i = 0; result == RESULT_OK && i < PQntuples(found); i++) {
		totals->may_truncate = totals->may_truncate && PQgetvalue(found, i, 2)[0] == 't';
		result = table_say(totals, PQgetvalue(found, i, 0), PQgetvalue(found, i, 1), error);
	}
	PQclear(found);
	buffer_fini(&names);
	return result;
}

static enum result tables_empty(struct totals *totals, struct error *error)
{
	struct buffer *sql = totals->may_truncate ? &totals->truncate : &totals->delete;

	if (sql->len == 0)
		return RESULT_OK;
	buffer_append(sql, "", 1);
	return ask(totals, NULL, error, (const char *)sql->data, 0, NULL);
}

/* --- letters ----------------------------------------------------------------------------------------------------- */

/* In every schema that has such a table. */
static enum result letters_end(struct totals *totals, struct error *error)
{
	const char *job = totals->reset->job;
	PGresult *found = NULL;
	enum result result = ask(totals, &found, error,
	    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = "
	    "c.relnamespace "
	    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'job' WHERE c.relname = '" DEAD_LETTERS_TABLE
	    "' AND c.relkind IN ('r', 'p') AND (n.nspname = $1 OR n.nspname IN "
	    "(SELECT t.schema FROM sluice.tables t WHERE t.job = $2)) ORDER BY 1",
	    2, (const char *const[]){totals->postgres.schema, job});
	for (int i = 0; result == RESULT_OK && i < PQntuples(found); i++) {
		struct buffer sql = {0};
		long long count = 0;
		buffer_printf(&sql,
		    "WITH gone AS (DELETE FROM %s WHERE job = $1 RETURNING 1) SELECT count(*) FROM gone",
		    PQgetvalue(found, i, 0));
		buffer_append(&sql, "", 1);
		result = ask_count(totals, &count, (const char *)sql.data, 1, &job, error);
		buffer_fini(&sql);
		reset_say(totals->reset, "dead letters", DEAD_LETTERS_TABLE, count, "of this job, deleted");
	}
	PQclear(found);
	return result;
}

/* --- the checkpoint folder --------------------------------------------------------------------------------------- */

/* The job's name is checked by the pipeline file: <pipeline>/totals, without a dot in front. */
static enum result folder_find(const struct reset *reset, char path[PATH_MAX], bool *there, struct error *error)
{
	if (snprintf(path, PATH_MAX, "%s/%s", reset->pipeline->checkpoint.dir, reset->job) >= PATH_MAX)
		return error_set(error, RESULT_CONFIG, "checkpoint.dir is too long a name");
	*there = access(path, F_OK) == 0;
	return RESULT_OK;
}

static int on_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	int result = remove(path);
	CRASH_POINT(reset_removing);
	return result;
}

static enum result folder_end(struct totals *totals, struct error *error)
{
	char path[PATH_MAX];
	bool there = false;

	if (folder_find(totals->reset, path, &there, error) != RESULT_OK)
		return error->code;
	reset_say(totals->reset, "checkpoints", path, there, there ? "folder, removed" : "there is none");
	if (!there || !totals->reset->change)
		return RESULT_OK;
	if (nftw(path, on_entry, FOLDERS_OPEN, FTW_DEPTH | FTW_PHYS) == 0)
		return RESULT_OK;
	return error_set(error, RESULT_CONFIG, "cannot remove %s: %s", path, strerror(errno));
}

/* --- all of it --------------------------------------------------------------------------------------------------- */

static enum result forget(struct totals *totals, struct error *error)
{
	const char *job = totals->reset->job;
	long long started = 0;
	enum result result = ask_count(totals, &started,
	    "SELECT count(*) FROM sluice.frontier WHERE job = $1 AND cut IS NOT NULL", 1, &job, error);

	reset_say(totals->reset, "frontier", job, started,
	    started ? "forgotten, with all that belongs to it" : "never started");
	return result == RESULT_OK ? ask(totals, NULL, error, "SELECT sluice.job_forget($1)", 1, &job) : result;
}

static enum result within_transaction(struct totals *totals, struct error *error)
{
	enum result result = tables_find(totals, error);

	if (result == RESULT_OK && totals->reset->change)
		result = tables_empty(totals, error);
	if (result == RESULT_OK)
		result = letters_end(totals, error);
	CRASH_POINT(reset_emptied);
	if (result == RESULT_OK)
		result = forget(totals, error);
	if (result == RESULT_OK)
		result = folder_end(totals, error);
	CRASH_POINT(reset_removed);
	return result;
}

static enum result reset_database(struct totals *totals, struct error *error)
{
	bool there = false;
	enum sink_outcome outcome =
	    postgres_connect(&totals->postgres, totals->reset->pipeline, "sluicectl reset", error);

	if (outcome == SINK_DONE)
		outcome = postgres_lock_free(&totals->postgres, totals->reset->job, error);
	if (outcome == SINK_DONE && totals->reset->change)
		outcome = postgres_schema_upgrade(&totals->postgres, totals->reset->job, &there, error);
	else if (outcome == SINK_DONE)
		outcome = postgres_schema_find(&totals->postgres, &there, error);
	if (outcome != SINK_DONE)
		return error->code = outcome == SINK_CONFIG ? RESULT_CONFIG : RESULT_RETRY;
	if (!there)
		return folder_end(totals, error);
	enum result result = ask(totals, NULL, error, "BEGIN; SET LOCAL statement_timeout = 0", 0, NULL);
	if (result == RESULT_OK)
		result = within_transaction(totals, error);
	if (result == RESULT_OK)
		result = ask(totals, NULL, error, totals->reset->change ? "COMMIT" : "ROLLBACK", 0, NULL);
	CRASH_POINT(reset_committed);
	return result;
}

enum result reset_totals(struct reset *reset, struct error *error)
{
	struct totals totals = {.reset = reset, .postgres = {.stop_fd = -1}};
	enum result result = reset_database(&totals, error);

	postgres_disconnect(&totals.postgres);
	buffer_fini(&totals.truncate);
	buffer_fini(&totals.delete);
	return result;
}
