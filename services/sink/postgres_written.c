#include "services/sink/postgres_written.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"
#include "common/postgres/ddl.h"

enum { DECISIONS_PLACE = 2 }; /* of sluice.decisions, behind the tables of the pipeline file, in postgres_objects */

enum sink_outcome written_possible(struct postgres *postgres, struct error *error)
{
	PGresult *result = NULL;
	enum sink_outcome outcome =
	    postgres_query(postgres, &result, error, "SELECT current_setting('track_counts')", 0, NULL);

	if (outcome == SINK_DONE && strcmp(PQgetvalue(result, 0, 0), "on") != 0) {
		error_stop(error, STOP_NOT_COUNTED,
		    "PostgreSQL does not count the rows that this user writes: track_counts is %s",
		    PQgetvalue(result, 0, 0));
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	return outcome;
}

/* The number at this place of {16401,16405}. */
static unsigned long oid_at(const char *array, size_t place)
{
	for (const char *at = array + 1;; at++) {
		if (place == 0)
			return strtoul(at, NULL, 10);
		at = strchr(at, ',');
		CHECK(at != NULL);
		place--;
	}
}

static size_t tables_find(
    const struct postgres_objects *objects, const struct pipeline *pipeline, unsigned long oids[WRITTEN_MAX])
{
	size_t len = ddl_tables(pipeline);

	for (size_t i = 0; i < len; i++)
		oids[i] = oid_at(objects->tables, i);
	oids[len] = oid_at(objects->tables, len + DECISIONS_PLACE);
	return len + 1;
}

static void put_print(unsigned long oid, struct buffer *out)
{
	buffer_printf(out, "pg_stat_get_xact_tuples_inserted(%lu) + pg_stat_get_xact_tuples_updated(%lu)", oid, oid);
}

static void deleted_print(unsigned long oid, struct buffer *out)
{
	buffer_printf(out, "pg_stat_get_xact_tuples_deleted(%lu)", oid);
}

static void counts_print(const unsigned long *oids, size_t len, struct buffer *out)
{
	for (size_t i = 0; i < len; i++) {
		buffer_append_text(out, i ? ", " : "ARRAY[");
		put_print(oids[i], out);
		buffer_append_text(out, ", ");
		deleted_print(oids[i], out);
	}
	buffer_append_text(out, "]");
}

static void after_print(const unsigned long *oids, size_t len, struct buffer *out)
{
	buffer_append_text(out, "PREPARE rows_after (");
	for (size_t i = 0; i < 2 * len; i++)
		buffer_append_text(out, i ? ", bigint" : "bigint");
	buffer_append_text(out, ") AS WITH s AS MATERIALIZED (SELECT current_setting('sluice.written')::bigint[] AS b) "
	                        "SELECT CASE WHEN ");
	for (size_t i = 0; i < len; i++) {
		buffer_append_text(out, i ? " AND " : "");
		put_print(oids[i], out);
		buffer_printf(out, " - b[%zu] = $%zu AND ", 2 * i + 1, 2 * i + 1);
		deleted_print(oids[i], out);
		buffer_printf(out, " - b[%zu] <= $%zu", 2 * i + 2, 2 * i + 2);
	}
	buffer_append_text(out, " THEN true ELSE sluice.rows_differ(ARRAY[");
	for (size_t i = 0; i < len; i++)
		buffer_printf(out, "%s%lu", i ? ", " : "", oids[i]);
	buffer_append_text(out, "]::oid[], b");
	for (size_t i = 0; i < 2 * len; i++)
		buffer_printf(out, "%s$%zu", i ? ", " : ", ARRAY[", i + 1);
	buffer_append_text(out, "]) END FROM s;\n");
}

void written_prepare_print(const struct postgres_objects *objects, const struct pipeline *pipeline, struct buffer *out)
{
	unsigned long oids[WRITTEN_MAX];
	size_t len = tables_find(objects, pipeline, oids);

	buffer_append_text(out, "PREPARE rows_before AS SELECT set_config('sluice.written', (");
	counts_print(oids, len, out);
	buffer_append_text(out, ")::text, true);\n");
	after_print(oids, len, out);
}

void written_after_print(const struct written *written, struct buffer *sql)
{
	if (!MUTANT(deferred_uncounted))
		buffer_append_text(sql, "SET CONSTRAINTS ALL IMMEDIATE;\n");
	for (size_t i = 0; i < written->len; i++)
		buffer_printf(
		    sql, "%s%zu, %zu", i ? ", " : "EXECUTE rows_after (", written->put[i], written->deleted[i]);
	buffer_append_text(sql, ");\n");
}
