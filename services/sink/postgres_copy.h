/* services/sink/postgres_copy.h - a COPY ... FROM STDIN (FORMAT binary) under way, sent in chunks.
 *
 * Errors: a link that is lost is remembered, and what follows does nothing; copy_end says so.
 */
#ifndef POSTGRES_COPY_H
#define POSTGRES_COPY_H

#include "common/postgres/postgres_connection.h"

enum { COPY_CHUNK_BYTES = 128 * 1024 };

struct copy {
	struct postgres *postgres;
	struct buffer chunk; /* kept from one to the next */
	bool lost;
};

void copy_begin(struct copy *copy, struct postgres *postgres);
/* Whole tuples, encoded already. */
void copy_tuple(struct copy *copy, struct bytes tuple);
/* Or field by field. */
void copy_tuple_begin(struct copy *copy, uint16_t fields);
void copy_integer(struct copy *copy, int32_t value);
void copy_bigint(struct copy *copy, int64_t value);
void copy_flag(struct copy *copy, bool value);
void copy_bytes(struct copy *copy, struct bytes value);
void copy_bytes_or_null(struct copy *copy, struct bytes value); /* data NULL: null */
bool copy_end(struct copy *copy) MUST_USE;

#endif
