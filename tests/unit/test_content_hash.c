/* tests/unit/test_content_hash.c - protects: the hash by which a repeat is known covers every field, and nothing but what is stored. */
#include "tests/unit/aggregator_harness.h"

#include "services/ingest/ingest.h"
#include "tests/unit/members.h"
#include "tests/unit/shipped_pipeline.h"

/* A source of one partition that has a single record at most. */
struct one_record {
	struct source_port port;
	bool has_record;
	struct source_record given;
};

static enum result one_assign(struct source_port *port, const struct cut *positions, struct error *error)
{
	(void)port, (void)positions, (void)error;
	return RESULT_OK;
}

/* The log is the one that was read. */
static enum result one_describe(
    struct source_port *port, const struct marks *marks, struct description *found, struct error *error)
{
	(void)port, (void)marks, (void)error;
	found->partitions = 1;
	return RESULT_OK;
}

static enum result one_take(struct source_port *port, uint32_t partition, struct source_record *records, size_t max,
    size_t *taken, struct error *error)
{
	struct one_record *source = (struct one_record *)(void *)port;
	(void)partition, (void)max, (void)error;
	*taken = source->has_record;
	records[0] = source->given;
	source->has_record = false;
	return RESULT_OK;
}

static void one_give_back(struct source_port *port, struct source_record *records, size_t len)
{
	(void)port, (void)records, (void)len;
}

static enum result one_health(struct source_port *port, struct error *error)
{
	(void)port, (void)error;
	return RESULT_OK;
}

static int64_t one_position(struct source_port *port, uint32_t partition)
{
	const struct one_record *source = (const struct one_record *)(void *)port;
	(void)partition;
	return source->given.payload.data == NULL ? 0 : source->given.offset + !source->has_record;
}

static int64_t one_end(struct source_port *port, uint32_t partition)
{
	(void)port, (void)partition;
	return -1;
}

static uint64_t one_heard_us(struct source_port *port)
{
	(void)port;
	return 0;
}

static uint32_t one_partitions(struct source_port *port)
{
	(void)port;
	return 1;
}

static uint64_t port_doubts(struct source_port *port)
{
	(void)port;
	return 0;
}

static const struct source_port_ops one_ops = {.describe = one_describe,
    .doubts = port_doubts,
    .assign = one_assign,
    .take = one_take,
    .give_back = one_give_back,
    .health = one_health,
    .position = one_position,
    .end = one_end,
    .heard_us = one_heard_us,
    .partitions = one_partitions};

struct world {
	struct harness harness;
	struct one_record source;
	struct ingest_process process;
};

static struct world world;

/* An ingest of the world's pipeline that reads from 0 on. */
static void world_start(void **state)
{
	struct harness *harness = &world.harness;
	harness->topology = (struct topology){1, 1, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	world.source.port = (struct source_port){&one_ops, -1};
	world.process = (struct ingest_process){&harness->pipeline, harness->topology, &world.source.port, false};
	harness->actor = ingest_new(&world.process, actor_id(ROLE_INGEST, 0), ATTEMPT, &harness->error);
	assert_non_null(harness->actor);
	const struct frame_deploy deploy = {.partitions = 1};
	assert_int_equal(harness_frame(harness, 0, FRAME_DEPLOY, &deploy, true), RESULT_OK);
	assert_int_equal(harness_frame(harness, 0, FRAME_START, &(struct frame_start){0}, true), RESULT_OK);
	*state = &world;
}

static int world_of(void **state, const char *text)
{
	world = (struct world){0};
	assert_int_equal(pipeline_parse(&world.harness.pipeline, "world",
	                     (struct bytes){(const uint8_t *)text, strlen(text)}, &world.harness.error),
	    RESULT_OK);
	world_start(state);
	return 0;
}

static int harness_begin(void **state)
{
	return world_of(state, harness_text);
}

static int members_begin(void **state)
{
	return world_of(state, members_pipeline);
}

static int shipped_begin(void **state)
{
	world = (struct world){0};
	shipped_pipeline(&world.harness.pipeline);
	world_start(state);
	return 0;
}

static int world_end(void **state)
{
	(void)state;
	harness_fini(&world.harness);
	return 0;
}

/* What dedup is told of a record, alone in the log: the next one, as epoch n. */
static uint64_t hash_of(const char *payload, uint64_t n)
{
	struct harness *harness = &world.harness;
	struct rows_reader reader;
	struct row row;
	bool more = false;
	world.source.has_record = true;
	world.source.given = (struct source_record){.offset = (int64_t)n - 1,
	    .timestamp_ms = 1800000000000 + (int64_t)n,
	    .payload = {(const uint8_t *)payload, strlen(payload)}};
	assert_int_equal(
	    harness->actor->ops->on_tick(harness->actor, n * 1000000, &harness->outbox, &harness->error), RESULT_OK);
	const struct frame_inject inject = {.epoch = {ATTEMPT, n}};
	assert_int_equal(harness_frame(harness, 0, FRAME_INJECT, &inject, true), RESULT_OK);
	harness_take(harness);
	const struct frame *rows = sent(harness, channel_to(harness, ROLE_DEDUP, 0), FRAME_ROWS, 0);
	if (rows == NULL)
		fail_msg("%s is no row", payload);
	uint32_t fields = (uint32_t)harness->pipeline.record.fields_len;
	assert_int_equal(rows_open(&reader, rows->body.rows.rows, fields, &harness->error), RESULT_OK);
	assert_int_equal(rows_next(&reader, &row, &more, &harness->error), RESULT_OK);
	return row.content_hash;
}

/* Two records that differ in one member alone, whichever it is: null and nothing, a unit in the last place, a microsecond, a blank at
 * the end. Offset and timestamp, in which repeats always differ, are no part of it. */
static void every_member_is_hashed(void **state)
{
	enum { HASHES_MAX = 400 };
	(void)state;
	const struct pipeline *pipeline = &world.harness.pipeline;
	struct value values[PIPELINE_FIELDS_MAX], members[MEMBERS_MAX];
	struct buffer payload = {0};
	uint64_t seen[HASHES_MAX];
	size_t len = 0;
	for (size_t i = 0; i < pipeline->record.fields_len; i++) {
		size_t members_len = members_of(&pipeline->record.fields[i], members);
		for (size_t m = 0; m < members_len; m++) {
			if (i == pipeline->record.key && members[m].text.len == 0)
				continue; /* no key */
			members_first(pipeline, values);
			values[i] = members[m];
			buffer_clear(&payload);
			members_json(&payload, pipeline, values);
			buffer_append(&payload, "", 1);
			assert_true(len < HASHES_MAX);
			seen[len] = hash_of((const char *)payload.data, len + 1);
			/* The first of every field is the same record. */
			for (size_t before = 0; before < len; before++)
				if ((seen[before] == seen[len]) != (m == 0 && seen[before] == seen[0]))
					fail_msg("%s: hashed like another one", (const char *)payload.data);
			assert_true(m != 0 || seen[len] == seen[0]);
			len++;
		}
	}
	assert_true(len > 4 * pipeline->record.fields_len);
	buffer_fini(&payload);
}

/* However it is written: what is stored is the same. */
static void other_spellings_are_the_same_record(void **state)
{
	static const char *const spellings[] = {
	    "{\"id\":\"k\",\"category\":\"caf\xc3\xa9\",\"quantity\":1,\"amount\":1.10,\"at\":\"2024-01-15T10:"
	    "00:"
	    "00Z\"}",
	    "{\"at\":1705312800,\"amount\":\"1.1\",\"quantity\":\"1.0\",\"category\":\"caf\\u00e9\",\"id\":"
	    "\"k\"}",
	    "{\"id\":\"\\u006b\",\"category\":\"caf\xc3\xa9\",\"quantity\":10e-1,\"amount\":110E-2,\"at\":"
	    "\"2024-01-15 "
	    "12:00:00.0000009+02\"}",
	    "{\"id\":\"k\",\"id\":\"other\",\"category\":\"caf\xc3\xa9\",\"quantity\":1,\"amount\":1.1049999,"
	    "\"at\":"
	    "1705312800000,\"more\":1}",
	};
	(void)state;
	uint64_t first = hash_of(spellings[0], 1);
	for (size_t i = 1; i < sizeof spellings / sizeof spellings[0]; i++)
		assert_true(hash_of(spellings[i], i + 1) == first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(every_member_is_hashed, members_begin, world_end),
	    cmocka_unit_test_setup_teardown(every_member_is_hashed, shipped_begin, world_end),
	    cmocka_unit_test_setup_teardown(other_spellings_are_the_same_record, harness_begin, world_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
