/* Protects: changes stay visible from the freeze until the cache has them, the newest first; what a checkpoint that was given
 * up had frozen is in the next one; one write at a time; what a complete checkpoint holds is taken in before anything is
 * written on top of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/key_group.h"
#include "common/state/state.h"

enum { GROUPS = 4, KEYS = 8, ASKED_MAX = 32 };

enum asked { RESTORE, WRITE, APPLY };

/* A port that answers when the test says so. Keys are one letter, values one number. */
struct fake {
	struct state_port port; /* first */
	enum asked asked[ASKED_MAX];
	struct epoch_id of[ASKED_MAX], on[ASKED_MAX];
	uint32_t layers[ASKED_MAX], asked_len;
	uint8_t cache[KEYS], written[KEYS]; /* 0: nothing */
	struct state_answer answer;
	bool pending, may_answer;
	int64_t expired_ms;
	uint32_t closed;
};

static struct fake fake;
static struct state *state;

static struct epoch_id epoch(uint64_t n)
{
	return (struct epoch_id){n > 0, n};
}

static void ask(struct state_port *port, enum asked asked, struct epoch_id of, struct epoch_id on, uint32_t layers)
{
	assert_ptr_equal(port, &fake.port);
	assert_false(fake.pending); /* one at a time */
	assert_true(fake.asked_len < ASKED_MAX);
	fake.asked[fake.asked_len] = asked;
	fake.of[fake.asked_len] = of;
	fake.on[fake.asked_len] = on;
	fake.layers[fake.asked_len++] = layers;
	fake.pending = true;
	fake.answer = (struct state_answer){0};
}

static void take_layers(uint8_t into[KEYS], const struct overlay *const *layers, uint32_t layers_len)
{
	for (uint32_t i = layers_len; i-- > 0;) /* newest last */
		for (uint32_t group = 0; group < GROUPS; group++) {
			const struct overlay_entry *entry;
			for (uint32_t at = 0; (entry = overlay_next(layers[i], group, &at)) != NULL;)
				into[overlay_key(entry).data[0] - 'a'] = overlay_value(entry).data[0];
		}
}

static void fake_restore(struct state_port *port, struct epoch_id checkpoint)
{
	ask(port, RESTORE, checkpoint, checkpoint, 0);
}

static void fake_write(struct state_port *port, struct epoch_id checkpoint, struct epoch_id base,
    const struct overlay *const *layers, uint32_t layers_len)
{
	ask(port, WRITE, checkpoint, base, layers_len);
	memcpy(fake.written, fake.cache, sizeof fake.written);
	take_layers(fake.written, layers, layers_len);
}

static void fake_apply(
    struct state_port *port, struct epoch_id checkpoint, const struct overlay *const *layers, uint32_t layers_len)
{
	ask(port, APPLY, checkpoint, checkpoint, layers_len);
	take_layers(fake.cache, layers, layers_len);
}

static uint32_t fake_progress(struct state_port *port)
{
	(void)port;
	return 42;
}

static bool fake_answer(struct state_port *port, struct state_answer **answer)
{
	(void)port;
	bool answers = fake.pending && fake.may_answer;
	fake.pending = fake.pending && !answers;
	*answer = &fake.answer;
	return answers;
}

static enum result fake_get(
    struct state_port *port, uint32_t group, uint64_t hash, struct bytes key, struct bytes *value, struct error *error)
{
	(void)port, (void)group, (void)hash, (void)error;
	const uint8_t *held = &fake.cache[key.data[0] - 'a'];
	*value = *held != 0 ? (struct bytes){held, 1} : (struct bytes){0};
	return RESULT_OK;
}

static void fake_expire(struct state_port *port, int64_t before_ms)
{
	(void)port;
	fake.expired_ms = before_ms;
}

static void fake_close(struct state_port *port)
{
	(void)port;
	fake.closed++;
}

static const struct state_port_ops ops = {
    .restore = fake_restore,
    .write = fake_write,
    .apply = fake_apply,
    .progress = fake_progress,
    .answer = fake_answer,
    .get = fake_get,
    .expire = fake_expire,
    .close = fake_close,
};

static int open_state(void **context)
{
	(void)context;
	fake = (struct fake){.port = {&ops, -1}, .may_answer = true};
	state = state_new(&fake.port, 0, GROUPS);
	return 0;
}

static int close_state(void **context)
{
	(void)context;
	state_free(state);
	return fake.closed == 1 ? 0 : -1;
}

static enum state_news news(void)
{
	struct state_event event;
	return state_poll(state, &event);
}

static void restored(uint64_t checkpoint)
{
	state_restore(state, epoch(checkpoint));
	assert_int_equal(news(), STATE_RESTORED);
}

static struct bytes key_of(char letter, uint64_t *hash, uint32_t *group)
{
	static uint8_t text[1];
	text[0] = (uint8_t)letter;
	struct bytes key = {text, 1};
	*hash = key_hash(key);
	*group = key_group(*hash, GROUPS);
	return key;
}

static uint8_t look(char letter)
{
	uint64_t hash;
	uint32_t group;
	struct error error;
	struct bytes value, key = key_of(letter, &hash, &group);
	assert_int_equal(state_find(state, group, hash, key, &value, &error), RESULT_OK);
	return value.data == NULL ? 0 : value.data[0];
}

static void put(char letter, uint8_t value)
{
	uint64_t hash;
	uint32_t group;
	struct error error;
	struct bytes key = key_of(letter, &hash, &group);
	assert_int_equal(state_put(state, group, hash, key, (struct bytes){&value, 1}, 1, &error), RESULT_OK);
}

/* Only what a complete checkpoint holds may be forgotten: what has changed since is in the next one. */
static void test_what_no_checkpoint_covers_is_not_forgotten(void **context)
{
	(void)context;
	restored(3);
	put('a', 7);
	assert_true(state_freeze(state, epoch(4), epoch(3)));
	assert_int_equal(news(), STATE_WRITTEN); /* and not complete */
	put('b', 8);
	state_expire(state, INT64_MAX);
	assert_int_equal(look('a'), 7);
	assert_int_equal(look('b'), 8);
	assert_true(state_freeze(state, epoch(5), epoch(3)));
	assert_int_equal(fake.written[0], 7);
	assert_int_equal(fake.written[1], 8);
	assert_int_equal(news(), STATE_WRITTEN);
}

static void test_restore_comes_first(void **context)
{
	(void)context;
	fake.may_answer = false;
	state_restore(state, epoch(3));
	assert_int_equal(news(), STATE_NOTHING);
	assert_false(state_is_restored(state));
	assert_int_equal(state_progress(state), 42);
	state_expire(state, 5); /* not yet */
	assert_int_equal(fake.expired_ms, 0);
	fake.may_answer = true;
	assert_int_equal(news(), STATE_RESTORED);
	assert_int_equal(state_progress(state), 100);
	state_expire(state, 5);
	assert_int_equal(fake.expired_ms, 5);
}

static void test_damaged_or_broken(void **context)
{
	(void)context;
	state_restore(state, epoch(3));
	fake.answer = (struct state_answer){.result = RESULT_CORRUPT, .damaged = true};
	assert_int_equal(news(), STATE_DAMAGED);
	state_restore(state, epoch(2));
	fake.answer = (struct state_answer){.result = RESULT_CORRUPT};
	assert_int_equal(news(), STATE_BROKEN);
	assert_false(state_is_restored(state));
}

/* A key is found in what changed now, in what was frozen, in the cache: in this order, and without a gap between. */
static void test_newest_value_counts(void **context)
{
	(void)context;
	restored(0);
	put('a', 1);
	put('b', 1);
	assert_true(state_freeze(state, epoch(1), epoch(0)));
	put('a', 2);
	assert_int_equal(look('a'), 2);
	assert_int_equal(look('b'), 1);
	assert_int_equal(look('c'), 0);
	assert_int_equal(news(), STATE_WRITTEN);
	assert_int_equal(fake.written[0], 1); /* not what came after the freeze */
	fake.may_answer = false;
	state_complete(state, epoch(1));
	assert_int_equal(look('b'), 1); /* while it is being taken in */
	fake.may_answer = true;
	assert_int_equal(news(), STATE_NOTHING);
	assert_int_equal(look('b'), 1);
	assert_int_equal(look('a'), 2);
	assert_int_equal(state_size(state).changed, 1);
}

static void test_given_up_is_in_the_next(void **context)
{
	(void)context;
	restored(0);
	put('a', 1);
	put('b', 1);
	assert_true(state_freeze(state, epoch(1), epoch(0)));
	fake.answer = (struct state_answer){.result = RESULT_RETRY};
	assert_int_equal(news(), STATE_NOT_WRITTEN);
	put('a', 2);
	assert_true(state_freeze(state, epoch(2), epoch(0)));
	assert_int_equal(news(), STATE_WRITTEN); /* and given up all the same */
	put('c', 3);
	assert_true(state_freeze(state, epoch(3), epoch(0)));
	assert_int_equal(news(), STATE_WRITTEN);
	assert_int_equal(fake.layers[fake.asked_len - 1], 3);
	assert_int_equal(fake.written[0], 2);
	assert_int_equal(fake.written[1], 1);
	assert_int_equal(fake.written[2], 3);
	state_complete(state, epoch(3));
	assert_int_equal(news(), STATE_NOTHING);
	assert_int_equal(state_size(state).changed, 0);
	assert_int_equal(look('a'), 2);
	assert_int_equal(look('b'), 1);
}

static void test_one_write_at_a_time(void **context)
{
	(void)context;
	restored(0);
	put('a', 1);
	fake.may_answer = false;
	assert_true(state_freeze(state, epoch(1), epoch(0)));
	put('a', 2);
	assert_false(state_freeze(state, epoch(2), epoch(0))); /* and nothing was frozen */
	fake.may_answer = true;
	assert_int_equal(news(), STATE_WRITTEN);
	assert_true(state_freeze(state, epoch(3), epoch(0)));
	assert_int_equal(news(), STATE_WRITTEN);
	assert_int_equal(fake.layers[fake.asked_len - 1], 2);
	assert_int_equal(fake.written[0], 2);
}

/* The barrier of the next checkpoint may come before the notice that its base is complete. */
static void test_base_is_taken_in_before_the_next_is_written(void **context)
{
	(void)context;
	restored(0);
	put('a', 1);
	assert_true(state_freeze(state, epoch(1), epoch(0)));
	assert_int_equal(news(), STATE_WRITTEN);
	put('b', 2);
	assert_true(state_freeze(state, epoch(2), epoch(1)));
	state_complete(state, epoch(1)); /* late, and known */
	assert_int_equal(news(), STATE_WRITTEN);
	assert_int_equal(fake.asked_len, 4);
	assert_int_equal(fake.asked[2], APPLY);
	assert_true(epoch_equal(fake.of[2], epoch(1)));
	assert_int_equal(fake.asked[3], WRITE);
	assert_true(epoch_equal(fake.on[3], epoch(1)));
	assert_int_equal(fake.layers[3], 1);
	assert_int_equal(state_size(state).changed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_restore_comes_first, open_state, close_state),
	    cmocka_unit_test_setup_teardown(test_what_no_checkpoint_covers_is_not_forgotten, open_state, close_state),
	    cmocka_unit_test_setup_teardown(test_damaged_or_broken, open_state, close_state),
	    cmocka_unit_test_setup_teardown(test_newest_value_counts, open_state, close_state),
	    cmocka_unit_test_setup_teardown(test_given_up_is_in_the_next, open_state, close_state),
	    cmocka_unit_test_setup_teardown(test_one_write_at_a_time, open_state, close_state),
	    cmocka_unit_test_setup_teardown(test_base_is_taken_in_before_the_next_is_written, open_state, close_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
