/* common/postgres/postgres_check.c - compares a table that is there with its declaration; see postgres_schema.h. */
#include "common/postgres/postgres_schema.h"

#include <stdio.h>
#include <string.h>

/* One that would refuse a row that Sluice takes: over other columns that Sluice writes than the key's. */
static const char surplus_sql[] =
    "SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid, LATERAL (SELECT "
    "coalesce(array_agg(a.attname::text), '{}') AS names FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k JOIN "
    "pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k) c WHERE i.indrelid = to_regclass($1) AND "
    "i.indisunique "
    "AND NOT ($2::text[] <@ c.names) AND c.names <@ $3::text[]";

/* CATALOG_GENERATED: how to end that, or empty. */
enum { CATALOG_NAME, CATALOG_TYPE, CATALOG_NOT_NULL, CATALOG_FILLS_ITSELF, CATALOG_GENERATED };

static const char columns_sql[] =
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> '', "
    "CASE WHEN a.attgenerated <> '' THEN 'DROP EXPRESSION' WHEN a.attidentity = 'a' THEN 'DROP IDENTITY' ELSE '' END "
    "FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > "
    "0 "
    "AND NOT a.attisdropped ORDER BY a.attnum";

/* Is there a unique index over exactly these columns, that ON CONFLICT can name; and a primary key? */
static const char unique_sql[] =
    "SELECT coalesce(bool_or(i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS "
    "NULL AND (SELECT "
    "array_agg(a.attname::text ORDER BY a.attname::text) FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) k JOIN "
    "pg_attribute a "
    "ON a.attrelid = i.indrelid AND a.attnum = k) = (SELECT array_agg(n ORDER BY n) FROM unnest($2::text[]) n)), "
    "false), "
    "coalesce(bool_or(i.indisprimary), false) FROM pg_index i WHERE i.indrelid = to_regclass($1)";

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

/* One table that is compared. */
struct check {
	struct postgres *postgres;
	const struct ddl_table *table;
	const char *quoted; /* its name, with the schema's */
	struct error *error;
};

/* alter: the rest of the ALTER TABLE ... ALTER COLUMN ... that puts it right. */
static enum sink_outcome column_refuse(
    const struct check *check, const char *column, const char *why, const char *alter)
{
	struct buffer name = {0};

	sql_identifier(&name, column);
	error_stop(check->error, STOP_COLUMN_DIFFERS,
	    "table \"%s\": its column \"%s\" %s; ALTER TABLE %s ALTER COLUMN %.*s %s puts it right", check->table->name,
	    column, why, check->quoted, (int)name.len, (const char *)name.data, alter);
	buffer_fini(&name);
	return SINK_CONFIG;
}

static enum sink_outcome column_missing(const struct check *check, const struct ddl_column *column)
{
	error_stop(check->error, STOP_COLUMN_DIFFERS,
	    "table \"%s\": its column \"%s\" is missing; where it was renamed, RENAME COLUMN puts it right, and where "
	    "it "
	    "was dropped, its values are lost: restore a backup, or start over",
	    check->table->name, column->name);
	return SINK_CONFIG;
}

static enum sink_outcome column_check(
    const struct check *check, const struct ddl_column *column, const PGresult *catalog)
{
	int row = column_find(catalog, column->name);
	char why[3 * DDL_TYPE_MAX], alter[2 * DDL_TYPE_MAX];

	if (row < 0) /* one that fills itself may be missing */
		return column->ours ? column_missing(check, column) : SINK_DONE;
	const char *type = PQgetvalue(catalog, row, CATALOG_TYPE),
	           *generated = PQgetvalue(catalog, row, CATALOG_GENERATED);
	bool not_null = flag(catalog, row, CATALOG_NOT_NULL);
	if (!column->ours) {
		if (not_null && !flag(catalog, row, CATALOG_FILLS_ITSELF))
			return column_refuse(check, column->name, "is NOT NULL without a default", "DROP NOT NULL");
		return SINK_DONE;
	}
	if (strcmp(type, column->catalog) != 0) {
		snprintf(why, sizeof why, "is %.*s instead of %s", 2 * DDL_TYPE_MAX - 16, type, column->catalog);
		snprintf(alter, sizeof alter, "TYPE %s", column->catalog);
		return column_refuse(check, column->name, why, alter);
	}
	if (not_null && !column->required)
		return column_refuse(
		    check, column->name, "is NOT NULL, while the field is not required", "DROP NOT NULL");
	if (generated[0] != '\0')
		return column_refuse(check, column->name, "is a generated one", generated);
	return SINK_DONE;
}

static enum sink_outcome columns_check(const struct check *check)
{
	const struct ddl_table *table = check->table;
	PGresult *catalog = NULL;
	enum sink_outcome outcome =
	    postgres_query(check->postgres, &catalog, check->error, columns_sql, 1, &check->quoted);

	for (size_t i = 0; i < table->columns_len && outcome == SINK_DONE; i++)
		outcome = column_check(check, &table->columns[i], catalog);
	for (int i = 0; outcome == SINK_DONE && i < PQntuples(catalog); i++) {
		const char *name = PQgetvalue(catalog, i, CATALOG_NAME);
		if (!column_declared(table, name) && flag(catalog, i, CATALOG_NOT_NULL) &&
		    !flag(catalog, i, CATALOG_FILLS_ITSELF))
			outcome = column_refuse(
			    check, name, "is not declared, and is NOT NULL without a default", "DROP NOT NULL");
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

/* primary: there is a primary key, over other columns. */
static enum sink_outcome key_missing(const struct check *check, bool primary)
{
	const struct ddl_table *table = check->table;
	struct buffer key = {0};

	for (size_t i = 0; i < table->key_len; i++) {
		buffer_append_text(&key, i ? ", " : "");
		sql_identifier(&key, table->columns[table->key[i]].name);
	}
	error_stop(check->error, STOP_KEY_MISSING,
	    "table \"%s\" has no primary key or unique index (valid, not deferrable, for all rows) over exactly %.*s; "
	    "ALTER "
	    "TABLE %s ADD %s (%.*s) makes it",
	    table->name, (int)key.len, (const char *)key.data, check->quoted, primary ? "UNIQUE" : "PRIMARY KEY",
	    (int)key.len, (const char *)key.data);
	buffer_fini(&key);
	return SINK_CONFIG;
}

static enum sink_outcome key_check(const struct check *check)
{
	struct buffer key = {0}, ours = {0};
	PGresult *result = NULL;

	key_array(check->table, &key);
	ours_array(check->table, &ours);
	const char *params[] = {check->quoted, (const char *)key.data, (const char *)ours.data};
	enum sink_outcome outcome = postgres_query(check->postgres, &result, check->error, unique_sql, 2, params);
	if (outcome == SINK_DONE && !flag(result, 0, 0))
		outcome = key_missing(check, flag(result, 0, 1));
	PQclear(result);
	result = NULL;
	if (outcome == SINK_DONE)
		outcome = postgres_query(check->postgres, &result, check->error, surplus_sql, 3, params);
	if (outcome == SINK_DONE && PQntuples(result) > 0) {
		error_stop(check->error, STOP_TABLE_KEY,
		    "table \"%s\" has unique index \"%s\" beside its key %s, which would refuse records that are "
		    "accepted",
		    check->table->name, PQgetvalue(result, 0, 0), params[1]);
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
	const struct check check = {.postgres = postgres, .table = table, .quoted = quoted, .error = error};
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
	outcome = columns_check(&check);
	if (outcome == SINK_DONE)
		outcome = key_check(&check);
	if (outcome == SINK_DONE)
		outcome = rows_look(postgres, table, job, quoted, &state->rows, error);
out:
	PQclear(result);
	buffer_fini(&name);
	return outcome;
}
