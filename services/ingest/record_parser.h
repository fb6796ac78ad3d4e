/* services/ingest/record_parser.h - one Kafka payload to the values of a row, or the reason why not.
 *
 * Validates everything that the database would refuse, so that a row never fails there. The pipeline's fields are
 * compiled once into a table; a payload is walked once.
 *
 * Ownership: values' texts point into the parser's own memory, valid until the next record_parse.
 * Limits:    a payload above record.max_record_bytes is refused before it is looked at.
 * Threads:   one parser per thread.
 */
#ifndef RECORD_PARSER_H
#define RECORD_PARSER_H

#include "common/base/pipeline.h"
#include "common/base/timestamp.h"
#include "proto/row.h"

enum { DETAIL_MAX = 256 };

struct record_parser;

struct parsed_record {
	struct value values[ROW_VALUES_MAX]; /* in the order of the pipeline file; fields_len of them */
	uint32_t unknown_fields; /* names in the object that the pipeline file does not know */
	const char *reason; /* dead letter: a word from the table below; NULL: accepted */
	char detail[DETAIL_MAX]; /* for people: valid UTF-8, cut where needed */
};

/* Reasons: too_large, tombstone, empty, invalid_utf8, invalid_json, not_an_object, missing_field, wrong_type, too_long,
 * nul_in_text, invalid_number, out_of_range, invalid_time, time_out_of_range. */

enum result record_parser_new(
    struct record_parser **parser, const struct pipeline *pipeline, struct error *error) MUST_USE;
void record_parser_free(struct record_parser *parser);
/* payload.data NULL: a tombstone. timestamp_ms: Kafka's; below 0: none, then max_future is not checked (never measured
 * from the clock: a replay has to decide as the first reading did). max_future 0: not checked either. */
void record_parse(struct record_parser *parser, struct bytes payload, int64_t timestamp_ms, struct parsed_record *out);

#endif
