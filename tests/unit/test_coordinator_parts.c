/* The parts of the coordinator that decide by themselves: the deployment table, pacing, placement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "services/coordinator/coordinator_state.h"

/* Every pair has its row in its place (deployment_transition checks that), over is over, and CONFIG always stops. */
static void test_table(void **state)
{
	(void)state;
	for (int s = 0; s < STATES; s++)
		for (int e = 0; e < EVENTS; e++) {
			const struct transition *row =
			    deployment_transition((enum deployment_state)s, (enum deployment_event)e);
			assert_non_null(row->why);
			if (s == STATE_STOPPED)
				assert_int_equal(row->next, STATE_STOPPED);
			else if (e == EVENT_CONFIG)
				assert_int_equal(row->action, ACTION_STOP);
			else if (e == EVENT_REFUSED && s != STATE_CONFIRMING)
				assert_int_equal(row->action,
				    s == STATE_DESCRIBING || s == STATE_CHOOSING ? ACTION_CONFIRM : ACTION_STOP);
			if (row->action == ACTION_NONE)
				assert_int_equal(row->next, s);
		}
}

/* From gathering, the events of a good deployment lead to running, and one that breaks anywhere leads back. */
static void test_deployment_path(void **state)
{
	static const enum deployment_event path[] = {
	    EVENT_GATHERED, EVENT_FENCED, EVENT_DESCRIBED, EVENT_CUT_SET, EVENT_DEPLOYED, EVENT_READY};
	enum deployment_state at = STATE_GATHERING;
	(void)state;
	for (size_t i = 0; i < sizeof path / sizeof *path; i++) {
		at = deployment_transition(at, path[i])->next;
		assert_int_equal(deployment_transition(at, EVENT_BROKEN)->next, STATE_GATHERING);
		assert_int_equal(deployment_transition(at, EVENT_BROKEN)->action, ACTION_CANCEL);
	}
	assert_int_equal(at, STATE_RUNNING);
}

static struct pipeline two_ingests(void)
{
	struct pipeline pipeline;
	memset(&pipeline, 0, sizeof pipeline);
	pipeline.epoch.min_interval_us = 10000;
	pipeline.epoch.max_in_flight = 2;
	pipeline.parallelism.ingest = 2;
	return pipeline;
}

static void say(struct pacing *pacing, uint32_t ingest, uint64_t after, bool full, bool at_ceiling)
{
	struct frame_pending pending = {.actor = actor_id(ROLE_INGEST, ingest),
	    .after = after,
	    .waiting = true,
	    .full = full,
	    .at_ceiling = at_ceiling};
	pacing_pending(pacing, &pending);
}

static void test_pacing(void **state)
{
	struct pipeline pipeline = two_ingests();
	struct pacing pacing;
	uint64_t wake;
	(void)state;
	pacing_start(&pacing, &pipeline, false, 1000000);
	assert_int_equal(pacing_next(&pacing, 1000000, &wake), PACE_WAIT); /* nothing waits */
	say(&pacing, 0, 0, false, false);
	assert_int_equal(pacing_next(&pacing, 1000000, &wake), PACE_INJECT);
	assert_int_equal(pacing_inject(&pacing, false, 1000000), 1);
	assert_int_equal(pacing_next(&pacing, 1020000, &wake), PACE_WAIT); /* said before the barrier: does not count */
	say(&pacing, 0, 1, false, false);
	assert_int_equal(pacing_next(&pacing, 1004000, &wake), PACE_WAIT); /* the interval */
	assert_int_equal(wake, 1010000);
	say(&pacing, 1, 1, true, false);
	assert_int_equal(pacing_next(&pacing, 1004000, &wake), PACE_INJECT); /* credit used up: at once */
	assert_int_equal(pacing_inject(&pacing, false, 1004000), 2);
	say(&pacing, 1, 2, true, false);
	assert_int_equal(pacing_next(&pacing, 2000000, &wake), PACE_WAIT); /* two in flight */
	assert_false(pacing_committed(&pacing, 2, 100, false, 2000000)); /* not in order */
	assert_true(pacing_committed(&pacing, 1, 40000, false, 2000000));
	assert_int_equal(pacing_next(&pacing, 2000000, &wake), PACE_INJECT);
	assert_int_equal(pacing_inject(&pacing, false, 2000000), 3);
	assert_true(pacing_committed(&pacing, 2, 40000, false, 2000000));
	say(&pacing, 0, 3, false, false);
	assert_int_equal(pacing_next(&pacing, 2079999, &wake), PACE_WAIT); /* commits fill half of the time */
	assert_int_equal(pacing_next(&pacing, 2080000, &wake), PACE_INJECT);
}

static void test_lift(void **state)
{
	struct pipeline pipeline = two_ingests();
	struct pacing pacing;
	uint64_t wake;
	(void)state;
	pacing_start(&pacing, &pipeline, true, 0);
	say(&pacing, 0, 0, false, true);
	assert_int_equal(pacing_next(&pacing, 50000, &wake), PACE_INJECT); /* the other one is not there yet */
	say(&pacing, 1, 0, false, true);
	assert_int_equal(pacing_next(&pacing, 50000, &wake), PACE_LIFT);
	(void)pacing_inject(&pacing, true, 50000);
	say(&pacing, 0, 1, false, true);
	say(&pacing, 1, 1, false, true);
	assert_int_equal(pacing_next(&pacing, 90000, &wake), PACE_INJECT); /* lifted once */
}

static void test_placement(void **state)
{
	struct registry registry = {0};
	struct topology topology = {2, 3, 1, 1, .plan = &job_plans[JOB_TOTALS]};
	struct place places[7];
	(void)state;
	registry_add(&registry, "sink-b", PROCESS_SINK, 1);
	registry_add(&registry, "aggregator-b", PROCESS_AGGREGATOR, 2);
	registry_add(&registry, "aggregator-a", PROCESS_AGGREGATOR, 3);
	assert_false(registry_place(&registry, &topology, places));
	registry_add(&registry, "ingest", PROCESS_INGEST, 4);
	registry_add(&registry, "sink-a", PROCESS_SINK, 5);
	assert_true(registry_place(&registry, &topology, places));
	static const char *const expected[] = {
	    "ingest", "ingest", "aggregator-a", "aggregator-b", "aggregator-a", "aggregator-b", "sink-a"};
	for (size_t i = 0; i < 7; i++)
		assert_string_equal(places[i].worker, expected[i]);
	registry_find(&registry, "aggregator-a")->leaving = true;
	assert_true(registry_place(&registry, &topology, places));
	assert_string_equal(places[2].worker, "aggregator-b");
	registry_remove(&registry, "ingest");
	assert_false(registry_place(&registry, &topology, places));
	registry_fini(&registry);
}

static void test_topology(void **state)
{
	struct topology topology = {2, 3, 2, 1, .plan = &job_plans[JOB_TOTALS]};
	(void)state;
	assert_int_equal(topology_channels(&topology), 2 * 3 + 3 * 2 + 3 + 2);
	for (uint32_t channel = 1; channel <= topology_channels(&topology); channel++) {
		struct edge edge = topology_edge(&topology, channel);
		assert_int_equal(topology_channel(&topology, edge.from, edge.to), channel);
	}
	assert_int_equal(topology_channel(&topology, actor_id(ROLE_INGEST, 0), actor_id(ROLE_WRITER, 0)), 0);
}

/* Of the search job: every ingest to every writer, by key group, and nothing between. */
static void test_topology_of_search(void **state)
{
	struct topology topology = {.ingest = 2, .writers = 3, .plan = &job_plans[JOB_SEARCH]};
	(void)state;
	char text[TOPOLOGY_TEXT_MAX];
	assert_false(topology_needs(&topology, PROCESS_AGGREGATOR));
	assert_string_equal(topology_print(&topology, text), "2 ingest, 3 writer");
	assert_int_equal(topology_actors(&topology), 5);
	assert_int_equal(topology_actor(&topology, 4), actor_id(ROLE_WRITER, 2));
	assert_int_equal(topology_channels(&topology), 6);
	for (uint32_t channel = 1; channel <= 6; channel++) {
		struct edge edge = topology_edge(&topology, channel);
		assert_int_equal(actor_role(edge.from), ROLE_INGEST);
		assert_int_equal(actor_role(edge.to), ROLE_WRITER);
		assert_int_equal(topology_channel(&topology, edge.from, edge.to), channel);
	}
	assert_int_equal(topology_routes(&topology), 3);
	assert_int_equal(topology_route(&topology, 1), actor_id(ROLE_WRITER, 1));
}

static struct frame_fenced fenced_at(uint32_t writer, struct cut_entry *entries, uint32_t len)
{
	return (struct frame_fenced){
	    .actor = actor_id(ROLE_WRITER, writer),
	    .started = len > 0,
	    .cut = {entries, len},
	    .counters = {.n = {[COUNTER_CONSUMED] = 10 + writer}},
	};
}

/* The job is where the last of its writers is; one that was never started does not count. */
static void test_writers(void **state)
{
	struct writer_said writers[3] = {0};
	struct coordinator coordinator = {
	    .topology = {.ingest = 1, .writers = 3, .plan = &job_plans[JOB_SEARCH]}, .attempt = 7, .writers = writers};
	struct cut_entry a[] = {{0, 50}, {1, 9}}, b[] = {{0, 40}, {1, 12}}, base[] = {{0, 40}, {1, 9}};
	struct frame_fenced first = fenced_at(0, a, 2), second = fenced_at(1, b, 2), third = fenced_at(2, NULL, 0);
	(void)state;
	assert_null(writer_said(&coordinator, actor_id(ROLE_WRITER, 3)));
	assert_null(writer_said(&coordinator, actor_id(ROLE_INGEST, 0)));
	assert_false(all_fenced(&coordinator, writer_said(&coordinator, second.actor), &second));
	assert_false(all_fenced(&coordinator, writer_said(&coordinator, second.actor), &second));
	assert_false(all_fenced(&coordinator, writer_said(&coordinator, first.actor), &first));
	assert_true(all_fenced(&coordinator, writer_said(&coordinator, third.actor), &third));
	assert_true(coordinator.fenced.started);
	assert_true(cut_equal(&coordinator.fenced.cut, &(struct cut){base, 2}));
	assert_int_equal(coordinator.fenced.counters.n[COUNTER_CONSUMED], 33);
	/* Each says where it begins: the first is ahead. */
	assert_false(all_cut_set(&coordinator, &writers[0], &(struct frame_cut_set){.cut = {a, 2}}));
	assert_false(all_cut_set(&coordinator, &writers[1], &(struct frame_cut_set){.cut = {base, 2}}));
	assert_true(all_cut_set(&coordinator, &writers[2], &(struct frame_cut_set){.cut = {base, 2}}));
	/* An epoch is committed when all have, and in order. */
	struct cut cut = {0};
	struct counters counters;
	uint64_t n;
	struct cut_entry far[] = {{0, 60}, {1, 20}};
	struct frame_committed committed = {.epoch = {7, 1}, .cut = {far, 2}};
	assert_true(writer_committed(&coordinator, &writers[0], &committed, &n, &cut, &counters));
	assert_int_equal(n, 0);
	assert_true(cut_equal(&cut, &(struct cut){base, 2}));
	assert_true(writer_committed(&coordinator, &writers[1], &committed, &n, &cut, &counters));
	assert_false(writer_committed(&coordinator, &writers[1], &committed, &n, &cut, &counters));
	committed.epoch.n = 3;
	assert_false(writer_committed(&coordinator, &writers[0], &committed, &n, &cut, &counters));
	committed.epoch = (struct epoch_id){6, 2};
	assert_false(writer_committed(&coordinator, &writers[0], &committed, &n, &cut, &counters));
	committed.epoch = (struct epoch_id){7, 1};
	committed.counters.n[COUNTER_CONSUMED] = 5;
	assert_true(writer_committed(&coordinator, &writers[2], &committed, &n, &cut, &counters));
	assert_int_equal(n, 1);
	assert_true(cut_equal(&cut, &(struct cut){far, 2}));
	assert_int_equal(counters.n[COUNTER_CONSUMED], 5);
	forget_writers(&coordinator);
	assert_false(writers[0].fenced || writers[1].cut_set);
	assert_int_equal(writers[2].committed, 0);
	for (int i = 0; i < 3; i++)
		cut_fini(&writers[i].cut);
	cut_fini(&coordinator.fenced.cut);
	cut_fini(&cut);
}

/* Actors of one process wait for themselves: the end of one's wait is not that of another's. And a text that changes is the
 * same wait, with its beginning. */
static void test_waits(void **state)
{
	(void)state;
	struct coordinator coordinator = {.now_us = 60000000};
	struct registry *registry = &coordinator.registry;
	struct member *sink = registry_add(registry, "sink", PROCESS_SINK, 1);
	assert_false(sink_waits(&coordinator));
	assert_true(waits_say(sink, &(struct frame_waiting){.actor = 7, .for_us = 3000000, .text = "away"}, 60000000));
	assert_true(waits_say(sink, &(struct frame_waiting){.actor = 8, .text = "full"}, 60000000));
	assert_false(waits_say(sink, &(struct frame_waiting){.actor = 8, .text = "full"}, 61000000));
	assert_true(waits_say(sink, &(struct frame_waiting){.actor = 7, .text = "locked"}, 62000000));
	assert_int_equal(sink->waits.len, 2);
	assert_int_equal(sink->waits.entries[0].since_us, 57000000);
	assert_string_equal(sink->waits.entries[0].text, "locked");
	assert_true(waits_say(sink, &(struct frame_waiting){.actor = 7, .text = ""}, 63000000));
	assert_true(sink_waits(&coordinator));
	assert_string_equal(sink->waits.entries[0].text, "full");
	assert_false(waits_say(sink, &(struct frame_waiting){.actor = 7, .text = ""}, 63000000));
	assert_true(waits_say(sink, &(struct frame_waiting){.actor = 8, .text = ""}, 63000000));
	assert_false(sink_waits(&coordinator) || somebody_waits(&coordinator));
	(void)waits_say(sink, &(struct frame_waiting){.actor = 8, .text = "full"}, 64000000);
	registry_add(registry, "sink", PROCESS_SINK, 2); /* afresh: it waits for nothing */
	assert_false(sink_waits(&coordinator));
	registry_fini(registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_deployment_path),
	    cmocka_unit_test(test_pacing),
	    cmocka_unit_test(test_lift),
	    cmocka_unit_test(test_placement),
	    cmocka_unit_test(test_topology),
	    cmocka_unit_test(test_topology_of_search),
	    cmocka_unit_test(test_writers),
	    cmocka_unit_test(test_waits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
