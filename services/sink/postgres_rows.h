/* services/sink/postgres_rows.h - the rows of an epoch as COPY tuples, in the order of the primary key.
 *
 * This runs for every record. Each row is decoded and encoded once; then an array of (eight bytes of the key, place) is
 * sorted. In the order of the key, the index is filled page by page instead of all over.
 *
 * Ownership: the bodies are borrowed until the next build; memory is kept from epoch to epoch.
 */
#ifndef POSTGRES_ROWS_H
#define POSTGRES_ROWS_H

#include "common/base/decimal.h"
#include "common/base/pipeline.h"
#include "proto/row.h"

struct row_place {
	size_t at; /* of the tuple in encoded */
	uint32_t len;
	uint32_t key_at, key_len; /* within the tuple */
	uint32_t source_len;
	const uint8_t *source; /* the row in its body */
};

struct row_order {
	uint64_t prefix;
	uint32_t place;
};

struct epoch_rows {
	struct buffer encoded;
	struct row_place *places;
	struct row_order *order; /* sorted */
	struct row_order *spare;
	size_t len, capacity;
	int128 sums[PIPELINE_FIELDS_MAX]; /* of each field that is a number */
	struct row row; /* scratch */
};

/* CORRUPT when a body is not one, CONFIG when a value does not fit its column. */
enum result epoch_rows_build(struct epoch_rows *rows, const struct pipeline *pipeline, const struct bytes *bodies,
    size_t bodies_len, struct error *error) MUST_USE;
struct bytes epoch_rows_tuple(const struct epoch_rows *rows, size_t sorted);
/* The record behind a tuple, for messages; false: no such tuple. */
bool epoch_rows_source(struct epoch_rows *rows, const struct pipeline *pipeline, size_t sorted, struct row *row);
void epoch_rows_fini(struct epoch_rows *rows);

/* Sorts order by the keys of the tuples, byte by byte. */
void epoch_rows_sort(struct epoch_rows *rows);

#endif
