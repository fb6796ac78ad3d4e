/* services/sink/elastic_document.h - rows as documents: what stands in a bulk request's body.
 *
 * The pipeline file is compiled once into a plan of what to write for which field; nothing is looked up or allocated for a
 * record. Null fields are left out; a decimal has exactly its scale's digits, never by way of a double; a timestamp has
 * six digits and the offset that the pipeline's zone has at that wall clock.
 *
 * Errors: document_put answers false where the row does not fit the pipeline file, which ingest should have refused.
 */
#ifndef ELASTIC_DOCUMENT_H
#define ELASTIC_DOCUMENT_H

#include "common/base/pipeline.h"
#include "common/base/timestamp.h"
#include "proto/row.h"

enum {
	DOCUMENT_ID_MAX = 512, /* bytes; Elasticsearch takes no longer ones */
	INDEX_NAME_MAX = 256,
};

struct document_field {
	struct buffer name; /* ,"name": */
	enum field_type type;
	int scale;
};

struct document_plan {
	const struct pipeline *pipeline;
	struct document_field fields[PIPELINE_FIELDS_MAX];
	size_t fields_len;
	struct time_zone zone;
	bool dated; /* the index has a date */
	/* What was last written, since neighbours are often of the same day: */
	int32_t day;
	char day_text[TIMESTAMP_TEXT_MAX];
	int32_t index_day;
	uint32_t index_period; /* the day without what the pattern does not show: equal for what is in one index */
	char index[INDEX_NAME_MAX];
};

enum result document_plan_init(
    struct document_plan *plan, const struct pipeline *pipeline, struct error *error) MUST_USE;
void document_plan_fini(struct document_plan *plan);

/* Of a row's day: which index it belongs to, as a number. */
uint32_t document_period(const struct document_plan *plan, const struct row *row);
/* The index that a row goes to; valid until the next call. */
const char *document_index(struct document_plan *plan, const struct row *row);
/* {...} without anything behind it. */
bool document_put(struct document_plan *plan, const struct row *row, struct buffer *out) MUST_USE;
/* {"create":{"_id":...}}, a line; with the index where it has a date. */
void document_put_action(struct document_plan *plan, const struct row *row, struct buffer *out);

/* The index without its date: "transactions-%Y.%m" -> "transactions". */
void index_stem(const char *pattern, char out[INDEX_NAME_MAX]);

#endif
