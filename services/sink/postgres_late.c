/* services/sink/postgres_late.c - see postgres_late.h. */
#include "services/sink/postgres_late.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mutant.h"
#include "common/postgres/ddl.h"
#include "services/sink/postgres_binary.h"

enum { ROWS_PER_QUERY = 5000, ARRAY_HEAD = 20 };

/* Of the arrays; the numbers are the element types' oids, which are the same in every PostgreSQL. */
static const struct {
	const char *array;
	uint32_t element;
} types[] = {
    [FIELD_STRING] = {"text[]", 25},
    [FIELD_INTEGER] = {"integer[]", 23},
    [FIELD_DECIMAL] = {"numeric[]", 1700},
    [FIELD_TIMESTAMP] = {"timestamp[]", 1114},
};

static void query_print(const struct pipeline *pipeline, const char *schema, struct buffer *sql)
{
	const struct field *fields = pipeline->record.fields;
	size_t len = pipeline->record.fields_len, key = pipeline->record.key;

	buffer_append_text(sql, "SELECT c.n, true");
	for (size_t i = 0; i < len - (MUTANT(late_without_last_column) ? 1 : 0); i++) {
		buffer_append_text(sql, " AND t.");
		sql_identifier(sql, fields[i].name);
		buffer_printf(
		    sql, "%s IS NOT DISTINCT FROM c.f%zu", fields[i].type == FIELD_STRING ? " COLLATE \"C\"" : "", i);
	}
	buffer_append_text(sql, " FROM unnest(");
	for (size_t i = 0; i < len; i++)
		buffer_printf(sql, "%s$%zu::%s", i ? ", " : "", i + 1, types[fields[i].type].array);
	buffer_append_text(sql, ") WITH ORDINALITY c (");
	for (size_t i = 0; i < len; i++)
		buffer_printf(sql, "f%zu, ", i);
	buffer_append_text(sql, "n) JOIN ");
	sql_table(sql, schema, pipeline->record.table);
	buffer_append_text(sql, " t ON t.");
	sql_identifier(sql, fields[key].name);
	buffer_printf(sql, " = c.f%zu ORDER BY c.n", key);
	buffer_append(sql, "", 1);
}

/* Dimensions, whether there are nulls (the receiver looks for itself), element type; length and lower bound of the one. */
static void array_begin(struct buffer *array, enum field_type type, size_t len)
{
	buffer_clear(array);
	uint8_t *at = buffer_reserve(array, ARRAY_HEAD);

	at = binary_put32(binary_put32(at, 1), 1);
	at = binary_put32(at, types[type].element);
	binary_put32(binary_put32(at, (uint32_t)len), 1);
	array->len = ARRAY_HEAD;
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t value;
	memcpy(&value, at, sizeof value);
	return __builtin_bswap32(value);
}

/* An array's element looks like a tuple's field: the length, or -1, and the bytes. */
static void tuple_spread(struct bytes tuple, struct buffer *arrays, size_t arrays_len)
{
	const uint8_t *at = tuple.data + 2;

	for (size_t i = 0; i < arrays_len; i++) {
		uint32_t len = get32(at);
		size_t whole = 4 + (len == UINT32_MAX ? 0 : len);
		buffer_append(&arrays[i], at, whole);
		at += whole;
	}
	CHECK(at == tuple.data + tuple.len);
}

static void found_add(
    struct epoch_rows *rows, const struct pipeline *pipeline, size_t place, bool same, struct decisions *found)
{
	struct row *row = &rows->row;

	CHECK(epoch_rows_source(rows, pipeline, place, row));
	found->entries = memory_resize(found->entries, found->len + 1, sizeof found->entries[0]);
	found->entries[found->len++] =
	    (struct decision){row->partition, row->offset, same ? VERDICT_DUPLICATE : VERDICT_CONFLICT};
}

static enum sink_outcome part_find(struct postgres *postgres, const struct pipeline *pipeline, struct epoch_rows *rows,
    size_t first, const char *sql, struct buffer *arrays, struct decisions *found, struct error *error)
{
	size_t columns = pipeline->record.fields_len, len = rows->len - first;
	struct bytes params[POSTGRES_BINARY_MAX];
	PGresult *result = NULL;

	if (len > ROWS_PER_QUERY)
		len = ROWS_PER_QUERY;
	for (size_t i = 0; i < columns; i++)
		array_begin(&arrays[i], pipeline->record.fields[i].type, len);
	for (size_t i = 0; i < len; i++)
		tuple_spread(epoch_rows_tuple(rows, first + i), arrays, columns);
	for (size_t i = 0; i < columns; i++)
		params[i] = buffer_bytes(&arrays[i]);
	enum sink_outcome outcome = postgres_query_binary(postgres, &result, error, sql, (int)columns, params);
	if (outcome != SINK_DONE)
		return outcome;
	for (int i = 0; i < PQntuples(result); i++) {
		size_t n = strtoull(PQgetvalue(result, i, 0), NULL, 10);
		found_add(rows, pipeline, first + n - 1, PQgetvalue(result, i, 1)[0] == 't', found);
	}
	PQclear(result);
	return SINK_DONE;
}

enum sink_outcome postgres_late_find(struct postgres *postgres, const struct pipeline *pipeline,
    struct epoch_rows *rows, struct decisions *found, struct error *error)
{
	struct buffer sql = {0}, arrays[POSTGRES_BINARY_MAX] = {0};
	enum sink_outcome outcome = SINK_DONE;

	query_print(pipeline, postgres->schema, &sql);
	for (size_t first = 0; first < rows->len && outcome == SINK_DONE; first += ROWS_PER_QUERY)
		outcome = part_find(postgres, pipeline, rows, first, (const char *)sql.data, arrays, found, error);
	buffer_fini(&sql);
	for (size_t i = 0; i < POSTGRES_BINARY_MAX; i++)
		buffer_fini(&arrays[i]);
	return outcome;
}
