/* Protects: a key is forgotten only when it is old, and with a complete checkpoint; a replay from any checkpoint knows at least what
 * was known the first time. */
#include "tests/unit/state_bed.h"

#include <poll.h>

#include "common/base/timestamp.h"

/* The cache has taken the checkpoint in; the actor has not heard of it. */
static void await_apply(const struct bed *bed)
{
	struct pollfd carried_out = {.fd = bed->ports[0]->event_fd, .events = POLLIN};
	assert_int_equal(poll(&carried_out, 1, PATIENCE_MS), 1);
}

/* Forgotten at once; but what has to be replayed from the checkpoint before knows it still. */
static void test_expiry(void **state)
{
	struct bed *bed = *state;
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	for (uint32_t i = 0; i < 100; i++)
		change(bed, i);
	(void)checkpoint(bed, true);
	bed->time_ms += 3 * (int64_t)DAY_MS;
	for (uint32_t i = 100; i < 200; i++)
		change(bed, i);
	uint32_t before = checkpoint(bed, true);
	settle(bed);
	state_expire(bed->actors[0], bed->time_ms - DAY_MS);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(look(bed, i), i < 100 ? 0 : bed->now.values[i]);
	start(bed, 1, before, true);
	state_expire(bed->actors[0], bed->time_ms - DAY_MS);
	for (uint32_t i = 0; i < 100; i++)
		bed->now.values[i] = 0;
	change(bed, 250);
	uint32_t after = checkpoint(bed, true);
	settle(bed);
	start(bed, 1, after, true);
	start(bed, 1, after, false);
}

/* After days without a record the newest generation of the last checkpoint is old as well, but the checkpoint that opens a
 * newer one is still to come. Whatever is found after its barrier has been used to drop repeats, so it has to be in its
 * files: a replay from it has to drop them, too. */
static void test_expiry_after_a_long_silence(void **state)
{
	struct bed *bed = *state;
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	for (uint32_t i = 0; i < 100; i++)
		change(bed, i);
	(void)checkpoint(bed, true);
	settle(bed);
	bed->time_ms += 3 * (int64_t)DAY_MS;
	for (int round = 0; round < 3; round++) {
		change(bed, 100 + (uint32_t)round);
		state_expire(bed->actors[0], bed->time_ms - DAY_MS);
		for (uint32_t i = 0; i < 100; i++)
			bed->now.values[i] = look(bed, i);
		uint32_t n = checkpoint(bed, true);
		settle(bed);
		start(bed, 1, n, false);
	}
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(look(bed, i), 0);
}

/* The cache has taken a checkpoint in, and nobody has heard of it yet: its layers are still looked at in front of the cache. So what
 * is in them has to be in the files of the next checkpoint, however old it is. */
static void test_expiry_before_the_answer(void **state)
{
	struct bed *bed = *state;
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	for (uint32_t i = 0; i < 100; i++)
		change(bed, i);
	(void)checkpoint(bed, true);
	await_apply(bed);
	bed->time_ms += 3 * (int64_t)DAY_MS;
	change(bed, 100);
	state_expire(bed->actors[0], bed->time_ms - DAY_MS);
	for (uint32_t i = 0; i < 100; i++)
		bed->now.values[i] = look(bed, i);
	uint32_t n = checkpoint(bed, true);
	settle(bed);
	start(bed, 1, n, false);
}

/* Without a time, and with one of the future, an entry is as old as our clock says: older ones go, and it stays. */
static void keeps_for_a_day(struct bed *bed, int64_t time_ms)
{
	int64_t now_ms = clock_realtime_us() / 1000;
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	bed->time_ms = now_ms - 4 * (int64_t)DAY_MS;
	for (uint32_t i = 0; i < 100; i++)
		change(bed, i);
	(void)checkpoint(bed, true);
	bed->time_ms = time_ms;
	for (uint32_t i = 100; i < 200; i++)
		change(bed, i);
	uint32_t n = checkpoint(bed, true);
	settle(bed);
	start(bed, 1, n, true);
	state_expire(bed->actors[0], now_ms - DAY_MS);
	for (uint32_t i = 0; i < 200; i++)
		assert_int_equal(look(bed, i), i < 100 ? 0 : bed->now.values[i]);
}

/* What the cache of one machine still holds may have been forgotten on another one. Where a checkpoint has no file at all, nothing is known:
 * a cache that knew more would drop a repeat that a replay elsewhere does not. */
static void test_nothing_is_left(void **state)
{
	struct bed *bed = *state;
	char kept[sizeof bed->cache + 8];
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	for (uint32_t i = 0; i < 100; i++)
		change(bed, i);
	uint32_t n = checkpoint(bed, true);
	settle(bed);
	close_actors(bed);
	(void)snprintf(kept, sizeof kept, "%s.kept", bed->cache);
	assert_int_equal(rename(bed->cache, kept), 0);
	start(bed, 1, n, false);
	(void)checkpoint(bed, true); /* nothing has changed: of today */
	await_apply(bed);
	state_expire(bed->actors[0], clock_realtime_us() / 1000);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(bed->now.values[i] = look(bed, i), 0);
	n = checkpoint(bed, true);
	await_apply(bed);
	close_actors(bed);
	folder_remove(bed->cache);
	assert_int_equal(rename(kept, bed->cache), 0);
	start(bed, 1, n, true);
}

static void test_no_time_is_now(void **state)
{
	keeps_for_a_day(*state, -1);
}

static void test_the_future_is_now(void **state)
{
	keeps_for_a_day(*state, INT64_C(253402300799000));
}

/* One walk: records come, pauses, keys expire, checkpoints are completed and given up, processes are lost, with and without
 * their caches. A key that is forgotten does not come again. */
struct walk {
	struct bed *bed;
	int64_t times[KEYS]; /* of a key that is kept */
	int64_t limit; /* older ones may be forgotten */
	uint32_t next; /* key that never was */
	struct model at[CHECKPOINTS_MAX]; /* what could be found behind each barrier */
	int64_t limits[CHECKPOINTS_MAX];
	uint32_t nexts[CHECKPOINTS_MAX];
};

static void walk_records(struct walk *walk)
{
	struct bed *bed = walk->bed;
	bed->time_ms += below(bed, 10) == 0 ? 3 * (int64_t)DAY_MS : (int64_t)below(bed, DAY_MS / 3);
	int64_t now_ms = bed->time_ms;
	for (uint32_t some = below(bed, 5); some > 0 && walk->next < KEYS; some--) {
		bed->time_ms = now_ms - (below(bed, 4) == 0 ? (int64_t)below(bed, 2 * DAY_MS) : 0);
		walk->times[walk->next] = bed->time_ms;
		change(bed, walk->next++);
	}
	bed->time_ms = now_ms;
}

/* A key may be missing only if it is old; one that is missing is never found again in this process. */
static void walk_look(struct walk *walk)
{
	struct bed *bed = walk->bed;
	for (uint32_t i = 0; i < walk->next; i++) {
		uint32_t found = look(bed, i), known = bed->now.values[i];
		assert_true(found == known || (found == 0 && walk->times[i] < walk->limit));
		bed->now.values[i] = found;
	}
}

static void walk_checkpoint(struct walk *walk, bool whole)
{
	struct bed *bed = walk->bed;
	int64_t limit = bed->time_ms - DAY_MS;
	walk->limit = limit > walk->limit ? limit : walk->limit;
	if (below(bed, 4) > 0)
		for (uint32_t i = 0; i < bed->actors_len; i++)
			state_expire(bed->actors[i], limit);
	walk_look(walk);
	walk->at[bed->n + 1] = bed->now;
	walk->limits[bed->n + 1] = walk->limit;
	walk->nexts[bed->n + 1] = walk->next;
	(void)checkpoint(bed, whole);
	walk_look(walk);
	settle_for(bed, (int)below(bed, 3));
	walk_look(walk);
}

static void walk_restore(struct walk *walk)
{
	struct bed *bed = walk->bed;
	uint32_t n = bed->complete;
	close_actors(bed);
	if (below(bed, 2))
		folder_remove(bed->cache);
	open_actors(bed, 1 + below(bed, ACTORS_MAX));
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	bed->now = walk->at[n];
	walk->limit = walk->limits[n];
	for (uint32_t i = 0; i < walk->next; i++) {
		uint32_t found = look(bed, i);
		/* What was forgotten may be back, from the cache: it is known that it was there once. What came later is not. */
		if (bed->now.values[i] != 0 || i >= walk->nexts[n])
			assert_int_equal(found, bed->now.values[i]);
		bed->now.values[i] = found;
	}
}

static void test_walks_with_expiry(void **state)
{
	struct bed *bed = *state;
	struct walk *walk = memory_new(sizeof *walk);
	bed->generation_ms = DAY_MS / 4;
	bed->seed = 11;
	walk->bed = bed;
	walk->limit = walk->limits[0] = INT64_MIN;
	start(bed, 2, 0, true);
	while (walk->next < KEYS && bed->n + 2 < CHECKPOINTS_MAX) {
		walk_records(walk);
		if (below(bed, 3) == 0)
			walk_checkpoint(walk, below(bed, 4) > 0);
		if (below(bed, 8) == 0)
			walk_restore(walk);
	}
	free(walk);
}

/* Replayed from an old topic, a year of generations comes at once; and a record of the future hides nothing that is new. */
static void test_many_generations(void **state)
{
	struct bed *bed = *state;
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	for (int day = 0; day < 80; day++) {
		bed->time_ms += DAY_MS;
		change_some(bed, 3);
		(void)checkpoint(bed, true);
	}
	check_all(bed);
	settle(bed);
	state_expire(bed->actors[0], INT64_MAX);
	change(bed, 1);
	uint32_t n = checkpoint(bed, true);
	settle(bed);
	assert_int_equal(look(bed, 1), bed->now.values[1]);
	for (uint32_t i = 0; i < KEYS; i++) /* whatever went, it went from cache and files alike */
		bed->now.values[i] = bed->kept[n].values[i] = look(bed, i);
	start(bed, 1, n, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_expiry, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_expiry_after_a_long_silence, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_expiry_before_the_answer, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_nothing_is_left, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_no_time_is_now, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_the_future_is_now, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_walks_with_expiry, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_many_generations, open_bed, close_bed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
