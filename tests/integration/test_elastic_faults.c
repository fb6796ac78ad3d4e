/* Whatever Elasticsearch or the network do: no document is dropped, none is counted twice, and a person is told. Against
 * elastic_fake.py, which does it. */
#include "tests/integration/elastic_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/timestamp.h"

static const struct epoch_id none = {0, 0};

static void fill(struct batch *batch, int first, int count, const char *note)
{
	char key[24];

	for (int i = first; i < first + count; i++) {
		(void)snprintf(key, sizeof key, "key-%d", i);
		batch_row(batch, key, note, 0);
	}
}

/* An epoch 1.1 of so many rows, as a first try. */
static void epoch_open(struct batch *batch, int count)
{
	batch_open(batch, 1, none, (struct epoch_id){1, 1}, 0);
	fill(batch, 0, count, "0123456789 0123456789");
}

static long seen(struct bed *bed, const char *what)
{
	char key[32];
	const char *found;

	(void)snprintf(key, sizeof key, "\"%s\": ", what);
	assert_int_equal(bed_ask(bed, "GET", "/_fake", NULL), 200);
	found = strstr(bed_answer(bed), key);
	assert_non_null(found);
	return strtol(found + strlen(key), NULL, 10);
}

/* What goes by is waited for inside the commit. */
static void test_passing(void **state)
{
	static const char *const faults[] = {"\"busy\"", "\"items_busy\"", "502", "503", "\"cut\"", "\"lost\"",
	    "\"half\"", "\"garbage\"", "\"fewer\"", "\"items_500\""};
	struct bed *bed = *state;

	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
		struct batch batch;
		char json[128];
		uint64_t attempt = 2 * i + 1;
		bed_pipeline(bed, NULL, i % 2 ? NULL : "max_batch_bytes: 64KiB, max_requests: 3");
		struct sink_port *port = bed_writer(bed, attempt);
		struct epoch_id last = bed_look(port, attempt)->frontier.last;
		(void)snprintf(json, sizeof json, "{\"faults\":[{\"on\":\"bulk\",\"do\":%s,\"times\":4}]}", faults[i]);
		bed_fault(bed, json);
		batch_open(&batch, attempt, last, (struct epoch_id){attempt, 1}, (int64_t)i * 1000);
		fill(&batch, (int)i * 1000, 1000, "0123456789 0123456789 0123456789");
		struct sink_answer *answer = batch_commit(&batch, port);
		if (answer->outcome != SINK_DONE)
			fail_msg("%s: %s", faults[i], answer->error.text);
		assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], (i + 1) * 1000);
		assert_int_equal(seen(bed, "faults_left"), 0);
		batch_close(&batch);
		bed_close(bed, port);
		assert_int_equal(bed_count(bed, ""), (i + 1) * 1000);
	}
	assert_true(seen(bed, "busy") > 4);
}

/* No request is larger than it may be. */
static void test_batches(void **state)
{
	struct bed *bed = *state;
	struct batch batch;
	long requests = seen(bed, "bulk"), too_large = seen(bed, "too_large");

	bed_pipeline(bed, NULL, "max_batch_bytes: 64KiB");
	bed_fault(bed, "{\"settings\":{\"max_body\":65536}}");
	struct sink_port *port = bed_writer(bed, 1);
	epoch_open(&batch, 3000);
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	assert_int_equal(seen(bed, "too_large"), too_large);
	/* And hardly smaller: each of these documents takes 150 bytes or a little more. */
	assert_in_range(seen(bed, "bulk") - requests, 3000 * 140 / 65536, 3000 * 180 / 65536 + 2);
	assert_int_equal(bed_count(bed, ""), 3000);
}

/* Requests become as small as is wanted, and a document that is too large even alone is a dead letter. */
static void test_too_large(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;
	char large[8000];

	bed_fault(bed, "{\"settings\":{\"max_body\":5000}}");
	memset(large, 'x', sizeof large);
	large[sizeof large - 1] = '\0';
	epoch_open(&batch, 500);
	batch_row(&batch, "large", large, 0);
	fill(&batch, 500, 100, NULL);
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 600);
	assert_int_equal(answer->frontier.counters.n[COUNTER_DEAD], 1);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 600);
	/* Its letter was too large as well, and was sent without the whole document. */
	assert_int_equal(bed_ask(bed, "GET", "/%s-dead-letters/_doc/sales-0-500", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "\"document_bytes\": 8"));
}

/* A server that is not away, only slow: as many documents as it takes within the timeout get through, and none is lost. */
static void test_too_slow(void **state)
{
	struct bed *bed = *state;
	struct batch batch;

	bed_pipeline(bed, NULL, "timeout: 1s");
	struct sink_port *port = bed_writer(bed, 1);
	bed_fault(bed, "{\"settings\":{\"max_in_time\":20000,\"late_seconds\":1.5}}");
	epoch_open(&batch, 1000);
	struct sink_answer *answer = batch_commit(&batch, port);
	for (int tries = 0; tries < 4 && answer->outcome == SINK_UNKNOWN; tries++) /* as the writer does */
		answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 1000);
	batch_close(&batch);
	assert_true(seen(bed, "late") > 0);
	assert_int_equal(bed_count(bed, ""), 1000);
}

/* Refused for good: its letter says why, and of a key the next record has its turn. */
static void test_refused_items(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;

	epoch_open(&batch, 10);
	batch_row(&batch, "a", "poison", 0);
	batch_row(&batch, "a", "poison again", 0);
	batch_row(&batch, "a", "good", 0);
	batch_row(&batch, "a", "later", 0);
	batch_row(&batch, "b", "poison", 0);
	bed_fault(bed, "{\"faults\":[{\"on\":\"bulk\",\"do\":\"lost\",\"times\":3}]}");
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_CONSUMED], 15);
	assert_int_equal(answer->frontier.counters.n[COUNTER_DEAD], 3);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 11);
	assert_int_equal(bed_count(bed, "-dead-letters"), 3);
	assert_int_equal(bed_ask(bed, "GET", "/%s/_doc/a", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "good"));
	assert_int_equal(bed_ask(bed, "GET", "/%s-dead-letters/_doc/sales-0-11", NULL), 200);
	assert_non_null(strstr(bed_answer(bed), "mapper_parsing_exception"));
	assert_non_null(strstr(bed_answer(bed), "failed to parse field [x]: For input string"));
	assert_non_null(strstr(bed_answer(bed), "poison again"));
}

/* The same records in one epoch, in two, in three...: the same documents, letters and counters. */
static void test_any_cut(void **state)
{
	static const char *const notes[] = {"poison", "first", "poison too", "second", "poison three", "third"};
	enum { ROWS = sizeof notes / sizeof notes[0] };
	struct bed *bed = *state;

	for (uint64_t attempt = 1; attempt <= ROWS; attempt++) {
		size_t per_epoch = ROWS / attempt, done = 0;
		struct epoch_id last = none;
		struct sink_port *port = bed_writer(bed, attempt);
		struct sink_answer *answer = NULL;
		for (uint64_t n = 1; n <= attempt; n++) {
			struct batch batch;
			size_t end = n == attempt ? ROWS : done + per_epoch;
			batch_open(&batch, attempt, last, (struct epoch_id){attempt, n}, (int64_t)done);
			for (; done < end; done++)
				batch_row(&batch, "k", notes[done], 0);
			answer = batch_commit(&batch, port);
			assert_outcome(answer, SINK_DONE);
			last = batch.transaction.epoch;
			batch_close(&batch);
		}
		assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 3);
		assert_int_equal(answer->frontier.counters.n[COUNTER_DEAD], 3);
		assert_int_equal(bed_count(bed, ""), 1);
		assert_int_equal(bed_count(bed, "-dead-letters"), 3);
		assert_int_equal(bed_ask(bed, "GET", "/%s/_doc/k", NULL), 200);
		assert_non_null(strstr(bed_answer(bed), "first"));
		bed_close(bed, port);
		assert_int_equal(bed_ask(bed, "DELETE", "/sluice-control", NULL), 200);
		assert_int_equal(bed_ask(bed, "DELETE", "/%s", NULL), 200);
		assert_int_equal(bed_ask(bed, "DELETE", "/%s-dead-letters", NULL), 200);
	}
}

/* The next epoch's documents are on their way before its turn, those of this epoch's keys are not, and none is lost where something
 * goes wrong meanwhile. */
static void test_next(void **state)
{
	static const char *const faults[] = {"", "{\"on\":\"bulk\",\"do\":\"items_busy\",\"times\":3}",
	    "{\"on\":\"bulk\",\"do\":\"lost\",\"times\":4}", "{\"on\":\"control\",\"do\":\"busy\"}",
	    "{\"on\":\"control\",\"do\":\"lost\",\"times\":2}",
	    "{\"on\":\"control\",\"do\":\"busy\"},{\"on\":\"bulk\",\"do\":\"half\",\"times\":2}"};
	enum { CASES = sizeof faults / sizeof faults[0] };
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct epoch_id last = none;

	for (int i = 0; i < CASES; i++) {
		struct batch batches[2];
		char json[256], key[24];
		(void)snprintf(key, sizeof key, "twice-%d", i);
		for (int j = 0; j < 2; j++) {
			batch_open(&batches[j], 1, last, (struct epoch_id){1, last.n + 1}, i * 100 + j * 50);
			fill(&batches[j], i * 100 + j * 40, 40, NULL);
			batch_row(&batches[j], key, j == 0 ? "first" : "second", 0);
			batch_row(&batches[j], "poisoned", "poison", 0);
			last = batches[j].transaction.epoch;
		}
		batch_next(&batches[0], &batches[1]);
		(void)snprintf(json, sizeof json, "{\"faults\":[%s]}", faults[i]);
		bed_fault(bed, json);
		for (int j = 0; j < 2; j++) {
			struct sink_answer *answer = batch_commit(&batches[j], port);
			while (answer->outcome == SINK_UNKNOWN) {
				answer = bed_look(port, 1);
				if (answer->outcome != SINK_DONE ||
				    epoch_equal(answer->frontier.last, batches[j].transaction.epoch))
					continue;
				sink_start(port, SINK_COMMIT, .transaction = &batches[j].transaction);
				answer = sink_await(port);
			}
			assert_outcome(answer, SINK_DONE);
			assert_true(epoch_equal(answer->frontier.last, batches[j].transaction.epoch));
			assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], (2 * i + j + 1) * 41);
			assert_int_equal(answer->frontier.counters.n[COUNTER_DEAD], 2 * i + j + 1);
		}
		bed_fault(bed, "{\"clear\":true}");
		batch_close(&batches[0]);
		batch_close(&batches[1]);
		(void)snprintf(json, sizeof json, "/%%s/_doc/twice-%d", i);
		assert_int_equal(bed_ask(bed, "GET", json, NULL), 200);
		assert_non_null(strstr(bed_answer(bed), "first"));
	}
	assert_int_equal(bed_count(bed, ""), CASES * 81);
	assert_int_equal(bed_count(bed, "-dead-letters"), CASES * 2);
}

/* A whole request that is refused for one of its documents: that one is named, and nobody becomes a dead letter for it. */
static void test_refused_request(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;

	bed_fault(bed, "{\"settings\":{\"bad_id\":\"key-77\"}}");
	epoch_open(&batch, 200);
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "record sales/0/77");
	batch_close(&batch);
	assert_int_equal(bed_count(bed, "-dead-letters"), 0);
}

/* What lasts is said, within seconds; the epoch is sent again when the writer asks again. */
static void outlast(struct bed *bed, const char *fault, const char *words)
{
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;
	char json[128];

	(void)snprintf(json, sizeof json, "{\"faults\":[{\"on\":\"bulk\",\"do\":%s,\"times\":1000}]}", fault);
	bed_fault(bed, json);
	epoch_open(&batch, 300);
	uint64_t began_us = clock_monotonic_us();
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_UNKNOWN);
	assert_says(answer, words);
	assert_true(clock_monotonic_us() - began_us < 8000000);
	bed_fault(bed, "{\"clear\":true}");
	answer = bed_look(port, 1);
	assert_outcome(answer, SINK_DONE);
	assert_true(epoch_equal(answer->frontier.last, none));
	sink_start(port, SINK_COMMIT, .transaction = &batch.transaction);
	answer = sink_await(port);
	assert_outcome(answer, SINK_DONE);
	assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], 300);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 300);
}

static void test_lasting_read_only(void **state)
{
	outlast(*state, "\"read_only\"", "cluster_block_exception");
}

static void test_lasting_read_only_items(void **state)
{
	outlast(*state, "\"items_read_only\"", "FORBIDDEN/8");
}

static void test_lasting_busy(void **state)
{
	outlast(*state, "\"busy\"", "429");
}

static void test_lasting_gateway(void **state)
{
	outlast(*state, "502", "502");
}

/* The half that is taken is not sent again; with the other half it gets on, and does not give up. */
static void test_half_busy(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;
	long before = seen(bed, "busy");

	bed_fault(bed, "{\"faults\":[{\"on\":\"bulk\",\"do\":\"items_busy\",\"times\":8}]}");
	epoch_open(&batch, 256);
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, ""), 256);
	assert_true(seen(bed, "busy") - before <= 128 + 64 + 32 + 16 + 8 + 4 + 2 + 1);
}

/* The control document's answer: lost after it was written, or before; the look decides. */
static void test_control(void **state)
{
	static const struct {
		const char *fault;
		bool written;
	} cases[] = {{"lost", true}, {"garbage", true}, {"busy", false}, {"read_only", false}};
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct epoch_id last = none;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct batch batch;
		char json[128];
		struct epoch_id epoch = {1, i + 1};
		batch_open(&batch, 1, last, epoch, (int64_t)i * 10);
		fill(&batch, (int)i * 10, 10, NULL);
		/* libcurl itself sends once more what a kept connection did not answer. */
		(void)snprintf(json, sizeof json, "{\"faults\":[{\"on\":\"control\",\"do\":\"%s\",\"times\":%d}]}",
		    cases[i].fault, strcmp(cases[i].fault, "lost") == 0 ? 2 : 1);
		bed_fault(bed, json);
		struct sink_answer *answer = batch_commit(&batch, port);
		bed_fault(bed, "{\"clear\":true}");
		if (answer->outcome != SINK_DONE) {
			assert_outcome(answer, SINK_UNKNOWN);
			answer = bed_look(port, 1);
			assert_outcome(answer, SINK_DONE);
			assert_int_equal(epoch_equal(answer->frontier.last, epoch), cases[i].written);
		} else {
			assert_string_equal(cases[i].fault, "lost");
		}
		if (!cases[i].written) {
			sink_start(port, SINK_COMMIT, .transaction = &batch.transaction);
			answer = sink_await(port);
			assert_outcome(answer, SINK_DONE);
		}
		assert_int_equal(answer->frontier.counters.n[COUNTER_ACCEPTED], (i + 1) * 10);
		batch_close(&batch);
		last = epoch;
	}
	assert_int_equal(bed_count(bed, ""), 40);
}

static void test_deleted_control(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;

	assert_int_equal(bed_ask(bed, "DELETE", "/sluice-control", NULL), 200);
	epoch_open(&batch, 1);
	assert_outcome(batch_commit(&batch, port), SINK_MOVED);
	batch_close(&batch);
	struct sink_answer *answer = bed_fence(port, 2);
	assert_outcome(answer, SINK_DONE);
	assert_false(answer->frontier.started);
}

/* What only a person can change, without the secret in any word of it. */
static void test_credentials(void **state)
{
	struct bed *bed = *state;
	struct batch batch;

	bed_fault(bed, "{\"settings\":{\"authorization\":\"Basic bWU6aHVudGVyMg==\"}}"); /* me:hunter2 */
	bed_pipeline(bed, NULL, "user: me, password: hunter3");
	struct sink_port *port = bed_open(bed, 0, 1);
	struct sink_answer *answer = bed_fence(port, 1);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "401 security_exception");
	assert_says(answer, "; set sinks.elasticsearch.user");
	assert_null(strstr(answer->error.text, "hunter"));
	bed_close(bed, port);
	bed_pipeline(bed, NULL, "user: me, password: hunter2");
	bed_close(bed, bed_writer(bed, 1));

	bed_fault(bed, "{\"settings\":{\"authorization\":\"ApiKey aWQ6a2V5\"}}"); /* id:key */
	bed_pipeline(bed, NULL, "api_key: \"id:key\"");
	port = bed_open(bed, 0, 1);
	assert_outcome(bed_fence(port, 2), SINK_DONE);
	epoch_open(&batch, 1);
	batch.transaction.fence = 2;
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	bed_close(bed, port);
	bed_pipeline(bed, NULL, "api_key: aWQ6a2V5");
	bed_close(bed, bed_writer(bed, 3));
}

static void test_forbidden(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;

	bed_fault(bed, "{\"faults\":[{\"on\":\"bulk\",\"do\":\"forbidden\",\"times\":100}]}");
	epoch_open(&batch, 1);
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "privileges");
	batch_close(&batch);
}

static void test_no_auto_creation(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_writer(bed, 1);
	struct batch batch;
	char settings[128];

	bed_fault(bed, "{\"settings\":{\"no_auto_create\":true}}");
	assert_int_equal(bed_ask(bed, "DELETE", "/%s", NULL), 200);
	epoch_open(&batch, 1);
	struct sink_answer *answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "is gone");
	bed_close(bed, port);
	batch_close(&batch);

	assert_int_equal(bed_ask(bed, "DELETE", "/sluice-control", NULL), 200);
	(void)snprintf(settings, sizeof settings, "index: %s-%%Y", bed->name);
	bed_pipeline(bed, NULL, settings);
	port = bed_writer(bed, 1);
	epoch_open(&batch, 1);
	assert_outcome(batch_commit(&batch, port), SINK_DONE); /* made by the writer, not by a request */
	batch_close(&batch);
	/* It is deleted, as people do with old months, and another document comes: once more. */
	assert_int_equal(bed_ask(bed, "DELETE", "/%s-2024", NULL), 200);
	batch_open(&batch, 1, (struct epoch_id){1, 1}, (struct epoch_id){1, 2}, 1);
	fill(&batch, 100, 10, NULL);
	answer = batch_commit(&batch, port);
	assert_outcome(answer, SINK_UNKNOWN);
	assert_says(answer, "no such index");
	assert_outcome(bed_look(port, 1), SINK_DONE);
	sink_start(port, SINK_COMMIT, .transaction = &batch.transaction);
	assert_outcome(sink_await(port), SINK_DONE);
	batch_close(&batch);
	assert_int_equal(bed_count(bed, "-2024"), 10);
}

/* A certificate is believed only where its authority is named; for another host's name it never is. */
static void test_tls(void **state)
{
	struct bed *bed = *state;
	const char *url = getenv("SLUICE_TEST_FAKE_TLS"), *ca = getenv("SLUICE_TEST_FAKE_CA");
	char settings[512], other[128];
	struct batch batch;

	if (url == NULL) /* no openssl to make one */
		skip();
	bed_pipeline(bed, url, NULL);
	struct sink_port *port = bed_open(bed, 0, 1);
	struct sink_answer *answer = bed_fence(port, 1);
	assert_outcome(answer, SINK_CONFIG);
	assert_says(answer, "certificate");
	bed_close(bed, port);

	(void)snprintf(settings, sizeof settings, "ca_file: \"%s\"", ca);
	(void)snprintf(other, sizeof other, "https://localhost%s", strrchr(url, ':'));
	bed_pipeline(bed, other, settings);
	port = bed_open(bed, 0, 1);
	assert_outcome(bed_fence(port, 1), SINK_CONFIG);
	bed_close(bed, port);

	bed_pipeline(bed, url, settings);
	port = bed_writer(bed, 1);
	epoch_open(&batch, 500);
	assert_outcome(batch_commit(&batch, port), SINK_DONE);
	batch_close(&batch);
	bed_close(bed, port);

	struct error error;
	bed_pipeline(bed, url, "ca_file: /nowhere/ca.pem");
	assert_int_equal(sink_elasticsearch_open(&port, &bed->pipeline, "x/search", 0, 1, NULL, &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, "/nowhere/ca.pem"));
}

/* A port where nobody listens, or where somebody takes connections and says nothing. */
static int mute_server(int *port, bool listens)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	*port = ntohs(address.sin_port);
	if (listens)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void test_failover(void **state)
{
	struct bed *bed = *state;
	char settings[256], url[64];
	struct batch batch;
	int port, fd = mute_server(&port, false);

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	(void)snprintf(settings, sizeof settings, "hosts: \"%s\"", bed->address.urls[0]);
	bed_pipeline(bed, url, settings);
	struct sink_port *sink = bed_open(bed, 0, 1);
	struct sink_answer *answer = bed_fence(sink, 1);
	if (answer->outcome == SINK_UNKNOWN) /* the first host is asked first */
		answer = bed_fence(sink, 1);
	assert_outcome(answer, SINK_DONE);
	assert_outcome(bed_set_cut(sink, 1, 0), SINK_DONE);
	epoch_open(&batch, 10);
	assert_outcome(batch_commit(&batch, sink), SINK_DONE);
	batch_close(&batch);
	close(fd);
}

static void test_away(void **state)
{
	struct bed *bed = *state;
	char url[64];
	int port, fd = mute_server(&port, false);

	(void)snprintf(url, sizeof url, "http://me:hunter2@127.0.0.1:%d", port);
	bed_pipeline(bed, url, NULL);
	uint64_t began_us = clock_monotonic_us();
	struct sink_answer *answer = bed_fence(bed_open(bed, 0, 1), 1);
	assert_outcome(answer, SINK_UNKNOWN);
	assert_says(answer, "127.0.0.1");
	assert_null(strstr(answer->error.text, "hunter2"));
	assert_true(clock_monotonic_us() - began_us < 5000000);
	close(fd);
}

static void test_mute(void **state)
{
	struct bed *bed = *state;
	char url[64];
	int port, fd = mute_server(&port, true);

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	bed_pipeline(bed, url, "timeout: 1s");
	struct sink_port *sink = bed_open(bed, 0, 1);
	assert_outcome(bed_fence(sink, 1), SINK_UNKNOWN);
	/* A process that ends does not wait for it. */
	bed_pipeline(bed, url, "timeout: 60s");
	bed_close(bed, sink);
	sink = bed_open(bed, 0, 1);
	sink_start(sink, SINK_FENCE, .attempt = 1);
	usleep(200000); /* well under way; if it is not, so much the better */
	uint64_t began_us = clock_monotonic_us();
	bed_close(bed, sink);
	assert_true(clock_monotonic_us() - began_us < 2000000);
	close(fd);
}

/* Whoever waits for two seconds says for whom, and since when, and what was asked; the answer ends it. */
static void assert_waits(struct sink_port *port, const char *url, const char *request)
{
	const char *text = bed_words(port, request);
	int hour, minute, second;

	assert_non_null(strstr(text, url));
	assert_non_null(strstr(text, "no answer since "));
	assert_int_equal(sscanf(strstr(text, "since "), "since %2d:%2d:%2dZ to ", &hour, &minute, &second), 3);
}

static void assert_quiet(struct sink_port *port)
{
	char text[512];
	struct pollfd wait = {.fd = port->event_fd, .events = POLLIN};

	(void)poll(&wait, 1, 100);
	assert_false(port->ops->late_words(port, text, sizeof text));
	assert_int_equal(poll(&wait, 1, 100), 0);
}

/* @ in request is the bed's name. */
static void with_name(const struct bed *bed, const char *request, char out[128])
{
	size_t front = strcspn(request, "@");

	(void)snprintf(out, 128, "%.*s%s%s", (int)front, request, request[front] != '\0' ? bed->name : "",
	    request[front] != '\0' ? request + front + 1 : "");
}

static void slow_down(struct bed *bed, const char *request, const char *seconds)
{
	char json[256], path[128];

	with_name(bed, request, path);
	(void)snprintf(json, sizeof json, "{\"settings\":{\"slow\":\"%s\",\"slow_seconds\":%s}}", path, seconds);
	bed_fault(bed, json);
}

static void forget(struct bed *bed)
{
	bed_fault(bed, "{\"clear\":true}");
	(void)bed_ask(bed, "DELETE", "/sluice-control", NULL);
	(void)bed_ask(bed, "DELETE", "/%s", NULL);
	(void)bed_ask(bed, "DELETE", "/%s-dead-letters", NULL);
}

/* Each request of the start and of an epoch in turn. */
static void test_waits(void **state)
{
	static const char *const of_start[] = {"PUT /sluice-control", "PUT /sluice-control/_create/@%2Fsearch.0",
	    "GET /@-dead-letters", "PUT /sluice-control/_create/index%3A@"};
	static const char *const of_epoch[] = {"POST /@/_bulk", "PUT /sluice-control/_doc/@%2Fsearch.0"};
	struct bed *bed = *state;
	struct sink_port *port = NULL;
	struct epoch_id last = none;
	char path[128];

	for (size_t i = 0; i < sizeof of_start / sizeof of_start[0]; i++) {
		if (port != NULL)
			bed_close(bed, port);
		forget(bed);
		port = bed_open(bed, 0, 1);
		slow_down(bed, of_start[i], "3");
		sink_start(port, SINK_FENCE, .attempt = i + 1);
		with_name(bed, of_start[i], path);
		assert_waits(port, bed->address.urls[0], path);
		assert_outcome(sink_await(port), SINK_DONE);
		assert_quiet(port);
	}
	bed_close(bed, port);
	forget(bed);
	port = bed_writer(bed, 9);
	for (size_t i = 0; i < sizeof of_epoch / sizeof of_epoch[0]; i++) {
		struct batch batch;
		batch_open(&batch, 9, last, (struct epoch_id){9, i + 1}, (int64_t)i * 10);
		fill(&batch, (int)i * 10, 10, NULL);
		slow_down(bed, of_epoch[i], "3");
		batch_start(&batch, port);
		with_name(bed, of_epoch[i], path);
		assert_waits(port, bed->address.urls[0], path);
		assert_outcome(sink_await(port), SINK_DONE);
		assert_quiet(port);
		last = batch.transaction.epoch;
		batch_close(&batch);
	}
}

/* Each answer comes within two seconds, and all together take long. */
static void test_waits_for_many(void **state)
{
	struct bed *bed = *state;
	struct sink_port *port = bed_open(bed, 0, 1);

	slow_down(bed, "all", "0.5");
	sink_start(port, SINK_FENCE, .attempt = 1);
	assert_non_null(strstr(bed_words(port, "slow, at work on it since "), bed->address.urls[0]));
	assert_outcome(sink_await(port), SINK_DONE);
	assert_quiet(port);
}

/* Of one that takes connections and says nothing. */
static void test_waits_for_mute(void **state)
{
	struct bed *bed = *state;
	char url[64];
	int port, fd = mute_server(&port, true);

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
	bed_pipeline(bed, url, NULL);
	struct sink_port *sink = bed_open(bed, 0, 1);
	sink_start(sink, SINK_FENCE, .attempt = 1);
	assert_waits(sink, url, "GET /sluice-control");
	bed_close(bed, sink);
	close(fd);
}

int main(void)
{
#define BED_TEST(name) cmocka_unit_test_setup_teardown(name, bed_setup, bed_teardown)
	static const struct CMUnitTest tests[] = {
	    BED_TEST(test_passing),
	    BED_TEST(test_batches),
	    BED_TEST(test_too_large),
	    BED_TEST(test_too_slow),
	    BED_TEST(test_refused_items),
	    BED_TEST(test_any_cut),
	    BED_TEST(test_next),
	    BED_TEST(test_refused_request),
	    BED_TEST(test_lasting_read_only),
	    BED_TEST(test_lasting_read_only_items),
	    BED_TEST(test_lasting_busy),
	    BED_TEST(test_lasting_gateway),
	    BED_TEST(test_half_busy),
	    BED_TEST(test_control),
	    BED_TEST(test_deleted_control),
	    BED_TEST(test_credentials),
	    BED_TEST(test_forbidden),
	    BED_TEST(test_no_auto_creation),
	    BED_TEST(test_tls),
	    BED_TEST(test_failover),
	    BED_TEST(test_away),
	    BED_TEST(test_mute),
	    BED_TEST(test_waits),
	    BED_TEST(test_waits_for_many),
	    BED_TEST(test_waits_for_mute),
	};
	if (getenv("SLUICE_TEST_ONLY") != NULL)
		cmocka_set_test_filter(getenv("SLUICE_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
