/* tests/fuzz/fuzz_record.c - any payload: the parser refuses it with a reason, or makes a row of it that travels.
 *
 * libFuzzer's entry. The first byte of the input picks Kafka's timestamp, the rest is the payload.
 */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "proto/row.h"
#include "services/ingest/record_parser.h"
#include "tests/unit/shipped_pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t timestamps_ms[] = {INT64_C(1705312800000), -1, 0, INT64_MAX};

static void check_values(const struct row *row, const struct parsed_record *parsed)
{
	for (uint32_t i = 0; i < SHIPPED_FIELDS; i++) {
		const struct value *sent = &parsed->values[i], *got = &row->values[i];

		CHECK(got->kind == sent->kind && got->integer == sent->integer && bytes_equal(got->text, sent->text));
	}
}

/* What was accepted fits its columns. */
static void check_accepted(const struct pipeline *pipeline, const struct parsed_record *parsed)
{
	for (uint32_t i = 0; i < SHIPPED_FIELDS; i++) {
		const struct field *field = &pipeline->record.fields[i];
		const struct value *value = &parsed->values[i];

		CHECK(value->kind != VALUE_NULL || !field->required);
		CHECK(value->kind != VALUE_TEXT ||
		      (field->type == FIELD_STRING && value->text.len <= 4 * (size_t)field->length_max &&
		          (value->text.len == 0 || memchr(value->text.data, 0, value->text.len) == NULL)));
	}
	CHECK(parsed->values[pipeline->record.key].text.len > 0);
}

static void round_trip(const struct parsed_record *parsed, struct rows_writer *writer)
{
	static struct row row;
	struct buffer values = {0};
	struct rows_reader reader;
	bool more;

	row_encode_values(&values, parsed->values, SHIPPED_FIELDS);
	rows_begin(writer);
	rows_put(writer, 1, 2, 3, XXH3_64bits(values.data, values.len), SHIPPED_FIELDS, buffer_bytes(&values));
	rows_end(writer);
	CHECK(rows_open(&reader, buffer_bytes(&writer->body), SHIPPED_FIELDS, NULL) == RESULT_OK);
	CHECK(rows_next(&reader, &row, &more, NULL) == RESULT_OK && more);
	check_values(&row, parsed);
	CHECK(rows_next(&reader, &row, &more, NULL) == RESULT_OK && !more);
	buffer_fini(&values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pipeline pipeline;
	static struct record_parser *parser;
	static struct rows_writer writer;
	static struct parsed_record parsed;

	if (parser == NULL) {
		shipped_pipeline(&pipeline);
		CHECK(record_parser_new(&parser, &pipeline, NULL) == RESULT_OK);
	}
	if (size == 0)
		return 0;
	record_parse(parser, (struct bytes){data + 1, size - 1}, timestamps_ms[data[0] % 4], &parsed);
	if (parsed.reason != NULL) {
		CHECK(parsed.detail[0] != '\0' && strlen(parsed.detail) < DETAIL_MAX);
		return 0;
	}
	check_accepted(&pipeline, &parsed);
	round_trip(&parsed, &writer);
	return 0;
}
