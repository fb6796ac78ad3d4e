/* What the audit asks of Elasticsearch, against the stand-in: nothing that is left out is taken for nothing that is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/sluicectl/audit_elastic.h"

#define INDEX "copy"

enum { DOCUMENTS = 2 };

struct bed {
	struct pipeline pipeline;
	struct elastic elastic;
	struct error error;
	int taken;
};

static void ask(struct bed *bed, const char *method, const char *path, const char *body)
{
	struct bytes text = {(const uint8_t *)body, strlen(body)};

	assert_int_equal(http_ask(&bed->elastic.http, method, path, text, HTTP_ONCE, &bed->error), RESULT_OK);
	assert_int_equal(bed->elastic.http.status, 200);
}

static enum result on_hit(
    void *context, struct bytes index, struct bytes id, const struct tree_node *source, struct error *error)
{
	struct bed *bed = context;
	(void)id;
	(void)error;
	assert_true(bytes_equal(index, (struct bytes){(const uint8_t *)INDEX, strlen(INDEX)}));
	assert_non_null(source);
	bed->taken++;
	return RESULT_OK;
}

static enum result scan(struct bed *bed)
{
	bed->taken = 0;
	return elastic_scan(&bed->elastic, INDEX, on_hit, bed, &bed->error);
}

static void assert_whole(struct bed *bed)
{
	assert_int_equal(elastic_refresh(&bed->elastic, INDEX, &bed->error), RESULT_OK);
	assert_int_equal(scan(bed), RESULT_OK);
	assert_int_equal(bed->taken, DOCUMENTS);
}

static void assert_refused(struct bed *bed, enum result found, enum result expected, const char *words)
{
	assert_int_equal(found, expected);
	if (strstr(bed->error.text, words) == NULL)
		fail_msg("%s\ndoes not say: %s", bed->error.text, words);
}

static int setup(void **state)
{
	struct bed *bed = memory_new(sizeof *bed);

	bed->pipeline.record.max_record_bytes = 1 << 20;
	bed->pipeline.sinks.elasticsearch = (struct elasticsearch){.urls = {getenv("SLUICE_TEST_FAKE")},
	    .urls_len = 1,
	    .user = "",
	    .password = "",
	    .api_key = "",
	    .ca_file = ""};
	assert_non_null(bed->pipeline.sinks.elasticsearch.urls[0]);
	assert_int_equal(elastic_open(&bed->elastic, &bed->pipeline, &bed->error), RESULT_OK);
	ask(bed, "POST", "/_fake", "{\"clear\":true}");
	ask(bed, "PUT", "/" INDEX, "{}");
	ask(bed, "POST", "/" INDEX "/_bulk?pipeline=_none",
	    "{\"create\":{\"_id\":\"a\"}}\n{}\n{\"create\":{\"_id\":\"b\"}}\n{}\n");
	*state = bed;
	return 0;
}

static int teardown(void **state)
{
	struct bed *bed = *state;

	ask(bed, "DELETE", "/" INDEX, "");
	elastic_close(&bed->elastic);
	free(bed);
	return 0;
}

/* A search leaves it out without a word, also where that came about between the look at it and the search. */
static void test_left_out(void **state)
{
	struct bed *bed = *state;

	assert_whole(bed);
	ask(bed, "POST", "/" INDEX "/_close", "");
	assert_refused(bed, scan(bed), RESULT_CONFIG, "index copy is closed: POST /copy/_open");
	ask(bed, "POST", "/" INDEX "/_open", "");
	assert_whole(bed);
	ask(bed, "PUT", "/" INDEX "/_settings", "{\"frozen\":\"true\"}");
	assert_refused(bed, scan(bed), RESULT_CONFIG, "index copy is frozen: POST /copy/_unfreeze");
	ask(bed, "PUT", "/" INDEX "/_settings", "{}");
	assert_whole(bed);
	ask(bed, "POST", "/_fake", "{\"faults\":[{\"on\":\"search\",\"do\":\"close\"}]}");
	assert_refused(bed, scan(bed), RESULT_CONFIG, "index copy is closed: POST /copy/_open");
	assert_int_equal(bed->taken, 0);
	ask(bed, "POST", "/" INDEX "/_open", "");
	assert_whole(bed);
}

/* The answer is one of 200, and of a part. */
static void test_some_shards(void **state)
{
	struct bed *bed = *state;

	ask(bed, "POST", "/_fake", "{\"settings\":{\"failed_shards\":{\"_refresh\":2}}}");
	assert_refused(
	    bed, elastic_refresh(&bed->elastic, INDEX, &bed->error), RESULT_RETRY, "2 of its shards did not answer");
	ask(bed, "POST", "/_fake", "{\"settings\":{\"failed_shards\":{\"_search\":1}}}");
	assert_refused(bed, scan(bed), RESULT_RETRY, "1 of its shards did not answer");
	ask(bed, "POST", "/_fake", "{\"settings\":{\"failed_shards\":{\"scroll\":1}}}");
	assert_refused(bed, scan(bed), RESULT_RETRY, "1 of its shards did not answer");
	ask(bed, "POST", "/_fake", "{\"clear\":true}");
	assert_whole(bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_left_out, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_some_shards, setup, teardown),
	};

	if (getenv("SLUICE_TEST_ONLY") != NULL)
		cmocka_set_test_filter(getenv("SLUICE_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
