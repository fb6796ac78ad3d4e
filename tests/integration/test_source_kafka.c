/* The Kafka source against librdkafka's mock cluster: every rule of source_port.h that a broker can test.
 *
 * With KAFKA_BOOTSTRAP_SERVERS in the environment the tests that need no fault injection run against that broker, each
 * on a topic of its own.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "common/base/log.h"
#include "common/base/timestamp.h"
#include "services/ingest/kafka_client.h"
#include "services/ingest/source_kafka.h"

enum { PARTITIONS = 3, TAKE_MAX = 100, PATIENCE_MS = 15000 };

struct world {
	rd_kafka_t *producer;
	rd_kafka_mock_cluster_t *cluster; /* NULL: a real broker */
	char bootstrap[256];
	char topic[64];
	struct setting extra; /* one more setting; name NULL: none */
	struct pipeline pipeline;
	struct source_port *source;
	struct marks marks; /* for describe */
};

static void pipeline_fill(struct world *world)
{
	struct pipeline *pipeline = &world->pipeline;
	memset(pipeline, 0, sizeof *pipeline);
	pipeline->job = "test";
	pipeline->source.topic = world->topic;
	pipeline->source.start.at = START_EARLIEST;
	pipeline->source.kafka[0] = (struct setting){"bootstrap.servers", world->bootstrap};
	pipeline->source.kafka[1] = (struct setting){"group.id", "test"};
	pipeline->source.kafka_len = 2;
}

static void setting_add(struct world *world, char *name, char *value)
{
	world->pipeline.source.kafka[world->pipeline.source.kafka_len++] = (struct setting){name, value};
}

static void topic_create(struct world *world, const char *topic, int partitions)
{
	if (world->cluster != NULL) {
		assert_int_equal(rd_kafka_mock_topic_create(world->cluster, topic, partitions, 1), 0);
		return;
	}
	char text[256];
	rd_kafka_NewTopic_t *wanted = rd_kafka_NewTopic_new(topic, partitions, 1, text, sizeof text);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(world->producer);
	rd_kafka_CreateTopics(world->producer, &wanted, 1, NULL, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
	assert_non_null(event);
	size_t len;
	const rd_kafka_topic_result_t **results =
	    rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &len);
	assert_int_equal(rd_kafka_topic_result_error(results[0]), 0);
	rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_NewTopic_destroy(wanted);
}

static void producer_open(struct world *world)
{
	char text[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, NULL);
	const char *servers = getenv("KAFKA_BOOTSTRAP_SERVERS");
	if (servers != NULL) {
		assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", servers, text, sizeof text), 0);
		(void)snprintf(world->bootstrap, sizeof world->bootstrap, "%s", servers);
	} else {
		assert_int_equal(rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", text, sizeof text), 0);
	}
	world->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	assert_non_null(world->producer);
	if (servers == NULL) {
		world->cluster = rd_kafka_handle_mock_cluster(world->producer);
		(void)snprintf(
		    world->bootstrap, sizeof world->bootstrap, "%s", rd_kafka_mock_cluster_bootstraps(world->cluster));
	}
}

static int world_open(void **state)
{
	static int number; /* of the topic: real brokers keep them */
	struct world *world = calloc(1, sizeof *world);
	assert_non_null(world);
	(void)snprintf(world->topic, sizeof world->topic, "source-%d-%d", (int)getpid(), number++);
	producer_open(world);
	topic_create(world, world->topic, PARTITIONS);
	pipeline_fill(world);
	*state = world;
	return 0;
}

static int world_close(void **state)
{
	struct world *world = *state;
	if (world->source != NULL)
		world->source->ops->close(world->source);
	rd_kafka_destroy(world->producer);
	free(world);
	return 0;
}

static void skip_unless_mock(const struct world *world)
{
	if (world->cluster == NULL)
		skip();
}

static void produce_one(struct world *world, int partition, const char *key, const char *payload, int64_t timestamp_ms)
{
	size_t key_len = key == NULL ? 0 : strlen(key), payload_len = payload == NULL ? 0 : strlen(payload);
	rd_kafka_resp_err_t code = rd_kafka_producev(world->producer, RD_KAFKA_V_TOPIC(world->topic),
	    RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key_len),
	    RD_KAFKA_V_VALUE((void *)(uintptr_t)payload, payload_len), RD_KAFKA_V_TIMESTAMP(timestamp_ms),
	    RD_KAFKA_V_END);
	assert_int_equal(code, 0);
}

/* Payloads "p<partition> <n>", n from first. */
static void produce(struct world *world, int partition, int first, int count)
{
	for (int i = first; i < first + count; i++) {
		char payload[32];
		(void)snprintf(payload, sizeof payload, "p%d %d", partition, i);
		produce_one(world, partition, "key", payload, 0);
	}
	assert_int_equal(rd_kafka_flush(world->producer, PATIENCE_MS), 0);
}

static void source_open(struct world *world)
{
	struct error error;
	assert_int_equal(source_kafka_open(&world->source, &world->pipeline, "test-client", &error), RESULT_OK);
	assert_true(world->source->event_fd >= 0);
}

static void source_assign_list(struct world *world, const struct cut_entry *entries, uint32_t len)
{
	struct cut_entry copies[PARTITIONS];
	for (uint32_t i = 0; i < len; i++)
		copies[i] = entries[i];
	struct error error;
	const struct cut cut = {.entries = copies, .len = len};
	assert_int_equal(world->source->ops->assign(world->source, &cut, &error), RESULT_OK);
}

static uint64_t deadline(uint64_t after_ms)
{
	return clock_monotonic_us() + after_ms * 1000;
}

/* As a runner does: waits for the event, reads it empty. False: no event came. */
static bool event_wait(struct world *world, int timeout_ms)
{
	struct pollfd waited = {.fd = world->source->event_fd, .events = POLLIN};
	uint64_t count;
	if (poll(&waited, 1, timeout_ms) <= 0)
		return false;
	assert_int_equal(read(world->source->event_fd, &count, sizeof count), sizeof count);
	return true;
}

static size_t take(struct world *world, uint32_t partition, struct source_record *records, size_t max)
{
	struct error error;
	size_t taken = 0;
	assert_int_equal(world->source->ops->take(world->source, partition, records, max, &taken, &error), RESULT_OK);
	return taken;
}

/* Takes exactly the records `from` up to `to` of a partition, driven by the event alone. */
static void expect(struct world *world, uint32_t partition, int from, int to)
{
	uint64_t until = deadline(PATIENCE_MS);
	while (from < to) {
		assert_true(clock_monotonic_us() < until);
		struct source_record records[TAKE_MAX];
		size_t left = (size_t)(to - from),
		       len = take(world, partition, records, left < TAKE_MAX ? left : TAKE_MAX);
		for (size_t i = 0; i < len; i++, from++) {
			char payload[32];
			int size = snprintf(payload, sizeof payload, "p%" PRIu32 " %d", partition, from);
			assert_int_equal(records[i].partition, partition);
			assert_int_equal(records[i].offset, from);
			assert_int_equal(records[i].payload.len, size);
			assert_memory_equal(records[i].payload.data, payload, (size_t)size);
			assert_true(records[i].timestamp_ms > INT64_C(1600000000000));
		}
		world->source->ops->give_back(world->source, records, len);
		if (len == 0)
			(void)event_wait(world, 1000);
	}
}

static void expect_nothing(struct world *world, uint32_t partition, int for_ms)
{
	uint64_t until = deadline((uint64_t)for_ms);
	do {
		struct source_record records[TAKE_MAX];
		assert_int_equal(take(world, partition, records, TAKE_MAX), 0);
		(void)event_wait(world, for_ms / 4 + 1);
	} while (clock_monotonic_us() < until);
}

/* Asks health until it says something. */
static enum result health_wait(struct world *world, struct error *error, uint64_t for_ms)
{
	uint64_t until = deadline(for_ms);
	while (clock_monotonic_us() < until) {
		struct source_record records[TAKE_MAX];
		size_t taken;
		(void)world->source->ops->take(world->source, 0, records, TAKE_MAX, &taken, error);
		world->source->ops->give_back(world->source, records, taken);
		enum result result = world->source->ops->health(world->source, error);
		if (result != RESULT_OK)
			return result;
		(void)event_wait(world, 50);
	}
	return RESULT_OK;
}

static void records_come_in_order_on_one_event(void **state)
{
	struct world *world = *state;
	for (int i = 0; i < PARTITIONS; i++)
		produce(world, i, 0, 1500);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}, {1, 0}, {2, 0}}, 3);
	for (uint32_t i = 0; i < PARTITIONS; i++)
		expect(world, i, 0, 1500);
	for (int i = 0; i < PARTITIONS; i++)
		produce(world, i, 1500, 10);
	for (uint32_t i = PARTITIONS; i-- > 0;)
		expect(world, i, 1500, 1510);
	assert_int_equal(world->source->ops->end(world->source, 1), 1510);
	assert_int_equal(world->source->ops->end(world->source, 99), -1);
}

static void a_new_record_makes_the_event_readable(void **state)
{
	struct world *world = *state;
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}, {1, 0}}, 2);
	expect_nothing(world, 0, 600);
	expect_nothing(world, 1, 100);
	while (event_wait(world, 0))
		;
	assert_false(event_wait(world, 300));
	produce(world, 1, 0, 1);
	assert_true(event_wait(world, PATIENCE_MS));
	expect(world, 1, 0, 1);
	expect_nothing(world, 0, 50);
}

static void reading_begins_at_the_assigned_offset(void **state)
{
	struct world *world = *state;
	produce(world, 0, 0, 50);
	produce(world, 1, 0, 50);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 17}, {1, 50}}, 2);
	expect(world, 0, 17, 50);
	expect_nothing(world, 1, 300);
	produce(world, 1, 50, 1);
	expect(world, 1, 50, 51);
}

/* A partition at its ceiling is simply not asked for. Its queue is small here, so that it does get full. */
static void a_partition_that_is_not_taken_disturbs_no_other(void **state)
{
	struct world *world = *state;
	setting_add(world, "queued.min.messages", "100");
	setting_add(world, "queued.max.messages.kbytes", "1");
	setting_add(world, "fetch.message.max.bytes", "1000");
	for (int i = 0; i < 40; i++) {
		produce(world, 0, i * 100, 100);
		produce(world, 1, i * 100, 100);
	}
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}, {1, 0}}, 2);
	expect(world, 0, 0, 10);
	uint64_t begun = clock_monotonic_us();
	expect(world, 1, 0, 4000);
	/* librdkafka would sleep up to a second each time the queue was full, were it not woken. */
	assert_in_range(clock_monotonic_us() - begun, 0, 8000000);
	expect(world, 0, 10, 4000);
}

/* What the source counts as the next offset decides, whatever librdkafka delivers: a batch begins before the offset
 * that was asked for, and the broker sends all of it. */
static void an_offset_is_never_delivered_twice(void **state)
{
	struct world *world = *state;
	produce(world, 0, 0, 500); /* few batches */
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 123}}, 1);
	expect(world, 0, 123, 500);
	if (world->cluster != NULL) {
		/* A lost connection makes librdkafka fetch again. */
		assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
		usleep(200000);
		assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
	}
	produce(world, 0, 500, 100);
	expect(world, 0, 500, 600);
	expect_nothing(world, 0, 200);
}

static void keys_tombstones_and_timestamps_arrive_as_they_are(void **state)
{
	struct world *world = *state;
	produce_one(world, 0, "k1", "value", 1700000000123);
	produce_one(world, 0, NULL, "x", 1700000000124);
	produce_one(world, 0, "gone", NULL, 1700000000125);
	produce_one(world, 0, "k2", "", 1700000000126);
	assert_int_equal(rd_kafka_flush(world->producer, PATIENCE_MS), 0);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}}, 1);
	struct source_record records[4];
	size_t len = 0;
	for (uint64_t until = deadline(PATIENCE_MS); len < 4 && clock_monotonic_us() < until;) {
		size_t taken = take(world, 0, records + len, 4 - len);
		len += taken;
		if (taken == 0)
			(void)event_wait(world, 500);
	}
	assert_int_equal(len, 4);
	assert_int_equal(records[0].key.len, 2);
	assert_memory_equal(records[0].key.data, "k1", 2);
	assert_int_equal(records[0].timestamp_ms, 1700000000123);
	assert_null(records[1].key.data);
	assert_null(records[2].payload.data);
	assert_memory_equal(records[2].key.data, "gone", 4);
	assert_non_null(records[3].payload.data);
	assert_int_equal(records[3].payload.len, 0);
	assert_int_equal(records[3].timestamp_ms, 1700000000126);
	world->source->ops->give_back(world->source, records, len);
}

static void an_offset_out_of_range_is_config_for_ever(void **state)
{
	struct world *world = *state;
	produce(world, 0, 0, 20);
	produce(world, 1, 0, 20);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 777}, {1, 0}}, 2);
	struct error error;
	assert_int_equal(health_wait(world, &error, PATIENCE_MS), RESULT_CONFIG);
	char wanted[256];
	(void)snprintf(wanted, sizeof wanted,
	    "topic %s partition 0: read up to offset 777, which is out of range: the log holds 0 up to 20",
	    world->topic);
	assert_ptr_equal(strstr(error.text, wanted), error.text);
	error.text[0] = '\0';
	assert_int_equal(world->source->ops->health(world->source, &error), RESULT_CONFIG);
	assert_ptr_equal(strstr(error.text, wanted), error.text);
	struct source_record records[TAKE_MAX];
	size_t taken = 1;
	assert_int_equal(world->source->ops->take(world->source, 1, records, TAKE_MAX, &taken, &error), RESULT_CONFIG);
	assert_int_equal(taken, 0);
}

static enum result describe_wait(struct world *world, struct description *found, struct error *error)
{
	for (uint64_t until = deadline(PATIENCE_MS); clock_monotonic_us() < until;) {
		uint64_t begun = clock_monotonic_us();
		enum result result = world->source->ops->describe(world->source, &world->marks, found, error);
		assert_in_range(clock_monotonic_us() - begun, 0, 700000);
		if (result != RESULT_RETRY)
			return result;
	}
	return RESULT_RETRY;
}

static void expect_start(struct world *world, int64_t a, int64_t b, int64_t c)
{
	struct description found = {0};
	struct error error;
	assert_int_equal(describe_wait(world, &found, &error), RESULT_OK);
	assert_int_equal(found.partitions, PARTITIONS);
	assert_int_equal(found.start.len, PARTITIONS);
	const int64_t wanted[PARTITIONS] = {a, b, c};
	for (uint32_t i = 0; i < PARTITIONS; i++)
		assert_int_equal(cut_get(&found.start, i, -7), wanted[i]);
	description_fini(&found);
}

static void describe_resolves_earliest_and_then_reads(void **state)
{
	struct world *world = *state;
	produce(world, 0, 0, 5);
	source_open(world);
	expect_start(world, 0, 0, 0);
	expect_start(world, 0, 0, 0); /* the answer is kept */
	source_assign_list(world, (struct cut_entry[]){{0, 0}, {1, 0}, {2, 0}}, 3);
	expect(world, 0, 0, 5);
}

static void describe_resolves_latest(void **state)
{
	struct world *world = *state;
	produce(world, 0, 0, 5);
	produce(world, 2, 0, 7);
	world->pipeline.source.start.at = START_LATEST;
	source_open(world);
	expect_start(world, 5, 0, 7);
}

static void describe_resolves_offsets_by_name(void **state)
{
	struct world *world = *state;
	struct start_offset offsets[] = {{1, 250}};
	world->pipeline.source.start = (struct start){.at = START_OFFSETS, .offsets = offsets, .offsets_len = 1};
	source_open(world);
	expect_start(world, 0, 250, 0);
	world->source->ops->close(world->source);
	offsets[0].partition = PARTITIONS;
	source_open(world);
	struct description found = {0};
	struct error error;
	assert_int_equal(describe_wait(world, &found, &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, "names partition 3"));
}

static void describe_resolves_a_timestamp(void **state)
{
	struct world *world = *state;
	if (world->cluster != NULL)
		skip(); /* the mock cluster knows no offsets for times */
	for (int i = 0; i < 10; i++)
		produce_one(world, 1, "k", "v", 1700000000000 + i * 1000);
	produce_one(world, 2, "k", "v", 1700000000000);
	assert_int_equal(rd_kafka_flush(world->producer, PATIENCE_MS), 0);
	world->pipeline.source.start = (struct start){.at = START_TIMESTAMP, .timestamp_ms = 1700000003500};
	source_open(world);
	expect_start(world, 0, 4, 1);
}

static void a_missing_topic_is_waited_for(void **state)
{
	struct world *world = *state;
	char missing[80];
	(void)snprintf(missing, sizeof missing, "%s-later", world->topic);
	world->pipeline.source.topic = missing;
	if (world->cluster != NULL) /* it would make the topic on being asked */
		rd_kafka_mock_topic_set_error(world->cluster, missing, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	source_open(world);
	struct description found = {0};
	struct error error;
	char wanted[128];
	(void)snprintf(wanted, sizeof wanted, "topic %s does not exist: waiting for it", missing);
	uint64_t until = deadline(PATIENCE_MS);
	do {
		assert_int_equal(
		    world->source->ops->describe(world->source, &world->marks, &found, &error), RESULT_RETRY);
		assert_true(clock_monotonic_us() < until);
	} while (strcmp(error.text, wanted) != 0);
	if (world->cluster != NULL)
		rd_kafka_mock_topic_set_error(world->cluster, missing, RD_KAFKA_RESP_ERR_NO_ERROR);
	else
		topic_create(world, missing, PARTITIONS);
	assert_int_equal(describe_wait(world, &found, &error), RESULT_OK);
	description_fini(&found);
}

static void a_broker_that_is_away_is_waited_for(void **state)
{
	struct world *world = *state;
	skip_unless_mock(world);
	assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
	source_open(world);
	struct description found = {0};
	struct error error;
	for (int i = 0; i < 6; i++)
		assert_int_equal(
		    world->source->ops->describe(world->source, &world->marks, &found, &error), RESULT_RETRY);
	assert_non_null(strstr(error.text, "Kafka does not answer: "));
	assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
	assert_int_equal(describe_wait(world, &found, &error), RESULT_OK);
	description_fini(&found);
}

static void a_topic_that_may_not_be_read_is_config(void **state)
{
	struct world *world = *state;
	skip_unless_mock(world);
	rd_kafka_mock_topic_set_error(world->cluster, world->topic, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	source_open(world);
	struct description found = {0};
	struct error error;
	assert_int_equal(describe_wait(world, &found, &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, "uthorization failed"));
}

static void an_outage_is_said_while_it_lasts_and_loses_nothing(void **state)
{
	struct world *world = *state;
	skip_unless_mock(world);
	produce(world, 0, 0, 10);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}}, 1);
	expect(world, 0, 0, 10);
	struct error error;
	assert_int_equal(world->source->ops->health(world->source, &error), RESULT_OK);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
		assert_int_equal(health_wait(world, &error, PATIENCE_MS), RESULT_RETRY);
		assert_non_null(strstr(error.text, "Kafka does not answer: "));
		usleep(1500000);
		assert_int_equal(world->source->ops->health(world->source, &error), RESULT_RETRY);
		assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
		produce(world, 0, 10 + round * 10, 10);
		expect(world, 0, 10 + round * 10, 20 + round * 10);
		uint64_t until = deadline(PATIENCE_MS);
		while (world->source->ops->health(world->source, &error) != RESULT_OK && clock_monotonic_us() < until)
			usleep(10000);
		assert_int_equal(world->source->ops->health(world->source, &error), RESULT_OK);
	}
}

/* What waited in the queue is no sign of life. */
static void queued_records_do_not_end_an_outage(void **state)
{
	struct world *world = *state;
	struct error error;
	skip_unless_mock(world);
	produce(world, 0, 0, 1000);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}}, 1);
	expect(world, 0, 0, 10); /* the rest is in the queue by and by */
	usleep(500000);
	assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
	uint64_t until = deadline(PATIENCE_MS);
	while (world->source->ops->health(world->source, &error) == RESULT_OK && clock_monotonic_us() < until)
		usleep(10000);
	expect(world, 0, 10, 1000);
	assert_int_equal(world->source->ops->health(world->source, &error), RESULT_RETRY);
	/* librdkafka 2.0.2 may overrun a question's timeout for as long as the broker is away: closing would wait for it. */
	assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
}

/* Asked again while reading: the record at this offset of partition 0. */
static struct recall recall_again(struct world *world, int64_t offset)
{
	struct mark mark = {.partition = 0, .offset = offset};
	struct description found = {0};
	struct error error;
	world->marks = (struct marks){&mark, 1};
	assert_int_equal(describe_wait(world, &found, &error), RESULT_OK);
	assert_int_equal(found.partitions, PARTITIONS);
	assert_int_equal(found.recalls_len, 1);
	struct recall recall = found.recalls[0];
	description_fini(&found);
	world->marks = (struct marks){0};
	return recall;
}

/* An outage raises a doubt; what was read can be asked for again, during a doubt and without one. */
static void a_doubt_is_raised_by_an_outage(void **state)
{
	struct world *world = *state;
	struct description found = {0};
	struct error error;
	skip_unless_mock(world);
	produce(world, 0, 0, 10);
	source_open(world);
	assert_int_equal(describe_wait(world, &found, &error), RESULT_OK);
	description_fini(&found);
	source_assign_list(world, (struct cut_entry[]){{0, 0}}, 1);
	expect(world, 0, 0, 10);
	const struct recall first = recall_again(world, 9);
	assert_int_equal(first.now, RECALLED_THERE);
	uint64_t doubts = world->source->ops->doubts(world->source);
	assert_int_equal(rd_kafka_mock_broker_set_down(world->cluster, 1), 0);
	assert_int_equal(health_wait(world, &error, PATIENCE_MS), RESULT_RETRY);
	assert_int_not_equal(world->source->ops->doubts(world->source), doubts);
	assert_int_equal(rd_kafka_mock_broker_set_up(world->cluster, 1), 0);
	const struct recall again = recall_again(world, 9), other = recall_again(world, 8);
	assert_int_equal(again.now, RECALLED_THERE);
	assert_true(again.hash == first.hash && other.hash != first.hash);
}

/* A partition that its broker does not know: librdkafka asks for it again, and tells nobody. */
static void what_a_broker_does_not_know_raises_a_doubt(void **state)
{
	struct world *world = *state;
	skip_unless_mock(world);
	produce(world, 0, 0, 10);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}}, 1);
	expect(world, 0, 0, 10);
	uint64_t doubts = world->source->ops->doubts(world->source), until = deadline(PATIENCE_MS);
	rd_kafka_mock_push_request_errors(world->cluster, 1 /* Fetch */, 1, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	while (world->source->ops->doubts(world->source) == doubts) {
		usleep(10000);
		assert_true(clock_monotonic_us() < until);
	}
	produce(world, 0, 10, 10);
	expect(world, 0, 10, 20);
}

static void settings_that_carry_exactness_cannot_be_changed(void **state)
{
	struct world *world = *state;
	static const struct setting refused[] = {{"enable.auto.commit", "true"}, {"auto.offset.reset", "earliest"},
	    {"enable.partition.eof", "false"}, {"check.crcs", "false"}, {"allow.auto.create.topics", "true"},
	    {"enable.auto.offset.store", "true"}};
	struct error error;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		pipeline_fill(world);
		setting_add(world, refused[i].name, refused[i].value);
		assert_int_equal(
		    source_kafka_open(&world->source, &world->pipeline, "test-client", &error), RESULT_CONFIG);
		assert_non_null(strstr(error.text, refused[i].name));
		assert_null(world->source);
	}
	pipeline_fill(world);
	setting_add(world, "auto.offset.reset", "error"); /* as it is */
	setting_add(world, "fetch.wait.max.ms", "7");
	source_open(world);
}

static void unknown_and_invalid_settings_are_config(void **state)
{
	struct world *world = *state;
	struct error error;
	setting_add(world, "no.such.setting", "1");
	assert_int_equal(source_kafka_open(&world->source, &world->pipeline, "test", &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, "source.kafka.no.such.setting"));
	pipeline_fill(world);
	setting_add(world, "fetch.wait.max.ms", "soon");
	assert_int_equal(source_kafka_open(&world->source, &world->pipeline, "test", &error), RESULT_CONFIG);
	assert_non_null(strstr(error.text, "source.kafka.fetch.wait.max.ms"));
	pipeline_fill(world);
	world->pipeline.source.topic = "";
	assert_int_equal(source_kafka_open(&world->source, &world->pipeline, "test", &error), RESULT_CONFIG);
}

static void a_source_without_partitions_is_quiet(void **state)
{
	struct world *world = *state;
	struct error error;
	source_open(world);
	source_assign_list(world, NULL, 0);
	assert_int_equal(world->source->ops->health(world->source, &error), RESULT_OK);
	assert_int_equal(world->source->ops->end(world->source, 0), -1);
	world->source->ops->commit_group(world->source, &(struct cut){0});
}

static void group_offsets_are_committed_when_told(void **state)
{
	struct world *world = *state;
	produce(world, 0, 0, 10);
	source_open(world);
	source_assign_list(world, (struct cut_entry[]){{0, 0}}, 1);
	expect(world, 0, 0, 10);
	struct cut_entry entry = {0, 10};
	const struct cut cut = {&entry, 1};
	rd_kafka_t *reader = NULL;
	struct error error;
	assert_int_equal(kafka_client_new(&reader, &world->pipeline, "reader", 1, NULL, &error), RESULT_OK);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, world->topic, 0);
	int64_t committed = -1;
	for (uint64_t until = deadline(PATIENCE_MS); committed != 10 && clock_monotonic_us() < until;) {
		world->source->ops->commit_group(world->source, &cut);
		(void)rd_kafka_committed(reader, list, 2000);
		committed = list->elems[0].offset;
		assert_int_equal(world->source->ops->health(world->source, &error), RESULT_OK);
	}
	assert_int_equal(committed, 10);
	rd_kafka_topic_partition_list_destroy(list);
	kafka_client_free(reader);
}

static void verdicts_tell_what_to_do(void **state)
{
	(void)state;
	assert_int_equal(kafka_client_verdict(RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, NULL), RESULT_RETRY);
	assert_int_equal(kafka_client_verdict(RD_KAFKA_RESP_ERR__AUTHENTICATION, NULL), RESULT_CONFIG);
	assert_int_equal(kafka_client_verdict(RD_KAFKA_RESP_ERR__SSL, "handshake: disconnected"), RESULT_RETRY);
	assert_int_equal(kafka_client_verdict(RD_KAFKA_RESP_ERR__SSL, "x:certificate verify failed:y"), RESULT_CONFIG);
	assert_int_equal(kafka_client_verdict(RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, NULL), RESULT_OK);
	/* Records may have been skipped: never to be ignored. */
	assert_int_equal(kafka_client_verdict(RD_KAFKA_RESP_ERR__BAD_MSG, NULL), RESULT_CORRUPT);
	assert_int_equal(kafka_client_verdict(RD_KAFKA_RESP_ERR__BAD_COMPRESSION, NULL), RESULT_CORRUPT);
}

#define WORLD_TEST(function) cmocka_unit_test_setup_teardown(function, world_open, world_close)

int main(void)
{
	log_open("test", "text", getenv("VERBOSE") != NULL ? LOG_DEBUG : LOG_ERROR);
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(records_come_in_order_on_one_event),
	    WORLD_TEST(a_new_record_makes_the_event_readable),
	    WORLD_TEST(reading_begins_at_the_assigned_offset),
	    WORLD_TEST(a_partition_that_is_not_taken_disturbs_no_other),
	    WORLD_TEST(an_offset_is_never_delivered_twice),
	    WORLD_TEST(keys_tombstones_and_timestamps_arrive_as_they_are),
	    WORLD_TEST(an_offset_out_of_range_is_config_for_ever),
	    WORLD_TEST(describe_resolves_earliest_and_then_reads),
	    WORLD_TEST(describe_resolves_latest),
	    WORLD_TEST(describe_resolves_offsets_by_name),
	    WORLD_TEST(describe_resolves_a_timestamp),
	    WORLD_TEST(a_missing_topic_is_waited_for),
	    WORLD_TEST(a_broker_that_is_away_is_waited_for),
	    WORLD_TEST(a_topic_that_may_not_be_read_is_config),
	    WORLD_TEST(an_outage_is_said_while_it_lasts_and_loses_nothing),
	    WORLD_TEST(queued_records_do_not_end_an_outage),
	    WORLD_TEST(a_doubt_is_raised_by_an_outage),
	    WORLD_TEST(what_a_broker_does_not_know_raises_a_doubt),
	    WORLD_TEST(settings_that_carry_exactness_cannot_be_changed),
	    WORLD_TEST(unknown_and_invalid_settings_are_config),
	    WORLD_TEST(a_source_without_partitions_is_quiet),
	    WORLD_TEST(group_offsets_are_committed_when_told),
	    cmocka_unit_test(verdicts_tell_what_to_do),
	};
	if (getenv("TEST_FILTER") != NULL)
		cmocka_set_test_filter(getenv("TEST_FILTER"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
