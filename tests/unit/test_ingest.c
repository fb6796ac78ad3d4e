/* Protects: when an ingest says that the log is not the one that the database was filled from, and when not yet; that it goes on telling
 * how long the log is while nobody has it cut. */
#include "tests/unit/aggregator_harness.h"

#include "services/ingest/ingest.h"

enum { SECOND_US = 1000000, FRONTIER = 100 };

/* A source of one partition that has a single record at most: one that is refused. */
struct quiet_source {
	struct source_port port;
	int64_t end;
	bool has_record;
};

static enum result quiet_describe(
    struct source_port *port, uint32_t *partitions, struct cut *start, struct error *error)
{
	(void)port, (void)partitions, (void)start, (void)error;
	return RESULT_OK;
}

static enum result quiet_assign(struct source_port *port, const struct cut *positions, struct error *error)
{
	(void)port, (void)positions, (void)error;
	return RESULT_OK;
}

static enum result quiet_take(struct source_port *port, uint32_t partition, struct source_record *records, size_t max,
    size_t *taken, struct error *error)
{
	struct quiet_source *source = (struct quiet_source *)(void *)port;
	(void)max, (void)error;
	*taken = source->has_record;
	if (source->has_record)
		records[0] = (struct source_record){.partition = partition, .payload = {(const uint8_t *)"?", 1}};
	source->has_record = false;
	return RESULT_OK;
}

static void quiet_give_back(struct source_port *port, struct source_record *records, size_t len)
{
	(void)port, (void)records, (void)len;
}

static enum result quiet_health(struct source_port *port, struct error *error)
{
	(void)port, (void)error;
	return RESULT_OK;
}

static int64_t quiet_end(struct source_port *port, uint32_t partition)
{
	(void)partition;
	return ((struct quiet_source *)(void *)port)->end;
}

static void quiet_commit_group(struct source_port *port, const struct cut *cut)
{
	(void)port, (void)cut;
}

static void quiet_close(struct source_port *port)
{
	(void)port;
}

static uint32_t port_partitions(struct source_port *port)
{
	(void)port;
	return 0;
}

static const struct source_port_ops quiet_ops = {quiet_describe, quiet_assign, quiet_take, quiet_give_back,
    quiet_health, quiet_end, port_partitions, quiet_commit_group, quiet_close};

struct world {
	struct harness harness;
	struct quiet_source source;
	struct ingest_process process;
};

/* An ingest that replays from 0 up to the frontier. */
static int replay_begin(void **state)
{
	static struct world world;
	static struct cut_entry first = {0, 0}, last = {0, FRONTIER};
	struct harness *harness = &world.harness;
	const struct bytes text = {(const uint8_t *)harness_text, sizeof harness_text - 1};
	world = (struct world){.harness.topology = {1, 1, 1, 1}, .source = {{&quiet_ops, -1}, -1, false}};
	assert_int_equal(pipeline_parse(&harness->pipeline, "harness", text, &harness->error), RESULT_OK);
	world.process = (struct ingest_process){&harness->pipeline, harness->topology, &world.source.port, false};
	harness->actor = ingest_new(&world.process, actor_id(ROLE_INGEST, 0), ATTEMPT, &harness->error);
	assert_non_null(harness->actor);
	const struct frame_deploy deploy = {.partitions = 1, .base_cut = {&first, 1}, .frontier_cut = {&last, 1}};
	assert_int_equal(harness_frame(harness, 0, FRAME_DEPLOY, &deploy, true), RESULT_OK);
	assert_int_equal(harness_frame(harness, 0, FRAME_START, &(struct frame_start){0}, true), RESULT_OK);
	*state = &world;
	return 0;
}

static int replay_end(void **state)
{
	harness_fini(&((struct world *)*state)->harness);
	return 0;
}

static enum result tick(struct world *world, uint64_t second, int64_t end)
{
	struct harness *harness = &world->harness;
	world->source.end = end;
	return harness->actor->ops->on_tick(harness->actor, second * SECOND_US, &harness->outbox, &harness->error);
}

static void a_log_that_stays_short_is_refused(void **state)
{
	enum result result = RESULT_OK;
	uint64_t second = 1;
	assert_int_equal(tick(*state, second, -1), RESULT_OK); /* not known yet */
	while (result == RESULT_OK && second < 30)
		result = tick(*state, ++second, FRONTIER - 1);
	assert_int_equal(result, RESULT_CONFIG);
	assert_in_range(second, 5, 15);
	assert_non_null(strstr(((struct world *)*state)->harness.error.text, "ends at offset 99"));
}

/* A broker that has just become the leader may tell an end that lags. */
static void a_log_that_is_short_for_a_moment_is_not(void **state)
{
	for (uint64_t second = 1; second < 60; second++)
		assert_int_equal(tick(*state, second, second % 4 == 0 ? FRONTIER : FRONTIER - 1), RESULT_OK);
}

/* How far the log reaches by what was said in this tick; -1: nothing was said. */
static int64_t end_said(struct world *world, uint64_t second, int64_t end)
{
	struct harness *harness = &world->harness;
	const struct frame *frame;
	assert_int_equal(tick(world, second, end), RESULT_OK);
	harness_take(harness);
	frame = sent(harness, 0, FRAME_PENDING, 0);
	assert_null(sent(harness, 0, FRAME_PENDING, 1));
	return frame != NULL ? cut_get(&frame->body.pending.ends, 0, -1) : -1;
}

/* As long as a sink is away no barrier comes: the lag that people are told grows all the same. */
static void the_log_grows_while_a_cut_is_waited_for(void **state)
{
	struct world *world = *state;
	assert_int_equal(end_said(world, 1, 200), -1); /* nothing is pending */
	world->source.has_record = true;
	assert_int_equal(end_said(world, 2, 200), 200);
	assert_int_equal(end_said(world, 2, 300), -1); /* not more often than once a second */
	assert_int_equal(end_said(world, 3, 300), 300);
	assert_int_equal(end_said(world, 4, 300), -1);
	assert_int_equal(end_said(world, 9, 301), 301);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_log_that_stays_short_is_refused, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(a_log_that_is_short_for_a_moment_is_not, replay_begin, replay_end),
	    cmocka_unit_test_setup_teardown(the_log_grows_while_a_cut_is_waited_for, replay_begin, replay_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
