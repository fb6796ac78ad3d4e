/* tests/unit/test_readers.c - protects: whoever reads a number, a time or a text, the pipeline or the audit, in JSON or in PostgreSQL's
 * binary form, reads the same, at every boundary: what one of them took for something else would be a difference that is none, or none
 * that is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/ingest/record_parser.h"
#include "services/sluicectl/audit_binary.h"
#include "services/sluicectl/audit_number.h"
#include "services/sluicectl/audit_record.h"
#include "tests/unit/paper.h"

enum { SCALES = 19, DECIMALS = 4 /* the first of them among the fields */, NAME_MOST = 12 };
#define DAY_US INT64_C(86400000000)

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* A key, a text of NAME_MOST characters, a time, an integer, and a decimal of 18 digits for every scale. */
struct readers {
	struct pipeline pipeline;
	struct record_parser *parser;
	struct parsed_record parsed;
	struct record_reader audit;
	struct audit_record record;
};

static struct readers *readers_open(const char *zone)
{
	static struct readers readers;
	struct buffer text = {0};
	struct error error = {0};
	readers = (struct readers){0};
	buffer_printf(&text,
	    "job: t\nsource:\n  topic: t\n  kafka: {bootstrap.servers: x}\nrecord:\n  table: t\n  key: id\n"
	    "  event_time: at\n  time_zone: %s\n  fields:\n"
	    "    - {name: id, type: string(36), required: true}\n    - {name: at, type: timestamp, required: true}\n"
	    "    - {name: name, type: string(%d)}\n    - {name: n, type: integer}\n",
	    zone, NAME_MOST);
	for (int scale = 0; scale < SCALES; scale++)
		buffer_printf(&text, "    - {name: d%d, type: \"decimal(18,%d)\"}\n", scale, scale);
	buffer_append_text(&text, "rollups:\n  - table: r\n    by: [{column: d, day: at}]\n"
	                          "    measures: [{column: s, sum: d2, type: \"decimal(38,2)\"}]\n");
	if (pipeline_parse(&readers.pipeline, "test.yaml", buffer_bytes(&text), &error) != RESULT_OK ||
	    record_parser_new(&readers.parser, &readers.pipeline, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	record_reader_init(&readers.audit, &readers.pipeline);
	buffer_fini(&text);
	return &readers;
}

static void readers_close(struct readers *readers)
{
	record_parser_free(readers->parser);
	record_reader_fini(&readers->audit);
	pipeline_fini(&readers->pipeline);
}

/* Both read this object and have to agree about all of it: the reason, or NULL. */
static const char *read_object(struct readers *readers, const char *payload)
{
	struct bytes rest;
	struct audit_value value;
	record_parse(readers->parser, bytes_of(payload), -1, &readers->parsed);
	record_read(&readers->audit, bytes_of(payload), -1, &readers->record);
	const char *one = readers->parsed.reason, *other = readers->record.reason;
	if ((one == NULL) != (other == NULL) || (one != NULL && strcmp(one, other) != 0))
		fail_msg("%s: the parser says %s, the audit %s", payload, one ? one : "a row", other ? other : "a row");
	if (one != NULL)
		return one;
	rest = readers->record.content;
	for (size_t i = 0; i < readers->pipeline.record.fields_len; i++) {
		const struct value *parsed = &readers->parsed.values[i];
		assert_true(content_next(&rest, &value));
		bool same = parsed->kind == VALUE_NULL ? value.kind == AUDIT_NULL
		            : parsed->kind == VALUE_TEXT
		                ? value.kind == AUDIT_TEXT && bytes_equal(parsed->text, value.text)
		                : parsed->integer == value.number;
		if (!same)
			fail_msg("%s: %s is %lld for the parser and %lld for the audit", payload,
			    readers->pipeline.record.fields[i].name, (long long)parsed->integer,
			    (long long)value.number);
	}
	return NULL;
}

/* This field is given so, as a number and as a text; what it is to both readers, or the reason. */
static const char *read_field(struct readers *readers, const char *name, const char *text, int64_t *value)
{
	char payload[512];
	const char *reason = NULL;
	for (int quoted = 0; quoted < 2; quoted++) {
		size_t place = 0;
		while (strcmp(readers->pipeline.record.fields[place].name, name) != 0)
			place++;
		(void)snprintf(payload, sizeof payload, "{\"id\":\"k\",%s\"%s\":%s%s%s}",
		    strcmp(name, "at") == 0 ? "" : "\"at\":0,", name, quoted ? "\"" : "", text, quoted ? "\"" : "");
		const char *this_reason = read_object(readers, payload);
		assert_true(!quoted || (reason == NULL) == (this_reason == NULL));
		assert_true(!quoted || reason == NULL || strcmp(reason, this_reason) == 0);
		assert_true(!quoted || reason != NULL || *value == readers->parsed.values[place].integer);
		reason = this_reason;
		*value = readers->parsed.values[place].integer;
	}
	return reason;
}

static void assert_read(
    struct readers *readers, const char *name, const char *text, const char *reason, int64_t expected)
{
	int64_t value;
	const char *found = read_field(readers, name, text, &value);
	if ((found == NULL) != (reason == NULL) || (found != NULL && strcmp(found, reason) != 0) ||
	    (found == NULL && value != expected))
		fail_msg("%s of %s: %s, %lld instead of %s, %lld", text, name, found ? found : "a row",
		    (long long)value, reason ? reason : "a row", (long long)expected);
}

static void test_decimals(void **state)
{
	static const struct {
		const char *behind;
		int more;
	} rounded[] = {{"", 0}, {"0", 0}, {"49999999999999999999", 0}, {"5", 1}, {"50000000000000000001", 1}};
	struct readers *readers = readers_open("UTC");
	const int64_t limit = INT64_C(1000000000000000000);
	struct edges edges;
	(void)state;
	edges_fill(&edges);
	for (int scale = 0; scale < SCALES; scale++)
		for (size_t i = 0; i < edges.len; i++)
			for (size_t j = 0; j < sizeof rounded / sizeof rounded[0]; j++) {
				char name[16], text[PAPER_TEXT_MAX], longer[2 * PAPER_TEXT_MAX];
				int64_t edge = edges.values[i], more = rounded[j].more;
				(void)snprintf(name, sizeof name, "d%d", scale);
				paper_text(edge, scale, text);
				(void)snprintf(longer, sizeof longer, "%s%s%s", text,
				    scale || !rounded[j].behind[0] ? "" : ".", rounded[j].behind);
				bool fits = edge < 0 ? edge > -limit + more : edge < limit - more;
				assert_read(readers, name, longer, fits ? NULL : "out_of_range",
				    fits ? edge + (edge < 0 ? -more : more) : 0);
			}
	readers_close(readers);
}

static void test_integers(void **state)
{
	struct readers *readers = readers_open("UTC");
	struct edges edges;
	(void)state;
	edges_fill(&edges);
	for (int64_t near = -2; near <= 2; near++) {
		edges.values[edges.len++] = INT32_MAX + near;
		edges.values[edges.len++] = INT32_MIN + near;
	}
	for (size_t i = 0; i < edges.len; i++) {
		char text[PAPER_TEXT_MAX];
		bool fits = edges.values[i] >= INT32_MIN && edges.values[i] <= INT32_MAX;
		paper_text(edges.values[i], 0, text);
		assert_read(readers, "n", text, fits ? NULL : "out_of_range", edges.values[i]);
		(void)strcat(text, ".000");
		assert_read(readers, "n", text, fits ? NULL : "out_of_range", edges.values[i]);
		(void)strcat(text, "1");
		assert_read(readers, "n", text, "invalid_number", 0);
	}
	readers_close(readers);
}

static void test_zeros(void **state)
{
	struct readers *readers = readers_open("UTC");
	int64_t value;
	(void)state;
	for (size_t i = 0; i < sizeof paper_zeros / sizeof paper_zeros[0]; i++) {
		assert_read(readers, "n", paper_zeros[i], NULL, 0);
		for (int scale = 0; scale < SCALES; scale++) {
			char name[16];
			(void)snprintf(name, sizeof name, "d%d", scale);
			assert_read(readers, name, paper_zeros[i], NULL, 0);
		}
		/* A time is a whole number without point and exponent, and as a text it is none. */
		char payload[128];
		bool whole = strpbrk(paper_zeros[i], ".eE") == NULL;
		(void)snprintf(payload, sizeof payload, "{\"id\":\"k\",\"at\":%s}", paper_zeros[i]);
		const char *reason = read_object(readers, payload);
		assert_true(whole ? reason == NULL && readers->parsed.values[1].integer == 0
		                  : reason != NULL && strcmp(reason, "invalid_time") == 0);
	}
	static const char *const none[] = {"00", "-00", "+0", "0.", ".0", "0e", "0e+", "-", "0x0", "0,0"};
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
		char payload[128];
		(void)snprintf(payload, sizeof payload, "{\"id\":\"k\",\"at\":0,\"d2\":\"%s\"}", none[i]);
		assert_string_equal(read_object(readers, payload), "invalid_number");
	}
	(void)value;
	readers_close(readers);
}

/* --- what PostgreSQL sends ------------------------------------------------------------------------------------------ */

static void test_binary_numerics(void **state)
{
	struct edges edges;
	(void)state;
	edges_fill(&edges);
	for (int scale = 0; scale < SCALES; scale++)
		for (size_t i = 0; i < edges.len; i++) {
			uint8_t numeric[PAPER_NUMERIC_MAX];
			char text[PAPER_TEXT_MAX];
			audit_sum units;
			paper_text(edges.values[i], scale, text);
			struct bytes column = {numeric, paper_numeric(text, scale, numeric)};
			if (!binary_numeric(column, scale, &units) || units != edges.values[i])
				fail_msg("%s of scale %d is %lld", text, scale, (long long)units);
			/* As a column of a finer scale, and of a coarser one, where a digit would be left over. */
			assert_true(
			    binary_numeric(column, scale + 3, &units) && units == (audit_sum)edges.values[i] * 1000);
			if (scale > 0 && edges.values[i] % 10 != 0)
				assert_false(binary_numeric(column, scale - 1, &units));
		}
}

/* --- times ---------------------------------------------------------------------------------------------------------- */

/* offset: what stands behind the wall clock. expected_us below 0: not said here, but the same for both. */
static void time_is(struct readers *readers, const char *offset, int64_t wall_us, int64_t expected_us)
{
	char text[TIMESTAMP_TEXT_MAX], payload[128];
	(void)timestamp_print(wall_us, text);
	(void)snprintf(payload, sizeof payload, "{\"id\":\"k\",\"at\":\"%s%s\"}", text, offset);
	const char *reason = read_object(readers, payload);
	if (reason != NULL || (expected_us >= 0 && readers->parsed.values[1].integer != expected_us))
		fail_msg(
		    "%s: %s, %lld", payload, reason ? reason : "a row", (long long)readers->parsed.values[1].integer);
}

/* A microsecond around the midnight of every first and last day of a month, of leap years, of the years that are none although four
 * divides them, and of those at the ends. */
static void test_midnights(void **state)
{
	static const int32_t years[] = {1971, 1972, 1999, 2000, 2023, 2024, 2038, 2100, 2400, 9998};
	static const char *const zones[] = {
	    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"};
	(void)state;
	for (size_t z = 0; z < sizeof zones / sizeof zones[0]; z++) {
		struct readers *readers = readers_open(zones[z]);
		for (size_t y = 0; y < sizeof years / sizeof years[0]; y++)
			for (int32_t month = 1; month <= 12; month++)
				for (int64_t near = -1; near <= 1; near++) {
					int64_t first =
					    day_from_civil((struct civil){years[y], month, 1}) * DAY_US + near;
					/* As wall clock; and as an instant, which is the same in UTC. */
					time_is(readers, "", first, first);
					time_is(readers, "Z", first, z == 0 ? first : -1);
					time_is(readers, "+14:00", first, z == 0 ? first - 14 * DAY_US / 24 : -1);
				}
		readers_close(readers);
	}
	struct readers *readers = readers_open("UTC");
	static const char *const days[][2] = {{"2024-02-29", ""}, {"2000-02-29", ""}, {"2023-02-29", "x"},
	    {"2100-02-29", "x"}, {"2024-02-30", "x"}, {"2024-04-31", "x"}, {"2024-12-31", ""}, {"2024-12-32", "x"},
	    {"2024-00-10", "x"}, {"2024-13-10", "x"}, {"2024-01-00", "x"}};
	for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
		char payload[128];
		(void)snprintf(payload, sizeof payload, "{\"id\":\"k\",\"at\":\"%sT23:59:59.999999Z\"}", days[i][0]);
		if ((read_object(readers, payload) != NULL) != (days[i][1][0] != '\0'))
			fail_msg("%s", payload);
	}
	readers_close(readers);
}

/* Every quarter of an hour of the two days around what clocks do in a year, and a microsecond before it. */
static void test_changes_of_the_clock(void **state)
{
	static const struct {
		const char *zone;
		int64_t changes[2];
	} cases[] = {{"Europe/Berlin", {1711846800, 1729990800}}, {"America/New_York", {1710054000, 1730613600}},
	    {"Australia/Lord_Howe", {1712415600, 1728142200}}, {"America/St_Johns", {1710048600, 1730608200}},
	    {"Africa/Casablanca", {1710036000, 1713060000}}, {"Pacific/Apia", {1325239200, 1325239200}},
	    {"America/Sao_Paulo", {1541300400, 1550368800}}};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct readers *readers = readers_open(cases[i].zone);
		for (size_t j = 0; j < 2; j++)
			for (int64_t quarter = -96; quarter <= 96; quarter++)
				for (int64_t near = -1; near <= 0; near++) {
					int64_t at = (cases[i].changes[j] + quarter * 900) * 1000000 + near;
					time_is(readers, "Z", at, -1);
					time_is(readers, "", at, at);
				}
		readers_close(readers);
	}
}

/* --- texts ---------------------------------------------------------------------------------------------------------- */

/* A length is counted in characters, whatever they are made of; the key's, too. */
static void test_lengths(void **state)
{
	static const struct {
		const char *character, *escaped;
		size_t per; /* characters that PostgreSQL counts in it */
	} cases[] = {{"a", "\\u0061", 1}, {"\xc3\xa4", "\\u00e4", 1}, {"\xe6\xb1\x89", "\\u6c49", 1},
	    {"\xf0\x9f\x98\x80", "\\ud83d\\ude00", 1}, {"a\xcc\x88", "a\\u0308", 2}, {" ", "\\u0020", 1},
	    {"\xe2\x80\x8d", "\\u200d", 1}};
	struct readers *readers = readers_open("UTC");
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (int escaped = 0; escaped < 2; escaped++)
			for (size_t most = NAME_MOST; most <= 36; most += 36 - NAME_MOST)
				for (size_t len = most - 2; len <= most + 2; len++) {
					char text[512] = "", payload[2048];
					if (len % cases[i].per != 0)
						continue;
					for (size_t n = 0; n < len / cases[i].per; n++)
						(void)strcat(text, escaped ? cases[i].escaped : cases[i].character);
					(void)snprintf(payload, sizeof payload,
					    "{\"id\":\"%s\",\"at\":0,\"name\":\"%s\"}", most == 36 ? text : "k",
					    most == 36 ? "" : text);
					const char *reason = read_object(readers, payload);
					if ((reason == NULL) != (len <= most))
						fail_msg(
						    "%zu characters of %zu: %s", len, most, reason ? reason : "a row");
					size_t bytes = strlen(cases[i].character) * (len / cases[i].per);
					if (reason == NULL)
						assert_int_equal(
						    readers->parsed.values[most == 36 ? 0 : 2].text.len, bytes);
				}
	/* An empty key is none; an empty text is not null. */
	assert_string_equal(read_object(readers, "{\"id\":\"\",\"at\":0}"), "missing_field");
	assert_null(read_object(readers, "{\"id\":\" \",\"at\":0,\"name\":\"\"}"));
	assert_int_equal(readers->parsed.values[2].kind, VALUE_TEXT);
	assert_null(read_object(readers, "{\"id\":\" \",\"at\":0,\"name\":null}"));
	assert_int_equal(readers->parsed.values[2].kind, VALUE_NULL);
	readers_close(readers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_decimals),
	    cmocka_unit_test(test_integers),
	    cmocka_unit_test(test_zeros),
	    cmocka_unit_test(test_binary_numerics),
	    cmocka_unit_test(test_midnights),
	    cmocka_unit_test(test_changes_of_the_clock),
	    cmocka_unit_test(test_lengths),
	};
	return cmocka_run_group_tests_name("readers", tests, NULL, NULL);
}
