/* An index, as Elasticsearch describes it, is what it has to be, or it is said what is otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "services/sink/elastic_look.h"

static struct bytes bytes_of(const char *text)
{
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static const char mapping[] = "{\"properties\":{\"note\":{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":"
                              "\"keyword\",\"ignore_above\":256}}},"
                              "\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":100}}}";

#define NOTE "\"note\":{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":256}}}"
#define AMOUNT "\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":100.0}"
#define INDEX(mappings, settings)                                                                                      \
	"{\"x\":{\"aliases\":{\"y\":{}},\"mappings\":{" mappings                                                       \
	"},\"settings\":{\"index\":{\"uuid\":\"u1\",\"number_of_shards\":\"1\"" settings "}}}}"
#define FIELDS(fields) "\"properties\":{" fields "}"
#define RIGHT FIELDS(NOTE "," AMOUNT)

/* said: a part of what is wrong; "": nothing is, and nothing is missing; NULL: something is missing. */
static const struct {
	const char *answer, *said;
} cases[] = {
    {INDEX(RIGHT, ""), ""},
    {INDEX(FIELDS(NOTE "," AMOUNT ",\"more\":{\"type\":\"float\",\"index\":false}"), ""), ""},
    {INDEX(FIELDS(NOTE), ""), NULL},
    {INDEX("", ""), NULL},
    {INDEX(FIELDS(NOTE ",\"amount\":{\"type\":\"float\"}"), ""),
        "\"amount\" with type = float, and scaled_float is needed"},
    {INDEX(FIELDS(NOTE ",\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":1000.0}"), ""),
        "scaling_factor = 1000"},
    {INDEX(FIELDS(NOTE ",\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":100.0,\"index\":false}"), ""),
        "index = false"},
    {INDEX(FIELDS(AMOUNT
               ",\"note\":{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":512},"
               "\"de\":{\"type\":\"text\",\"analyzer\":\"german\"}}}"),
         ""),
        ""},
    {INDEX(FIELDS(AMOUNT
               ",\"note\":{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":255}}}"),
         ""),
        "ignore_above = 255"},
    {INDEX(RIGHT ",\"_source\":{\"enabled\":false}", ""), "_source.enabled = false"},
    {INDEX(RIGHT ",\"_source\":{\"enabled\":true}", ""), ""},
    {INDEX(RIGHT ",\"_source\":{\"excludes\":[\"a\"]}", ""), "_source.excludes[0] = a"},
    {INDEX(RIGHT ",\"_source\":{\"mode\":\"synthetic\"}", ""), "_source.mode = synthetic"},
    {INDEX(RIGHT ",\"_routing\":{\"required\":true}", ""), "_routing.required"},
    {INDEX(RIGHT ",\"_data_stream_timestamp\":{\"enabled\":true}", ""), "data stream"},
    {INDEX(RIGHT ",\"enabled\":false", ""), "mappings.enabled = false"},
    {INDEX(RIGHT ",\"runtime\":{\"amount\":{\"type\":\"double\"}}", ""), "runtime field \"amount\""},
    {INDEX(RIGHT ",\"runtime\":{\"other\":{\"type\":\"double\"}}", ""), ""},
    {INDEX(RIGHT, ",\"default_pipeline\":\"p\""), "default_pipeline = p"},
    {INDEX(RIGHT, ",\"default_pipeline\":\"_none\""), ""},
    {INDEX(RIGHT, ",\"final_pipeline\":\"p\""), "final_pipeline = p"},
    {INDEX(RIGHT, ",\"analysis\":{\"analyzer\":{\"default\":{\"type\":\"simple\"}}}"), "analyzer.default"},
    {INDEX(RIGHT, ",\"analysis\":{\"analyzer\":{\"mine\":{\"type\":\"simple\"}}}"), ""},
    {INDEX(RIGHT, ",\"mapping\":{\"ignore_malformed\":\"true\"}"), "ignore_malformed"},
    {INDEX(RIGHT, ",\"mapping\":{\"source\":{\"mode\":\"synthetic\"}}"), "source.mode"},
    {INDEX(RIGHT, ",\"mode\":\"time_series\""), "index.mode = time_series"},
    {"{\"x-000002\":{\"settings\":{\"index\":{\"uuid\":\"u2\"}}}}", "is no index, but an alias of x-000002"},
    {"{\".ds-x-000002\":{\"settings\":{\"index\":{\"uuid\":\"u2\"}}}}",
        "is no index, but a data stream of .ds-x-000002"},
};

static void test_cases(void **state)
{
	struct index_look look;
	(void)state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_true(index_look_read(&look, "x", bytes_of(mapping), bytes_of(cases[i].answer)));
		const char *said = cases[i].said;
		if (said == NULL || said[0] == '\0') {
			if (look.wrong[0] != '\0' || look.lacks != (said == NULL))
				fail_msg("%s: '%s'", cases[i].answer, look.wrong);
		} else if (strstr(look.wrong, said) == NULL) {
			fail_msg("%s: '%s' instead of '%s'", cases[i].answer, look.wrong, said);
		}
	}
}

static void test_the_rest(void **state)
{
	struct index_look look;
	(void)state;

	assert_true(index_look_read(&look, "x", bytes_of(mapping),
	    bytes_of(INDEX(RIGHT, ",\"verified_before_close\":\"true\",\"translog\":{\"durability\":\"ASYNC\"}"))));
	assert_string_equal(look.uuid, "u1");
	assert_string_equal(look.shut, "is closed: POST /x/_open opens it again");
	assert_true(look.unsafe);
	assert_true(index_look_read(
	    &look, "x", (struct bytes){0}, bytes_of(INDEX("", ",\"translog\":{\"durability\":\"request\"}"))));
	assert_false(look.shut[0] || look.blocked[0] || look.unsafe || look.lacks);
	static const struct {
		const char *settings, *shut, *blocked;
	} waits[] = {
	    {",\"frozen\":\"true\",\"blocks\":{\"write\":\"true\"}", "is frozen: POST /x/_unfreeze",
	        "is read-only: PUT /x/"},
	    {",\"blocks\":{\"read_only_allow_delete\":\"true\"}", "", "disk is nearly full"},
	    {",\"blocks\":{\"read_only\":\"true\"}", "", "index.blocks.read_only\": null"},
	    {",\"blocks\":{\"write\":\"false\"},\"verified_before_close\":\"false\"", "", ""},
	};
	for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
		char answer[1024];
		(void)snprintf(
		    answer, sizeof answer, "{\"x\":{\"settings\":{\"index\":{\"uuid\":\"u1\"%s}}}}", waits[i].settings);
		assert_true(index_look_read(&look, "x", (struct bytes){0}, bytes_of(answer)));
		assert_int_equal(look.shut[0] == '\0', waits[i].shut[0] == '\0');
		assert_int_equal(look.blocked[0] == '\0', waits[i].blocked[0] == '\0');
		assert_non_null(strstr(look.shut, waits[i].shut));
		assert_non_null(strstr(look.blocked, waits[i].blocked));
	}
	/* No answers. */
	assert_false(index_look_read(&look, "x", bytes_of(mapping), bytes_of("{}")));
	assert_false(index_look_read(&look, "x", bytes_of(mapping), bytes_of("[1]")));
	assert_false(index_look_read(
	    &look, "x", bytes_of(mapping), bytes_of("{\"x\":{\"settings\":{\"index\":{\"a\":\"b\"}}}}")));
	assert_false(
	    index_look_read(&look, "x", bytes_of(mapping), bytes_of("{\"x\":{\"settings\":{\"index\":{\"uuid\":\"u")));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_cases),
	    cmocka_unit_test(test_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
