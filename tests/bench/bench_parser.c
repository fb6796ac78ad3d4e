/* tests/bench/bench_parser.c - CPU seconds per million records of about 370 bytes, for the parser and the row codec.
 *
 * Usage: bench_parser [millions]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#include "proto/row.h"
#include "services/ingest/record_parser.h"
#include "tests/unit/shipped_pipeline.h"

enum { RECORDS = 1000 };

struct records {
	struct buffer text;
	size_t begin[RECORDS + 1];
};

static void records_make(struct records *records)
{
	static const char *const categories[] = {"electronic", "fashion", "grocery", "home", "beauty", "sports"};
	static const char *const methods[] = {"credit_card", "debit_card", "online_transfer"};

	for (int i = 0; i < RECORDS; i++) {
		records->begin[i] = records->text.len;
		buffer_printf(&records->text,
		    "{\"transaction_id\": \"%08x-3b1f-4c5d-8e6f-%012x\", \"product_id\": \"product_%d\", "
		    "\"product_name\": \"mobile\", \"product_category\": \"%s\", \"product_price\": %d.%02d, "
		    "\"product_quantity\": %d, \"product_brand\": \"samsung\", \"total_amount\": %d.5299999999997, "
		    "\"currency\": \"USD\", \"customer_id\": \"customer%d\", "
		    "\"transaction_date\": \"2026-02-09T15:%02d:%02d.%06d+0000\", \"payment_method\": \"%s\"}",
		    (unsigned)i * 2654435761U, (unsigned)i, i % 6, categories[i % 6], i % 1000, i % 100, i % 10 + 1,
		    i * 3, i, i % 60, i % 59, i * 37, methods[i % 3]);
	}
	records->begin[RECORDS] = records->text.len;
}

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void parse_all(
    struct record_parser *parser, const struct records *records, int rounds, struct rows_writer *writer)
{
	static struct parsed_record parsed;
	struct buffer values = {0};

	for (int round = 0; round < rounds; round++) {
		if (writer != NULL)
			rows_begin(writer);
		for (size_t i = 0; i < RECORDS; i++) {
			struct bytes payload = {
			    records->text.data + records->begin[i], records->begin[i + 1] - records->begin[i]};

			record_parse(parser, payload, INT64_C(1800000000000), &parsed);
			if (parsed.reason != NULL) {
				fprintf(stderr, "refused: %s, %s\n", parsed.reason, parsed.detail);
				exit(1);
			}
			if (writer == NULL)
				continue;
			buffer_clear(&values);
			row_encode_values(&values, parsed.values, SHIPPED_FIELDS);
			rows_put(writer, 3, (int64_t)i, INT64_C(1800000000000), XXH3_64bits(values.data, values.len),
			    SHIPPED_FIELDS, buffer_bytes(&values));
		}
		if (writer != NULL)
			rows_end(writer);
	}
	buffer_fini(&values);
}

static void read_all(const struct rows_writer *writer, int rounds)
{
	static struct row row;

	for (int round = 0; round < rounds; round++) {
		struct rows_reader reader;
		bool more;

		if (rows_open(&reader, buffer_bytes(&writer->body), SHIPPED_FIELDS, NULL) != RESULT_OK)
			exit(1);
		do {
			if (rows_next(&reader, &row, &more, NULL) != RESULT_OK)
				exit(1);
		} while (more);
	}
}

int main(int argc, char **argv)
{
	int millions = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
	int rounds = millions * (1000000 / RECORDS);
	struct records records = {0};
	struct rows_writer writer = {0};
	struct record_parser *parser;
	struct pipeline pipeline;
	double begin, parsed, encoded, read;

	if (millions < 1 || millions > 1000)
		return 2;
	shipped_pipeline(&pipeline);
	records_make(&records);
	if (record_parser_new(&parser, &pipeline, NULL) != RESULT_OK)
		return 1;
	begin = cpu_seconds();
	parse_all(parser, &records, rounds, NULL);
	parsed = cpu_seconds();
	parse_all(parser, &records, rounds, &writer);
	encoded = cpu_seconds();
	read_all(&writer, rounds);
	read = cpu_seconds();
	printf("CPU seconds per million records of %zu bytes: parse %.3f, parse and encode %.3f, read %.3f\n",
	    records.text.len / RECORDS, (parsed - begin) / millions, (encoded - parsed) / millions,
	    (read - encoded) / millions);
	record_parser_free(parser);
	pipeline_fini(&pipeline);
	buffer_fini(&records.text);
	buffer_fini(&writer.body);
	return 0;
}
