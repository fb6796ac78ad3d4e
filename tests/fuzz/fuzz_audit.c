/* tests/fuzz/fuzz_audit.c - any payload: the pipeline's parser and the audit's reading, written apart, say the same of it.
 *
 * libFuzzer's entry. The first byte of the input picks Kafka's timestamp, the rest is the payload.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/ingest/record_parser.h"
#include "services/sluicectl/audit_record.h"
#include "tests/unit/shipped_pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t timestamps_ms[] = {INT64_C(1705312800000), -1, 0, INT64_MAX};

static void check_values(const struct parsed_record *parsed, struct bytes content)
{
	for (size_t i = 0; i < SHIPPED_FIELDS; i++) {
		const struct value *value = &parsed->values[i];
		struct audit_value read;

		CHECK(content_next(&content, &read));
		CHECK((value->kind == VALUE_NULL) == (read.kind == AUDIT_NULL));
		CHECK((value->kind == VALUE_TEXT) == (read.kind == AUDIT_TEXT));
		CHECK(value->kind != VALUE_TEXT || bytes_equal(value->text, read.text));
		CHECK(value->kind != VALUE_INTEGER || value->integer == read.number);
	}
	CHECK(content.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pipeline pipeline;
	static struct record_parser *parser;
	static struct record_reader reader;
	static struct parsed_record parsed;
	struct audit_record record;

	if (parser == NULL) {
		shipped_pipeline(&pipeline);
		CHECK(record_parser_new(&parser, &pipeline, NULL) == RESULT_OK);
		record_reader_init(&reader, &pipeline);
	}
	if (size == 0)
		return 0;
	struct bytes payload = {data + 1, size - 1};
	record_parse(parser, payload, timestamps_ms[data[0] % 4], &parsed);
	record_read(&reader, payload, timestamps_ms[data[0] % 4], &record);
	if (parsed.reason != NULL || record.reason != NULL) {
		if (parsed.reason == NULL || record.reason == NULL || strcmp(parsed.reason, record.reason) != 0)
			panic("the parser says %s, the audit %s", parsed.reason != NULL ? parsed.reason : "row",
			    record.reason != NULL ? record.reason : "row");
		return 0;
	}
	CHECK(parsed.unknown_fields == record.unknown_fields);
	check_values(&parsed, record.content);
	return 0;
}
