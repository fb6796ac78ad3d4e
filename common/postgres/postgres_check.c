/* common/postgres/postgres_check.c - compares a table that is there with its declaration; see postgres_schema.h. */
#include "common/postgres/postgres_schema.h"

#include <string.h>

/* One that would refuse a row that Sluice takes: over other columns that Sluice writes than the key's. */
static const char surplus_sql[] =
    "SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid, LATERAL (SELECT "
    "coalesce(array_agg(a.attname::text), '{}') AS names FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k JOIN "
    "pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k) c WHERE i.indrelid = to_regclass($1) AND "
    "i.indisunique "
    "AND NOT ($2::text[] <@ c.names) AND c.names <@ $3::text[]";

enum { CATALOG_NAME, CATALOG_TYPE, CATALOG_NOT_NULL, CATALOG_FILLS_ITSELF, CATALOG_GENERATED };

static const char columns_sql[] =
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> '', "
    "a.attgenerated <> '' OR a.attidentity = 'a' FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > "
    "0 "
    "AND NOT a.attisdropped ORDER BY a.attnum";

/* A unique index over exactly these columns, that ON CONFLICT can name. */
static const char unique_sql[] =
    "SELECT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid "
    "AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND (SELECT array_agg(a.attname::text ORDER BY "
    "a.attname::text) FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k JOIN pg_attribute a "
    "ON a.attrelid = i.indrelid AND a.attnum = k) = (SELECT array_agg(n ORDER BY n) FROM unnest($2::text[]) n))";

static bool flag(const PGresult *result, int row, int column)
{
	return PQgetvalue(result, row, column)[0] == 't';
}

static int column_find(const PGresult *catalog, const char *name)
{
	for (int i = 0; i < PQntuples(catalog); i++)
		if (strcmp(PQgetvalue(catalog, i, CATALOG_NAME), name) == 0)
			return i;
	return -1;
}

static const struct ddl_column *column_declared(const struct ddl_table *table, const char *name)
{
	for (size_t i = 0; i < table->columns_len; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return &table->columns[i];
	return NULL;
}

static enum sink_outcome refuse(struct error *error, const struct ddl_table *table, const char *column, const char *why)
{
	error_stop(error, STOP_COLUMN_DIFFERS, "table \"%s\" is there already, but its column \"%s\" %s", table->name,
	    column, why);
	return SINK_CONFIG;
}

static enum sink_outcome column_check(
    const struct ddl_table *table, const struct ddl_column *column, const PGresult *catalog, struct error *error)
{
	int row = column_find(catalog, column->name);
	struct buffer why = {0};
	enum sink_outcome outcome = SINK_DONE;

	if (row < 0) {
		if (column->ours) /* one that fills itself may be missing */
			outcome = refuse(error, table, column->name, "is missing");
		goto out;
	}
	if (!column->ours)
		goto out;
	if (strcmp(PQgetvalue(catalog, row, CATALOG_TYPE), column->catalog) != 0) {
		buffer_printf(&why, "is %s instead of %s", PQgetvalue(catalog, row, CATALOG_TYPE), column->catalog);
		buffer_append(&why, "", 1);
		outcome = refuse(error, table, column->name, (const char *)why.data);
	} else if (flag(catalog, row, CATALOG_NOT_NULL) && !column->required)
		outcome = refuse(error, table, column->name, "is NOT NULL, while the field is not required");
	else if (flag(catalog, row, CATALOG_GENERATED))
		outcome = refuse(error, table, column->name, "is a generated one");
out:
	buffer_fini(&why);
	return outcome;
}

static enum sink_outcome columns_check(
    struct postgres *postgres, const struct ddl_table *table, const char *quoted, struct error *error)
{
	PGresult *catalog = NULL;
	enum sink_outcome outcome = postgres_query(postgres, &catalog, error, columns_sql, 1, &quoted);

	for (size_t i = 0; i < table->columns_len && outcome == SINK_DONE; i++)
		outcome = column_check(table, &table->columns[i], catalog, error);
	for (int i = 0; outcome == SINK_DONE && i < PQntuples(catalog); i++) {
		const char *name = PQgetvalue(catalog, i, CATALOG_NAME);
		if (!column_declared(table, name) && flag(catalog, i, CATALOG_NOT_NULL) &&
		    !flag(catalog, i, CATALOG_FILLS_ITSELF))
			outcome = refuse(error, table, name, "is not declared, and is NOT NULL without a default");
	}
	PQclear(catalog);
	return outcome;
}

static void element_add(struct buffer *out, const char *name)
{
	buffer_append_text(out, out->len > 1 ? ",\"" : "\"");
	/* An array element in double quotes escapes with a backslash, an identifier by doubling. */
	for (const char *at = name; *at; at++) {
		if (*at == '"' || *at == '\\')
			buffer_append_text(out, "\\");
		buffer_append(out, at, 1);
	}
	buffer_append_text(out, "\"");
}

static void key_array(const struct ddl_table *table, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (size_t i = 0; i < table->key_len; i++)
		element_add(out, table->columns[table->key[i]].name);
	buffer_append(out, "}", 2);
}

static void ours_array(const struct ddl_table *table, struct buffer *out)
{
	buffer_append_text(out, "{");
	for (size_t i = 0; i < table->columns_len; i++)
		if (table->columns[i].ours)
			element_add(out, table->columns[i].name);
	buffer_append(out, "}", 2);
}

static enum sink_outcome key_check(
    struct postgres *postgres, const struct ddl_table *table, const char *quoted, struct error *error)
{
	struct buffer key = {0}, ours = {0};
	PGresult *result = NULL;

	key_array(table, &key);
	ours_array(table, &ours);
	const char *params[] = {quoted, (const char *)key.data, (const char *)ours.data};
	enum sink_outcome outcome = postgres_query(postgres, &result, error, unique_sql, 2, params);
	if (outcome == SINK_DONE && !flag(result, 0, 0)) {
		error_stop(error, STOP_TABLE_KEY,
		    "table \"%s\" is there already, but has no primary key or unique index over "
		    "exactly %s",
		    table->name, params[1]);
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	result = NULL;
	if (outcome == SINK_DONE)
		outcome = postgres_query(postgres, &result, error, surplus_sql, 3, params);
	if (outcome == SINK_DONE && PQntuples(result) > 0) {
		error_stop(error, STOP_TABLE_KEY,
		    "table \"%s\" has unique index \"%s\" beside its key %s, which would refuse records that are "
		    "accepted",
		    table->name, PQgetvalue(result, 0, 0), params[1]);
		outcome = SINK_CONFIG;
	}
	PQclear(result);
	buffer_fini(&key);
	buffer_fini(&ours);
	return outcome;
}

static enum sink_outcome rows_look(struct postgres *postgres, const struct ddl_table *table, const char *job,
    const char *quoted, bool *rows, struct error *error)
{
	struct buffer sql = {0};
	PGresult *result = NULL;

	buffer_printf(&sql, "SELECT EXISTS (SELECT 1 FROM %s", quoted);
	if (strcmp(table->name, DEAD_LETTERS_TABLE) == 0) {
		/* The one table that jobs share. */
		buffer_append_text(&sql, " WHERE job = ");
		sql_literal(&sql, (struct bytes){(const uint8_t *)job, strlen(job)});
	}
	buffer_append(&sql, ")", 2);
	enum sink_outcome outcome = postgres_query(postgres, &result, error, (const char *)sql.data, 0, NULL);
	if (outcome == SINK_DONE)
		*rows = flag(result, 0, 0);
	PQclear(result);
	buffer_fini(&sql);
	return outcome;
}

enum sink_outcome postgres_table_check(struct postgres *postgres, const struct ddl_table *table, const char *job,
    struct table_state *state, struct error *error)
{
	struct buffer name = {0};
	PGresult *result = NULL;

	*state = (struct table_state){0};
	sql_table(&name, postgres->schema, table->name);
	buffer_append(&name, "", 1);
	const char *quoted = (const char *)name.data;
	enum sink_outcome outcome = postgres_query(postgres, &result, error,
	    "SELECT relkind, CASE relkind WHEN 'p' THEN 'partitioned' WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a "
	    "materialized view' "
	    "WHEN 'f' THEN 'a foreign table' ELSE 'something else' END FROM pg_class WHERE oid = to_regclass($1)",
	    1, &quoted);
	if (outcome != SINK_DONE || PQntuples(result) == 0)
		goto out;
	state->exists = true;
	if (PQgetvalue(result, 0, 0)[0] != 'r') {
		error_stop(error, STOP_TABLE_KIND, "\"%s\" is there already, but is not an ordinary table: it is %s",
		    table->name, PQgetvalue(result, 0, 1));
		outcome = SINK_CONFIG;
		goto out;
	}
	outcome = columns_check(postgres, table, quoted, error);
	if (outcome == SINK_DONE)
		outcome = key_check(postgres, table, quoted, error);
	if (outcome == SINK_DONE)
		outcome = rows_look(postgres, table, job, quoted, &state->rows, error);
out:
	PQclear(result);
	buffer_fini(&name);
	return outcome;
}
