/* The Elasticsearch sink as a port, against any server: frontiers, documents, dead letters, and what a person is told. */
#include "tests/integration/elastic_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/timestamp.h"
#include "services/sink/elastic_control.h"
#include "services/sink/elastic_runner.h"

static const struct epoch_id none = {0, 0};

static void test_fresh(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_open(bed, 0, 1);
	struct sink_answer *answer = bed_fence(port, 3);
	struct batch batch;

	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.fence, 3);
	assert_false(answer->frontier.started);
	assert_false(answer->surplus);
	assert_outcome(bed_set_cut(port, 3, 100), SINK_DONE);
	batch_open(&batch, 3, none, (struct epoch_id){3, 1}, 100);
	batch_row(&batch, "a/b \"c\" \xc3\xa9", "x\ty", 0);
	batch_row(&batch, "k2", NULL, 0);
	answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.last.attempt, 3);
	assert_int_equal(answer->frontier.last.n, 1);
	assert_int_equal(answer->frontier.counters.n[COUNTER_CONSUMED], 2);
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 2);
	batch_close(&batch);
	/* An epoch without rows moves the frontier, too. */
	batch_open(&batch, 3, (struct epoch_id){3, 1}, (struct epoch_id){3, 2}, 105);
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	assert_outcome(bed_touch(port, 3, (struct epoch_id){3, 2}), SINK_DONE);
	bed_close(bed, port);

	assert_int_equal(bed_count(bed, ""), 2);
	assert_int_equal(bed_ask(bed, "GET", "/%s/_doc/x", NULL), 404);
	assert_int_equal(bed_ask(bed, "GET", "/%s/_doc/a%2Fb%20%22c%22%20%C3%A9", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "1234.56"));
	assert_non_null(strstr(bed_answer(bed), "2024-01-15T10:00:00.123556+00:00"));
	assert_int_equal(bed_ask(bed, "GET", "/%s/_doc/k2", NULL), 200);
	assert_null(strstr(bed_answer(bed), "note"));

	port = bed_open(bed, 0, 1);
	answer = bed_fence(port, 4);
	assert_outcome(answer, SINK_DONE);
	assert_true(answer->frontier.started);
	assert_false(answer->frontier.regrouped);
	assert_int_equal(answer->frontier.fence, 4);
	assert_int_equal(answer->frontier.last.n, 2);
	assert_int_equal(cut_get(&answer->frontier.cut, 0, 0), 105);
	assert_int_equal(answer->frontier.counters.n[COUNTER_CONSUMED], 2);
	assert_string_equal(answer->frontier.fingerprint, bed->pipeline.fingerprint);
}

/* A fence is raised strictly, and a writer behind it commits nothing. */
static void test_zombie(void **state)
{
	struct bed *bed = *state;
	struct sink_port *old = bed_writer(bed, 1), *new = bed_open(bed, 0, 1);
	struct sink_answer *answer;
	struct batch batch;

	answer = bed_fence(new, 1);
	assert_outcome(answer, SINK_FENCED);
	assert_int_equal(answer->frontier.fence, 1);
	assert_outcome(bed_fence(new, 2), SINK_DONE);
	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 0);
	batch_row(&batch, "k", NULL, 0);
	answer = batch_commit(&batch, old);
	assert_outcome(answer, SINK_FENCED);
	assert_int_equal(answer->frontier.fence, 2);
	batch_close(&batch);
	assert_outcome(bed_touch(old, 1, none), SINK_FENCED);
	assert_outcome(bed_look(old, 1), SINK_FENCED);
	answer = bed_look(new, 2);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.last.n, 0);
	/* A predecessor that is none. */
	batch_open(&batch, 2, (struct epoch_id){2, 7}, (struct epoch_id){2, 8}, 0);
	assert_outcome(batch_commit(&batch, new), SINK_MOVED);
	batch_close(&batch);
}

/* Of a key the first record stays: within an epoch, from epoch to epoch, and when an epoch is sent again. */
static void test_repeats(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;

	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 0);
	batch_row(&batch, "a", "first", 0);
	batch_row(&batch, "b", "other", 0);
	batch_row(&batch, "a", "second", 0);
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 3);
	batch_close(&batch);
	bed_close(bed, port);
	/* As after a recovery: the epoch is cut otherwise. */
	port = bed_open(bed, 0, 1);
	assert_outcome(bed_fence(port, 2), SINK_DONE);
	batch_open(&batch, 2, (struct epoch_id){1, 1}, (struct epoch_id){2, 1}, 0);
	batch_row(&batch, "b", "again", 0);
	batch_row(&batch, "a", "again", 0);
	batch_row(&batch, "c", "new", 0);
	cut_set(&batch.handled, 0, 1); /* the first row was counted */
	answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_CONSUMED], 5);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 3);
	assert_int_equal(bed_ask(bed, "GET", "/%s/_doc/a", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "first"));
	assert_int_equal(bed_ask(bed, "GET", "/%s/_doc/b", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "other"));
}

/* Ids that Elasticsearch would refuse a whole request for. */
static void test_impossible_ids(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	char longest[513], longer[601];
	struct batch batch;

	/* 255 characters of three bytes are allowed in the pipeline file. */
	memset(longest, 'x', 512);
	longest[512] = '\0';
	for (size_t i = 0; i < 600; i += 3)
		memcpy(longer + i, "\xe2\x82\xac", 3);
	longer[600] = '\0';
	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 40);
	batch_row(&batch, longer, "lost?", 0);
	batch_row(&batch, longest, NULL, 0);
	batch_row(&batch, "", NULL, 0);
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 1);
	assert_int_equal(answer->frontier.counters.n[COUNTER_DEAD], 2);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 1);
	assert_int_equal(bed_count(bed, "-dead-letters"), 2);
	assert_int_equal(bed_ask(bed, "GET", "/%s-dead-letters/_doc/sales-0-40", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "id_too_long"));
	assert_non_null(strstr(bed_answer(bed), "lost?"));
	assert_int_equal(bed_ask(bed, "GET", "/%s-dead-letters/_doc/sales-0-42", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "id_empty"));
}

/* A date in the index is the event's. */
static void test_dated(void **state)
{
	struct bed *bed = *state;
	char settings[128];
	struct batch batch;

	(void)snprintf(settings, sizeof settings, "index: %s-%%Y.%%m", bed->name);
	bed_pipeline(bed, NULL, settings);
	struct sink_port *port = bed_writer(bed, 1);
	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 0);
	batch_row(&batch, "a", NULL, INT64_C(1706745599999999)); /* the last microsecond of January 2024 */
	batch_row(&batch, "b", NULL, INT64_C(1706745600000000));
	batch_row(&batch, "c", NULL, INT64_C(253402300799999999)); /* of the year 9999 */
	batch_row(&batch, "", NULL, 0);
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, "-2024.01"), 1);
	assert_int_equal(bed_count(bed, "-2024.02"), 1);
	assert_int_equal(bed_count(bed, "-9999.12"), 1);
	assert_int_equal(bed_count(bed, "-dead-letters"), 1);
	assert_int_equal(bed_ask(bed, "GET", "/_index_template/sluice-%s", NULL), 200);
	/* A second start leaves it alone. */
	bed_close(bed, port);
	assert_outcome(bed_fence(bed_open(bed, 0, 1), 2), SINK_DONE);
	(void)bed_ask(bed, "DELETE", "/_index_template/sluice-%s", NULL);
}

/* Fewer writers than before: what the others had done is reported, and forgotten only with the first commit. */
static void test_surplus(void **state)
{
	struct bed *bed = *state;
	struct sink_answer *answer;
	struct batch batch;

	for (uint32_t i = 0; i < 3; i++) {
		struct sink_port *port = bed_open(bed, i, 3);
		assert_outcome(bed_fence(port, 1), SINK_DONE);
		assert_outcome(bed_set_cut(port, 1, 300 - (int64_t)i * 100), SINK_DONE);
		bed_close(bed, port);
	}
	struct sink_port *port = bed_open(bed, 0, 1);
	answer = bed_fence(port, 2);
	assert_outcome(answer, SINK_DONE);
	assert_true(answer->frontier.regrouped);
	assert_int_equal(cut_get(&answer->frontier.cut, 0, 0), 300);
	assert_true(answer->surplus);
	assert_int_equal(cut_get(&answer->surplus_cut, 0, 0), 100);
	assert_outcome(bed_set_cut(port, 2, 100), SINK_DONE);
	/* Before the first commit they are still there, and are found again. */
	bed_close(bed, port);
	port = bed_open(bed, 0, 1);
	answer = bed_fence(port, 3);
	assert_outcome(answer, SINK_DONE);
	assert_false(answer->frontier.regrouped);
	assert_true(answer->surplus);
	batch_open(&batch, 3, none, (struct epoch_id){3, 1}, 100);
	batch_row(&batch, "a", NULL, 0);
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	assert_int_equal(bed_ask(bed, "GET", "/sluice-control/_doc/%s%2Fsearch.1", NULL), 404);
	assert_int_equal(bed_ask(bed, "GET", "/sluice-control/_doc/%s%2Fsearch.2", NULL), 404);
	bed_close(bed, port);
	port = bed_open(bed, 0, 1);
	answer = bed_fence(port, 4);
	assert_outcome(answer, SINK_DONE);
	assert_false(answer->surplus);
}

/* An index that has gone, and one that Elasticsearch made anew by itself. */
static void test_index_gone(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;

	assert_int_equal(bed_ask(bed, "DELETE", "/%s", NULL), 200);
	struct sink_answer *answer = bed_touch(port, 1, none);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "is gone");
	assert_says(answer, "sluicectl reset --job search --with-index --yes");
	/* The bulk request makes it, and the next look at it notices. */
	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 0);
	batch_row(&batch, "a", NULL, 0);
	(void)batch_commit(&batch, port);
	batch_close(&batch);
	answer = bed_look(port, 1);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "made anew");
	bed_close(bed, port);
	/* Another process knows it, too. */
	answer = bed_fence(bed_open(bed, 0, 1), 2);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "made anew");
	assert_int_equal(bed_ask(bed, "DELETE", "/%s", NULL), 200);
	answer = bed_fence(bed_open(bed, 0, 1), 3);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "is gone");
}

static void test_mapping_conflict(void **state)
{
	struct bed *bed = *state;

	assert_int_equal(
	    bed_ask(bed, "PUT", "/%s", "{\"mappings\":{\"properties\":{\"amount\":{\"type\":\"keyword\"}}}}"), 200);
	struct sink_answer *answer = bed_fence(bed_open(bed, 0, 1), 1);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "amount");
	assert_says(answer, "sinks.elasticsearch.index");
}

static void test_other_index(void **state)
{
	struct bed *bed = *state;
	char settings[128];

	bed_close(bed, bed_writer(bed, 1));
	(void)snprintf(settings, sizeof settings, "index: %s-other", bed->name);
	bed_pipeline(bed, NULL, settings);
	struct sink_answer *answer = bed_fence(bed_open(bed, 0, 1), 2);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "-other");
}

/* Every document is refused by a mapping that only Elasticsearch itself knows: a text is copied into a number. */
static void test_refused(void **state)
{
	struct bed *bed = *state;
	struct batch batch;
	char key[16];

	if (bed_is_fake())
		skip();
	struct sink_port *port = bed_writer(bed, 1);
	assert_int_equal(
	    bed_ask(bed, "PUT", "/%s/_mapping",
	        "{\"properties\":{\"note\":{\"type\":\"text\",\"copy_to\":\"number\",\"fields\":{\"keyword\":{"
	        "\"type\":\"keyword\",\"ignore_above\":256}}},\"number\":{\"type\":\"long\"}}}"),
	    200);
	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 0);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof key, "k%d", i);
		batch_row(&batch, key, "of no use", 0);
	}
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_DEAD], 1000);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, "-dead-letters"), 1000);
	assert_int_equal(bed_ask(bed, "GET", "/%s-dead-letters/_doc/sales-0-7", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "number"));
}

/* --- what others make of an index -------------------------------------------------------------------------------- */

/* body: between its parts stands the bed's name. */
static void ask_for(struct bed *bed, const char *method, const char *path, const char *const body[3])
{
	char text[1024];
	(void)snprintf(text, sizeof text, "%s%s%s%s%s", body[0], body[1] != NULL ? bed->name : "",
	    body[1] != NULL ? body[1] : "", body[2] != NULL ? bed->name : "", body[2] != NULL ? body[2] : "");
	long status = bed_ask(bed, method, path, text);
	if (status != 200)
		fail_msg("%s %s %s: %ld %s", method, path, text, status, bed_answer(bed));
}
#define WITH_NAME(...) ((const char *const[3]){__VA_ARGS__})

#define NOTE "\"note\":{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":256}}}"
#define AMOUNT "\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":100}"
#define FIELD(text) "{\"mappings\":{\"properties\":{" text "}}}"

/* As an index that is there before the job, and as somebody's template for it. said NULL: it is right. */
static const struct made_by_others {
	const char *body, *said;
} made_by_others[] = {
    {FIELD("\"amount\":{\"type\":\"float\"}"), "maps field \"amount\" with type = float, and scaled_float is needed"},
    {FIELD("\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":10}"), "scaling_factor = 10, and 100 is needed"},
    {FIELD("\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":100,\"index\":false}"),
        "\"amount\" with index = false"},
    {FIELD("\"amount\":{\"type\":\"scaled_float\",\"scaling_factor\":100,\"null_value\":1}"), "null_value = 1"},
    {FIELD("\"amount\":{\"properties\":{\"of\":{\"type\":\"long\"}}}"), "field \"amount\""},
    {FIELD("\"note\":{\"type\":\"keyword\"}"), "maps field \"note\" with type = keyword"},
    {FIELD("\"note\":{\"type\":\"text\",\"analyzer\":\"simple\"}"), "analyzer = simple"},
    {FIELD("\"at\":{\"type\":\"date\",\"format\":\"epoch_millis\"}"), "format = epoch_millis"},
    {FIELD("\"pieces\":{\"type\":\"long\",\"ignore_malformed\":true}"), "ignore_malformed = true"},
    {"{\"mappings\":{\"_source\":{\"enabled\":false}}}", "_source.enabled = false"},
    {"{\"mappings\":{\"_source\":{\"excludes\":[\"am*\"]}}}", "_source.excludes[0] = am*"},
    {"{\"mappings\":{\"_source\":{\"includes\":[\"id\"]}}}", "_source.includes[0] = id"},
    {"{\"mappings\":{\"_routing\":{\"required\":true}}}", "_routing.required = true"},
    {"{\"settings\":{\"index.default_pipeline\":\"p\"}}", "index.default_pipeline = p"},
    {"{\"settings\":{\"index.final_pipeline\":\"p\"}}", "index.final_pipeline = p"},
    {"{\"settings\":{\"index.mapping.ignore_malformed\":true}}", "ignore_malformed = true"},
    {"{\"settings\":{\"analysis\":{\"analyzer\":{\"default\":{\"type\":\"simple\"}}}}}", "analyzer.default"},
    {"{\"settings\":{\"index.default_pipeline\":\"_none\",\"number_of_replicas\":0}}", NULL},
    {FIELD("\"more\":{\"type\":\"float\"}," AMOUNT), NULL},
    {"{\"mappings\":{\"dynamic\":\"strict\",\"properties\":{" NOTE "}}}", NULL},
    {"{\"aliases\":{\"another-name-of-it\":{}}}", NULL},
};

/* An index that somebody has made before is taken as it is, or refused before anything is written. */
static void test_made_by_others(void **state)
{
	struct bed *bed = *state;

	if (bed_is_fake())
		skip();
	for (size_t i = 0; i < sizeof made_by_others / sizeof made_by_others[0]; i++) {
		const struct made_by_others *made = &made_by_others[i];
		print_message("%s\n", made->body);
		assert_int_equal(bed_ask(bed, "PUT", "/%s", made->body), 200);
		struct sink_port *port = bed_open(bed, 0, 1);
		struct sink_answer *answer = bed_fence(port, i + 1);
		assert_outcome(answer, made->said != NULL ? SINK_CONFIG : SINK_DONE);
		if (made->said != NULL)
			assert_says(answer, made->said);
		bed_close(bed, port);
		assert_int_equal(bed_ask(bed, "DELETE", "/%s", NULL), 200);
		(void)bed_ask(bed, "DELETE", "/sluice-control/_doc/index:%s", NULL);
	}
}

/* A template of a higher priority than ours for the names of a dated index: what it says of our fields does not count, for the
 * index is made with ours; whatever else it does to documents is found before the first one is written. */
static void test_template_of_others(void **state)
{
	struct bed *bed = *state;
	char settings[128], body[1024];
	struct batch batch;

	if (bed_is_fake())
		skip();
	(void)snprintf(settings, sizeof settings, "index: %s-%%Y.%%m", bed->name);
	bed_pipeline(bed, NULL, settings);
	for (size_t i = 0; i < sizeof made_by_others / sizeof made_by_others[0]; i++) {
		const struct made_by_others *made = &made_by_others[i];
		print_message("%s\n", made->body);
		(void)snprintf(body, sizeof body, "{\"index_patterns\":[\"%s-2*\"],\"priority\":500,\"template\":%s}",
		    bed->name, made->body);
		assert_int_equal(bed_ask(bed, "PUT", "/_index_template/others-%s", body), 200);
		struct sink_port *port = bed_writer(bed, i + 1);
		batch_open(&batch, i + 1, none, (struct epoch_id){i + 1, 1}, 0);
		batch_row(&batch, "k", "x", 0);
		batch.transaction.predecessor = (struct epoch_id){0, 0};
		struct sink_answer *answer = batch_commit(&batch, port);
		batch_close(&batch);
		bool fields = strncmp(made->body, FIELD(""), sizeof "{\"mappings\":{\"properties\":{" - 1) == 0;
		if (answer->outcome == SINK_DONE) {
			assert_true(made->said == NULL || fields);
			assert_int_equal(bed_ask(bed, "GET", "/%s-2024.01/_mapping/field/amount", NULL), 200);
			assert_non_null(strstr(bed_answer(bed), "scaled_float"));
		} else {
			assert_outcome(answer, SINK_CONFIG);
			assert_non_null(made->said);
			/* What cannot stand beside our mapping at all, Elasticsearch refuses itself. */
			if (strstr(answer->error.text, "can't merge") == NULL)
				assert_says(answer, made->said);
			assert_int_equal(bed_count(bed, "-2024.01"), 0);
		}
		bed_close(bed, port);
		(void)bed_ask(bed, "DELETE", "/sluice-control/_doc/%s%2Fsearch.0", NULL);
		(void)bed_ask(bed, "DELETE", "/%s-2024.01", NULL);
		assert_int_equal(bed_ask(bed, "DELETE", "/_index_template/others-%s", NULL), 200);
	}
	(void)bed_ask(bed, "DELETE", "/_index_template/sluice-%s", NULL);
}

/* With a rollover every document would be there twice. */
static void test_alias(void **state)
{
	struct bed *bed = *state;
	struct batch batch;

	if (bed_is_fake())
		skip();
	ask_for(bed, "PUT", "/%s-000001", WITH_NAME("{\"aliases\":{\"", "\":{\"is_write_index\":true}}}"));
	struct sink_port *port = bed_open(bed, 0, 1);
	struct sink_answer *answer = bed_fence(port, 1);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "is no index, but an alias of ");
	assert_int_equal(bed_ask(bed, "DELETE", "/%s-000001", NULL), 200);
	/* While it runs. */
	assert_outcome(bed_fence(port, 2), SINK_DONE);
	assert_outcome(bed_set_cut(port, 2, 0), SINK_DONE);
	assert_int_equal(bed_ask(bed, "PUT", "/%s-000001", FIELD("")), 200);
	assert_int_equal(bed_ask(bed, "DELETE", "/%s", NULL), 200);
	ask_for(bed, "POST", "/_aliases",
	    WITH_NAME("{\"actions\":[{\"add\":{\"alias\":\"", "\",\"index\":\"", "-000001\"}}]}"));
	answer = bed_touch(port, 2, none);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "is no index, but an alias of ");
	/* Of a name with a date, when its first document comes. */
	bed_close(bed, port);
	assert_int_equal(bed_ask(bed, "DELETE", "/%s-000001", NULL), 200);
	assert_int_equal(bed_ask(bed, "DELETE", "/sluice-control/_doc/%s%2Fsearch.0", NULL), 200);
	char settings[128];
	(void)snprintf(settings, sizeof settings, "index: %s-%%Y.%%m", bed->name);
	bed_pipeline(bed, NULL, settings);
	ask_for(bed, "PUT", "/%s-000001", WITH_NAME("{\"aliases\":{\"", "-2024.01\":{\"is_write_index\":true}}}"));
	port = bed_writer(bed, 3);
	batch_open(&batch, 3, none, (struct epoch_id){3, 1}, 0);
	batch_row(&batch, "k", "x", 0);
	answer = batch_commit(&batch, port);
	batch_close(&batch);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "is no index, but an alias of ");
	assert_int_equal(bed_count(bed, "-000001"), 0);
	(void)bed_ask(bed, "DELETE", "/_index_template/sluice-%s", NULL);
}

/* What somebody does to an index while it is written to is found within seconds, and an idle writer looks, too. */
static void test_changed_meanwhile(void **state)
{
	struct bed *bed = *state;

	if (bed_is_fake())
		skip();
	struct sink_port *port = bed_writer(bed, 1);
	assert_int_equal(bed_ask(bed, "PUT", "/%s/_settings", "{\"index.final_pipeline\":\"p\"}"), 200);
	struct sink_answer *answer = bed_touch(port, 1, none);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "final_pipeline");
	assert_int_equal(bed_ask(bed, "PUT", "/%s/_settings", "{\"index.final_pipeline\":null}"), 200);
	assert_outcome(bed_fence(port, 2), SINK_DONE);
	assert_int_equal(bed_ask(bed, "POST", "/%s/_close", NULL), 200);
	answer = bed_touch(port, 2, none);
	assert_outcome(answer, SINK_UNKNOWN);
	assert_says(answer, "is closed");
	assert_int_equal(bed_ask(bed, "POST", "/%s/_open", NULL), 200);
	assert_outcome(bed_touch(port, 2, none), SINK_DONE);
}

/* A person has to undo it, and is told how, also while there is nothing to write. */
static void test_shut_meanwhile(void **state)
{
	static const char *const behind[] = {"", "-dead-letters"};
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	char path[64], words[160];

	for (uint64_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof path, "/%%s%s/_close", behind[i]);
		assert_int_equal(bed_ask(bed, "POST", path, NULL), 200);
		(void)snprintf(words, sizeof words, "is closed: POST /%s%s/_open", bed->name, behind[i]);
		for (int j = 0; j < 3; j++) {
			struct sink_answer *found = j == 0   ? bed_touch(port, 2 * i + 1, none)
			                            : j == 1 ? bed_look(port, 2 * i + 1)
			                                     : bed_fence(port, 2 * i + 2);
			assert_outcome(found, SINK_UNKNOWN);
			assert_says(found, words);
		}
		(void)snprintf(path, sizeof path, "/%%s%s/_open", behind[i]);
		assert_int_equal(bed_ask(bed, "POST", path, NULL), 200);
		assert_outcome(bed_fence(port, 2 * i + 3), SINK_DONE);
		assert_outcome(bed_touch(port, 2 * i + 3, none), SINK_DONE);
	}
	assert_int_equal(
	    bed_ask(bed, "PUT", "/%s/_settings", "{\"blocks\":{\"read_only_allow_delete\":\"true\"}}"), 200);
	struct sink_answer *answer = bed_touch(port, 5, none);
	assert_outcome(answer, SINK_UNKNOWN);
	assert_says(answer, "is read-only, as a disk is nearly full: PUT /");
	assert_int_equal(bed_ask(bed, "PUT", "/%s/_settings", "{\"blocks\":{\"read_only_allow_delete\":null}}"), 200);
	assert_outcome(bed_touch(port, 5, none), SINK_DONE);
}

/* Deleted, and made by somebody's template in another shape: the first message leads past both. */
static void test_made_anew_otherwise(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);

	assert_int_equal(bed_ask(bed, "DELETE", "/%s", NULL), 200);
	assert_int_equal(
	    bed_ask(bed, "PUT", "/%s", "{\"mappings\":{\"properties\":{\"amount\":{\"type\":\"float\"}}}}"), 200);
	struct sink_answer *answer = bed_touch(port, 1, none);
	for (int i = 0; i < 2; i++) {
		assert_outcome(answer, SINK_CONFIG);
		assert_says(answer, "maps field \"amount\" with type = float");
		assert_says(answer, "sluicectl reset --job search --with-index --yes");
		answer = bed_fence(bed_open(bed, 0, 1), 2);
	}
}

/* An index, with or without a date, and that of dead letters, belong to the job that came first. */
static void test_index_of_another(void **state)
{
	struct bed *bed = *state;
	struct bed other = {.name = "", .ports_len = 0};
	char settings[128];
	static const char *const behind[] = {"", "-dead-letters", "-%Y.%m"};

	bed_close(bed, bed_writer(bed, 1));
	(void)snprintf(other.name, sizeof other.name, "%.50s-b", bed->name);
	for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
		(void)snprintf(settings, sizeof settings, "index: %s%s", bed->name, behind[i]);
		bed_pipeline(&other, NULL, settings);
		struct sink_port *port = bed_open(&other, 0, 1);
		struct sink_answer *answer = bed_fence(port, i + 1);
		assert_outcome(answer, SINK_CONFIG);
		assert_says(answer, "belongs to job");
		assert_says(answer, "sinks.elasticsearch.index");
		bed_close(&other, port);
	}
	assert_outcome(bed_fence(bed_open(bed, 0, 1), 2), SINK_DONE);
	pipeline_fini(&other.pipeline);
}

/* Of two who have read that there is none, and of two who have read the first one (its _seq_no is 0), one notices the other. */
static void test_control_race(void **state)
{
	struct bed *bed = *state;
	struct controls controls = {.http = &bed->http, .request = &bed->request, .job = "race/search"};
	struct control a = {.exists = false}, b = {.exists = false};
	struct error error;

	(void)bed_ask(bed, "DELETE", "/sluice-control", NULL);
	bed_close(bed, bed_open(bed, 0, 1));
	a.writers = b.writers = 1;
	a.fence = 1;
	b.fence = 2;
	assert_int_equal(control_write(&controls, 0, &a, &error), SINK_DONE);
	assert_int_equal(a.seq_no, 0);
	assert_int_equal(control_write(&controls, 0, &b, &error), SINK_MOVED);
	control_fini(&b);
	assert_int_equal(control_read(&controls, 0, &b, &error), SINK_DONE);
	assert_int_equal(b.seq_no, 0);
	a.fence = 3;
	assert_int_equal(control_write(&controls, 0, &a, &error), SINK_DONE);
	b.fence = 4;
	assert_int_equal(control_write(&controls, 0, &b, &error), SINK_MOVED);
	control_fini(&b);
	assert_int_equal(control_read(&controls, 0, &b, &error), SINK_DONE);
	assert_int_equal(b.fence, 3);
	control_fini(&a);
	control_fini(&b);
	(void)bed_ask(bed, "DELETE", "/sluice-control", NULL);
}

/* Another one waits while this one is at work, goes on at once where it is the same one again, and takes over from silence. */
static void test_other_coordinator(void **state)
{
	struct bed *bed = *state;
	struct sink_port *first = bed_open_for(bed, "tcp://a:1"), *other = bed_open_for(bed, "tcp://b:\"1\"");
	struct sink_port *again = bed_open_for(bed, "tcp://a:1");

	assert_outcome(bed_fence(first, 1), SINK_DONE);
	assert_outcome(bed_set_cut(first, 1, 0), SINK_DONE);
	assert_outcome(bed_fence(other, 2), SINK_UNKNOWN);
	assert_outcome(bed_fence(again, 3), SINK_DONE);
	assert_outcome(bed_set_cut(again, 3, 0), SINK_DONE);
	struct sink_answer *answer = bed_fence(other, 4);
	assert_outcome(answer, SINK_UNKNOWN);
	assert_says(answer, "is run by another coordinator, tcp://a:1. End one of the two");
	uint64_t seen_us = clock_monotonic_us(), changed_us = seen_us;
	while (changed_us - seen_us < (RUNNER_SILENCE_MS + 2000) * 1000ULL) {
		assert_outcome(bed_touch(again, 3, none), SINK_DONE);
		changed_us = clock_monotonic_us();
		assert_outcome(bed_fence(other, 4), SINK_UNKNOWN);
		(void)usleep(1000000);
	}
	do {
		(void)usleep(200000);
		answer = bed_fence(other, 4);
		seen_us = clock_monotonic_us();
	} while (answer->outcome == SINK_UNKNOWN && seen_us - changed_us < 2 * RUNNER_SILENCE_MS * 1000ULL);
	assert_outcome(answer, SINK_DONE);
	assert_true(seen_us - changed_us >= RUNNER_SILENCE_MS * 1000ULL);
	assert_outcome(bed_touch(again, 3, none), SINK_FENCED);
	/* The other way round, and what was not told is not waited for. */
	assert_outcome(bed_fence(first, 5), SINK_UNKNOWN);
	assert_outcome(bed_fence(bed_open(bed, 0, 1), 6), SINK_DONE);
	assert_outcome(bed_fence(first, 7), SINK_DONE);
}

static void test_read_only(void **state)
{
	struct bed *bed = *state;
	struct batch batch;

	if (bed_is_fake())
		skip();
	struct sink_port *port = bed_writer(bed, 1);
	assert_int_equal(bed_ask(bed, "PUT", "/%s/_settings", "{\"index.blocks.write\":true}"), 200);
	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 0);
	batch_row(&batch, "a", NULL, 0);
	uint64_t began_us = clock_monotonic_us();
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_UNKNOWN);
	assert_says(answer, "cluster_block_exception");
	assert_true(clock_monotonic_us() - began_us < 10000000);
	assert_int_equal(bed_ask(bed, "PUT", "/%s/_settings", "{\"index.blocks.write\":null}"), 200);
	assert_outcome(bed_look(port, 1), SINK_DONE);
	batch.transaction.marks = &bed_marks;
	sink_start(port, SINK_COMMIT, .transaction = &batch.transaction);
	assert_outcome(sink_await(port), SINK_DONE);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 1);
}

/* Many documents in several requests; a request at most as large as it may be. */
static void test_many(void **state)
{
	struct bed *bed = *state;
	struct batch batch;
	char key[24];

	bed_pipeline(bed, NULL, "max_batch_bytes: 64KiB, max_requests: 4, compression: gzip");
	struct sink_port *port = bed_writer(bed, 1);
	batch_open(&batch, 1, none, (struct epoch_id){1, 1}, 0);
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(key, sizeof key, "key-%d", i % 4000);
		batch_row(&batch, key, "0123456789 0123456789 0123456789", 0);
	}
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 4000);
}

/* A new attempt, as often as it takes: the server may be away. */
static struct sink_port *walk_open(struct bed *bed, uint64_t *attempt, struct epoch_id last)
{
	struct sink_port *port = bed_open(bed, 0, 1);
	struct sink_answer *answer;

	do {
		answer = bed_fence(port, ++*attempt);
		if (answer->outcome == SINK_DONE && !answer->frontier.started)
			answer = bed_set_cut(port, *attempt, 0);
		if (answer->outcome == SINK_UNKNOWN)
			usleep(50000); /* as the writer backs off */
	} while (answer->outcome == SINK_UNKNOWN || answer->outcome == SINK_FENCED);
	assert_outcome(answer, SINK_DONE);
	assert_true(epoch_equal(answer->frontier.last, last));
	return port;
}

/* --- a walk ------------------------------------------------------------------------------------------------------ */

enum { WALK_EPOCHS = 60, WALK_ROWS = 400, WALK_KEYS = 10000 };

struct walk {
	struct bed *bed;
	struct sink_port *port;
	uint64_t attempt, rows, keys;
	struct epoch_id last; /* the epoch last made */
	unsigned seed;
	uint64_t first[WALK_KEYS]; /* by key: the number of its first record, plus 1 */
};

static unsigned walk_choose(struct walk *walk, unsigned below)
{
	return (unsigned)rand_r(&walk->seed) % below;
}

static void walk_batch(struct walk *walk, struct batch *batch)
{
	char key[24], note[24];

	batch_open(
	    batch, walk->attempt, walk->last, (struct epoch_id){walk->attempt, walk->last.n + 1}, (int64_t)walk->rows);
	for (int i = 0; i < WALK_ROWS; i++) {
		unsigned which = walk_choose(walk, WALK_KEYS);
		walk->rows++;
		(void)snprintf(key, sizeof key, "key-%u", which);
		(void)snprintf(note, sizeof note, "record %" PRIu64 ".", walk->rows);
		batch_row(batch, key, note, 0);
		walk->keys += walk->first[which] == 0;
		if (walk->first[which] == 0)
			walk->first[which] = walk->rows;
	}
	walk->last = batch->transaction.epoch;
}

static void walk_fault(struct walk *walk)
{
	static const char *const faults[] = {"\"busy\"", "\"items_busy\"", "502", "503", "\"cut\"", "\"lost\"",
	    "\"half\"", "\"garbage\"", "\"fewer\"", "\"items_500\"", "\"read_only\""};
	enum { FAULTS = sizeof faults / sizeof faults[0] };
	const char *one = faults[walk_choose(walk, FAULTS)], *other = faults[walk_choose(walk, FAULTS)];
	const char *control = walk_choose(walk, 2) ? "lost" : "cut";
	char json[256];

	(void)snprintf(json, sizeof json,
	    "{\"faults\":[{\"on\":\"bulk\",\"do\":%s},{\"on\":\"bulk\",\"do\":%s},{\"on\":\"control\",\"do\":\"%s\"}]}",
	    one, other, control);
	if (walk_choose(walk, 3) && bed_is_fake())
		bed_fault(walk->bed, json);
}

/* As a writer does it. */
static void walk_commit(struct walk *walk, struct batch *batch)
{
	struct sink_answer *answer = batch_commit(batch, walk->port);

	while (answer->outcome == SINK_UNKNOWN) {
		answer = bed_look(walk->port, walk->attempt);
		if (answer->outcome != SINK_DONE || epoch_equal(answer->frontier.last, batch->transaction.epoch))
			continue;
		batch->transaction.marks = &bed_marks;
		sink_start(walk->port, SINK_COMMIT, .transaction = &batch->transaction);
		answer = sink_await(walk->port);
	}
	assert_outcome(answer, SINK_DONE);
	assert_true(epoch_equal(answer->frontier.last, batch->transaction.epoch));
	assert_int_equal(answer->frontier.counters.n[COUNTER_CONSUMED], batch->offset);
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], batch->offset);
}

static void walk_prove(struct walk *walk)
{
	assert_int_equal(bed_count(walk->bed, ""), walk->keys);
	assert_int_equal(bed_count(walk->bed, "-dead-letters"), 0);
	for (int key = 0; key < WALK_KEYS; key += 7) {
		char path[64], note[24];
		(void)snprintf(path, sizeof path, "/%%s/_doc/key-%d", key);
		(void)snprintf(note, sizeof note, "record %" PRIu64 ".", walk->first[key]);
		assert_int_equal(bed_ask(walk->bed, "GET", path, NULL), walk->first[key] ? 200 : 404);
		assert_true(walk->first[key] == 0 || strstr(bed_answer(walk->bed), note) != NULL);
	}
}

/* In the end every key is there once, as its first record says, and every record is counted. The stand-in misbehaves on the way; to
 * a real server a person may do what he likes meanwhile. */
static void test_walk(void **state)
{
	static struct walk walk;
	const char *more = getenv("SLUICE_TEST_EPOCHS");
	uint64_t epochs = more ? strtoull(more, NULL, 10) : WALK_EPOCHS;
	struct batch batches[2];

	walk = (struct walk){.bed = *state, .seed = 7};
	bed_pipeline(walk.bed, NULL, "max_batch_bytes: 64KiB, max_requests: 3");
	walk.port = walk_open(walk.bed, &walk.attempt, none);
	walk_batch(&walk, &batches[0]);
	for (uint64_t n = 1; n <= epochs; n++) {
		struct batch *batch = &batches[(n + 1) % 2], *next = &batches[n % 2];
		bool afresh = n % 10 == 0, known = !afresh && walk_choose(&walk, 4) > 0;
		if (known) {
			walk_batch(&walk, next);
			batch_next(batch, next);
		}
		walk_fault(&walk);
		walk_commit(&walk, batch);
		batch_close(batch);
		if (afresh) {
			bed_close(walk.bed, walk.port);
			walk.port = walk_open(walk.bed, &walk.attempt, walk.last);
		}
		if (!known)
			walk_batch(&walk, next);
	}
	walk_commit(&walk, &batches[epochs % 2]);
	batch_close(&batches[epochs % 2]);
	walk_prove(&walk);
}

int main(void)
{
#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	static const struct CMUnitTest tests[] = {
	    BED_TEST(test_fresh),
	    BED_TEST(test_zombie),
	    BED_TEST(test_repeats),
	    BED_TEST(test_impossible_ids),
	    BED_TEST(test_dated),
	    BED_TEST(test_surplus),
	    BED_TEST(test_index_gone),
	    BED_TEST(test_mapping_conflict),
	    BED_TEST(test_other_index),
	    BED_TEST(test_refused),
	    BED_TEST(test_made_by_others),
	    BED_TEST(test_template_of_others),
	    BED_TEST(test_alias),
	    BED_TEST(test_changed_meanwhile),
	    BED_TEST(test_shut_meanwhile),
	    BED_TEST(test_made_anew_otherwise),
	    BED_TEST(test_index_of_another),
	    BED_TEST(test_control_race),
	    BED_TEST(test_other_coordinator),
	    BED_TEST(test_read_only),
	    BED_TEST(test_many),
	    BED_TEST(test_walk),
	};
	if (getenv("SLUICE_TEST_ONLY") != NULL)
		cmocka_set_test_filter(getenv("SLUICE_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
