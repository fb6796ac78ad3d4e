/* Protects: a cache is used only for what it holds: never one of another history, of a living process, half written or
 * damaged; and in many slices it still finds every key, and no other one. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/state_bed.h"

/* A process that is stopped keeps its cache: the next one takes another folder. */
static void test_cache_in_use(void **state)
{
	struct bed *bed = *state;
	struct state *stopped;
	start(bed, 1, 0, true);
	change_some(bed, 100);
	uint32_t n = checkpoint(bed, true);
	stopped = bed->actors[0];
	open_actors(bed, 1);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	check_all(bed);
	state_free(stopped);
}

/* A stopped process's folder stays its own; what a dead one left beside ours goes. */
static void test_leftovers_go(void **state)
{
	struct bed *bed = *state;
	char other[256];
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	struct state *stopped = bed->actors[0];
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	(void)snprintf(other, sizeof other, "%s/shop/totals/2.0.1", bed->cache);
	assert_int_equal(access(other, F_OK), 0);
	close_actors(bed);
	state_free(stopped);
	start(bed, 1, 0, true);
	assert_int_equal(access(other, F_OK), -1);
}

static void copy_cache(const struct bed *bed, const char *from, const char *to)
{
	char command[512];
	(void)snprintf(command, sizeof command, "rm -rf '%s/%s' && cp -a '%s/%s' '%s/%s'", bed->folder, to, bed->folder,
	    from, bed->folder, to);
	assert_int_equal(system(command), 0);
}

/* Another process: restores checkpoint n, changes some, has a checkpoint, and is killed while the cache takes it in. */
static void live_and_be_killed(struct bed *bed, uint32_t n, useconds_t after_us)
{
	int ends[2];
	char byte = 0;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_int_not_equal(child, -1);
	if (child == 0) {
		open_actors(bed, 1);
		(void)restore(bed, n);
		change_some(bed, 300);
		(void)checkpoint(bed, true);
		(void)!write(ends[1], &byte, 1);
		settle(bed);
		for (;;)
			(void)pause();
	}
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	(void)usleep(after_us);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	(void)close(ends[0]);
}

static void test_killed_at_any_moment(void **state)
{
	struct bed *bed = *state;
	uint32_t n = 0;
#ifdef __SANITIZE_THREAD__
	skip(); /* it forbids threads after a fork */
#endif
	bed->generation_ms = DAY_MS;
	for (uint32_t round = 0; round < 30; round++) {
		struct bed other = *bed; /* it changes the same keys as we do in our model below */
		bed->time_ms += DAY_MS / 8;
		other.time_ms = bed->time_ms;
		live_and_be_killed(&other, n, round * 200);
		bed->now = bed->kept[n];
		change_some(bed, 300);
		n = ++bed->n;
		bed->kept[n] = bed->now;
		bed->in_line[n] = true;
		start(bed, 1, n, true);
		close_actors(bed);
	}
}

/* An older cache of the same line is brought forward, one of another history is not taken. */
static void test_ancestor_and_stranger(void **state)
{
	struct bed *bed = *state;
	start(bed, 1, 0, true);
	change_some(bed, 100);
	uint32_t old = checkpoint(bed, true);
	settle(bed);
	close_actors(bed);
	copy_cache(bed, "cache", "ancestor");
	for (int round = 0; round < 6; round++) {
		start(bed, 1, old, true);
		uint32_t n = old;
		for (int i = 0; i < 11; i++) { /* merged meanwhile */
			change_some(bed, 30);
			n = checkpoint(bed, true);
		}
		settle(bed);
		close_actors(bed);
		if (round % 2 == 0) {
			copy_cache(bed, "cache", "stranger");
			copy_cache(bed, "ancestor", "cache");
			start(bed, 1, n, true);
			close_actors(bed);
			copy_cache(bed, "stranger", "cache"); /* of what the next round goes back behind */
		}
	}
}

/* Checkpoints that are made anew count from 1 again: a cache of the old ones must not pass for theirs. */
static void test_other_lineage(void **state)
{
	struct bed *bed = *state;
	struct error error;
	start(bed, 1, 0, true);
	change_some(bed, 200);
	assert_int_equal(checkpoint(bed, true), 1);
	settle(bed);
	close_actors(bed);
	copy_cache(bed, "cache", "old");
	bed->store->ops->close(bed->store);
	folder_remove(bed->checkpoints);
	assert_int_equal(checkpoint_folder_open(&bed->store, bed->checkpoints, "shop/totals", &error), RESULT_OK);
	bed->n = 0;
	start(bed, 1, 0, true);
	change_some(bed, 50);
	assert_int_equal(checkpoint(bed, true), 1);
	close_actors(bed);
	copy_cache(bed, "old", "cache");
	start(bed, 1, 1, true);
}

/* leveldb notices, the attempt ends, and the next one makes the cache anew. */
static void test_damaged_cache_is_made_anew(void **state)
{
	struct bed *bed = *state;
	char command[256];
	struct error error;
	bool noticed = false;
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	for (uint32_t i = 0; i < KEYS; i++)
		change(bed, i);
	uint32_t n = checkpoint(bed, true);
	for (int round = 0; round < 3; round++) {
		settle(bed);
		start(bed, 1, n, true); /* opened again, all that is in the log lies in tables */
	}
	close_actors(bed);
	(void)snprintf(command, sizeof command,
	    "for f in '%s'/shop/totals/2.0.0/*/*.ldb; do printf '####' | dd of=\"$f\" bs=1 seek=100 conv=notrunc "
	    "status=none; "
	    "done",
	    bed->cache);
	assert_int_equal(system(command), 0);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	for (uint32_t i = 0; i < KEYS && !noticed; i++) {
		char text[24];
		struct bytes key = key_text(i, text), value;
		uint64_t hash = key_hash(key);
		noticed =
		    state_find(bed->actors[0], key_group(hash, GROUPS), hash, key, &value, &error) == RESULT_CORRUPT;
	}
	assert_true(noticed);
	start(bed, 1, n, true);
}

/* A generation of several slices, with too little memory for their filters: every key is found with its newest value, and
 * no other one is. */
enum { MANY_KEYS = 900000, MANY_STEP = 300000 };

static struct bytes many_key(uint32_t i, uint64_t key[2])
{
	key[0] = XXH3_64bits(&i, sizeof i);
	key[1] = i;
	return (struct bytes){(const uint8_t *)key, 2 * sizeof *key};
}

static void put_many(struct bed *bed, uint32_t from, uint32_t to, uint32_t value)
{
	struct error error;
	uint64_t room[2];
	for (uint32_t i = from; i < to; i++) {
		struct bytes key = many_key(i, room);
		uint64_t hash = key_hash(key);
		uint32_t group = key_group(hash, GROUPS);
		assert_int_equal(state_put(owner_of(bed, group), group, hash, key,
		                     (struct bytes){(const uint8_t *)&value, sizeof value}, bed->time_ms, &error),
		    RESULT_OK);
	}
}

static uint32_t look_many(const struct bed *bed, uint32_t i)
{
	struct error error;
	uint64_t room[2];
	struct bytes key = many_key(i, room), value;
	uint64_t hash = key_hash(key);
	uint32_t group = key_group(hash, GROUPS), number = 0;
	assert_int_equal(state_find(owner_of(bed, group), group, hash, key, &value, &error), RESULT_OK);
	if (value.data != NULL)
		memcpy(&number, value.data, sizeof number);
	return number;
}

static void check_many(const struct bed *bed)
{
	for (uint32_t i = 0; i < MANY_KEYS; i += 97)
		assert_int_equal(look_many(bed, i), i < 1000 ? 2 : 1);
	for (uint32_t i = MANY_KEYS; i < MANY_KEYS + 10000; i++)
		assert_int_equal(look_many(bed, i), 0);
}

static void test_slices(void **state)
{
	struct bed *bed = *state;
	char path[256];
	bed->generation_ms = DAY_MS;
	start(bed, 1, 0, true);
	for (uint32_t i = 0; i < MANY_KEYS; i += MANY_STEP) {
		put_many(bed, i, i + MANY_STEP, 1);
		(void)checkpoint(bed, true);
		settle(bed);
	}
	put_many(bed, 0, 1000, 2);
	uint32_t n = checkpoint(bed, true);
	settle(bed);
	check_many(bed);
	(void)snprintf(
	    path, sizeof path, "%s/shop/totals/2.0.0/%lld.filter.3", bed->cache, (long long)(bed->time_ms / DAY_MS));
	assert_int_equal(access(path, F_OK), 0); /* there are four of them */
	for (int round = 0; round < 2; round++) {
		start(bed, 1, n, round == 0);
		check_many(bed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_cache_in_use, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_leftovers_go, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_killed_at_any_moment, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_ancestor_and_stranger, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_other_lineage, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_damaged_cache_is_made_anew, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_slices, open_bed, close_bed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
