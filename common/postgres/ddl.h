/* common/postgres/ddl.h - the tables that a pipeline file declares, as a list and as SQL.
 *
 * Tables in order: the record table, the rollups as in the file, dead_letters, which jobs share. One description of a table serves both the
 * printer and the check of a table that is there already.
 *
 * Ownership: names are borrowed from the pipeline.
 */
#ifndef DDL_H
#define DDL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/pipeline.h"

enum { DDL_COLUMNS_MAX = PIPELINE_FIELDS_MAX + 1, DDL_KEY_MAX = PIPELINE_COLUMNS_MAX, DDL_TYPE_MAX = 48 };

#define DEAD_LETTERS_TABLE "dead_letters"
#define POSTGRES_SINK_NAME "postgres" /* in dead_letters.sink */

struct ddl_column {
	const char *name;
	char type[DDL_TYPE_MAX]; /* as people write it: VARCHAR(36) */
	char catalog[DDL_TYPE_MAX]; /* as format_type() prints it: character varying(36) */
	bool required;
	bool ours; /* Sluice writes it; false: filled by its default */
	const char *fallback; /* DEFAULT, or NULL */
	const char *index; /* name of the index on it, or NULL */
};

struct ddl_table {
	const char *name;
	struct ddl_column columns[DDL_COLUMNS_MAX];
	size_t columns_len;
	size_t key[DDL_KEY_MAX]; /* places of the columns of its primary key */
	size_t key_len;
	int fillfactor; /* 0: PostgreSQL's default */
};

size_t ddl_tables(const struct pipeline *pipeline);
void ddl_table_describe(const struct pipeline *pipeline, size_t place, struct ddl_table *table);

/* CREATE TABLE ...; schema: see sql_table. */
void ddl_table_print(const struct ddl_table *table, const char *schema, struct buffer *out);
/* CREATE INDEX ...; for each declared index. */
void ddl_indexes_print(const struct ddl_table *table, const char *schema, struct buffer *out);
/* All of it, as sql/ecommerce.sql shows for the shipped pipeline. */
void ddl_print(const struct pipeline *pipeline, struct buffer *out);

/* "name", quotes inside doubled. */
void sql_identifier(struct buffer *out, const char *name);
/* "schema"."name"; schema empty: "name" alone, for people only. */
void sql_table(struct buffer *out, const char *schema, const char *name);
/* 'text', for standard_conforming_strings = on; the text holds no NUL. */
void sql_literal(struct buffer *out, struct bytes text);

#endif
