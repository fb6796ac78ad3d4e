/* The producer's records: reproducible, shaped like the real ones, repeats and conflicts of what was sent, all poison. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/timestamp.h"
#include "services/ingest/record_parser.h"
#include "services/producer/poison.h"
#include "services/producer/stream.h"
#include "tests/unit/shipped_pipeline.h"

enum { KNOWN_MAX = 20000 };

static const char *text_of(struct transaction *transaction)
{
	buffer_append(&transaction->json, "", 1); /* terminated, for the test's comparisons */
	transaction->json.len--;
	return (const char *)transaction->json.data;
}

static void doubles_print_shortest(void **state)
{
	(void)state;
	static const struct {
		double value;
		const char *text;
	} cases[] = {{542.51, "542.51"}, {542.5, "542.5"}, {542.0, "542.0"}, {10.0, "10.0"}, {542.51 * 3, "1627.53"},
	    {1627.5299999999997, "1627.5299999999997"}, {704.8 * 9, "6343.2"}, {0.1 * 3, "0.30000000000000004"},
	    {332.8 * 9, "2995.2000000000003"}, {0.05, "0.05"}, {10000.0, "10000.0"}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[32];
		size_t len = double_print(cases[i].value, text);
		text[len] = '\0';
		assert_true(strtod(text, NULL) == cases[i].value);
		assert_true(strlen(text) <= strlen("1627.5299999999997") + 1);
		/* Where the product in binary is not the nearest to the cents, the long text is the right one. */
		if (strtod(cases[i].text, NULL) == cases[i].value)
			assert_string_equal(text, cases[i].text);
	}
}

static void every_amount_reads_back(void **state)
{
	(void)state;
	unsigned unrounded = 0;
	for (uint64_t cents = 1000; cents <= 100000; cents += 7) {
		for (uint64_t quantity = 1; quantity <= 10; quantity++) {
			char text[32];
			double value = (double)cents / 100 * (double)quantity;
			size_t len = double_print(value, text);
			text[len] = '\0';
			assert_true(strtod(text, NULL) == value);
			unrounded += len > 9;
		}
	}
	/* The point of not rounding: a good part of the amounts have tails. */
	assert_in_range(unrounded, 10000, 40000);
}

static void a_record_is_a_function_of_seed_and_number(void **state)
{
	(void)state;
	struct transaction a = {0}, b = {0};
	transaction_make(&a, 1, 0, 0, INT64_C(1770651150123456));
	transaction_make(&b, 1, 0, 0, INT64_C(1770651150123456));
	assert_string_equal(text_of(&a), text_of(&b));
	assert_non_null(strstr(text_of(&a), "\"transaction_date\": \"2026-02-09T15:32:30.123456+0000\""));
	assert_memory_equal(text_of(&a), "{\"transaction_id\": \"", 20);
	assert_memory_equal(text_of(&a) + 20, a.key, VALUES_KEY_SIZE);
	assert_int_equal(a.key[14], '4');
	assert_non_null(strchr("89ab", a.key[19]));
	transaction_make(&b, 1, 1, 0, INT64_C(1770651150123456));
	assert_memory_not_equal(a.key, b.key, VALUES_KEY_SIZE);
	transaction_make(&b, 2, 0, 0, INT64_C(1770651150123456));
	assert_memory_not_equal(a.key, b.key, VALUES_KEY_SIZE);
	transaction_fini(&a);
	transaction_fini(&b);
}

static void a_conflict_has_the_key_and_another_amount(void **state)
{
	(void)state;
	struct transaction a = {0}, b = {0};
	for (uint64_t number = 0; number < 200; number++) {
		transaction_make(&a, 7, number, 0, 0);
		for (uint32_t variant = 1; variant <= 9; variant++) {
			transaction_make(&b, 7, number, variant, 0);
			assert_memory_equal(a.key, b.key, VALUES_KEY_SIZE);
			assert_string_not_equal(
			    strstr(text_of(&a), "total_amount"), strstr(text_of(&b), "total_amount"));
		}
	}
	transaction_fini(&a);
	transaction_fini(&b);
}

struct sent {
	char key[VALUES_KEY_SIZE];
	char json[512];
};

static const struct sent *find(const struct sent *known, size_t len, const uint8_t *key)
{
	for (size_t i = 0; i < len; i++) {
		if (memcmp(known[i].key, key, VALUES_KEY_SIZE) == 0)
			return &known[i];
	}
	return NULL;
}

static void repeats_and_conflicts_are_of_records_that_were_sent(void **state)
{
	(void)state;
	struct stream *stream = memory_new(sizeof *stream);
	struct sent *known = memory_new(KNOWN_MAX * sizeof *known);
	size_t len = 0;
	stream_init(stream, (struct stream_mix){.seed = 3, .duplicates = 10, .conflicts = 5, .days = 2});
	for (int i = 0; i < 5000; i++) {
		struct stream_counts before = stream->counts;
		struct bytes key, payload;
		stream_next(stream, &key, &payload);
		assert_int_equal(key.len, VALUES_KEY_SIZE);
		const struct sent *earlier = find(known, len, key.data);
		if (stream->counts.fresh > before.fresh) {
			assert_null(earlier);
			assert_true(payload.len < sizeof known->json);
			memcpy(known[len].key, key.data, VALUES_KEY_SIZE);
			memcpy(known[len].json, payload.data, payload.len);
			len++;
			continue;
		}
		assert_non_null(earlier);
		bool same =
		    strlen(earlier->json) == payload.len && memcmp(earlier->json, payload.data, payload.len) == 0;
		assert_int_equal(same, stream->counts.duplicates > before.duplicates);
	}
	assert_in_range(stream->counts.duplicates, 400, 600);
	assert_in_range(stream->counts.conflicts, 180, 320);
	assert_int_equal(stream->counts.fresh + stream->counts.duplicates + stream->counts.conflicts, 5000);
	stream_fini(stream);
	free(stream);
	free(known);
}

static void days_bound_the_events_and_the_seed_fixes_them(void **state)
{
	(void)state;
	struct stream *streams[2] = {memory_new(sizeof *streams[0]), memory_new(sizeof *streams[0])};
	unsigned days[2] = {0, 0};
	for (int i = 0; i < 2; i++)
		stream_init(streams[i], (struct stream_mix){.seed = 9, .duplicates = 3, .poison = 3, .days = 2});
	for (int i = 0; i < 2000; i++) {
		struct bytes key, payload[2];
		uint64_t poison = streams[0]->counts.poison;
		for (int j = 0; j < 2; j++)
			stream_next(streams[j], &key, &payload[j]);
		assert_true(bytes_equal(payload[0], payload[1]));
		if (streams[0]->counts.poison > poison)
			continue;
		days[0] += memmem(payload[0].data, payload[0].len, "\"2024-01-15T", 12) != NULL;
		days[1] += memmem(payload[0].data, payload[0].len, "\"2024-01-16T", 12) != NULL;
	}
	assert_int_equal(days[0] + days[1] + streams[0]->counts.poison, 2000);
	assert_in_range(days[0], 850, 1100);
	for (int i = 0; i < 2; i++) {
		stream_fini(streams[i]);
		free(streams[i]);
	}
}

static void poison_is_of_every_kind_and_never_a_good_record(void **state)
{
	(void)state;
	struct transaction good = {0}, spoilt = {0};
	size_t kinds = poison_kinds(), seen = 0;
	bool *met = memory_new(kinds);
	for (uint64_t n = 0; n < 2000; n++) {
		size_t kind = poison_kind_of(n);
		assert_true(kind < kinds);
		seen += !met[kind];
		met[kind] = true;
		if (n >= kinds)
			continue;
		transaction_make(&good, 1, n, 0, 0);
		transaction_make(&spoilt, 1, n, 0, 0);
		if (!poison_spoil(&spoilt, kind)) {
			assert_string_equal(poison_name(kind), "tombstone");
			continue;
		}
		assert_false(bytes_equal(buffer_bytes(&good.json), buffer_bytes(&spoilt.json)));
		if (strcmp(poison_name(kind), "large") == 0)
			assert_in_range(spoilt.json.len, 900000, 1000000);
		else
			assert_in_range(spoilt.json.len, 0, 1000);
		if (strcmp(poison_name(kind), "empty") == 0)
			assert_int_equal(spoilt.json.len, 0);
		if (strcmp(poison_name(kind), "null_field") == 0)
			assert_non_null(strstr(text_of(&spoilt), "\"product_category\": null, "));
		if (strcmp(poison_name(kind), "missing_field") == 0)
			assert_non_null(strstr(text_of(&spoilt), "\"total_amounts\": "));
		if (strcmp(poison_name(kind), "nan") == 0)
			assert_non_null(strstr(text_of(&spoilt), "\"total_amount\": NaN}"));
	}
	assert_int_equal(seen, kinds);
	free(met);
	transaction_fini(&good);
	transaction_fini(&spoilt);
}

/* Against the shipped pipeline file: what the producer calls good is accepted, what it calls poison is not. */
static void the_parser_refuses_poison_and_nothing_else(void **state)
{
	(void)state;
	struct pipeline pipeline;
	struct record_parser *parser = NULL;
	struct error error;
	struct parsed_record *record = memory_new(sizeof *record);
	struct stream *stream = memory_new(sizeof *stream);
	shipped_pipeline(&pipeline);
	assert_int_equal(record_parser_new(&parser, &pipeline, &error), RESULT_OK);
	stream_init(stream, (struct stream_mix){.seed = 4, .duplicates = 5, .conflicts = 5, .poison = 30});
	for (int i = 0; i < 4000; i++) {
		uint64_t poison = stream->counts.poison;
		struct bytes key, payload;
		stream_next(stream, &key, &payload);
		record_parse(parser, payload, clock_realtime_us() / 1000, record);
		if ((stream->counts.poison > poison) != (record->reason != NULL))
			fail_msg("%s: %s",
			    stream->counts.poison > poison ? poison_name(poison_kind_of(poison)) : "good",
			    record->reason != NULL ? record->reason : "accepted");
	}
	assert_in_range(stream->counts.poison, 1050, 1350);
	record_parser_free(parser);
	pipeline_fini(&pipeline);
	stream_fini(stream);
	free(stream);
	free(record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(doubles_print_shortest),
	    cmocka_unit_test(every_amount_reads_back),
	    cmocka_unit_test(a_record_is_a_function_of_seed_and_number),
	    cmocka_unit_test(a_conflict_has_the_key_and_another_amount),
	    cmocka_unit_test(repeats_and_conflicts_are_of_records_that_were_sent),
	    cmocka_unit_test(days_bound_the_events_and_the_seed_fixes_them),
	    cmocka_unit_test(poison_is_of_every_kind_and_never_a_good_record),
	    cmocka_unit_test(the_parser_refuses_poison_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
