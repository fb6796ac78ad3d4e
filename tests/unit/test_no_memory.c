/* Every allocation fails once, in turn: the process says so and dies, and what it had begun to store is whole or not there.
 *
 * The allocations are those of our own code (the linker wraps them); each try is a process of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/key_group.h"
#include "common/base/log.h"
#include "common/state/checkpoint_store.h"
#include "common/state/delta_file.h"
#include "common/state/files.h"
#include "common/state/state.h"
#include "common/state/state_leveldb.h"
#include "tests/unit/frame_samples.h"

#define JOB "shop/totals"
enum { GROUPS = 4, KEYS = 60, PATIENCE_MS = 60000, TRIES_MOST = 20000, CODE_NOT_REACHED = 3 };

static atomic_uint allocations;
static unsigned fail_at; /* 0: none fails */

static bool fails(void)
{
	return atomic_fetch_add(&allocations, 1) + 1 == fail_at;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(old, count, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

/* --- what is tried -------------------------------------------------------------------------------------------------------- */

static char folder[64];

static void run_codec(void)
{
	for (size_t i = 0; i < frame_rows_len; i++) {
		union frame_body body;
		struct buffer message = {0}, text = {0};
		struct arena arena = {0};
		struct frame frame;
		struct error error;
		struct frame_header header = sample_header;
		header.kind = frame_rows[i].kind;
		frame_sample(&frame_rows[i], &body);
		frame_encode(&message, &header, &body);
		CHECK(frame_decode(buffer_bytes(&message), &arena, &frame, NULL, &error) == RESULT_OK);
		frame_print(&frame, &text);
		arena_fini(&arena);
		buffer_fini(&message);
		buffer_fini(&text);
	}
}

static void put_manifest(struct checkpoint_store *store, struct epoch_id epoch, const struct files *files)
{
	struct checkpoint_entry first = {.epoch = {0}};
	struct frame_manifest manifest = {
	    .job = JOB, .fingerprint = "f", .key_groups = GROUPS, .epoch = epoch, .files = *files};
	struct error error;
	bool existed;
	if (epoch.n != 0)
		manifest.line = (struct checkpoints){&first, 1};
	CHECK(store->ops->put_manifest(store, &manifest, &existed, &error) == RESULT_OK);
}

static struct bytes key_of(int i, char text[24])
{
	(void)snprintf(text, 24, "key-%d", i);
	return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static enum state_news await(struct state *state, struct state_event *event)
{
	enum state_news news = STATE_NOTHING;
	for (int i = 0; i < PATIENCE_MS && (news = state_poll(state, event)) == STATE_NOTHING; i++)
		(void)poll(NULL, 0, 1);
	return news;
}

static struct state *open_state(struct checkpoint_store *store, const char *cache)
{
	struct state_port *port;
	struct error error;
	struct state_config config = {
	    .store = store,
	    .cache_dir = cache,
	    .job = JOB,
	    .role = 2,
	    .memory_bytes = 8 * 1024 * 1024,
	    .generation_ms = INT64_MAX,
	    .groups_len = GROUPS,
	};
	CHECK(state_leveldb_open(&port, &config, &error) == RESULT_OK);
	return state_new(port, 0, GROUPS);
}

static int count_keys(struct state *state)
{
	char text[24];
	int there = 0;
	for (int i = 0; i < KEYS; i++) {
		struct bytes key = key_of(i, text), value;
		struct error error;
		uint64_t hash = key_hash(key);
		CHECK(state_find(state, key_group(hash, GROUPS), hash, key, &value, &error) == RESULT_OK);
		there += value.data != NULL;
	}
	return there;
}

/* A state restored, changed, written, complete and taken into the cache. */
static void run_state(void)
{
	const struct files nothing = {0};
	char cache[80], text[24];
	struct checkpoint_store *store;
	struct state_event event;
	struct error error;
	(void)snprintf(cache, sizeof cache, "%s/cache", folder);
	CHECK(checkpoint_folder_open(&store, folder, JOB, &error) == RESULT_OK);
	put_manifest(store, (struct epoch_id){0}, &nothing);
	struct state *state = open_state(store, cache);
	state_restore(state, (struct epoch_id){0});
	CHECK(await(state, &event) == STATE_RESTORED);
	for (int i = 0; i < KEYS; i++) {
		struct bytes key = key_of(i, text);
		uint64_t hash = key_hash(key);
		CHECK(state_put(state, key_group(hash, GROUPS), hash, key, key, INT64_C(1700000000000), &error) ==
		      RESULT_OK);
	}
	CHECK(state_freeze(state, (struct epoch_id){1, 1}, (struct epoch_id){0}));
	CHECK(await(state, &event) == STATE_WRITTEN);
	put_manifest(store, (struct epoch_id){1, 1}, &event.files);
	state_complete(state, (struct epoch_id){1, 1});
	for (int i = 0; i < PATIENCE_MS && state_size(state).changed > 0; i++) {
		CHECK(state_poll(state, &event) == STATE_NOTHING);
		(void)poll(NULL, 0, 1);
	}
	CHECK(count_keys(state) == KEYS);
	state_free(state);
	store->ops->close(store);
}

/* The checkpoint is there with all keys, or not there; the cache that was left behind does not matter. */
static void check_state(void)
{
	char cache[80];
	struct checkpoint_store *store;
	struct frame_manifest manifest;
	struct arena arena = {0};
	struct state_event event;
	struct error error;
	bool first = false, second = false;
	(void)snprintf(cache, sizeof cache, "%s/cache", folder);
	assert_int_equal(checkpoint_folder_open(&store, folder, JOB, &error), RESULT_OK);
	assert_int_equal(
	    store->ops->get_manifest(store, (struct epoch_id){0}, &arena, &manifest, &first, &error), RESULT_OK);
	assert_int_equal(
	    store->ops->get_manifest(store, (struct epoch_id){1, 1}, &arena, &manifest, &second, &error), RESULT_OK);
	if (first) {
		struct state *state = open_state(store, cache);
		state_restore(state, second ? (struct epoch_id){1, 1} : (struct epoch_id){0});
		assert_int_equal(await(state, &event), STATE_RESTORED);
		assert_int_equal(count_keys(state), second ? KEYS : 0);
		state_free(state);
	}
	arena_fini(&arena);
	store->ops->close(store);
}

static void check_nothing(void)
{
}

/* --- every allocation in turn --------------------------------------------------------------------------------------------- */

/* What the child said and how it ended; false: it never came to that allocation. */
static bool try_one(void (*run)(void), unsigned at)
{
	int pipes[2], status;
	char said[4096] = "";
	size_t len = 0;
	assert_int_equal(pipe(pipes), 0);
	(void)fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)dup2(pipes[1], STDERR_FILENO);
		fail_at = at;
		atomic_store(&allocations, 0);
		run();
		_exit(atomic_load(&allocations) < at ? CODE_NOT_REACHED : EXIT_SUCCESS);
	}
	(void)close(pipes[1]);
	for (ssize_t got; len + 1 < sizeof said && (got = read(pipes[0], said + len, sizeof said - 1 - len)) > 0;)
		len += (size_t)got;
	(void)close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CODE_NOT_REACHED)
		return false;
	bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, "panic: out of memory") != NULL;
	if (!died && !(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS))
		fail_msg("allocation %u: status %x, said: %s", at, (unsigned)status, said);
	return true;
}

static void try_all(void (*run)(void), void (*check)(void), const char *what)
{
	unsigned at = 1;
	for (bool reached = true; reached; at++) {
		assert_in_range(at, 1, TRIES_MOST);
		(void)snprintf(folder, sizeof folder, "/tmp/sluice-memory-XXXXXX");
		assert_non_null(mkdtemp(folder));
		reached = try_one(run, at);
		check();
		folder_remove(folder);
	}
	print_message("%s: %u allocations failed\n", what, at - 2);
	assert_true(at > 10);
}

static void test_codec(void **state)
{
	(void)state;
	try_all(run_codec, check_nothing, "codec");
}

static void test_state(void **state)
{
	(void)state;
	try_all(run_state, check_state, "state");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_codec),
	    cmocka_unit_test(test_state),
	};
	log_open("test", "text", LOG_ERROR);
	return cmocka_run_group_tests_name("no_memory", tests, NULL, NULL);
}
