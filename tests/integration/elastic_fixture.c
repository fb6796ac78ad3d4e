/* tests/integration/elastic_fixture.c - see elastic_fixture.h. */
#include "tests/integration/elastic_fixture.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WORDS_MS = 6000 };

static const char pipeline_text[] = "job: %s\n"
                                    "source: {topic: sales, start: earliest, kafka: {bootstrap.servers: \"none:1\"}}\n"
                                    "record:\n"
                                    "  table: sales\n"
                                    "  key: id\n"
                                    "  event_time: at\n"
                                    "  time_zone: UTC\n"
                                    "  fields:\n"
                                    "    - {name: id, type: string(255), required: true}\n"
                                    "    - {name: note, type: string(200)}\n"
                                    "    - {name: amount, type: \"decimal(10,2)\"}\n"
                                    "    - {name: pieces, type: integer}\n"
                                    "    - {name: at, type: timestamp, required: true}\n"
                                    "rollups:\n"
                                    "  - table: per_day\n"
                                    "    by: [{column: day, day: at}]\n"
                                    "    measures: [{column: total, sum: amount, type: \"decimal(15,2)\"}]\n"
                                    "sinks: {elasticsearch: {url: \"%s\"%s%s%s}}\n";

static const char *address(void)
{
	const char *url = getenv("SLUICE_TEST_ELASTICSEARCH");
	if (url == NULL) {
		fprintf(stderr, "SLUICE_TEST_ELASTICSEARCH is not set\n");
		exit(77);
	}
	return url;
}

bool bed_is_fake(void)
{
	return getenv("SLUICE_TEST_FAKE") != NULL;
}

void bed_pipeline(struct bed *bed, const char *url, const char *settings)
{
	char text[4096], index[128];
	struct error error;
	bool named = settings != NULL && strstr(settings, "index:") != NULL;

	(void)snprintf(index, sizeof index, ", index: %s", bed->name);
	(void)snprintf(text, sizeof text, pipeline_text, bed->name, url ? url : address(), named ? "" : index,
	    settings ? ", " : "", settings ? settings : "");
	pipeline_fini(&bed->pipeline);
	if (pipeline_parse(&bed->pipeline, "test.yaml", (struct bytes){(const uint8_t *)text, strlen(text)}, &error) !=
	    RESULT_OK)
		fail_msg("%s", error.text);
}

int bed_setup(void **state)
{
	static int number;
	struct bed *bed = memory_new(sizeof *bed);
	struct error error;

	(void)snprintf(bed->name, sizeof bed->name, "t%d-%d", (int)getpid(), ++number);
	bed_pipeline(bed, NULL, NULL);
	bed->address = bed->pipeline.sinks.elasticsearch;
	bed->address.urls[0] = text_clone(bed->address.urls[0]);
	bed->address.ca_file = bed->address.user = bed->address.api_key = "";
	bed->address.compression = "none";
	http_prepare();
	assert_int_equal(http_open(&bed->http, &bed->address, eventfd(0, EFD_CLOEXEC), &error), RESULT_OK);
	*state = bed;
	return 0;
}

int bed_teardown(void **state)
{
	struct bed *bed = *state;

	for (size_t i = 0; i < bed->ports_len; i++)
		bed->ports[i]->ops->close(bed->ports[i]);
	if (bed_is_fake())
		bed_fault(bed, "{\"clear\":true}");
	(void)bed_ask(bed, "DELETE", "/%s*", NULL);
	close(bed->http.stop_fd);
	http_request_fini(&bed->request);
	http_close(&bed->http);
	free(bed->address.urls[0]);
	pipeline_fini(&bed->pipeline);
	free(bed);
	return 0;
}

static struct sink_port *open_for(struct bed *bed, uint32_t writer, uint32_t writers, const struct sink_runner *runner)
{
	struct sink_port *port;
	struct error error;
	char job[96];

	(void)snprintf(job, sizeof job, "%s/search", bed->name);
	if (sink_elasticsearch_open(&port, &bed->pipeline, job, writer, writers, runner, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	bed->ports[bed->ports_len++] = port;
	return port;
}

struct sink_port *bed_open(struct bed *bed, uint32_t writer, uint32_t writers)
{
	return open_for(bed, writer, writers, NULL);
}

struct sink_port *bed_open_for(struct bed *bed, const char *coordinator)
{
	struct sink_runner runner = {.process = ""};
	(void)snprintf(runner.coordinator, sizeof runner.coordinator, "%s", coordinator);
	return open_for(bed, 0, 1, &runner);
}

void bed_close(struct bed *bed, struct sink_port *port)
{
	for (size_t i = 0; i < bed->ports_len; i++)
		if (bed->ports[i] == port)
			bed->ports[i] = bed->ports[--bed->ports_len];
	port->ops->close(port);
}

/* --- the server -------------------------------------------------------------------------------------------------- */

long bed_ask(struct bed *bed, const char *method, const char *path, const char *body)
{
	const char *name = strstr(path, "%s");

	buffer_clear(&bed->request.path);
	buffer_printf(&bed->request.path, "%.*s%s%s", (int)(name ? name - path : (long)strlen(path)), path,
	    name ? bed->name : "", name ? name + 2 : "");
	bed->request.method = method;
	bed->request.body = (struct bytes){(const uint8_t *)body, body ? strlen(body) : 0};
	assert_true(http_do(&bed->http, &bed->request));
	buffer_append(&bed->request.answer, "", 1);
	return bed->request.status;
}

const char *bed_answer(const struct bed *bed)
{
	return (const char *)bed->request.answer.data;
}

void bed_fault(struct bed *bed, const char *json)
{
	assert_int_equal(bed_ask(bed, "POST", "/_fake", json), 200);
}

long bed_count(struct bed *bed, const char *behind)
{
	char path[128];
	const char *found;

	(void)snprintf(path, sizeof path, "/%%s%s/_refresh", behind);
	(void)bed_ask(bed, "POST", path, NULL);
	(void)snprintf(path, sizeof path, "/%%s%s/_count", behind);
	if (bed_ask(bed, "GET", path, NULL) != 200)
		return -1;
	found = strstr(bed_answer(bed), "\"count\":");
	assert_non_null(found);
	return strtol(found + strlen("\"count\":"), NULL, 10);
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

const char *bed_words(struct sink_port *port, const char *wanted)
{
	static char text[512];
	struct pollfd wait = {.fd = port->event_fd, .events = POLLIN};
	struct sink_answer *answer;

	while (poll(&wait, 1, WORDS_MS) == 1) {
		if (port->ops->late_words(port, text, sizeof text) && strstr(text, wanted) != NULL)
			return text;
		if (port->ops->answer(port, &answer))
			fail_msg("answered without '%s', but '%s'", wanted, text);
	}
	fail_msg("no words with '%s' within %d ms, but '%s'", wanted, WORDS_MS, text);
	return text;
}

struct sink_answer *bed_fence(struct sink_port *port, uint64_t attempt)
{
	sink_start(port, SINK_FENCE, .attempt = attempt);
	return sink_await(port);
}

static struct mark mark_entries[] = {{0, 4, UINT64_C(0xc0ffee)}, {12, INT64_MAX, UINT64_MAX}};
const struct marks bed_marks = {mark_entries, 2};
static struct fact fact_entries[] = {{"kafka.cluster_id", "a'\\\"b"}};
const struct facts bed_facts = {fact_entries, 1};

struct sink_answer *bed_set_cut(struct sink_port *port, uint64_t attempt, int64_t offset)
{
	struct cut cut = {0};

	cut_set(&cut, 0, offset);
	sink_start(port, SINK_SET_CUT, .attempt = attempt, .cut = &cut, .remember = &bed_facts);
	struct sink_answer *answer = sink_await(port);
	cut_fini(&cut);
	return answer;
}

struct sink_answer *bed_look(struct sink_port *port, uint64_t attempt)
{
	sink_start(port, SINK_LOOK, .attempt = attempt);
	return sink_await(port);
}

struct sink_answer *bed_touch(struct sink_port *port, uint64_t attempt, struct epoch_id predecessor)
{
	sink_start(port, SINK_TOUCH, .attempt = attempt, .predecessor = predecessor);
	return sink_await(port);
}

struct sink_port *bed_writer(struct bed *bed, uint64_t attempt)
{
	struct sink_port *port = bed_open(bed, 0, 1);
	struct sink_answer *answer = bed_fence(port, attempt);

	assert_outcome(answer, SINK_DONE);
	if (!answer->frontier.started)
		assert_outcome(bed_set_cut(port, attempt, 0), SINK_DONE);
	return port;
}

/* --- epochs ------------------------------------------------------------------------------------------------------ */

void batch_open(struct batch *batch, uint64_t fence, struct epoch_id predecessor, struct epoch_id epoch, int64_t offset)
{
	*batch = (struct batch){
	    .transaction = {.fence = fence, .predecessor = predecessor, .epoch = epoch}, .offset = offset};
	rows_begin(&batch->rows);
}

void batch_row(struct batch *batch, const char *key, const char *note, int64_t wall_us)
{
	struct value values[] = {
	    {.kind = VALUE_TEXT, .text = {(const uint8_t *)key, strlen(key)}},
	    {.kind = note ? VALUE_TEXT : VALUE_NULL, .text = {(const uint8_t *)note, note ? strlen(note) : 0}},
	    {.kind = VALUE_INTEGER, .integer = 123456},
	    {.kind = VALUE_INTEGER, .integer = batch->offset},
	    {.kind = VALUE_INTEGER, .integer = wall_us ? wall_us : INT64_C(1705312800123456) + batch->offset},
	};
	struct buffer encoded = {0};

	row_encode_values(&encoded, values, 5);
	rows_put(&batch->rows, 0, batch->offset++, 1705312800000, 1, 5, buffer_bytes(&encoded));
	buffer_fini(&encoded);
}

static void batch_end(struct batch *batch)
{
	rows_end(&batch->rows);
	batch->body = buffer_bytes(&batch->rows.body);
}

void batch_next(struct batch *batch, struct batch *next)
{
	batch_end(next);
	batch->transaction.next = (struct epoch_bodies){next->transaction.epoch, &next->body, 1};
}

void batch_start(struct batch *batch, struct sink_port *port)
{
	batch_end(batch);
	cut_set(&batch->cut, 0, batch->offset);
	batch->transaction.cut = &batch->cut;
	batch->transaction.handled = &batch->handled;
	batch->transaction.rows = &batch->body;
	batch->transaction.rows_len = 1;
	batch->transaction.marks = &bed_marks;
	sink_start(port, SINK_COMMIT, .transaction = &batch->transaction);
}

struct sink_answer *batch_commit(struct batch *batch, struct sink_port *port)
{
	batch_start(batch, port);
	return sink_await(port);
}

void batch_close(struct batch *batch)
{
	buffer_fini(&batch->rows.body);
	cut_fini(&batch->cut);
	cut_fini(&batch->handled);
}
