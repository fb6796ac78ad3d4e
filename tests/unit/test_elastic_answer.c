/* What Elasticsearch answers is read to the last item, in whatever pieces it comes, and anything else is an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "services/sink/elastic_answer.h"
#include "services/sink/elastic_control.h"

#define DEEP(text) text text text /* deeper than any answer */

static struct bulk_answer answer;

static bool feed(const char *text, uint32_t items, size_t piece)
{
	size_t len = strlen(text);

	bulk_answer_start(&answer, items);
	for (size_t at = 0; at < len; at += piece)
		assert_true(bulk_answer_piece(
		    &answer, (struct bytes){(const uint8_t *)text + at, at + piece < len ? piece : len - at}));
	return bulk_answer_end(&answer);
}

static void test_bulk(void **state)
{
	static const char text[] =
	    "{\"took\":3,\"errors\":true,\"items\":[{\"create\":{\"_index\":\"x\",\"status\":201}},"
	    "{\"create\":{\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\",\"reason\":"
	    "\"there\"}}},"
	    "{\"create\":{\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":\"failed \\\"x\\\"\","
	    "\"caused_by\":{\"type\":\"y\",\"reason\":\"For input \\u00e9\"}},\"status\":400}},"
	    "{\"index\":{\"status\":200}},"
	    "{\"create\":{\"status\":429,\"error\":{\"type\":\"es_rejected_execution_exception\",\"reason\":\"queue\"}}"
	    "}]}";
	(void)state;

	for (size_t piece = 1; piece < sizeof text; piece++) {
		assert_true(feed(text, 5, piece));
		assert_int_equal(answer.statuses[0], 201);
		assert_int_equal(answer.statuses[1], 409);
		assert_int_equal(answer.statuses[3], 200);
		assert_int_equal(answer.failures_len, 2);
		assert_int_equal(answer.failures[0].item, 2);
		assert_int_equal(answer.failures[0].status, 400);
		assert_string_equal(answer.failures[0].error.type, "mapper_parsing_exception");
		assert_string_equal(answer.failures[0].error.reason, "failed \"x\": For input \xc3\xa9");
		assert_int_equal(answer.failures[1].item, 4);
		assert_int_equal(answer.failures[1].status, 429);
	}
	for (size_t len = 0; len < sizeof text - 1; len++) {
		char cut[sizeof text];
		(void)snprintf(cut, sizeof cut, "%.*s", (int)len, text);
		assert_false(feed(cut, 5, 64));
	}
	assert_false(feed(text, 4, 64));
	assert_false(feed(text, 6, 64));
}

static void test_broken(void **state)
{
	static const char *const broken[] = {
	    "",
	    "<html>",
	    "{}",
	    "[]",
	    "{\"items\":[]}",
	    "{\"items\":[{}]}",
	    "{\"items\":[{\"create\":{}}]}",
	    "{\"items\":[{\"create\":{\"status\":\"201\"}}]}",
	    "{\"items\":[{\"create\":{\"status\":20.1}}]}",
	    "{\"items\":[{\"create\":{\"status\":99}}]}",
	    "{\"items\":[{\"create\":{\"status\":600}}]}",
	    "{\"items\":[{\"create\":{\"status\":-201}}]}",
	    "{\"items\":[{\"create\":{\"status\":99999999999999999999}}]}",
	    "{\"items\":[{\"create\":{\"status\":201,\"status\":201}}]}",
	    "{\"items\":[{\"create\":{\"status\":201},\"index\":{\"status\":201}}]}",
	    "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}}]}",
	    "{\"items\":[{\"create\":{\"status\":201}}]} }",
	    "{\"items\":{\"0\":{\"create\":{\"status\":201}}}}",
	    "{\"items\":[{\"create\":{\"status\":201,\"x\":" DEEP("[[[[[[[[[[[[[[[[") "1" DEEP(
	        "]]]]]]]]]]]]]]]]") "}}]}",
	    "{\"items\":[{\"create\":{\"status\":201}}]",
	};
	(void)state;

	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
		if (feed(broken[i], 1, 7))
			fail_msg("%s", broken[i]);
	assert_true(feed("{\"items\":[{\"create\":{\"status\":201}}]}", 1, 7));
	assert_true(feed("{\"items\":[]}", 0, 7));
	bulk_answer_fini(&answer);
}

/* Of a long text the begin is kept, between letters; many failures are all kept. */
static void test_long_words(void **state)
{
	struct buffer text = {0};
	(void)state;

	buffer_append_text(&text, "{\"items\":[");
	for (int i = 0; i < 100; i++) {
		buffer_printf(&text, "%s{\"create\":{\"status\":400,\"error\":{\"type\":\"", i ? "," : "");
		for (int j = 0; j < 400; j++)
			buffer_append_text(&text, "\xc3\xa4");
		buffer_append_text(&text, "\",\"reason\":\"");
		for (int j = 0; j < 2000; j++)
			buffer_append_text(&text, "\xe2\x82\xac");
		buffer_append_text(&text, "\"}}}");
	}
	buffer_append_text(&text, "]}");
	buffer_append(&text, "", 1);
	assert_true(feed((const char *)text.data, 100, 1000));
	assert_int_equal(answer.failures_len, 100);
	assert_int_equal(strlen(answer.failures[99].error.type), ERROR_TYPE_MAX - 2);
	assert_int_equal(strlen(answer.failures[99].error.reason) % 3, 0);
	assert_true(strlen(answer.failures[99].error.reason) > ERROR_WORDS_MAX - 8);
	buffer_fini(&text);
	bulk_answer_fini(&answer);
}

/* Every row of the table with an answer that only it is for: one that is gone, or stands behind another, is noticed. */
static void test_verdicts(void **state)
{
	static const struct {
		long least, status;
		const char *type, *reason;
		enum elastic_verdict verdict;
		bool typed; /* the row names the type */
	} cases[] = {
	    {200, 200, "", "", ELASTIC_DONE, false},
	    {200, 201, "", "", ELASTIC_DONE, false},
	    {300, 301, "", "", ELASTIC_CONFIG, false},
	    {400, 403, "cluster_block_exception", "", ELASTIC_AWAY, true},
	    {400, 429, "cluster_block_exception", "", ELASTIC_AWAY, true},
	    {400, 503, "cluster_block_exception", "", ELASTIC_AWAY, true},
	    {400, 400, "index_closed_exception", "", ELASTIC_AWAY, true},
	    {400, 403, "index_closed_exception", "", ELASTIC_AWAY, true},
	    {400, 503, "process_cluster_event_timeout_exception", "", ELASTIC_AWAY, true},
	    {400, 429, "circuit_breaking_exception", "", ELASTIC_BUSY, true},
	    {400, 503, "circuit_breaking_exception", "", ELASTIC_BUSY, true},
	    {400, 503, "es_rejected_execution_exception", "", ELASTIC_BUSY, true},
	    {400, 400, "validation_exception", "", ELASTIC_AWAY, true},
	    {400, 400, "snapshot_in_progress_exception", "", ELASTIC_AWAY, true},
	    {400, 400, "invalid_index_name_exception", "", ELASTIC_CONFIG, true},
	    {400, 400, "illegal_argument_exception", "no write index is defined for alias [x]", ELASTIC_CONFIG, true},
	    {400, 400, "illegal_argument_exception", "pipeline with id [p] does not exist", ELASTIC_CONFIG, true},
	    {400, 400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", ELASTIC_CONFIG,
	        true},
	    {400, 400, "routing_missing_exception", "", ELASTIC_CONFIG, true},
	    {400, 400, "resource_already_exists_exception", "", ELASTIC_CONFLICT, true},
	    {400, 400, "illegal_argument_exception", "Document contains at least one immense term", ELASTIC_REFUSED,
	        false},
	    {400, 400, "mapper_parsing_exception", "", ELASTIC_REFUSED, false},
	    {400, 400, "a_new_exception", "", ELASTIC_REFUSED, false},
	    {400, 422, "", "", ELASTIC_REFUSED, false},
	    {401, 401, "security_exception", "", ELASTIC_CONFIG, false},
	    {402, 402, "", "", ELASTIC_CONFIG, false},
	    {403, 403, "security_exception", "", ELASTIC_CONFIG, false},
	    {404, 404, "index_not_found_exception", "", ELASTIC_MISSING, false},
	    {405, 405, "", "", ELASTIC_CONFIG, false},
	    {405, 406, "", "", ELASTIC_CONFIG, false},
	    {407, 407, "", "", ELASTIC_CONFIG, false},
	    {408, 408, "", "", ELASTIC_AWAY, false},
	    {409, 409, "version_conflict_engine_exception", "", ELASTIC_CONFLICT, false},
	    {410, 410, "", "", ELASTIC_CONFIG, false},
	    {413, 413, "", "", ELASTIC_TOO_LARGE, false},
	    {414, 415, "", "", ELASTIC_CONFIG, false},
	    {425, 425, "", "", ELASTIC_AWAY, false},
	    {426, 426, "", "", ELASTIC_CONFIG, false},
	    {429, 429, "", "", ELASTIC_BUSY, false},
	    {431, 431, "", "", ELASTIC_CONFIG, false},
	    {499, 499, "", "", ELASTIC_AWAY, false},
	    {500, 500, "", "", ELASTIC_AWAY, false},
	    {500, 502, "", "", ELASTIC_AWAY, false},
	    {500, 503, "", "", ELASTIC_AWAY, false},
	    {500, 504, "", "", ELASTIC_AWAY, false},
	    {500, 507, "", "", ELASTIC_AWAY, false},
	    {0, 600, "", "", ELASTIC_CONFIG, false},
	};
	bool met[64] = {false};
	(void)state;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct elastic_judgement *row =
		    elastic_judgement_of(cases[i].status, cases[i].type, cases[i].reason);
		if (row->least != cases[i].least || row->verdict != cases[i].verdict ||
		    (row->type != NULL) != cases[i].typed)
			fail_msg("%ld %s: judged by the row of %ld %s: %s", cases[i].status, cases[i].type, row->least,
			    row->type != NULL ? row->type : "", row->why);
		met[row - elastic_judgements] = true;
	}
	for (size_t i = 0; i < elastic_judgements_len; i++)
		if (!met[i])
			fail_msg("no case for %ld to %ld %s: %s", elastic_judgements[i].least,
			    elastic_judgements[i].most,
			    elastic_judgements[i].type != NULL ? elastic_judgements[i].type : "",
			    elastic_judgements[i].why);
}

/* --- control documents ------------------------------------------------------------------------------------------- */

static bool parse(const char *text, struct control *control)
{
	*control = (struct control){0};
	return control_parse((struct bytes){(const uint8_t *)text, strlen(text)}, control);
}

static void test_control(void **state)
{
	struct controls controls = {.job = "shop/search"};
	struct control control = {.exists = true,
	    .seq_no = 5,
	    .primary_term = 2,
	    .writers = 3,
	    .first_group = 43,
	    .groups = 42,
	    .key_groups = 128,
	    .index = "sales-%Y.%m",
	    .fence = 7,
	    .last = {6, 42},
	    .started = true,
	    .counters = {.n = {[COUNTER_CONSUMED] = 10, [COUNTER_ACCEPTED] = 9, [COUNTER_DEAD] = 1}},
	    .fingerprint = "0123456789abcdef0123456789abcdef"};
	struct control again;
	struct buffer text = {0};

	(void)state;
	cut_set(&control.cut, 0, 1234);
	cut_set(&control.cut, 17, INT64_MAX);
	buffer_append_text(
	    &text, "{\"_index\":\"sluice-control\",\"_seq_no\":5,\"_primary_term\":2,\"found\":true,\"_source\":");
	control_print(&controls, 1, &control, &text);
	buffer_append(&text, "}", 2);
	assert_non_null(
	    strstr((char *)text.data, "{\"job\":\"shop/search\",\"writer\":1,\"writers\":3,\"first_group\":43,"
	                              "\"groups\":42,\"key_groups\":128,\"index\":\"sales-%Y.%m\",\"fence\":7,"
	                              "\"attempt\":6,\"epoch\":42,\"cut\":{\"0\": 1234, \"17\": "
	                              "9223372036854775807},\"counters\":{\"consumed\":10,\"accepted\":9,"
	                              "\"dead\":1},\"fingerprint\":\"0123456789abcdef0123456789abcdef\","
	                              "\"committed_at\":\"20"));
	assert_true(parse((char *)text.data, &again));
	assert_true(cut_equal(&again.cut, &control.cut));
	cut_fini(&again.cut);
	again.cut = control.cut;
	assert_memory_equal(&again.counters, &control.counters, sizeof again.counters);
	assert_string_equal(again.index, control.index);
	assert_string_equal(again.fingerprint, control.fingerprint);
	assert_int_equal(again.seq_no, 5);
	assert_int_equal(again.primary_term, 2);
	assert_int_equal(again.fence, 7);
	assert_int_equal(again.last.n, 42);
	assert_true(again.started);
	cut_fini(&control.cut);
	/* Not started: no cut. */
	control.started = false;
	buffer_clear(&text);
	control_print(&controls, 1, &control, &text);
	buffer_append(&text, "", 1);
	assert_null(strstr((char *)text.data, "\"cut\""));
	buffer_fini(&text);
}

static void test_broken_control(void **state)
{
#define NUMBERS_UP_TO_FENCE                                                                                            \
	"{\"_seq_no\":0,\"_primary_term\":1,\"_source\":{\"writers\":1,\"first_group\":0,\"groups\":1,"                \
	"\"key_groups\":1,\"attempt\":0,\"epoch\":0,\"counters\":{\"consumed\":0,\"accepted\":0,\"dead\":0}"
	static const char *const broken[] = {
	    "",
	    "{\"found\":false}",
	    NUMBERS_UP_TO_FENCE "}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":-1}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":\"1\"}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1.5}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":9223372036854775808}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"writers\":65}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"writers\":0}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"cut\":{\"0\":-1}}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"cut\":{\"x\":1}}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"cut\":{\"0\":1,\"0\":2}}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"cut\":{\"0\":null}}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"index\":7}}",
	    NUMBERS_UP_TO_FENCE ",\"fence\":1,\"fingerprint\":\"0123456789abcdef0123456789abcdef0\"}}",
	};
	struct control control;

	(void)state;
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
		if (parse(broken[i], &control))
			fail_msg("%s", broken[i]);
		assert_int_equal(control.cut.len, 0);
		assert_false(control.exists);
	}
	assert_true(parse(NUMBERS_UP_TO_FENCE ",\"fence\":1}}", &control));
	assert_false(control.started);
	control_fini(&control);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bulk),
	    cmocka_unit_test(test_broken),
	    cmocka_unit_test(test_long_words),
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_control),
	    cmocka_unit_test(test_broken_control),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
