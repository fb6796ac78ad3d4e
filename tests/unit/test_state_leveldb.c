/* Protects: after any restore an actor's state is exactly what its checkpoint held, whatever the cache of this machine was;
 * what a checkpoint that was given up had changed is in the next one; a damaged file is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/key_group.h"
#include "common/state/files.h"
#include "common/state/state.h"
#include "common/state/state_leveldb.h"

enum { GROUPS = 16, KEYS = 400, CHECKPOINTS_MAX = 256, ACTORS_MAX = 3, PATIENCE_MS = 20000, DAY_MS = 86400000 };
#define BEGIN_MS INT64_C(1700000000000)

/* What the keys hold; 0: nothing. */
struct model {
	uint32_t values[KEYS];
};

struct actor_files {
	struct file_entry *entries;
	uint32_t len;
};

struct bed {
	char folder[64], checkpoints[96], cache[96];
	struct checkpoint_store *store;
	struct model now, kept[CHECKPOINTS_MAX]; /* the live state; what each checkpoint holds */
	uint32_t n; /* of the last checkpoint */
	uint32_t complete; /* the last that is */
	uint32_t branch, line_n[CHECKPOINTS_MAX]; /* of which branch each checkpoint is; given up: none */
	struct state *actors[ACTORS_MAX];
	uint32_t actors_len;
	int64_t time_ms, generation_ms;
	unsigned seed;
	struct arena arena;
};

static uint32_t below(struct bed *bed, uint32_t most)
{
	return (uint32_t)rand_r(&bed->seed) % most;
}

static struct epoch_id epoch(uint32_t n)
{
	return (struct epoch_id){n == 0 ? 0 : 1, n};
}

static struct bytes key_text(uint32_t i, char key[24])
{
	(void)snprintf(key, 24, "key-%010u", i);
	return (struct bytes){(const uint8_t *)key, strlen(key)};
}

static void open_actors(struct bed *bed, uint32_t actors)
{
	struct error error;
	bed->actors_len = actors;
	for (uint32_t i = 0; i < actors; i++) {
		struct state_port *port;
		struct state_config config = {
		    .store = bed->store,
		    .cache_dir = bed->cache,
		    .job = "shop/totals",
		    .role = 2,
		    .index = i,
		    .memory_bytes = 8 * 1024 * 1024,
		    .generation_ms = bed->generation_ms,
		};
		for (uint32_t group = 0; group < GROUPS; group++)
			if (key_group_owner(group, GROUPS, actors) == i) {
				config.first_group = config.groups_len == 0 ? group : config.first_group;
				config.groups_len++;
			}
		if (state_leveldb_open(&port, &config, &error) != RESULT_OK)
			fail_msg("%s", error.text);
		bed->actors[i] = state_new(port, config.first_group, config.groups_len);
	}
}

static void close_actors(struct bed *bed)
{
	for (uint32_t i = 0; i < bed->actors_len; i++)
		state_free(bed->actors[i]);
	bed->actors_len = 0;
}

static enum state_news await(struct state *state, struct state_event *event)
{
	for (int i = 0; i < PATIENCE_MS; i++) {
		enum state_news news = state_poll(state, event);
		if (news != STATE_NOTHING)
			return news;
		(void)poll(NULL, 0, 1);
	}
	fail_msg("no news of the state");
	return STATE_NOTHING;
}

static enum state_news restore(struct bed *bed, uint32_t n)
{
	struct state_event event;
	enum state_news worst = STATE_RESTORED;
	for (uint32_t i = 0; i < bed->actors_len; i++) {
		state_restore(bed->actors[i], epoch(n));
		enum state_news news = await(bed->actors[i], &event);
		if (news != STATE_RESTORED)
			worst = news;
	}
	bed->now = bed->kept[n];
	bed->complete = n;
	for (uint32_t i = n + 1; i < CHECKPOINTS_MAX; i++)
		bed->line_n[i] = UINT32_MAX; /* a history that was left */
	return worst;
}

static struct state *owner_of(const struct bed *bed, uint32_t group)
{
	return bed->actors[key_group_owner(group, GROUPS, bed->actors_len)];
}

static uint32_t look(const struct bed *bed, uint32_t i)
{
	char text[24];
	struct error error;
	struct bytes key = key_text(i, text), value;
	uint64_t hash = key_hash(key);
	uint32_t group = key_group(hash, GROUPS), number = 0;
	if (state_find(owner_of(bed, group), group, hash, key, &value, &error) != RESULT_OK)
		fail_msg("%s", error.text);
	if (value.data != NULL)
		memcpy(&number, value.data, sizeof number);
	return number;
}

/* Without actors only the model changes. */
static void change(struct bed *bed, uint32_t i)
{
	char text[24];
	struct error error;
	struct bytes key = key_text(i, text);
	uint64_t hash = key_hash(key);
	uint32_t group = key_group(hash, GROUPS), number = 1 + below(bed, 1000000);
	if (bed->actors_len > 0)
		assert_int_equal(state_put(owner_of(bed, group), group, hash, key,
		                     (struct bytes){(const uint8_t *)&number, sizeof number}, bed->time_ms, &error),
		    RESULT_OK);
	bed->now.values[i] = number;
}

static void check_all(const struct bed *bed)
{
	for (uint32_t i = 0; i < KEYS; i++)
		assert_int_equal(look(bed, i), bed->now.values[i]);
}

/* Every actor writes; whole: the manifest is written, and all hear that it is complete. */
static uint32_t checkpoint(struct bed *bed, bool whole)
{
	struct frame_manifest manifest = {.job = "shop/totals", .fingerprint = "f", .key_groups = GROUPS};
	struct checkpoint_entry line[CHECKPOINTS_MAX];
	struct file_entry files[512];
	struct state_event event;
	struct error error;
	bool existed;
	uint32_t n = ++bed->n;
	manifest.epoch = epoch(n);
	manifest.files.entries = files;
	manifest.line.entries = line;
	for (uint32_t i = 0; i < bed->actors_len; i++)
		assert_true(state_freeze(bed->actors[i], epoch(n), epoch(bed->complete)));
	bed->kept[n] = bed->now;
	for (uint32_t i = 0; i < bed->actors_len; i++) {
		assert_int_equal(await(bed->actors[i], &event), STATE_WRITTEN);
		for (uint32_t k = 0; k < event.files.len; k++) {
			files[manifest.files.len] = event.files.entries[k];
			files[manifest.files.len++].name =
			    arena_clone(&bed->arena, event.files.entries[k].name, strlen(event.files.entries[k].name));
		}
	}
	if (!whole)
		return n;
	/* All it was built on; whoever goes back to an older one begins another line. */
	for (uint32_t i = bed->complete + 1; i-- > 0;)
		if (bed->line_n[i] == bed->branch)
			line[manifest.line.len++] = (struct checkpoint_entry){.epoch = epoch(i)};
	bed->line_n[n] = bed->branch;
	assert_int_equal(bed->store->ops->put_manifest(bed->store, &manifest, &existed, &error), RESULT_OK);
	for (uint32_t i = 0; i < bed->actors_len; i++)
		state_complete(bed->actors[i], epoch(n));
	bed->complete = n;
	return n;
}

static void change_some(struct bed *bed, uint32_t some)
{
	for (uint32_t i = 0; i < some; i++)
		change(bed, below(bed, KEYS));
}

static bool is_settled(const struct bed *bed)
{
	for (uint32_t i = 0; i < bed->actors_len; i++)
		if (state_size(bed->actors[i]).changed > 0)
			return false;
	return true;
}

/* Until the caches have all that is complete; with changes since then, for a while. */
static void settle_for(struct bed *bed, int ms)
{
	struct state_event event;
	for (int i = 0; i < ms && !is_settled(bed); i++) {
		for (uint32_t k = 0; k < bed->actors_len; k++)
			assert_int_equal(state_poll(bed->actors[k], &event), STATE_NOTHING);
		(void)poll(NULL, 0, 1);
	}
}

static void settle(struct bed *bed)
{
	settle_for(bed, PATIENCE_MS);
	assert_true(is_settled(bed));
}

static int open_bed(void **state)
{
	struct bed *bed = memory_new(sizeof *bed);
	struct error error;
	(void)snprintf(bed->folder, sizeof bed->folder, "/tmp/sluice-state-XXXXXX");
	assert_non_null(mkdtemp(bed->folder));
	(void)snprintf(bed->checkpoints, sizeof bed->checkpoints, "%s/checkpoints", bed->folder);
	(void)snprintf(bed->cache, sizeof bed->cache, "%s/cache", bed->folder);
	assert_int_equal(checkpoint_folder_open(&bed->store, bed->checkpoints, "shop/totals", &error), RESULT_OK);
	for (uint32_t i = 1; i < CHECKPOINTS_MAX; i++)
		bed->line_n[i] = UINT32_MAX;
	bed->time_ms = BEGIN_MS;
	bed->generation_ms = INT64_MAX;
	bed->seed = 7;
	*state = bed;
	return 0;
}

static int close_bed(void **state)
{
	struct bed *bed = *state;
	close_actors(bed);
	bed->store->ops->close(bed->store);
	folder_remove(bed->folder);
	arena_fini(&bed->arena);
	free(bed);
	return 0;
}

static void test_nothing_at_first(void **state)
{
	struct bed *bed = *state;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	check_all(bed);
	change_some(bed, 100);
	check_all(bed);
}

/* With the cache, without it, and again: always what the checkpoint held, never what came after it. */
static void test_restore_is_exact(void **state)
{
	struct bed *bed = *state;
	open_actors(bed, 2);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	for (int round = 0; round < 12; round++) {
		change_some(bed, 60);
		uint32_t n = checkpoint(bed, true);
		check_all(bed);
		change_some(bed, 40); /* lost */
		check_all(bed);
		settle_for(bed, 30);
		close_actors(bed);
		if (round % 3 == 1)
			folder_remove(bed->cache);
		open_actors(bed, 2);
		assert_int_equal(restore(bed, n), STATE_RESTORED);
		check_all(bed);
	}
}

/* Many checkpoints in a row: files are merged, and older ones stay whole. */
static void test_long_chain_and_fallback(void **state)
{
	struct bed *bed = *state;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	for (int i = 0; i < 40; i++) {
		change_some(bed, 20);
		(void)checkpoint(bed, true);
	}
	struct frame_manifest manifest;
	struct error error;
	bool found, whole;
	assert_int_equal(
	    bed->store->ops->get_manifest(bed->store, epoch(bed->n), &bed->arena, &manifest, &found, &error),
	    RESULT_OK);
	assert_true(found && manifest.files.len < 12);
	for (uint32_t n = bed->n; n > bed->n - 5; n--) {
		close_actors(bed);
		open_actors(bed, 1);
		assert_int_equal(
		    bed->store->ops->get_manifest(bed->store, epoch(n), &bed->arena, &manifest, &found, &error),
		    RESULT_OK);
		assert_int_equal(bed->store->ops->check_files(bed->store, &manifest.files, &whole, &error), RESULT_OK);
		assert_true(whole);
		assert_int_equal(restore(bed, n), STATE_RESTORED);
		check_all(bed);
	}
}

static void test_given_up_is_in_the_next(void **state)
{
	struct bed *bed = *state;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	change_some(bed, 50);
	(void)checkpoint(bed, true);
	change_some(bed, 50);
	(void)checkpoint(bed, false);
	change_some(bed, 50);
	(void)checkpoint(bed, false);
	check_all(bed);
	change_some(bed, 50);
	uint32_t n = checkpoint(bed, true);
	check_all(bed);
	close_actors(bed);
	folder_remove(bed->cache);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	check_all(bed);
}

static void test_other_parallelism(void **state)
{
	static const uint32_t actors[] = {1, 2, 3, 1, 3, 2, 1};
	struct bed *bed = *state;
	uint32_t n = 0;
	for (size_t i = 0; i < sizeof actors / sizeof *actors; i++) {
		open_actors(bed, actors[i]);
		assert_int_equal(restore(bed, n), STATE_RESTORED);
		check_all(bed);
		for (int k = 0; k < 5; k++) {
			change_some(bed, 30);
			n = checkpoint(bed, true);
		}
		check_all(bed);
		settle(bed);
		close_actors(bed);
	}
}

/* Forgotten at once; but what has to be replayed from the checkpoint before knows it still. */
static void test_expiry(void **state)
{
	struct bed *bed = *state;
	bed->generation_ms = DAY_MS;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
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
	close_actors(bed);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, before), STATE_RESTORED);
	check_all(bed);
	state_expire(bed->actors[0], bed->time_ms - DAY_MS);
	for (uint32_t i = 0; i < 100; i++)
		bed->now.values[i] = 0;
	change(bed, 250);
	uint32_t after = checkpoint(bed, true);
	settle(bed);
	for (int round = 0; round < 2; round++) {
		close_actors(bed);
		if (round == 1)
			folder_remove(bed->cache);
		open_actors(bed, 1);
		assert_int_equal(restore(bed, after), STATE_RESTORED);
		check_all(bed);
	}
}

/* After days without a record the newest generation of the last checkpoint is old as well, but the checkpoint that opens a
 * newer one is still to come. Whatever is found after its barrier has been used to drop repeats, so it has to be in its
 * files: a replay from it has to drop them, too. */
static void test_expiry_after_a_long_silence(void **state)
{
	struct bed *bed = *state;
	bed->generation_ms = DAY_MS;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
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
		close_actors(bed);
		folder_remove(bed->cache);
		open_actors(bed, 1);
		assert_int_equal(restore(bed, n), STATE_RESTORED);
		check_all(bed);
	}
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(look(bed, i), 0);
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
	open_actors(bed, 2);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	while (walk->next < KEYS && bed->n + 2 < CHECKPOINTS_MAX) {
		walk_records(walk);
		if (below(bed, 3) == 0)
			walk_checkpoint(walk, below(bed, 4) > 0);
		if (below(bed, 8) == 0)
			walk_restore(walk);
	}
	free(walk);
}

static void test_damage_is_noticed(void **state)
{
	struct bed *bed = *state;
	char path[256];
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	change_some(bed, 100);
	uint32_t good = checkpoint(bed, true);
	change_some(bed, 100);
	uint32_t bad = checkpoint(bed, true);
	close_actors(bed);
	folder_remove(bed->cache);
	(void)snprintf(path, sizeof path, "%s/shop/totals/checkpoints/1.%u/2.0", bed->checkpoints, bad);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, 40, SEEK_SET), 0);
	assert_int_not_equal(fputc('#', file), EOF);
	assert_int_equal(fclose(file), 0);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, bad), STATE_DAMAGED);
	close_actors(bed);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, good), STATE_RESTORED);
	check_all(bed);
}

/* A process that is stopped keeps its cache: the next one takes another folder. */
static void test_cache_in_use(void **state)
{
	struct bed *bed = *state;
	struct state *stopped;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	change_some(bed, 100);
	uint32_t n = checkpoint(bed, true);
	stopped = bed->actors[0];
	open_actors(bed, 1);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	check_all(bed);
	state_free(stopped);
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
		bed->line_n[n] = bed->branch;
		open_actors(bed, 1);
		assert_int_equal(restore(bed, n), STATE_RESTORED);
		check_all(bed);
		close_actors(bed);
	}
}

/* An older cache of the same line is brought forward, one of another history is not taken. */
static void test_ancestor_and_stranger(void **state)
{
	struct bed *bed = *state;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	change_some(bed, 100);
	uint32_t old = checkpoint(bed, true);
	settle(bed);
	close_actors(bed);
	copy_cache(bed, "cache", "ancestor");
	for (int round = 0; round < 6; round++) {
		open_actors(bed, 1);
		assert_int_equal(restore(bed, old), STATE_RESTORED);
		check_all(bed);
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
			open_actors(bed, 1);
			assert_int_equal(restore(bed, n), STATE_RESTORED);
			check_all(bed);
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
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	change_some(bed, 200);
	assert_int_equal(checkpoint(bed, true), 1);
	settle(bed);
	close_actors(bed);
	copy_cache(bed, "cache", "old");
	bed->store->ops->close(bed->store);
	folder_remove(bed->checkpoints);
	assert_int_equal(checkpoint_folder_open(&bed->store, bed->checkpoints, "shop/totals", &error), RESULT_OK);
	bed->n = 0;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	check_all(bed);
	change_some(bed, 50);
	assert_int_equal(checkpoint(bed, true), 1);
	close_actors(bed);
	copy_cache(bed, "old", "cache");
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 1), STATE_RESTORED);
	check_all(bed);
}

/* leveldb notices, the attempt ends, and the next one makes the cache anew. */
static void test_damaged_cache_is_made_anew(void **state)
{
	struct bed *bed = *state;
	char command[256];
	struct error error;
	bool noticed = false;
	bed->generation_ms = DAY_MS;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	for (uint32_t i = 0; i < KEYS; i++)
		change(bed, i);
	uint32_t n = checkpoint(bed, true);
	for (int round = 0; round < 3; round++) {
		settle(bed);
		close_actors(bed); /* opened again, all that is in the log lies in tables */
		open_actors(bed, 1);
		assert_int_equal(restore(bed, n), STATE_RESTORED);
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
	close_actors(bed);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	check_all(bed);
}

/* A file is in the way where a folder has to be: the checkpoint fails, the attempt goes on, and nothing is lost. */
static void test_storage_fails_for_a_while(void **state)
{
	struct bed *bed = *state;
	struct state_event event;
	char path[256];
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	change_some(bed, 100);
	(void)snprintf(path, sizeof path, "%s/shop/totals/checkpoints", bed->checkpoints);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_true(state_freeze(bed->actors[0], epoch(++bed->n), epoch(0)));
	assert_int_equal(await(bed->actors[0], &event), STATE_NOT_WRITTEN);
	assert_int_equal(remove(path), 0);
	change_some(bed, 20);
	uint32_t n = checkpoint(bed, true);
	close_actors(bed);
	folder_remove(bed->cache);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	check_all(bed);
}

/* Replayed from an old topic, a year of generations comes at once; and a record of the future hides nothing that is new. */
static void test_many_generations(void **state)
{
	struct bed *bed = *state;
	bed->generation_ms = DAY_MS;
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
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
	close_actors(bed);
	folder_remove(bed->cache);
	open_actors(bed, 1);
	assert_int_equal(restore(bed, n), STATE_RESTORED);
	check_all(bed);
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
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
	assert_int_equal(access(other, F_OK), -1);
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
	open_actors(bed, 1);
	assert_int_equal(restore(bed, 0), STATE_RESTORED);
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
		close_actors(bed);
		if (round == 1)
			folder_remove(bed->cache);
		open_actors(bed, 1);
		assert_int_equal(restore(bed, n), STATE_RESTORED);
		check_many(bed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_nothing_at_first, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_restore_is_exact, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_long_chain_and_fallback, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_given_up_is_in_the_next, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_other_parallelism, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_expiry, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_expiry_after_a_long_silence, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_walks_with_expiry, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_damage_is_noticed, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_cache_in_use, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_killed_at_any_moment, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_ancestor_and_stranger, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_other_lineage, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_damaged_cache_is_made_anew, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_storage_fails_for_a_while, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_many_generations, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_leftovers_go, open_bed, close_bed),
	    cmocka_unit_test_setup_teardown(test_slices, open_bed, close_bed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
