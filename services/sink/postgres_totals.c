/* services/sink/postgres_totals.c - see postgres_totals.h. */
#include "services/sink/postgres_totals.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/decimal.h"
#include "common/base/key_group.h"
#include "common/base/mutant.h"
#include "common/base/timestamp.h"
#include "proto/wire.h"
#include "common/postgres/ddl.h"

enum { DAY_MAX = 2932896 /* 9999-12-31 */, MEASURE_BYTES = 16 };

static const char *array_type(const struct pipeline *pipeline, const struct group_column *by)
{
	switch (by->part) {
	case PART_FIELD:
		return pipeline->record.fields[by->field].type == FIELD_STRING ? "text[]" : "integer[]";
	case PART_DAY:
		return "date[]";
	case PART_MONTH:
	case PART_YEAR:
		return "integer[]";
	}
	panic("group part %d", (int)by->part);
}

static void column_list(const struct ddl_table *table, size_t columns, struct buffer *out)
{
	for (size_t i = 0; i < columns; i++) {
		buffer_append_text(out, i ? ", " : "");
		sql_identifier(out, table->columns[i].name);
	}
}

/* Where a row of u lies. c0, c1... are the table's columns in order. IS NOT DISTINCT FROM is for the planner: an equality could be
 * looked up in the index, and that is the walk that a place saves. */
static void lies_print(const struct ddl_table *table, const struct rollup *rollup, struct buffer *out)
{
	buffer_append_text(out, " WHERE t.ctid = u.place");
	for (size_t i = MUTANT(place_without_first_column) ? 1 : 0; i < rollup->by_len; i++) {
		buffer_append_text(out, " AND t.");
		sql_identifier(out, table->columns[i].name);
		buffer_printf(out, " IS NOT DISTINCT FROM u.c%zu", i);
	}
}

/* apart: the parameter that names the row that is not just changed; 0: there is none. */
static void hit_print(
    const struct ddl_table *table, const char *schema, const struct rollup *rollup, size_t apart, struct buffer *out)
{
	buffer_append_text(out, "hit AS (UPDATE ");
	sql_table(out, schema, table->name);
	buffer_append_text(out, " AS t SET ");
	for (size_t i = rollup->by_len; i < table->columns_len; i++) {
		buffer_append_text(out, i > rollup->by_len ? ", " : "");
		sql_identifier(out, table->columns[i].name);
		buffer_printf(out, " = u.c%zu", i);
	}
	buffer_append_text(out, " FROM u");
	lies_print(table, rollup, out);
	if (apart)
		buffer_printf(out, " AND u.ord <> $%zu", apart);
	buffer_append_text(out, " RETURNING u.ord, t.ctid AS place), ");
}

static void insert_print(const struct ddl_table *table, const char *schema, const char *name, struct buffer *out)
{
	buffer_printf(out, "%s AS (INSERT INTO ", name);
	sql_table(out, schema, table->name);
	buffer_append_text(out, " (");
	column_list(table, table->columns_len, out);
	buffer_append_text(out, ") SELECT ");
	for (size_t i = 0; i < table->columns_len; i++)
		buffer_printf(out, "%sc%zu", i ? ", " : "", i);
	buffer_append_text(out, " FROM u ");
}

/* An update stays on the page where there is room: to leave it a row has to be deleted and made anew. */
static void gone_print(
    const struct ddl_table *table, const char *schema, const struct rollup *rollup, size_t apart, struct buffer *out)
{
	buffer_append_text(out, "gone AS (DELETE FROM ");
	sql_table(out, schema, table->name);
	buffer_append_text(out, " AS t USING u");
	lies_print(table, rollup, out);
	buffer_printf(out, " AND u.ord = $%zu RETURNING u.ord), ", apart);
	insert_print(table, schema, "put", out);
	buffer_append_text(out, "WHERE ord IN (SELECT gone.ord FROM gone) RETURNING ctid AS place), ");
}

static void made_print(
    const struct ddl_table *table, const char *schema, const struct rollup *rollup, size_t apart, struct buffer *out)
{
	insert_print(table, schema, "made", out);
	buffer_append_text(out, "WHERE ord NOT IN (SELECT hit.ord FROM hit");
	buffer_append_text(out, apart ? " UNION ALL SELECT gone.ord FROM gone" : "");
	buffer_append_text(out, ") ON CONFLICT (");
	column_list(table, rollup->by_len, out);
	buffer_append_text(out, ") DO UPDATE SET ");
	for (size_t i = rollup->by_len; i < table->columns_len; i++) {
		buffer_append_text(out, i > rollup->by_len ? ", " : "");
		sql_identifier(out, table->columns[i].name);
		buffer_append_text(out, " = EXCLUDED.");
		sql_identifier(out, table->columns[i].name);
	}
	buffer_append_text(out, " RETURNING ctid AS place) ");
}

static void prepare_print(
    const struct pipeline *pipeline, const char *schema, size_t place, bool is_apart, struct buffer *out)
{
	const struct rollup *rollup = &pipeline->rollups[place];
	struct ddl_table table;

	ddl_table_describe(pipeline, place + 1, &table);
	size_t apart = is_apart ? table.columns_len + 2 : 0;
	buffer_printf(out, "PREPARE %s_%zu (tid[]", is_apart ? "apart" : "totals", place);
	for (size_t i = 0; i < rollup->by_len; i++)
		buffer_printf(out, ", %s", array_type(pipeline, &rollup->by[i]));
	for (size_t i = 0; i < rollup->measures_len; i++)
		buffer_append_text(out, ", numeric[]");
	buffer_append_text(out, is_apart ? ", bigint" : "");
	buffer_append_text(out, ") AS WITH u AS MATERIALIZED (SELECT * FROM unnest($1");
	for (size_t i = 0; i < table.columns_len; i++)
		buffer_printf(out, ", $%zu", i + 2);
	buffer_append_text(out, ") WITH ORDINALITY AS v(place");
	for (size_t i = 0; i < table.columns_len; i++)
		buffer_printf(out, ", c%zu", i);
	buffer_append_text(out, ", ord)), ");
	hit_print(&table, schema, rollup, apart, out);
	if (apart)
		gone_print(&table, schema, rollup, apart, out);
	made_print(&table, schema, rollup, apart, out);
	buffer_append_text(out, "SELECT ord, place FROM hit UNION ALL ");
	if (apart)
		buffer_printf(out, "SELECT $%zu, place FROM put UNION ALL ", apart);
	buffer_append_text(out, "SELECT NULL, place FROM made;\n");
}

void totals_prepare_print(
    struct totals *totals, const struct pipeline *pipeline, const char *schema, struct buffer *out)
{
	places_forget(&totals->places);
	/* One plan for ever, by place: a table that is small now is no reason to read it whole when it has grown. */
	buffer_append_text(out, "SET enable_seqscan = off;\nSET plan_cache_mode = force_generic_plan;\n");
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		prepare_print(pipeline, schema, i, false, out);
		prepare_print(pipeline, schema, i, true, out);
	}
}

static void element_begin(struct buffer *column)
{
	buffer_append(column, column->len ? "," : "{", 1);
}

static void text_put(struct buffer *column, struct bytes text)
{
	buffer_append(column, "\"", 1);
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '"' || text.data[i] == '\\')
			buffer_append(column, "\\", 1);
		buffer_append(column, &text.data[i], 1);
	}
	buffer_append(column, "\"", 1);
}

static bool day_put(struct buffer *column, int64_t day)
{
	char text[TIMESTAMP_TEXT_MAX];

	if (day < 0 || day > DAY_MAX)
		return false;
	buffer_append(column, text, day_print((int32_t)day, text));
	return true;
}

static bool integer_put(struct buffer *column, int64_t value)
{
	if (value < INT32_MIN || value > INT32_MAX)
		return false;
	buffer_printf(column, "%lld", (long long)value);
	return true;
}

/* One column of a group's key; false: not of its type. */
static bool key_part_put(
    const struct pipeline *pipeline, const struct group_column *by, struct wire *wire, struct buffer *column)
{
	element_begin(column);
	if (by->part == PART_DAY)
		return day_put(column, wire_signed(wire));
	if (by->part != PART_FIELD || pipeline->record.fields[by->field].type != FIELD_STRING)
		return integer_put(column, wire_signed(wire));
	struct bytes text = wire_text(wire);
	if (text.len && memchr(text.data, 0, text.len))
		return false;
	text_put(column, text);
	return true;
}

static bool measure_put(const struct measure *measure, const uint8_t *encoded, struct buffer *column)
{
	char text[DECIMAL_TEXT_MAX];
	int128 minor, limit = decimal_limit(measure->precision);

	memcpy(&minor, encoded, MEASURE_BYTES);
	if (minor >= limit || minor <= -limit)
		return false;
	element_begin(column);
	buffer_append(column, text, decimal_print(minor, measure->scale, text));
	return true;
}

static void place_put(struct totals *totals, const struct group *group)
{
	struct buffer *column = &totals->places_text[group->rollup];
	char text[PLACE_TEXT_MAX];
	uint64_t hash = key_hash(group->key) ^ group->rollup * UINT64_C(0x9e3779b97f4a7c15);

	buffer_append(&totals->hashes[group->rollup], &hash, sizeof hash);
	element_begin(column);
	buffer_append(column, "\"", 1);
	if (totals->by_place[group->rollup])
		buffer_append(column, text, places_print(&totals->places, hash, text));
	else
		buffer_append_text(column, PLACE_NOWHERE);
	buffer_append(column, "\"", 1);
}

static enum result group_add(
    struct totals *totals, const struct pipeline *pipeline, const struct group *group, struct error *error)
{
	if (group->rollup >= pipeline->rollups_len)
		return error_set(error, RESULT_CORRUPT, "totals of rollup %u, of which there is none", group->rollup);
	const struct rollup *rollup = &pipeline->rollups[group->rollup];
	struct buffer *columns = totals->columns[group->rollup];
	struct wire wire = wire_open(group->key);
	bool good = wire_array(&wire) == rollup->by_len && group->measures.len == rollup->measures_len * MEASURE_BYTES;

	for (size_t i = 0; i < rollup->by_len && good; i++)
		good = key_part_put(pipeline, &rollup->by[i], &wire, &columns[i]);
	if (!good || !wire_done(&wire))
		return error_set(
		    error, RESULT_CORRUPT, "a group of \"%s\" is not what the pipeline file declares", rollup->table);
	for (size_t i = 0; i < rollup->measures_len; i++) {
		const struct measure *measure = &rollup->measures[i];
		if (!measure_put(measure, group->measures.data + i * MEASURE_BYTES, &columns[rollup->by_len + i]))
			return error_stop(error, STOP_TOTAL_BEYOND_COLUMN,
			    "a total has more than the %d digits of its column \"%s\" of table \"%s\"",
			    measure->precision, measure->column, rollup->table);
	}
	place_put(totals, group);
	totals->groups[group->rollup]++;
	return RESULT_OK;
}

static size_t apart_choose(const struct totals *totals, size_t rollup)
{
	const uint64_t *hashes = (const uint64_t *)(const void *)totals->hashes[rollup].data;

	if (!totals->by_place[rollup])
		return 0;
	return places_apart(&totals->places, hashes, totals->groups[rollup], &totals->ways[rollup]);
}

enum result totals_build(struct totals *totals, const struct pipeline *pipeline, const struct groups *chunks,
    size_t chunks_len, struct error *error)
{
	memset(totals->groups, 0, sizeof totals->groups);
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		totals->by_place[i] = way_is_place(&totals->ways[i]);
		buffer_clear(&totals->places_text[i]);
		buffer_clear(&totals->hashes[i]);
		for (size_t j = 0; j < TOTALS_COLUMNS_MAX; j++)
			buffer_clear(&totals->columns[i][j]);
	}
	for (size_t i = 0; i < chunks_len; i++) {
		for (uint32_t j = 0; j < chunks[i].len; j++) {
			enum result result = group_add(totals, pipeline, &chunks[i].entries[j], error);
			if (result != RESULT_OK)
				return result;
		}
	}
	for (size_t i = 0; i < pipeline->rollups_len; i++)
		totals->apart[i] = apart_choose(totals, i);
	return RESULT_OK;
}

static void array_print(const struct buffer *column, struct buffer *out)
{
	sql_literal(out, buffer_bytes(column));
	out->len--; /* the array ends before its quote does */
	buffer_append_text(out, "}'");
}

void totals_execute_print(const struct totals *totals, const struct pipeline *pipeline, struct buffer *out)
{
	for (size_t i = 0; i < pipeline->rollups_len; i++) {
		const struct rollup *rollup = &pipeline->rollups[i];
		if (!totals->groups[i])
			continue;
		buffer_printf(out, "EXECUTE %s_%zu (", totals->apart[i] ? "apart" : "totals", i);
		array_print(&totals->places_text[i], out);
		for (size_t j = 0; j < rollup->by_len + rollup->measures_len; j++) {
			buffer_append_text(out, ", ");
			array_print(&totals->columns[i][j], out);
		}
		if (totals->apart[i])
			buffer_printf(out, ", %zu", totals->apart[i]);
		buffer_append_text(out, ");\n");
	}
}

/* Rows that were there say which; the others come in the order in which they were given. Where that were not so, places would
 * be wrong, and the next epoch would miss. */
void totals_learn(struct totals *totals, size_t rollup, const PGresult *result)
{
	uint64_t *hashes = (uint64_t *)(void *)totals->hashes[rollup].data;
	size_t groups = totals->groups[rollup], next = 0;
	int rows = PQntuples(result);

	if (PQnfields(result) != 2)
		return;
	for (int i = 0; i < rows; i++) {
		size_t ord = PQgetisnull(result, i, 0) ? 0 : strtoull(PQgetvalue(result, i, 0), NULL, 10);
		if (ord < 1 || ord > groups)
			continue;
		places_learn(&totals->places, hashes[ord - 1], PQgetvalue(result, i, 1),
		    ord == totals->apart[rollup] ? NULL : &totals->ways[rollup]);
		hashes[ord - 1] = 0; /* done with */
	}
	for (int i = 0; i < rows; i++) {
		if (!PQgetisnull(result, i, 0))
			continue;
		while (next < groups && hashes[next] == 0)
			next++;
		if (next < groups)
			places_learn(&totals->places, hashes[next++], PQgetvalue(result, i, 1), &totals->ways[rollup]);
	}
}

void totals_fini(struct totals *totals)
{
	for (size_t i = 0; i < PIPELINE_ROLLUPS_MAX; i++) {
		buffer_fini(&totals->places_text[i]);
		buffer_fini(&totals->hashes[i]);
		for (size_t j = 0; j < TOTALS_COLUMNS_MAX; j++)
			buffer_fini(&totals->columns[i][j]);
	}
}
