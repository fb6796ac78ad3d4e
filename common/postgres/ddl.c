/* common/postgres/ddl.c - see ddl.h. */
#include "common/postgres/ddl.h"

#include <stdio.h>
#include <string.h>

void sql_identifier(struct buffer *out, const char *name)
{
	buffer_append(out, "\"", 1);
	for (const char *at = name; *at; at++) {
		if (*at == '"')
			buffer_append(out, "\"", 1);
		buffer_append(out, at, 1);
	}
	buffer_append(out, "\"", 1);
}

void sql_table(struct buffer *out, const char *schema, const char *name)
{
	if (schema[0] != '\0') {
		sql_identifier(out, schema);
		buffer_append_text(out, ".");
	}
	sql_identifier(out, name);
}

void sql_literal(struct buffer *out, struct bytes text)
{
	buffer_append(out, "'", 1);
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '\'')
			buffer_append(out, "'", 1);
		buffer_append(out, &text.data[i], 1);
	}
	buffer_append(out, "'", 1);
}

static struct ddl_column *column_add(struct ddl_table *table, const char *name, const char *type, const char *catalog)
{
	CHECK(table->columns_len < DDL_COLUMNS_MAX);
	struct ddl_column *column = &table->columns[table->columns_len++];
	*column = (struct ddl_column){.name = name, .ours = true};
	snprintf(column->type, sizeof column->type, "%s", type);
	snprintf(column->catalog, sizeof column->catalog, "%s", catalog);
	return column;
}

static struct ddl_column *text_add(struct ddl_table *table, const char *name, uint32_t length_max)
{
	struct ddl_column *column = column_add(table, name, "", "");
	snprintf(column->type, sizeof column->type, "VARCHAR(%u)", length_max);
	snprintf(column->catalog, sizeof column->catalog, "character varying(%u)", length_max);
	return column;
}

static struct ddl_column *decimal_add(struct ddl_table *table, const char *name, int precision, int scale)
{
	struct ddl_column *column = column_add(table, name, "", "");
	snprintf(column->type, sizeof column->type, "DECIMAL(%d,%d)", precision, scale);
	snprintf(column->catalog, sizeof column->catalog, "numeric(%d,%d)", precision, scale);
	return column;
}

static struct ddl_column *field_add(struct ddl_table *table, const char *name, const struct field *field)
{
	switch (field->type) {
	case FIELD_STRING:
		return text_add(table, name, field->length_max);
	case FIELD_INTEGER:
		return column_add(table, name, "INTEGER", "integer");
	case FIELD_DECIMAL:
		return decimal_add(table, name, field->precision, field->scale);
	case FIELD_TIMESTAMP:
		return column_add(table, name, "TIMESTAMP", "timestamp without time zone");
	}
	panic("field type %d", (int)field->type);
}

static void describe_record(const struct pipeline *pipeline, struct ddl_table *table)
{
	bool own_created_at = true;

	table->name = pipeline->record.table;
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		const struct field *field = &pipeline->record.fields[i];
		struct ddl_column *column = field_add(table, field->name, field);
		column->required = field->required;
		column->index = field->index;
		if (strcmp(field->name, "created_at") == 0)
			own_created_at = false;
	}
	table->key[table->key_len++] = pipeline->record.key;
	if (own_created_at) {
		struct ddl_column *column = column_add(table, "created_at", "TIMESTAMP", "timestamp without time zone");
		column->fallback = "CURRENT_TIMESTAMP";
		column->ours = false;
	}
}

static void describe_rollup(const struct pipeline *pipeline, const struct rollup *rollup, struct ddl_table *table)
{
	table->name = rollup->table;
	for (size_t i = 0; i < rollup->by_len; i++) {
		const struct group_column *by = &rollup->by[i];
		struct ddl_column *column = NULL;
		switch (by->part) {
		case PART_FIELD:
			column = field_add(table, by->column, &pipeline->record.fields[by->field]);
			break;
		case PART_DAY:
			column = column_add(table, by->column, "DATE", "date");
			break;
		case PART_MONTH:
		case PART_YEAR:
			column = column_add(table, by->column, "INTEGER", "integer");
			break;
		}
		CHECK(column);
		column->required = true;
		table->key[table->key_len++] = i;
	}
	for (size_t i = 0; i < rollup->measures_len; i++) {
		const struct measure *measure = &rollup->measures[i];
		decimal_add(table, measure->column, measure->precision, measure->scale)->required = true;
	}
	table->fillfactor = 50;
}

static void describe_dead_letters(struct ddl_table *table)
{
	table->name = DEAD_LETTERS_TABLE;
	column_add(table, "job", "TEXT", "text")->required = true;
	column_add(table, "topic", "TEXT", "text")->required = true;
	column_add(table, "partition", "INTEGER", "integer")->required = true;
	column_add(table, "offset", "BIGINT", "bigint")->required = true;
	column_add(table, "key", "BYTEA", "bytea");
	column_add(table, "payload", "BYTEA", "bytea");
	column_add(table, "payload_raw", "BOOLEAN", "boolean")->required = true;
	column_add(table, "reason", "TEXT", "text")->required = true;
	column_add(table, "detail", "TEXT", "text");
	column_add(table, "sink", "TEXT", "text")->required = true;
	column_add(table, "epoch", "TEXT", "text")->required = true;
	struct ddl_column *created = column_add(table, "created_at", "TIMESTAMPTZ", "timestamp with time zone");
	created->required = true;
	created->fallback = "now()";
	created->ours = false;
	table->key_len = 5;
	memcpy(table->key, (size_t[]){0, 1, 2, 3, 9}, 5 * sizeof table->key[0]);
}

size_t ddl_tables(const struct pipeline *pipeline)
{
	return 1 + pipeline->rollups_len + 1;
}

void ddl_table_describe(const struct pipeline *pipeline, size_t place, struct ddl_table *table)
{
	memset(table, 0, sizeof *table);
	if (place == 0)
		describe_record(pipeline, table);
	else if (place <= pipeline->rollups_len)
		describe_rollup(pipeline, &pipeline->rollups[place - 1], table);
	else
		describe_dead_letters(table);
}

static void print_key(const struct ddl_table *table, struct buffer *out)
{
	buffer_append_text(out, "\tPRIMARY KEY (");
	for (size_t i = 0; i < table->key_len; i++) {
		if (i)
			buffer_append_text(out, ", ");
		sql_identifier(out, table->columns[table->key[i]].name);
	}
	buffer_append_text(out, ")\n)");
}

void ddl_table_print(const struct ddl_table *table, const char *schema, struct buffer *out)
{
	buffer_append_text(out, "CREATE TABLE ");
	sql_table(out, schema, table->name);
	buffer_append_text(out, " (\n");
	for (size_t i = 0; i < table->columns_len; i++) {
		const struct ddl_column *column = &table->columns[i];
		buffer_append_text(out, "\t");
		sql_identifier(out, column->name);
		buffer_printf(out, " %s", column->type);
		if (column->required)
			buffer_append_text(out, " NOT NULL");
		if (column->fallback)
			buffer_printf(out, " DEFAULT %s", column->fallback);
		buffer_append_text(out, ",\n");
	}
	print_key(table, out);
	if (table->fillfactor)
		buffer_printf(out, " WITH (fillfactor = %d)", table->fillfactor);
	buffer_append_text(out, ";\n");
}

void ddl_indexes_print(const struct ddl_table *table, const char *schema, struct buffer *out)
{
	for (size_t i = 0; i < table->columns_len; i++) {
		const struct ddl_column *column = &table->columns[i];
		if (!column->index)
			continue;
		buffer_append_text(out, "CREATE INDEX ");
		sql_identifier(out, column->index);
		buffer_append_text(out, " ON ");
		sql_table(out, schema, table->name);
		buffer_append_text(out, " (");
		sql_identifier(out, column->name);
		buffer_append_text(out, ");\n");
	}
}

void ddl_print(const struct pipeline *pipeline, struct buffer *out)
{
	const char *schema = pipeline->sinks.postgres_schema;

	buffer_append_text(
	    out, "-- Generated from the pipeline file; do not edit. Sluice's own schema is in 001_sluice.sql.\n");
	if (schema[0] != '\0') {
		buffer_append_text(out, "\nCREATE SCHEMA ");
		sql_identifier(out, schema);
		buffer_append_text(out, ";\n");
	}
	for (size_t i = 0; i < ddl_tables(pipeline); i++) {
		struct ddl_table table;
		ddl_table_describe(pipeline, i, &table);
		buffer_append_text(out, "\n");
		ddl_table_print(&table, schema, out);
		ddl_indexes_print(&table, schema, out);
	}
}
